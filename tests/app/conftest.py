# SPDX-License-Identifier: Apache-2.0
"""One server of the page for all tests that need it."""

import pytest


@pytest.fixture(scope="session")
def served():
    """The address of the page, served with its MCP tools; skips without Gradio."""
    pytest.importorskip("gradio", reason="the extra app is not installed")
    pytest.importorskip("mcp", reason="the extra app is not installed")
    from unipose_hf.app.serving import launch

    page = launch(mcp=True, prevent_thread_lock=True, quiet=True)
    yield page.local_url
    page.close()
