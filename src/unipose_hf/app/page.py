# SPDX-License-Identifier: Apache-2.0
"""The page: tabs to get a pose (Say, Estimate, Search, Pose), and next to them the pose, its edits and files."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
from PIL import Image

from ..modeling.pose_unipose import Pose
from . import actions, finding
from .drawing import thumbnail
from .gallery import sources
from .history import History
from .limbs import HIPS, PARTS, changed_parts, in_words
from .messages import shown_on_page
from .tinting import write_tinted
from .tools import add_tools
from .widget import pose_widget, widget_files, widget_value

EXAMPLES = (
    "a person kneeling, arms raised",
    "sitting cross-legged with the hands on the knees",
    "a boxer punching with the left hand",
    "standing on one leg",
)
MAX_RESULTS = 12
EDITS = ("Raise the left arm above the head.", "Bend the knees.", "Turn the head to the right.")
BY_HAND, BY_HAND_TAB = "By hand", "Pose"
SOURCES = {"named": "Named poses", "open": "Motion capture", "folder": "Your folder"}
STYLE = """
.gradio-container {width: 100% !important; min-width: 0 !important; max-width: 1280px !important;
  margin: 0 auto !important}
footer {display: none !important}
.changed {margin: 0} .changed::before {
  content: ""; display: inline-block; width: 0.8em; height: 0.8em; border-radius: 2px; margin-right: 0.5em;
  background: #e8a54a}
#numbers [data-testid=block-info] {max-width: calc(100% - 2rem)}
#poses .grid-container, #named .grid-container, #steps .grid-container {padding-top: 2.2rem}
"""
# A text with a copy button has none of its own: in the browser the label names its first control, the button.
NAME_TEXTS = """() => {
  for (const text of document.querySelectorAll("label textarea")) {
    const label = text.closest("label");
    if (label.control !== text) text.ariaLabel = label.querySelector("[data-testid=block-info]").textContent.trim();
  }
}"""
_KEPT = (600, 1800)  # uploaded and written files: checked every ten minutes, removed after half an hour
_OF_MODEL = {"concurrency_limit": 1, "concurrency_id": "model"}


def theme() -> gr.themes.Base:
    """Fonts of the reader's system, so that the page calls no other server."""
    fonts = ["system-ui", "Segoe UI", "Roboto", "Helvetica Neue", "Arial", "sans-serif"]
    return gr.themes.Soft(primary_hue="blue", font=fonts, font_mono=["ui-monospace", "Consolas", "monospace"])


def build_page() -> gr.Blocks:
    """The page as `gr.Blocks`; `launch` of this package serves it with its theme and limits."""
    gr.set_static_paths(widget_files())
    with gr.Blocks(title="UniPose", analytics_enabled=False, delete_cache=_KEPT) as page:
        gr.Markdown("# UniPose\nDescribe a pose, show it, find it or pose it by hand; edit it in words; download it.")
        history, choices, people, found = gr.State(History()), gr.State([]), gr.State([]), gr.State([])
        with gr.Row():
            with gr.Column(scale=5, min_width=320), gr.Tabs() as tabs:
                with gr.Tab("Say"):
                    words = gr.Textbox(
                        label="What does the body do?", placeholder=EXAMPLES[0], lines=2, max_lines=3, elem_id="words"
                    )
                    with gr.Row():
                        ask = gr.Button("Generate four poses", variant="primary", elem_id="ask")
                        others = gr.Button("Other variations", elem_id="others")
                    seed = gr.State(0)
                    gr.Examples([[example] for example in EXAMPLES], words, label="Examples", api_visibility="private")
                    poses = _gallery("Choose one", 2, "poses")
                with gr.Tab("Estimate"):
                    photo = gr.Image(
                        label="A photograph of people",
                        type="pil",
                        sources=["upload", "webcam", "clipboard"],
                        height=280,
                        elem_id="photo",
                    )
                    with gr.Row():
                        estimate = gr.Button("Estimate poses", variant="primary", elem_id="look")
                        sample = gr.Button("Try the sample", elem_id="sample")
                    overlay = gr.Image(
                        label="People found: choose one here or below",
                        interactive=False,
                        height=420,
                        buttons=["download", "fullscreen"],
                        elem_id="overlay",
                    )
                    person = gr.Radio([], label="Person", visible=False, elem_id="person")
                    gr.Markdown("Pictures are processed and not stored.")
                with gr.Tab("Search"):
                    query = gr.Textbox(label="Words", placeholder="warrior, kneel, squat, wave ...", elem_id="query")
                    with gr.Row():
                        find = gr.Button("Search by words", variant="primary", elem_id="find")
                        similar = gr.Button("Poses like this one", elem_id="alike")
                    where = gr.CheckboxGroup(
                        [(SOURCES[source], source) for source in sources()],
                        value=list(sources()),
                        label="Search in",
                        elem_id="where",
                    )
                    named = _gallery("Poses found: choose one", 3, "named")
                with gr.Tab(BY_HAND_TAB):
                    widget = pose_widget()
            with gr.Column(scale=4, min_width=320):
                body = gr.Model3D(label="The pose: drag to turn it", height=380, elem_id="body")
                moved = gr.HTML(visible=False, padding=False, elem_id="moved")
                caption = gr.Textbox(label="In words", lines=2, interactive=False, buttons=["copy"], elem_id="caption")
                change = gr.Textbox(label="Edit in words", placeholder=EDITS[0], submit_btn="Edit", elem_id="change")
                free = gr.CheckboxGroup(
                    [(f"{part} (turns the whole body)" if part == HIPS else part, part) for part in PARTS],
                    value=list(PARTS),
                    label="Limbs that may change, in edits and by hand",
                    show_select_all=True,
                    elem_id="free",
                )
                undo = gr.Button("Undo", size="sm", elem_id="undo")
                steps = _gallery("Steps: choose one to go back to", 3, "steps", 230)
                files = gr.File(
                    label="Download", file_count="multiple", interactive=False, height=330, elem_id="files"
                )
                numbers = gr.Textbox(
                    label="Axis-angle: 22 rotation vectors in SMPL's order, radians",
                    lines=3,
                    max_lines=6,
                    interactive=False,
                    buttons=["copy"],
                    elem_id="numbers",
                )
        shown = [history, body, moved, caption, numbers, steps]
        private: dict[str, Any] = {"api_visibility": "private"}

        def on(trigger: Any, do: Any, inputs: Any, outputs: Any, **options: Any) -> Any:
            return trigger(shown_on_page(do), inputs, outputs, **private, **options)

        def settle(event: Any, with_widget: bool = True) -> None:
            """What follows each change of the pose."""
            if with_widget:
                event = event.success(_for_widget, [history, free], widget, show_progress="hidden", **private)
            event.success(_files, history, files, show_progress="hidden", **private)

        generated = gr.on([ask.click, words.submit], lambda: 0, None, seed, queue=False, **private)
        varied = others.click(lambda n: n + 1, seed, seed, queue=False, **private)
        for event in (generated, varied):
            settle(on(event.then, _generate, [words, seed], [choices, poses, *shown], **_OF_MODEL))
        settle(on(poses.select, _choose, choices, shown))
        estimated = [people, overlay, person, *shown]
        settle(on(estimate.click, _estimate, photo, estimated, **_OF_MODEL))
        settle(on(sample.click(_sample, None, photo, **private).then, _estimate, photo, estimated, **_OF_MODEL))
        settle(on(person.input, _choose_person, [person, people], shown))
        settle(on(overlay.select, _click_person, people, [person, *shown]))
        for trigger in (find.click, query.submit):
            on(trigger, _search, [query, where], [found, named], **_OF_MODEL)
        on(similar.click, _search_similar, [history, where], [found, named])
        settle(on(named.select, _choose_found, found, shown))
        settle(on(change.submit, _edit, [change, history, free], [change, *shown], **_OF_MODEL))
        settle(on(undo.click, _undo, history, shown))
        settle(on(steps.select, _go, history, shown))
        settle(on(widget.input, _by_hand, [widget, history], shown), with_widget=False)
        free.change(_for_widget, [history, free], widget, show_progress="hidden", **private)
        # The widget already shows the body.
        tabs.select(_hide_body_in_pose_tab, None, body, queue=False, show_progress="hidden", **private)
        page.load(None, js=NAME_TEXTS)
        add_tools()
    return page


def _gallery(label: str, columns: int, name: str, height: int | str = "auto") -> gr.Gallery:
    return gr.Gallery(
        label=label,
        columns=columns,
        allow_preview=False,
        fit_columns=False,
        object_fit="contain",
        height=height,
        interactive=False,
        buttons=[],
        elem_id=name,
    )


def _show(history: History) -> tuple:
    """What is shown next to the tabs: the values of `shown`."""
    pose = history.pose
    pictures = [(thumbnail(step.pose), label) for step, label in zip(history.steps, history.labels(), strict=True)]
    glb, parts = Path(actions.export(pose, "glb")), _changed(history)
    if parts:
        glb = write_tinted(glb, parts, glb.with_name(f"{glb.stem}-{'-'.join(parts).replace(' ', '')}.glb"))
    return (
        history,
        str(glb),
        gr.HTML(f'<p class="changed" role="status">Changed by this step: {in_words(parts)}.</p>', visible=bool(parts)),
        actions.describe(pose),
        str([[round(float(x), 4) for x in row] for row in pose.axis_angle]),
        gr.Gallery(pictures, selected_index=history.at),
    )


def _changed(history: History) -> list[str]:
    """The limbs that the current step moved; none for a first step."""
    before = history.before
    return [] if before is None else changed_parts(before, history.pose)


def _for_widget(history: History, free: list[str]) -> str:
    pose = history.pose if history.steps else Pose(np.zeros((22, 3)))
    return widget_value(pose, free, _changed(history))


def _hide_body_in_pose_tab(event: gr.SelectData) -> gr.Model3D:
    return gr.Model3D(visible=event.value != BY_HAND_TAB)


def _files(history: History) -> list[str]:
    return [actions.export(history.pose, format) for format in actions.FORMATS]


def _generate(words: str, seed: int) -> tuple:
    answers = actions.generate(words, seed=seed)
    poses = [actions.read(answer["pose"]) for answer in answers]
    pictures = [(thumbnail(pose), actions.describe(pose, "short")) for pose in poses]
    return (
        [(pose, words) for pose in poses],
        gr.Gallery(pictures, selected_index=0),
        *_show(History.start(poses[0], words)),
    )


def _choose(choices: list, event: gr.SelectData) -> tuple:
    return _show(History.start(*choices[event.index]))


def _sample() -> Image.Image:
    from .. import assets

    return Image.open(assets.sample("photo.jpg"))


def _estimate(photo: Image.Image | None) -> tuple:
    if photo is None:
        raise ValueError("There is no picture yet; upload a photograph, paste one, or take one with the webcam.")
    found = actions.find_people(photo)
    if not found:
        raise ValueError("Nobody was found in the picture; try one in which people are larger and fully visible.")
    overlay = found.overlay()
    shrink = overlay.width / found.picture.width
    people = [(one["pose"], [float(edge) * shrink for edge in one["box"]]) for one in found]
    names = [_name_person(number) for number in range(len(people))]
    choice = gr.Radio(names, value=names[0], visible=len(people) > 1)
    return people, overlay, choice, *_show(History.start(people[0][0], names[0]))


def _name_person(number: int) -> str:
    return f"Person {number + 1}"


def _choose_person(name: str, people: list) -> tuple:
    number = int(name.rpartition(" ")[2]) - 1
    return _show(History.start(people[number][0], name))


def _click_person(people: list, event: gr.SelectData) -> tuple:
    """The person in whose box the click is; of several, the one whose middle is nearest."""
    name = _name_person(nearest_box(event.index, [box for _, box in people]))
    return name, *_choose_person(name, people)


def nearest_box(point: Sequence[float], boxes: list[list[float]]) -> int:
    """The number of the box (x0, y0, x1, y1) that holds a point, or else of the nearest one."""

    def distance(box: list[float]) -> tuple[bool, float]:
        x, y = point
        inside = box[0] <= x <= box[2] and box[1] <= y <= box[3]
        return not inside, (x - (box[0] + box[2]) / 2) ** 2 + (y - (box[1] + box[3]) / 2) ** 2

    return min(range(len(boxes)), key=lambda number: distance(boxes[number]))


def _search(query: str, where: list[str]) -> tuple:
    if not query.strip():
        raise ValueError("Write a word to search for, for example warrior, kneel or wave.")
    found = finding.search(query, MAX_RESULTS, where=["named"]) if "named" in where else []
    if others := [source for source in where if source != "named"]:
        found += finding.search(query, MAX_RESULTS // 2, where=others)
    if not where:
        raise ValueError("No source is selected; select at least one under Search in.")
    if not found:
        raise ValueError("Your folder has no poses; search in the other sources too.")
    return _found([(actions.read(one["pose"]), one["name"]) for one in found])


def _search_similar(history: History, where: list[str]) -> tuple:
    found = finding.nearest(history.pose.to_dict(), limit=MAX_RESULTS, where=where)
    return _found(
        [(actions.read(one["pose"]), f"{one['name']}, {100 * one['distance']:.0f} cm away") for one in found]
    )


def _found(poses: list[tuple[Pose, str]]) -> tuple:
    return poses, gr.Gallery([(thumbnail(pose), name) for pose, name in poses], selected_index=None)


def _choose_found(found: list, event: gr.SelectData) -> tuple:
    return _show(History.start(*found[event.index]))


def _edit(text: str, history: History, free: list[str]) -> tuple:
    changed = actions.edit(history.pose.to_dict(), text, None if len(free) == len(PARTS) else free)
    return "", *_show(history.add(actions.read(changed["pose"]), text))


def _undo(history: History) -> tuple:
    return _show(history.undo())


def _go(history: History, event: gr.SelectData) -> tuple:
    return _show(history.go(event.index))


def _by_hand(pose: str, history: History) -> tuple:
    return _show(history.add(actions.read(pose), BY_HAND))
