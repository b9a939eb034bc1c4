# SPDX-License-Identifier: Apache-2.0
"""The widget to pose a body by hand: `web/posing.js` with three.js, served from the package, in a `gr.HTML`.

Its value is a pose as JSON text, both ways. The body is our GLB of the T-pose, whose joints turn in the browser.
"""

import functools
from pathlib import Path

import gradio as gr
import numpy as np

from ..body import JOINT_NAMES, MIRROR
from ..modeling.pose_unipose import Pose
from . import actions

WEB = Path(__file__).parent / "web"
# `import` of a module that is already loaded costs nothing, so that the widget can be drawn anew.
LOAD = """
const root = (window.gradio_config?.root ?? "").replace(/\\/$/, "");
const address = (path) => `${root}/gradio_api/file=${path}`;
import(address(props.script)).then((posing) => posing.start({
  element, props, trigger, watch, body: address(props.body), joints: props.joints, mirror: props.mirror,
  three: address(props.three),
})).catch((error) => {
  element.querySelector(".posing-help").textContent = `The widget could not be loaded (${error.message}).`;
});
"""


def widget_files() -> list[Path]:
    """What the page serves for the widget: its scripts, and the body's GLB in the T-pose."""
    return [WEB / "posing.js", WEB / "three.min.js", _body()]


@functools.cache
def _body() -> Path:
    return Pose(np.zeros((22, 3))).save(actions.own_folder() / "body.glb")


def pose_widget() -> gr.HTML:
    """The component; its `input` event follows each change by hand."""
    script, three, body = widget_files()
    return gr.HTML(
        value=actions.json_of(Pose(np.zeros((22, 3)))),
        html_template=(WEB / "posing.html").read_text(encoding="utf-8"),
        css_template=(WEB / "posing.css").read_text(encoding="utf-8"),
        js_on_load=LOAD,
        elem_id="widget",
        label="Pose by hand",
        script=str(script),
        three=str(three),
        body=str(body),
        joints=list(JOINT_NAMES),
        mirror=list(MIRROR),
    )
