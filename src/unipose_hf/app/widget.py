# SPDX-License-Identifier: Apache-2.0
"""The widget to pose a body by hand: `web/posing.js` with three.js, served from the package, in a `gr.HTML`.

Its value is a pose as JSON text, both ways, with the limbs that may move and those that are tinted. The body is our
GLB of the T-pose, whose joints turn in the browser.
"""

import functools
import json
from collections.abc import Sequence
from pathlib import Path

import gradio as gr
import numpy as np

from ..body import JOINT_NAMES, MIRROR
from ..modeling.pose_unipose import Pose
from . import actions, joint_limits
from .limbs import PARTS

WEB = Path(__file__).parent / "web"
# `import` of a module that is already loaded costs nothing, so that the widget can be redrawn.
LOAD = """
const root = (window.gradio_config?.root ?? "").replace(/\\/$/, "");
const address = (path) => `${root}/gradio_api/file=${path}`;
import(address(props.script)).then((posing) => posing.start({
  element, props, trigger, watch, body: address(props.body), joints: props.joints, mirror: props.mirror,
  limits: props.limits, parts: props.parts, three: address(props.three),
})).catch((error) => {
  element.querySelector(".posing-help").textContent = `The widget could not be loaded (${error.message}).`;
});
"""


def widget_files() -> list[Path]:
    """What the page serves for the widget: its scripts, and the body's GLB in the T-pose."""
    return [_body(), *(WEB / f"{name}.js" for name in ("posing", "limits", "reach", "tint", "three.min"))]


@functools.cache
def _body() -> Path:
    return Pose(np.zeros((22, 3))).save(actions.temporary_folder() / "body.glb")


def pose_widget() -> gr.HTML:
    """The component; its `input` event follows each change by hand."""
    return gr.HTML(
        value=widget_value(Pose(np.zeros((22, 3)))),
        html_template=(WEB / "posing.html").read_text(encoding="utf-8"),
        css_template=(WEB / "posing.css").read_text(encoding="utf-8"),
        js_on_load=LOAD,
        elem_id="widget",
        label="Pose by hand",
        script=str(WEB / "posing.js"),
        three=str(WEB / "three.min.js"),
        body=str(_body()),
        joints=list(JOINT_NAMES),
        mirror=list(MIRROR),
        limits=joint_limits.for_browser(),
        parts={name: list(joints) for name, joints in PARTS.items()},
    )


def widget_value(pose: Pose, free: Sequence[str] = tuple(PARTS), changed: Sequence[str] = ()) -> str:
    """A pose as the widget takes it; `free` and `changed` are names of `PARTS`."""
    return json.dumps(pose.to_dict() | {"free": list(free), "changed": list(changed)})
