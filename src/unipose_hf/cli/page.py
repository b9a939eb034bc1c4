# SPDX-License-Identifier: Apache-2.0
"""The command that serves the page: app."""

from pathlib import Path
from typing import Annotated

import typer

from .app import app


@app.command("app")
def serve(
    port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="Port.", show_default="the first free one from 7860")
    ] = None,
    host: Annotated[str, typer.Option(help="Address; 0.0.0.0 lets other machines connect.")] = "127.0.0.1",
    mcp: Annotated[bool, typer.Option("--mcp", help="Also serve the functions as MCP tools for assistants.")] = False,
    folder: Annotated[Path | None, typer.Option(help="A folder with your own poses and motions to search.")] = None,
    browser: Annotated[bool, typer.Option("--browser", help="Open the page in the browser.")] = False,
) -> None:
    """Serve a web page to generate, estimate, search and edit poses, and to pose by hand (extra `app`)."""
    from ..app.serving import launch

    launch(mcp=mcp, folder=folder, server_port=port, server_name=host, inbrowser=browser)
