# SPDX-License-Identifier: Apache-2.0
"""Starts the page."""

import threading
from pathlib import Path
from typing import Any

from . import actions
from .gallery import use_folder

MAX_UPLOAD = "20mb"
MAX_QUEUE = 32


def launch(mcp: bool = False, folder: str | Path | None = None, **options: Any) -> Any:
    """Serve the page until the process is stopped.

    Args:
        mcp: also serve its functions as MCP tools, at `/gradio_api/mcp/`.
        folder: a folder with your own poses and motions, which the tab Search includes.
        options: arguments of Gradio's `launch`, such as `server_port`, `server_name`, `inbrowser` and `share`.

    Returns:
        The `gr.Blocks`, once it was stopped, or at once with `prevent_thread_lock=True`.

    Raises:
        ImportError: the extra `app` is missing. FileNotFoundError: there is no such folder.
    """
    use_folder(folder)
    try:
        import gradio  # noqa: F401

        if mcp:
            import mcp as _  # noqa: F401
    except ModuleNotFoundError as error:
        raise ImportError(f"The app needs {error.name}: pip install 'unipose-hf[app]'") from error
    from .page import STYLE, build_page, theme

    page = build_page().queue(max_size=MAX_QUEUE, default_concurrency_limit=2)
    # Each worker thread has its own OpenGL context; a few are enough.
    given = {"max_file_size": MAX_UPLOAD, "max_threads": 6, "footer_links": [], "mcp_server": mcp}
    waits = not options.pop("prevent_thread_lock", False)
    page.launch(theme=theme(), css=STYLE, ssr_mode=False, prevent_thread_lock=True, **(given | options))
    # Reading the weights takes seconds, which a visitor spends reading the page.
    threading.Thread(target=actions.warm_up, daemon=True).start()
    if waits:
        page.block_thread()
    return page
