# SPDX-License-Identifier: Apache-2.0
"""Links that leave docs/ work on GitHub as they are; on the site they lead to GitHub."""

import posixpath
import re


def on_page_markdown(markdown, page, config, files):
    """`](../examples/README.md)` of a page -> the same file in the repository."""

    def moved(match):
        path = posixpath.normpath(posixpath.join("docs", posixpath.dirname(page.file.src_uri), match[1]))
        return match[0] if path.startswith("docs/") else f"]({config.repo_url.rstrip('/')}/blob/main/{path})"

    return re.sub(r"\]\((\.\./[^)]+)\)", moved, markdown)
