# SPDX-License-Identifier: Apache-2.0
"""The ComfyUI nodes, called as ComfyUI calls them: by their INPUT_TYPES, in inference mode, with plain tensors."""

import ast
import importlib.util
import json
import sys
import tomllib
import types
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import unipose_hf
from unipose_hf import Pose
from unipose_hf.imaging import draw_skeletons, read_openpose_json
from unipose_hf.modeling.pose_unipose import bundled_body

ROOT = Path(__file__).parents[2]
PACK = ROOT / "integrations" / "comfyui"
BASIC = {"INT": int, "FLOAT": float, "STRING": str, "BOOLEAN": bool}


@pytest.fixture(scope="module")
def pack():
    """Loaded from its folder, whose name is not a module's, as ComfyUI does it."""
    name = str(PACK).replace(".", "_x_")
    spec = importlib.util.spec_from_file_location(name, PACK / "__init__.py")
    sys.modules[name] = module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module
    for loaded in [loaded for loaded in sys.modules if loaded == name or loaded.startswith(f"{name}.")]:
        del sys.modules[loaded]


@pytest.fixture(autouse=True)
def output(tmp_path, monkeypatch):
    """ComfyUI's output folder."""
    folder_paths = types.ModuleType("folder_paths")
    folder_paths.get_output_directory = lambda: str(tmp_path / "output")
    monkeypatch.setitem(sys.modules, "folder_paths", folder_paths)
    return tmp_path / "output"


@pytest.fixture
def call(pack):
    def run(name, **given):
        """What a node puts out; its inputs have the defaults of its widgets, and are checked as ComfyUI does."""
        node = pack.NODE_CLASS_MAPPINGS[f"UniPose{name}"]
        inputs = node.INPUT_TYPES()
        required, optional = inputs["required"], inputs.get("optional", {})
        assert set(given) <= set(required) | set(optional)
        values = {key: default for key, declared in required.items() if (default := default_of(declared)) is not None}
        values |= given
        assert set(required) <= set(values), "a wire is not connected"
        for key, value in values.items():
            check_value(value, (required | optional)[key])
        with torch.inference_mode():
            result = getattr(node(), node.FUNCTION)(**values)
        if isinstance(result, dict):
            assert node.OUTPUT_NODE and all(isinstance(shown, list) for shown in result["ui"].values())
            result = result["result"]
        assert isinstance(result, tuple) and len(result) == len(node.RETURN_TYPES) == len(node.RETURN_NAMES)
        for value, kind in zip(result, node.RETURN_TYPES, strict=True):
            check_wire(value, kind)
        return result

    return run


def default_of(declared):
    kind, options = declared[0], declared[1] if len(declared) > 1 else {}
    return options.get("default", kind[0] if isinstance(kind, list) else None)


def check_value(value, declared):
    kind, options = declared[0], declared[1] if len(declared) > 1 else {}
    if isinstance(kind, list):
        assert value in kind
    elif kind in BASIC:
        assert isinstance(value, BASIC[kind]) or (kind == "FLOAT" and isinstance(value, int))
        if kind in ("INT", "FLOAT"):
            assert options["min"] <= value <= options["max"]
    else:
        check_wire(value, kind)


def check_wire(value, kind):
    if kind == "IMAGE":
        assert value.dtype == torch.float32 and value.ndim == 4 and value.shape[-1] in (3, 4)
        assert 0 <= value.min() and value.max() <= 1
    elif kind == "UNIPOSE_POSES":
        assert value and all(type(person["pose"]) is Pose for frame in value for person in frame.people)
    elif kind == "POSE_KEYPOINT":
        assert value and all({"people", "canvas_width", "canvas_height"} <= set(frame) for frame in value)
        assert json.loads(json.dumps(value)) == value
    else:
        assert isinstance(value, BASIC[kind])


def as_image(*pictures):
    return torch.from_numpy(np.stack([np.asarray(picture) for picture in pictures])).float() / 255


@pytest.fixture(scope="module")
def photo():
    return Image.open(unipose_hf.sample("photo.jpg")).convert("RGB")


def test_every_node_declares_what_comfyui_reads(pack):
    assert set(pack.NODE_CLASS_MAPPINGS) == set(pack.NODE_DISPLAY_NAME_MAPPINGS)
    assert len(set(pack.NODE_DISPLAY_NAME_MAPPINGS.values())) == len(pack.NODE_CLASS_MAPPINGS)
    for node in pack.NODE_CLASS_MAPPINGS.values():
        assert node.CATEGORY == "UniPose" and node.DESCRIPTION.endswith(".")
        assert callable(getattr(node, node.FUNCTION)) and len(node.RETURN_NAMES) == len(node.RETURN_TYPES)
        for declared in [one for part in node.INPUT_TYPES().values() for one in part.values()]:
            if default_of(declared) is not None:
                check_value(default_of(declared), declared)


def test_every_node_runs_on_what_another_one_puts_out(pack, call, photo):
    """Each input that is a wire gets each output of that type; in the end every node has run."""
    wires, ran = {"IMAGE": [as_image(photo)]}, set()
    while waiting := set(pack.NODE_CLASS_MAPPINGS) - ran:
        ready = {}
        for name in waiting:
            needed = pack.NODE_CLASS_MAPPINGS[name].INPUT_TYPES()["required"]
            missing = {key: declared[0] for key, declared in needed.items() if default_of(declared) is None}
            if all(kind in wires for kind in missing.values()):
                ready[name] = {key: wires[kind] for key, kind in missing.items()}
        assert ready, f"nothing puts out what {waiting} need"
        for name, given in ready.items():
            for number in range(max((len(values) for values in given.values()), default=1)):
                chosen = {key: values[min(number, len(values) - 1)] for key, values in given.items()}
                result = call(name.removeprefix("UniPose"), **chosen)
                if name not in ran and name in ("UniPoseTextToPose", "UniPoseImageToPose"):
                    wires.setdefault("UNIPOSE_POSES", []).append(result[0])
            ran.add(name)
    assert not bundled_body().rest_joints.is_inference()  # which other nodes could not use


def test_a_sentence_is_edited_described_and_drawn(call):
    (poses,) = call("TextToPose", text="standing straight, arms hanging down", count=2, seed=3)
    assert len(poses) == 2 and poses[0].people[0]["pose"] != poses[1].people[0]["pose"]
    (raised,) = call("EditPose", poses=poses, text="Raise the left arm above the head.")
    before, after = (frame.people[0]["pose"].joints for frame in (poses[0], raised[0]))
    assert after[20, 1] > before[20, 1] + 0.5 and abs(after[21, 1] - before[21, 1]) < 0.3  # the wrists, in metres
    (text,) = call("DescribePose", poses=raised)
    assert len(text.splitlines()) == 2 and "left" in text.splitlines()[0].lower()
    (chosen,) = call("ChoosePose", poses=raised, frame=2)
    assert len(chosen) == 1 and chosen[0].people[0]["pose"] == raised[1].people[0]["pose"]
    image, keypoints = call("OpenPosePicture", poses=raised, width=320, height=512)
    assert image.shape == (2, 512, 320, 3)
    points, size = read_openpose_json(keypoints[:1])
    assert size == (320, 512)
    expected = draw_skeletons(raised[0].people[0]["pose"], (320, 512))
    assert np.array_equal((image[0] * 255).round().byte().numpy(), np.asarray(expected))
    assert np.array_equal(np.asarray(draw_skeletons(points, size)), np.asarray(expected))


def test_a_picture_keeps_its_people_in_place(call, photo):
    poses, overlay = call("ImageToPose", image=as_image(photo, photo))
    assert overlay.shape == (2, photo.height, photo.width, 3) and len(poses) == 2
    assert (overlay[0] - as_image(photo)[0]).abs().max() > 0.2
    _, keypoints = call("OpenPosePicture", poses=poses, keep_hidden=True)
    [person] = read_openpose_json(keypoints[:1])[0]
    assert keypoints[0]["canvas_width"] == photo.width and person[:, 2].sum() > 12
    seen = poses[0].people[0]["keypoints"]  # COCO's 17: the shoulders are 5 and 6, OpenPose's 5 and 2
    for ours, theirs in ((5, 5), (2, 6)):
        assert np.linalg.norm(person[ours, :2] - seen[theirs, :2]) < 0.1 * photo.height
    # in a wider picture of half the height everything is half as large, and in the middle
    image, smaller = call(
        "OpenPosePicture", poses=poses, width=photo.width, height=photo.height // 2, keep_hidden=True
    )
    [moved] = read_openpose_json(smaller[:1])[0]
    both = (person[:, 2] > 0) & (moved[:, 2] > 0)
    factor = (photo.height // 2) / photo.height
    expected = person[both, :2] * factor + [photo.width * (1 - factor) / 2, 0]
    np.testing.assert_allclose(moved[both, :2], expected, atol=1)
    assert image.shape[1:3] == (photo.height // 2, photo.width)
    depth, normals = call("DepthAndNormalPictures", poses=poses)
    assert depth.shape == normals.shape == (2, photo.height, photo.width, 3) and depth.max() == 1


def test_nobody_is_an_empty_picture_and_a_sentence(call):
    black = torch.zeros(1, 96, 128, 4)  # with an alpha channel
    poses, overlay = call("ImageToPose", image=black)
    assert poses[0].people == () and overlay.shape == (1, 96, 128, 3) and overlay.max() == 0
    image, keypoints = call("OpenPosePicture", poses=poses)
    assert image.max() == 0 and keypoints[0]["people"] == [] and keypoints[0]["canvas_height"] == 96
    depth, _ = call("DepthAndNormalPictures", poses=poses)
    assert depth.max() == 0
    for name in ("EditPose", "DescribePose", "SavePose", "PreviewPose"):
        with pytest.raises(ValueError, match="nobody was found"):
            call(name, poses=poses)


def test_only_the_person_meant_is_changed(pack, call):
    (poses,) = call("TextToPose", text="standing", count=1, seed=0)
    two = [poses[0].with_people(poses[0].people * 2)]
    (edited,) = call("EditPose", poses=two, text="Bend the knees.", person=2)
    first, second = (person["pose"] for person in edited[0].people)
    assert first == poses[0].people[0]["pose"] != second
    with pytest.raises(ValueError, match="person is 3, but there are at most 2"):
        call("EditPose", poses=two, text="Bend the knees.", person=3)
    with pytest.raises(ValueError, match="frame is 2, but there are 1"):
        call("ChoosePose", poses=two, frame=2)


@pytest.mark.parametrize("format", ["glb", "bvh", "npz", "json", "obj"])
def test_files_are_numbered_and_read_back(call, output, format):
    (poses,) = call("TextToPose", text="a deep squat", count=2, seed=0)
    for start in (1, 3):
        (text,) = call("SavePose", poses=poses, filename_prefix="people/squat", format=format)
        paths = [Path(line) for line in text.splitlines()]
        assert [path.name for path in paths] == [f"squat_{start + k:05}_.{format}" for k in range(2)]
        assert all(path.parent == output / "people" and path.stat().st_size > 100 for path in paths)
    if format != "obj":
        read = getattr(Pose, f"from_{format}")(paths[0])
        np.testing.assert_allclose(read.joints, poses[0].people[0]["pose"].joints, atol=1e-3)


@pytest.mark.parametrize("prefix", ["../outside", "/tmp/outside", "sub/../../outside"])
def test_files_stay_in_the_output_folder(call, prefix):
    (poses,) = call("TextToPose", text="standing", count=1, seed=0)
    with pytest.raises(ValueError, match="leads out of the output folder"):
        call("SavePose", poses=poses, filename_prefix=prefix)


def test_the_package_is_imported_by_nodes_alone(pack, monkeypatch):
    """ComfyUI starts with nothing but torch and Pillow, and a missing package is a sentence."""
    for file in PACK.glob("*.py"):
        for node in ast.parse(file.read_text(encoding="utf-8")).body:
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) and not node.level else []
            assert not [name for name in names if name.split(".")[0] in ("unipose_hf", "transformers")], file.name
    frames = sys.modules[f"{pack.__name__}.frames"]
    for loaded in [name for name in sys.modules if name.split(".")[0] == "unipose_hf"]:
        monkeypatch.delitem(sys.modules, loaded)
    monkeypatch.setattr(sys, "meta_path", [NoPackage(), *sys.meta_path])
    with pytest.raises(ImportError, match="pip install -r requirements.txt"):
        frames.package("app")


class NoPackage:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "unipose_hf":
            raise ModuleNotFoundError(f"No module named {name!r}", name="unipose_hf")


def test_the_registry_gets_what_it_asks_for():
    project = tomllib.loads((PACK / "pyproject.toml").read_text(encoding="utf-8"))
    comfy, project = project["tool"]["comfy"], project["project"]
    assert comfy["PublisherId"] and comfy["DisplayName"] == "UniPose"
    assert project["version"] == unipose_hf.__version__ and "comfyui" not in project["name"].lower()
    assert (PACK / project["license"]["file"]).read_text() == (ROOT / "LICENSE").read_text()
    assert project["urls"]["Repository"].startswith("https://")
    wanted = (PACK / "requirements.txt").read_text(encoding="utf-8").split("\n")
    assert project["dependencies"] == [line for line in wanted if line and line[0] != "#"]
