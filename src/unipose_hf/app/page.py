# SPDX-License-Identifier: Apache-2.0
"""The page: tabs that make a pose (Say, Estimate, Search, Pose), and beside them the pose with its edits and files."""

from collections.abc import Sequence
from typing import Any

import gradio as gr
from PIL import Image

from ..modeling.pose_unipose import Pose
from . import actions
from .drawing import thumbnail
from .history import History
from .talking import as_sentences
from .tools import add_tools
from .widget import pose_widget, widget_files

EXAMPLES = (
    "a person kneeling, arms raised",
    "sitting cross-legged with the hands on the knees",
    "a boxer punching with the left hand",
    "standing on one leg",
)
EDITS = ("Raise the left arm above the head.", "Bend the knees.", "Turn the head to the right.")
BY_HAND = "By hand"
STYLE = """
.gradio-container {max-width: 1280px !important; margin: 0 auto !important}
footer {display: none !important}
#poses .grid-container, #named .grid-container, #steps .grid-container {padding-top: 2.2rem}
"""
_KEPT = (600, 1800)  # uploaded and written files: looked through every ten minutes, removed after half an hour
_OF_MODEL = {"concurrency_limit": 1, "concurrency_id": "model"}


def theme() -> gr.themes.Base:
    """Fonts of the reader's system, so that the page calls no other server."""
    fonts = ["system-ui", "Segoe UI", "Roboto", "Helvetica Neue", "Arial", "sans-serif"]
    return gr.themes.Soft(primary_hue="blue", font=fonts, font_mono=["ui-monospace", "Consolas", "monospace"])


def build_page() -> gr.Blocks:
    """The page as `gr.Blocks`; `launch` of this package starts it with its look and limits."""
    gr.set_static_paths(widget_files())
    with gr.Blocks(title="UniPose", analytics_enabled=False, delete_cache=_KEPT) as page:
        gr.Markdown("# UniPose\nSay it, show it, find it or pose it by hand; change it by words; take it with you.")
        history, choices, people, found = gr.State(History()), gr.State([]), gr.State([]), gr.State([])
        with gr.Row():
            with gr.Column(scale=5, min_width=320), gr.Tabs():
                with gr.Tab("Say"):
                    words = gr.Textbox(
                        label="What does the body do?", placeholder=EXAMPLES[0], lines=2, max_lines=3, elem_id="words"
                    )
                    with gr.Row():
                        ask = gr.Button("Make four poses", variant="primary", elem_id="ask")
                        others = gr.Button("Other variations", elem_id="others")
                    seed = gr.State(0)
                    gr.Examples(
                        [[example] for example in EXAMPLES], words, label="For example", api_visibility="private"
                    )
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
                        look = gr.Button("Estimate poses", variant="primary", elem_id="look")
                        sample = gr.Button("Try the sample photograph", elem_id="sample")
                    overlay = gr.Image(
                        label="The bodies found: choose a person here or below",
                        interactive=False,
                        height=420,
                        buttons=["download", "fullscreen"],
                        elem_id="overlay",
                    )
                    person = gr.Radio([], label="Person", visible=False, elem_id="person")
                    gr.Markdown("Pictures are looked at and not kept.")
                with gr.Tab("Search"):
                    query = gr.Textbox(
                        label="Words of a named pose", placeholder="warrior, kneel, squat, wave ...", elem_id="query"
                    )
                    find = gr.Button("Search", variant="primary", elem_id="find")
                    named = _gallery("Named poses", 3, "named")
                with gr.Tab("Pose"):
                    widget = pose_widget()
            with gr.Column(scale=4, min_width=320):
                body = gr.Model3D(label="The pose: drag to turn it about", height=380, elem_id="body")
                caption = gr.Textbox(label="In words", lines=2, interactive=False, buttons=["copy"], elem_id="caption")
                change = gr.Textbox(
                    label="Change it by words", placeholder=EDITS[0], submit_btn="Change", elem_id="change"
                )
                undo = gr.Button("Undo", size="sm", elem_id="undo")
                steps = _gallery("Steps: choose one to go back to it, or to branch off", 3, "steps", 230)
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
        shown = [history, body, caption, numbers, steps, widget]

        def then_files(event: Any) -> None:
            event.success(_files, history, files, show_progress="hidden", api_visibility="private")

        def on(trigger: Any, do: Any, inputs: Any, outputs: Any, **options: Any) -> Any:
            return trigger(as_sentences(do), inputs, outputs, api_visibility="private", **options)

        gr.on([ask.click, words.submit], lambda: 0, None, seed, api_visibility="private", queue=False).then(
            as_sentences(_say), [words, seed], [choices, poses, *shown], api_visibility="private", **_OF_MODEL
        ).success(_files, history, files, show_progress="hidden", api_visibility="private")
        others.click(lambda n: n + 1, seed, seed, api_visibility="private", queue=False).then(
            as_sentences(_say), [words, seed], [choices, poses, *shown], api_visibility="private", **_OF_MODEL
        ).success(_files, history, files, show_progress="hidden", api_visibility="private")
        then_files(on(poses.select, _choose, choices, shown))
        for event in (
            on(look.click, _estimate, photo, [people, overlay, person, *shown], **_OF_MODEL),
            sample.click(_sample, None, photo, api_visibility="private").then(
                as_sentences(_estimate),
                photo,
                [people, overlay, person, *shown],
                api_visibility="private",
                **_OF_MODEL,
            ),
        ):
            then_files(event)
        then_files(on(person.input, _choose_person, [person, people], shown))
        then_files(on(overlay.select, _click_person, people, [person, *shown]))
        gr.on([find.click, query.submit], as_sentences(_search), query, [found, named], api_visibility="private")
        then_files(on(named.select, _choose_named, found, shown))
        then_files(on(change.submit, _edit, [change, history], [change, *shown], **_OF_MODEL))
        then_files(on(undo.click, _undo, history, shown))
        then_files(on(steps.select, _go, history, shown))
        then_files(on(widget.input, _by_hand, [widget, history], shown[:-1]))
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
    """What stands beside the tabs: the values of `shown`."""
    pose = history.pose
    pictures = [(thumbnail(step.pose), label) for step, label in zip(history.steps, history.labels(), strict=True)]
    return (
        history,
        actions.export(pose, "glb"),
        actions.describe(pose),
        str([[round(float(x), 4) for x in row] for row in pose.axis_angle]),
        gr.Gallery(pictures, selected_index=history.at),
        actions.json_of(pose),
    )


def _files(history: History) -> list[str]:
    return [actions.export(history.pose, format) for format in actions.FORMATS]


def _say(words: str, seed: int) -> tuple:
    answers = actions.say(words, seed=seed)
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
        raise ValueError("Nobody was found in the picture; try one in which people are larger and seen as a whole.")
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


def _search(query: str) -> tuple:
    if not query.strip():
        raise ValueError("Write a word to search for, for example warrior, kneel or wave.")
    found = [(actions.read(one["pose"]), one["name"]) for one in actions.search(query, most=12)]
    if not found:
        raise ValueError(
            f"No named pose has the words {query!r}; try one word, or say the pose in a sentence instead."
        )
    return found, gr.Gallery([(thumbnail(pose), name) for pose, name in found], selected_index=None)


def _choose_named(found: list, event: gr.SelectData) -> tuple:
    return _show(History.start(*found[event.index]))


def _edit(text: str, history: History) -> tuple:
    changed = actions.edit(history.pose.to_dict(), text)
    return "", *_show(history.add(actions.read(changed["pose"]), text))


def _undo(history: History) -> tuple:
    return _show(history.undo())


def _go(history: History, event: gr.SelectData) -> tuple:
    return _show(history.go(event.index))


def _by_hand(pose: str, history: History) -> tuple:
    return _show(history.add(Pose(actions.read(pose)), BY_HAND))[:-1]
