# SPDX-License-Identifier: Apache-2.0
"""The add-on in Blender (PyPI's `bpy`): armatures with other names, axes, rests and units, poses on them and back."""

import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

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
from unipose_hf.body import PARENTS

bpy = pytest.importorskip("bpy", reason="Blender's module is not installed: pip install bpy")


@pytest.fixture(scope="module")
def addon():
    module = load_pack("blender", "unipose_in_blender")
    module.register()
    yield module
    module.unregister()
    unload_pack("unipose_in_blender")


@pytest.fixture(autouse=True)
def empty(addon):
    for one in list(bpy.data.objects):
        bpy.data.objects.remove(one)
    bpy.context.scene.frame_set(1)
    bpy.context.scene.unipose.on_floor = True
    bpy.context.scene.tool_settings.use_keyframe_insert_auto = False


def make_armature(names, joints, frame, scale=1.0, seed=0, extra=True):
    """An armature object with bones at `joints` (22, 3) of ours, ends and rolls as they come."""
    armature = bpy.data.objects.new("Armature", bpy.data.armatures.new("Armature"))
    bpy.context.scene.collection.objects.link(armature)
    bpy.context.view_layer.objects.active = armature
    bpy.ops.object.mode_set(mode="EDIT")
    heads, tails = (scale * ends @ frame.T for ends in (joints, bones_of(joints, seed, straight=seed == 0)))
    bones = armature.data.edit_bones
    above = bones.new("Root")  # on the floor, as in many rigs
    above.head, above.tail = frame @ [0, -scale, 0], frame @ [0, -scale, 0.1 * scale]
    for joint, name in enumerate(names):
        bone = bones.new(name)
        bone.head, bone.tail = heads[joint], tails[joint]
        bone.roll = math.sin(seed + joint) if seed else 0.0
        bone.parent = bones[names[PARENTS[joint]]] if joint else above
    if extra:
        finger = bones.new("LeftHandIndex1")
        finger.head, finger.tail = heads[20] + 0.1 * scale, heads[20] + 0.15 * scale
        finger.parent = bones[names[20]]
    bpy.ops.object.mode_set(mode="OBJECT")
    return armature


def mixamo(**rest):
    """As Blender imports Mixamo's FBX: in centimetres and y up, the object turned upright and made smaller."""
    armature = make_armature(NAMES["mixamo"], resting_joints(**rest), Y_UP, scale=100)
    armature.rotation_euler = (math.pi / 2, 0, 0)
    armature.scale = (0.01, 0.01, 0.01)
    return armature


def smpl(**rest):
    return make_armature(NAMES["smpl"], resting_joints(**rest), BLENDER, seed=5)


def ours(**_):
    """Our own GLB, as Blender imports it."""
    path = named_pose("squat").save(Path(bpy.app.tempdir) / "body.glb")
    bpy.ops.preferences.addon_enable(module="io_scene_gltf2")
    bpy.ops.import_scene.gltf(filepath=str(path))
    [armature] = [one for one in bpy.context.scene.objects if one.type == "ARMATURE"]
    bpy.context.view_layer.objects.active = armature
    return armature


RIGS = [
    pytest.param(mixamo, {}, id="mixamo-t"),
    pytest.param(mixamo, {"arms_down": 50, "legs_apart": 8}, id="mixamo-a"),
    pytest.param(smpl, {}, id="smpl-t"),
    pytest.param(smpl, {"arms_down": 40, "legs_apart": 12, "elbows_bent": 15}, id="smpl-a"),
    pytest.param(ours, {}, id="our-glb"),
]


def shown_joints(armature):
    """(22, 3) heads of the bones in Blender's world, brought to our frame."""
    bpy.context.view_layer.update()
    names = next(names for names in NAMES.values() if names[0] in armature.pose.bones)
    heads = [armature.matrix_world @ armature.pose.bones[name].head for name in names]
    return np.array(heads) @ BLENDER


def saved(tmp_path):
    """The pose of the armature, by the operator."""
    bpy.context.view_layer.update()
    bpy.ops.unipose.save(filepath=str(tmp_path / "read.json"))
    return Pose.from_json(tmp_path / "read.json")


@pytest.mark.parametrize(("make", "rest"), RIGS)
@pytest.mark.parametrize("mode", ["QUATERNION", "XYZ", "AXIS_ANGLE"])
def test_imported_poses_stand_as_ours_and_come_back(addon, tmp_path, make, rest, mode):
    armature = make(**rest)
    for bone in armature.pose.bones:
        bone.rotation_mode = mode
    suffixes = ("json", "npz", "bvh")
    for pose, suffix in zip([named_pose("warrior two"), *some_poses(2)], suffixes, strict=True):
        bpy.ops.unipose.load(filepath=str(pose.save(tmp_path / f"pose.{suffix}")))
        assert degrees_of_bones(pose.joints, shown_joints(armature)) < 1
        assert degrees_of_turns(saved(tmp_path).matrix, pose.matrix) < 0.5


def test_an_armature_that_faces_elsewhere_keeps_its_heading(addon, tmp_path):
    armature = smpl(arms_down=30)
    armature.rotation_euler = (0, 0, math.pi / 2)
    pose = some_poses(1)[0]
    bpy.ops.unipose.load(filepath=str(pose.save(tmp_path / "pose.json")))
    turn = np.array([[0, 0, 1], [0, 1, 0], [-1, 0, 0]])  # a quarter about the vertical, in our frame
    assert degrees_of_bones(pose.joints @ turn.T, shown_joints(armature)) < 1
    assert degrees_of_turns(saved(tmp_path).matrix, pose.matrix) < 0.5


def test_feet_stand_on_the_floor_if_asked(addon, tmp_path):
    armature = mixamo(arms_down=45)
    floor = shown_joints(armature)[:, 1].min()
    path = str(named_pose("deep squat").save(tmp_path / "squat.json"))
    bpy.context.scene.unipose.on_floor = False
    bpy.ops.unipose.load(filepath=path)
    before = shown_joints(armature)
    bpy.context.scene.unipose.on_floor = True
    bpy.ops.unipose.load(filepath=path)
    after = shown_joints(armature)
    assert before[:, 1].min() > floor + 0.2 and abs(after[:, 1].min() - floor) < 0.06  # the ends of feet are lower
    np.testing.assert_allclose(np.ptp(after - before, axis=0), 0, atol=1e-4)


@pytest.mark.parametrize("make", [mixamo, smpl])
def test_a_motion_becomes_keyframes(addon, tmp_path, make):
    armature = make(arms_down=45)
    path = np.linspace([0, 0.9, 0], [0.3, 0.9, 1.2], 5)
    walk = Motion(some_poses(5, largest=0.6), frame_rate=12, translation=path)
    bpy.context.scene.render.fps = 24
    bpy.ops.unipose.load(filepath=str(walk.save(tmp_path / "walk.npz")))
    shown = []
    for frame in range(5):
        bpy.context.scene.frame_set(1 + 2 * frame)
        shown.append(shown_joints(armature))
        assert degrees_of_bones(walk[frame].joints, shown[-1]) < 1
    moved = np.stack(shown)[:, 0] - shown[0][0]
    np.testing.assert_allclose(moved[:, [0, 2]], (path - path[0])[:, [0, 2]], atol=0.01)


def test_the_present_pose_is_edited_by_the_app(addon, monkeypatch):
    from unipose_in_blender import app_client

    asked, squat = [], named_pose("deep squat")
    monkeypatch.setattr(app_client, "edit", lambda *given: asked.append(given) or squat.to_dict())
    monkeypatch.setattr(app_client, "generate", lambda *given: squat.to_dict())
    monkeypatch.setattr(app_client, "describe", lambda *given: "a deep squat")
    armature = mixamo(arms_down=45)
    bpy.ops.unipose.edit(text="Squat down.")
    [(address, pose, text)] = asked
    assert address == app_client.ADDRESS and text == "Squat down."
    np.testing.assert_allclose(Pose.from_dict(pose).joints, resting_joints(arms_down=45), atol=2e-3)
    assert degrees_of_bones(squat.joints, shown_joints(armature)) < 1
    bpy.ops.unipose.describe()
    assert bpy.context.scene.unipose.words == "a deep squat"
    bpy.context.scene.tool_settings.use_keyframe_insert_auto = True
    bpy.ops.unipose.generate()
    assert armature.animation_data.action is not None


def test_mistakes_are_sentences(addon, tmp_path, monkeypatch):
    from unipose_in_blender import app_client

    with pytest.raises(RuntimeError, match="There are 0 armatures"):
        bpy.ops.unipose.generate(text="a squat")
    smpl()
    monkeypatch.setattr(app_client, "ADDRESS", "http://127.0.0.1:9")
    with pytest.raises(RuntimeError, match="start it with `unipose app`"):
        bpy.ops.unipose.generate(text="a squat")
    with pytest.raises(RuntimeError, match="There is no file"):
        bpy.ops.unipose.load(filepath=str(tmp_path / "none.json"))
    monkeypatch.setattr(app_client, "ADDRESS", "http://10.0.0.2:7860")
    if not bpy.app.online_access:
        with pytest.raises(RuntimeError, match="allow online access"):
            bpy.ops.unipose.generate(text="a squat")


def test_a_bodys_mesh_leads_to_its_armature(addon):
    from unipose_in_blender.armature import find_armature

    armature, other = smpl(), smpl()
    mesh = bpy.data.objects.new("Body", bpy.data.meshes.new("Body"))
    bpy.context.scene.collection.objects.link(mesh)
    mesh.modifiers.new("Armature", "ARMATURE").object = other
    bpy.context.view_layer.objects.active = mesh
    assert find_armature(bpy.context) == other != armature


def test_blender_accepts_the_extension(tmp_path):
    tools = (Path(folder) / "addons_core/bl_pkg/cli/blender_ext.py" for folder in bpy.utils.script_paths())
    [tool] = filter(Path.is_file, tools)
    command = [
        "build",
        "--source-dir",
        str(INTEGRATIONS / "blender"),
        "--output-filepath",
        str(tmp_path / "unipose.zip"),
    ]
    result = subprocess.run([sys.executable, tool, *command], capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
    assert (tmp_path / "unipose.zip").stat().st_size > 5_000
