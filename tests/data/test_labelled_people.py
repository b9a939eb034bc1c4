# SPDX-License-Identifier: Apache-2.0
"""Labels of real people by a vision language model, with a local mock server and a tiny data set."""

import base64
import io
import json
import re

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from language_server import Server

pytest.importorskip("datasets")

from unipose_hf.cli import app
from unipose_hf.data.builders.build import build_data
from unipose_hf.data.builders.image_sources import Source
from unipose_hf.data.builders.multi_person import build_multi_person
from unipose_hf.data.llm.labelled_people import find_fault, labelling_prompt, parse_labels
from unipose_hf.data.llm.language_models import Endpoint
from unipose_hf.data.open_poses import load_open_poses
from unipose_hf.data.records import PoseRecord

BOXES = [(40.0, 5.0, 60.0, 50.0), (0.0, 5.0, 20.0, 50.0)]  # the second one is on the left
LEFT = {
    "place": "The person at the far left.",
    "clothes": "They wear red.",
    "action": "They wait.",
    "pose": "Upright.",
}
RIGHT = {
    "place": "This person is on the right.",
    "clothes": "They wear blue.",
    "action": "They walk",
    "pose": "The left knee is bent.",
}


def said(first, second):
    return json.dumps({"1": first, "2": second})


@pytest.mark.parametrize(
    ("answer", "fault"),
    [
        (said(RIGHT, LEFT), None),
        (f"```json\n{said(RIGHT, LEFT)}\n```", None),
        ("They all stand.", "not one JSON object"),
        (json.dumps({"1": RIGHT}), "people 1 to 2"),
        (json.dumps([RIGHT, LEFT]), "not one JSON object"),
        (said(RIGHT, LEFT | {"clothes": 3}), "not one JSON object"),
        (said(RIGHT, {"place": "Left."}), "the four labels"),
        (said(RIGHT, LEFT | {"action": " "}), "a label is empty"),
        (said(RIGHT | {"action": "very " * 26}, LEFT), "action of person 1 has more than 25 words"),
        (said(RIGHT | {"pose": "They raise one arm."}, LEFT), '"one arm" does not say'),
        (said(LEFT, RIGHT), "person 1 is not the leftmost one"),
        (said(RIGHT, LEFT | {"place": "The person on the right."}), "person 2 is not on the right"),
        (said(RIGHT, LEFT | {"place": "The rightmost person."}), "person 2 is not the rightmost one"),
        (said(RIGHT | {"place": "In the sun."}, RIGHT | {"place": "In the sun."}), "two people have the same labels"),
    ],
)
def test_rules_of_labels(answer, fault):
    found = find_fault(answer, BOXES)
    assert found is None if fault is None else fault in found


def test_the_model_sees_everyone_in_a_numbered_frame():
    content = io.BytesIO()
    Image.new("RGB", (2000, 1000), "black").save(content, "JPEG")
    system, user = labelling_prompt(content.getvalue(), [(100, 100, 400, 900), (1000, 100, 1500, 900)])
    picture, text = user["content"]
    kind, data = picture["image_url"]["url"].split(",")
    shown = np.array(Image.open(io.BytesIO(base64.b64decode(data))))
    assert kind == "data:image/jpeg;base64" and shown.shape == (384, 768, 3)
    yellow = (shown[..., 0] > 150) & (shown[..., 1] > 150) & (shown[..., 2] < 120)
    assert yellow[200, 36:42].any() and yellow[200, 381:388].any() and not yellow[:, 200:370].any()
    assert "2 people" in text["text"] and all(f"- {field}:" in text["text"] for field in LEFT)
    assert '{"1": {"place"' in text["text"] and isinstance(system["content"], str)


def crowds(folder, split):
    """Pictures of one, two and three people, of which the first has no box."""
    poses = load_open_poses(split).axis_angle.numpy()
    for number, many in enumerate((1, 2, 3, 2)):
        path = folder / f"{split}{number}.png"
        Image.new("RGB", (90, 60), (number, 0, 0)).save(path)
        for person in range(many):
            box = (30.0 * person, 5.0, 30.0 * person + 20, 50.0)
            yield PoseRecord("LSP", path.name, person, "ask", poses[10 * number + person], image=path, box=box)


def answer(body):
    """Labels as a model gives them, for as many people as it is asked of."""
    many = int(re.search(r"(\d) people", body["messages"][1]["content"][1]["text"])[1])
    places = ["The leftmost person.", *["The person in the middle."] * (many - 2), "The rightmost person."]
    return json.dumps({str(n): LEFT | {"place": place} for n, place in enumerate(places, start=1)})


def test_labels_and_poses_meet_in_rows(tmp_path):
    from datasets import load_dataset

    sources = [Source("train", "LSP", lambda: crowds(tmp_path, "train"))]
    server = Server("nonsense", answer)  # the first answer has a fault
    out = tmp_path / "out"
    options = dict(size=2, sources=sources, ask=Endpoint(server.url, "seer"), progress=False, concurrency=1)
    try:
        counts = build_multi_person(out, **options)
        assert len(server.calls) == 3 and counts["A/train"] in (4, 5)
        before = [path.read_bytes() for path in sorted(out.glob("A/*"))]
        for path in out.glob("A/*"):
            path.unlink()
        assert build_multi_person(out, **options) == counts and len(server.calls) == 3
        assert [path.read_bytes() for path in sorted(out.glob("A/*"))] == before
    finally:
        server.close()
    everyone = {(r.sequence, r.frame): r for r in crowds(tmp_path, "train")}
    rows = load_dataset(str(out), "A", split="train", cache_dir=str(tmp_path / "cache"))
    for row in rows:
        record = everyone.pop((row["sequence"], row["frame"]))
        assert np.array_equal(row["pose"], record.pose) and len(row["texts"]) == 3 and row["box"] is None
        assert row["image"].getpixel((0, 0))[0] == int(row["sequence"][5])
        ends = {0: "leftmost", max(r["frame"] for r in rows if r["sequence"] == row["sequence"]): "rightmost"}
        assert ends.get(row["frame"], "middle") in row["hint"] and row["hint"].endswith(".")


def test_people_whose_labels_never_hold_are_left_out(tmp_path):
    server = Server("nonsense")
    sources = [Source("train", "LSP", lambda: crowds(tmp_path, "train"))]
    try:
        counts = build_multi_person(
            tmp_path / "out", size=2, sources=sources, ask=Endpoint(server.url, "seer"), progress=False
        )
    finally:
        server.close()
    assert counts == {} and len(server.calls) == 6


def test_what_cannot_be_is_said_before_any_work(tmp_path):
    (tmp_path / "coco").mkdir()
    options = dict(out=tmp_path / "out", size=4)
    with pytest.raises(ValueError, match="labels from a vision-language model"):
        build_data("multi-person", data=tmp_path, **options)
    with pytest.raises(ValueError, match="Rows of COCO may not be uploaded"):
        build_data("imagescript", data=tmp_path, publish=True, **options)
    with pytest.raises(ValueError, match="Unknown data set 'faces'"):
        build_data("faces", **options)
    with pytest.raises(ValueError, match="is not used here"):
        build_data("posest-open", ask=print, **options)
    with pytest.raises(ValueError, match="mine pairs"):
        build_data("multi-person", retrieval=tmp_path, **options)
    with pytest.raises(ValueError, match="open poses only"):
        build_data("posest-open", data=tmp_path, **options)
    assert not (tmp_path / "out").exists()


def test_the_command_refuses_to_publish_before_it_builds(tmp_path):
    (tmp_path / "sets/3dpw").mkdir(parents=True)
    out = tmp_path / "out"
    command = [
        "build-data",
        "imagediff",
        "--output",
        str(out),
        "--data",
        str(tmp_path / "sets"),
        "--push-to-hub",
        "me/x",
    ]
    told = CliRunner().invoke(app, command)
    assert told.exit_code == 2 and "Rows of 3DPW may not be uploaded" in told.stderr
    assert not list(out.iterdir())


def test_labels_are_read_in_the_order_of_the_numbers():
    first, second = parse_labels(json.dumps({"2": LEFT, "1": RIGHT}), 2)
    assert first["place"] == RIGHT["place"] and second == LEFT
