# SPDX-License-Identifier: Apache-2.0
"""The functions as endpoints of the page's API, which `unipose app --mcp` offers to assistants as tools."""

import gradio as gr

from . import actions, finding
from .messages import shown_on_page


def add_tools() -> None:
    """Add the endpoints to the `gr.Blocks` that is being built."""
    for tool in (actions.generate, actions.edit, actions.describe, finding.search, finding.nearest):
        gr.api(shown_on_page(tool), api_name=tool.__name__, concurrency_limit=1, concurrency_id="model")
    # Pictures and files go through components, which fetch what the client gives, serve what it gets, and refuse the
    # server's own files.
    with gr.Column(visible=False):
        picture, pose = gr.Image(type="pil", label="picture"), gr.JSON(label="pose")
        pose.api_info = lambda: {"type": "object", "additionalProperties": {}}  # Gradio's own is no JSON schema
        format = gr.Dropdown(list(actions.FORMATS), value="glb", label="format")
        people, file = gr.JSON(label="people"), gr.File(label="file")
        gr.Button().click(
            shown_on_page(actions.estimate),
            picture,
            people,
            api_name="estimate",
            concurrency_limit=1,
            concurrency_id="model",
        )
        gr.Button().click(shown_on_page(actions.export), [pose, format], file, api_name="export")
