# SPDX-License-Identifier: Apache-2.0
"""The Blender add-on without Blender: names, retargeting, files, and the talk with the app."""

import json
import threading
import tomllib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

import unipose_hf
from addons import (
    BLENDER,
    INTEGRATIONS,
    NAMES,
    Y_UP,
    bones_of,
    degrees_of_bones,
    degrees_of_turns,
    load_pack,
    resting_joints,
    some_poses,
    unload_pack,
)
from unipose_hf import Motion, Pose, named_pose
from unipose_hf.body import JOINT_NAMES, PARENTS, load_body
from unipose_hf.body.joints import MIXAMO_NAMES


@pytest.fixture(scope="module")
def addon():
    load_pack("blender", "unipose_addon")
    from unipose_addon import app_client, pose_files, retarget, skeleton

    yield type("Addon", (), {"client": app_client, "files": pose_files, "retarget": retarget, "skeleton": skeleton})
    unload_pack("unipose_addon")


RESTS = {
    "T-pose": {},
    "A-pose": {"arms_down": 45, "legs_apart": 10},
    "bent": {"arms_down": 60, "legs_apart": 5, "elbows_bent": 25},
}


def make_rig(addon, rest="T-pose", frame=BLENDER, scale=1.0, seed=0, **changes):
    """Bones with axes of their own, in any direction."""
    joints = resting_joints(**RESTS[rest])
    axes = np.linalg.qr(np.random.default_rng(seed).normal(size=(22, 3, 3)))[0]
    axes[np.linalg.det(axes) < 0] *= -1
    given = {
        "rest": axes,
        "heads": scale * joints @ frame.T + [3, 1, 2],
        "tails": scale * bones_of(joints, seed) @ frame.T + [3, 1, 2],
        "parents": list(PARENTS),
        "inherits": [True] * 22,
        "joints": {joint: joint for joint in range(22)},
    }
    return addon.retarget.Rig(**(given | changes))


def test_the_skeleton_is_the_packages(addon):
    assert addon.skeleton.JOINTS == JOINT_NAMES and addon.skeleton.PARENTS == PARENTS
    assert tuple(f"mixamorig:{name}" for name in addon.skeleton.MIXAMO) == MIXAMO_NAMES
    np.testing.assert_allclose(addon.skeleton.REST, load_body().rest_joints.numpy(), atol=6e-5)


def as_smpl(name):
    """`left_hip` -> `L_Hip`"""
    return "_".join(word[0].upper() if word in ("left", "right") else word.title() for word in name.split("_"))


@pytest.mark.parametrize(
    "spell",
    [
        lambda joint: MIXAMO_NAMES[joint],
        lambda joint: MIXAMO_NAMES[joint].replace("mixamorig:", ""),
        lambda joint: MIXAMO_NAMES[joint].replace(":", "7:"),
        lambda joint: MIXAMO_NAMES[joint].replace(":", "_"),
        lambda joint: f"Armature|Hero:{MIXAMO_NAMES[joint].split(':')[1]}",
        lambda joint: JOINT_NAMES[joint],
        lambda joint: "m_avg_" + as_smpl(JOINT_NAMES[joint]),
        lambda joint: as_smpl(JOINT_NAMES[joint]),
    ],
)
def test_bones_are_known_by_their_names(addon, spell):
    bones = [spell(joint) for joint in range(22)]
    beside = ["Root", "LeftHandIndex1", "left_index1", "HeadTop_End", "jaw", "L_Hand"]
    assert addon.skeleton.match_bones([*beside, *bones[::-1]]) == dict(enumerate(bones))


def test_spines_may_be_short_and_limbs_may_not(addon):
    some = [name for name in MIXAMO_NAMES if not name.endswith(("Spine1", "Spine2", "Neck", "ToeBase"))]
    assert len(addon.skeleton.match_bones(some)) == len(some)
    with pytest.raises(ValueError, match="no bone for left_elbow"):
        addon.skeleton.match_bones([name for name in MIXAMO_NAMES if name != "mixamorig:LeftForeArm"])
    with pytest.raises(ValueError, match="Mixamo's names"):
        addon.skeleton.match_bones(["Bone", "Bone.001"])


@pytest.mark.parametrize("rest", RESTS)
@pytest.mark.parametrize("frame", [BLENDER, Y_UP, -Y_UP[:, [1, 0, 2]]], ids=["z up", "y up", "x up"])
def test_bones_point_as_the_joints_do(addon, rest, frame):
    """Whatever a bone's axes are, however the rig rests, and however large it is."""
    assert np.linalg.det(frame) > 0
    rig = make_rig(addon, rest, frame, scale=100)
    for pose in some_poses():
        _, posed = rig.pose_bones(pose.matrix, np.tile(np.eye(3), (22, 1, 1)))
        heads, _ = rig.positions(posed)
        assert degrees_of_bones(pose.joints, heads @ frame) < 0.1
        assert degrees_of_turns(rig.read_pose(posed), pose.matrix) < 0.01


def test_the_turns_of_bones_give_their_places_in_space(addon):
    """`basis`, which Blender gets, against a chain of its own."""
    rig, inherits = make_rig(addon, "A-pose"), [joint not in (15, 18) for joint in range(22)]
    rig.inherits = inherits
    basis, posed = rig.pose_bones(some_poses(1)[0].matrix, np.tile(np.eye(3), (22, 1, 1)))
    for bone, parent in enumerate(PARENTS):
        local = rig.rest[parent].T @ rig.rest[bone] if parent >= 0 else rig.rest[bone]
        above = posed[parent] if parent >= 0 else np.eye(3)
        expected = above @ local @ basis[bone] if inherits[bone] else rig.rest[bone] @ basis[bone]
        np.testing.assert_allclose(posed[bone], expected, atol=1e-9)


def test_bones_of_no_joint_stay_as_they_are(addon):
    """A rig without neck and two spine bones, whose chest hangs on a bone between that is turned by hand."""
    lacking = (3, 6, 12)
    rig = make_rig(addon, joints={joint: joint for joint in range(22) if joint not in lacking})
    basis = np.tile(np.eye(3), (22, 1, 1))
    basis[3] = addon.retarget.to_matrix([0.3, -0.5, 0.2])
    pose = some_poses(1)[0]
    turned, posed = rig.pose_bones(pose.matrix, basis)
    np.testing.assert_array_equal(turned[list(lacking)], basis[list(lacking)])
    read = rig.read_pose(posed)
    np.testing.assert_allclose(read[list(lacking)], np.tile(np.eye(3), (3, 1, 1)), atol=1e-6)
    in_space = addon.retarget.in_space
    kept = [joint for joint in range(22) if joint not in lacking]
    assert degrees_of_turns(in_space(read)[kept], in_space(pose.matrix)[kept]) < 0.01


def test_the_body_stands_on_its_floor(addon):
    rig = make_rig(addon, "A-pose", scale=100)
    squat = named_pose("deep squat")
    _, posed = rig.pose_bones(squat.matrix, np.tile(np.eye(3), (22, 1, 1)))
    heads, tails = rig.positions(posed)
    up = rig.height_to_floor(posed)
    lowest = min(heads[:, 2].min(), tails[:, 2].min())
    assert lowest + up == pytest.approx(min(rig.heads[:, 2].min(), rig.tails[:, 2].min())) and up < -20
    shift = rig.hips_location(posed, np.array([0, 0, up]))
    np.testing.assert_allclose(rig.rest[0] @ shift, [0, 0, up], atol=1e-9)
    assert rig.scale == pytest.approx(100, rel=1e-3)


def test_rotation_vectors_survive_matrices(addon):
    vectors = np.concatenate([some_poses(1, seed=3, largest=3.1)[0].axis_angle, [[np.pi, 0, 0], [0, 1e-9, 0]]])
    matrices = addon.retarget.to_matrix(vectors)
    np.testing.assert_allclose(addon.retarget.to_matrix(addon.retarget.to_axis_angle(matrices)), matrices, atol=1e-7)
    for start, end in (([1, 2, 3], [-2, 1, 0.5]), ([1, 0, 0], [-1, 0, 0]), ([0, 0, 2], [0, 0, 1])):
        turn = addon.retarget.between(np.array(start, float), np.array(end, float))
        np.testing.assert_allclose(turn @ start / np.linalg.norm(start), end / np.linalg.norm(end), atol=1e-9)
        assert np.linalg.det(turn) == pytest.approx(1)


@pytest.mark.parametrize("suffix", ["json", "npz", "bvh"])
def test_saved_poses_are_read(addon, tmp_path, suffix):
    pose = named_pose("warrior two")
    read = addon.files.read_poses(pose.save(tmp_path / f"pose.{suffix}"))
    assert degrees_of_turns(read.rotations[0], pose.matrix) < 0.01 and not read.positions.any()
    np.testing.assert_allclose(addon.files.joint_positions(read.rotations[0]), pose.joints, atol=1e-3)
    addon.files.write_json(tmp_path / "again.json", read.rotations[0])
    np.testing.assert_allclose(Pose.from_json(tmp_path / "again.json").joints, pose.joints, atol=1e-3)


@pytest.mark.parametrize("suffix", ["npz", "bvh"])
@pytest.mark.parametrize("names", NAMES)
def test_saved_motions_are_read(addon, tmp_path, suffix, names):
    path = np.linspace([0, 0.9, 0], [0.2, 0.95, 1.5], 6)
    walk = Motion(some_poses(6), frame_rate=24, translation=path)
    read = addon.files.read_poses(walk.save(tmp_path / f"walk.{suffix}", names=names))
    assert degrees_of_turns(read.rotations, walk.matrix) < 0.01 and read.rate == pytest.approx(24, abs=1e-3)
    np.testing.assert_allclose(read.positions, path, atol=1e-5)


def test_other_files_are_refused_in_a_sentence(addon, tmp_path):
    text = named_pose("squat").save(tmp_path / "pose.bvh").read_text()
    for other in (text.replace("left_hip", "LThigh"), text.replace("OFFSET 0.264", "OFFSET 0.01 -0.264")):
        (tmp_path / "other.bvh").write_text(other)
        assert other != text
        with pytest.raises(ValueError, match="convert it with `unipose motion"):
            addon.files.read_poses(tmp_path / "other.bvh")
    (tmp_path / "other.json").write_text("{}")
    with pytest.raises(ValueError, match=r"save it with Pose\.save"):
        addon.files.read_poses(tmp_path / "other.json")
    (tmp_path / "cut.npz").write_bytes(named_pose("squat").save(tmp_path / "pose.npz").read_bytes()[:300])
    with pytest.raises(ValueError, match="cut.npz cannot be read"):
        addon.files.read_poses(tmp_path / "cut.npz")
    with pytest.raises(ValueError, match=r"none of \.json, \.npz, \.bvh"):
        addon.files.read_poses(named_pose("squat").save(tmp_path / "pose.obj"))
    with pytest.raises(FileNotFoundError):
        addon.files.read_poses(tmp_path / "none.json")


class StandIn(BaseHTTPRequestHandler):
    """Speaks as Gradio's endpoints do: an event, then a stream that ends with what it came to."""

    asked = []

    def do_POST(self):
        name, body = self.path.rsplit("/", 1)[1], self.rfile.read(int(self.headers["Content-Length"]))
        if name == "missing":
            return self.send_error(404)
        self.asked.append((name, json.loads(body)["data"]))
        self._answer(json.dumps({"event_id": f"id{len(self.asked) - 1}"}))

    def do_GET(self):
        name, event = self.path.rsplit("/", 2)[1:]
        values = self.asked[int(event.removeprefix("id"))][1]
        if "" in values:
            kind, result = "error", {"error": "The text is empty.", "title": "That did not work"}
        elif "crash" in values:
            kind, result = "error", None
        else:
            pose = named_pose("squat").to_dict()
            one = {"pose": pose, "description": "a squat", "score": 1.0}
            kind, result = "complete", [{"generate": [one] * 2, "edit": one, "describe": "a squat"}[name]]
        self._answer(f"event: heartbeat\ndata: null\n\nevent: {kind}\ndata: {json.dumps(result)}\n\n")

    def _answer(self, text):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_):
        pass


@pytest.fixture
def stand_in():
    server = ThreadingHTTPServer(("127.0.0.1", 0), StandIn)
    StandIn.asked = []
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()


def test_the_app_is_asked(addon, stand_in, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")  # does not stand between programs of one machine
    squat = named_pose("squat").to_dict()
    assert addon.client.generate(stand_in, "a squat") == addon.client.edit(stand_in, squat, "Sit down.") == squat
    assert addon.client.generate(stand_in, "a squat", seed=5) == squat
    assert addon.client.describe(stand_in, squat) == "a squat"
    asked = [("generate", ["a squat", 1, 0]), ("edit", [squat, "Sit down.", None]), ("generate", ["a squat", 2, 5])]
    assert StandIn.asked == [*asked, ("describe", [squat, "full"])]


def test_the_apps_errors_are_sentences(addon, stand_in):
    for text, sentence in (("", "The text is empty"), ("crash", "see the terminal")):
        with pytest.raises(ValueError, match=sentence):
            addon.client.generate(stand_in, text)
    with pytest.raises(ValueError, match="status 404 for missing"):
        addon.client.call(stand_in, "missing")
    with pytest.raises(ConnectionError, match="start it with `unipose app`"):
        addon.client.generate("http://127.0.0.1:9", "a squat")
    with pytest.raises(ValueError, match="expected one like"):
        addon.client.generate("localhost:7860", "a squat")
    assert addon.client.is_local("http://localhost:7860") and not addon.client.is_local("http://10.0.0.2:7860")


def test_the_real_app_answers(addon):
    pytest.importorskip("gradio", reason="the extra app is not installed")
    from unipose_hf.app.serving import launch

    page = launch(prevent_thread_lock=True, quiet=True)
    try:
        standing = named_pose("mountain pose").to_dict()
        raised = Pose.from_dict(addon.client.edit(page.local_url, standing, "Raise the left arm above the head."))
        assert raised.joints[20, 1] > Pose.from_dict(standing).joints[20, 1] + 0.5  # the wrist, in metres
        assert Pose.from_dict(addon.client.generate(page.local_url, "a deep squat", seed=2))
        assert len(addon.client.describe(page.local_url, standing).split()) > 3
        with pytest.raises(ValueError, match="text is empty"):
            addon.client.generate(page.local_url, "")
    finally:
        page.close()


def test_nothing_but_numpy_is_needed_without_blender():
    """Blender's Python has no more; `bpy` and `mathutils` only where the add-on meets Blender."""
    for name in ("skeleton", "retarget", "pose_files", "app_client"):
        text = (INTEGRATIONS / "blender" / f"{name}.py").read_text(encoding="utf-8")
        imports = {line.split()[1].split(".")[0] for line in text.split("\n") if line.startswith(("import ", "from "))}
        assert imports <= {"", "itertools", "json", "os", "re", "dataclasses", "pathlib", "numpy", "urllib"}, name


def test_the_manifest_fits_the_package():
    manifest = tomllib.loads((INTEGRATIONS / "blender" / "blender_manifest.toml").read_text(encoding="utf-8"))
    assert manifest["version"] == unipose_hf.__version__ and manifest["license"] == ["SPDX:Apache-2.0"]
    assert not manifest["tagline"].endswith(".") and len(manifest["tagline"]) <= 64
    assert (INTEGRATIONS / "blender" / "LICENSE").read_text() == (INTEGRATIONS.parent / "LICENSE").read_text()
