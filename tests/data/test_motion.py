# SPDX-License-Identifier: Apache-2.0
"""Motion readers against bone directions of the source skeletons, and the bundled open poses."""

import json
import math
import re

import pytest
import roma
import torch

from unipose_hf.body import JOINT_NAMES, PARENTS, forward_kinematics, load_body, remove_yaw
from unipose_hf.data.formats.motion import parse_bvh, read_bvh, read_deepmimic
from unipose_hf.data.open_poses import dequantise, load_open_poses, quantise
from unipose_hf.data.pack_open_poses import CLIPS, TEST_CLIPS, distinct

# A small rig whose arms hang at 45 degrees and whose legs stand apart; the right forearm is bent in the rest pose.
_RIG = {
    "Hips": (None, (0, 0, 0), "Xposition Yposition Zposition Yrotation Xrotation Zrotation"),
    "Spine": ("Hips", (0, 12, -1), "Zrotation Xrotation Yrotation"),
    "Chest": ("Spine", (0, 18, 2), "Yrotation Zrotation Xrotation"),
    "Head": ("Chest", (0, 25, 1), "Xrotation Yrotation Zrotation"),
    "LArm": ("Chest", (16, 18, 0), "Zrotation Yrotation Xrotation"),
    "LFore": ("LArm", (20, -20, 1), "Xrotation Zrotation Yrotation"),
    "LHand": ("LFore", (18, -18, 2), "Zrotation Yrotation Xrotation"),
    "RArm": ("Chest", (-16, 18, 0), "Zrotation Xrotation Yrotation"),
    "RFore": ("RArm", (-20, -20, 1), "Yrotation Xrotation Zrotation"),
    "RHand": ("RFore", (-10, -20, 8), "Zrotation Yrotation Xrotation"),
    "LThigh": ("Hips", (9, -4, 0), "Zrotation Yrotation Xrotation"),
    "LShin": ("LThigh", (10, -40, 1), "Xrotation Yrotation Zrotation"),
    "LFoot": ("LShin", (8, -38, -2), "Zrotation Xrotation Yrotation"),
    "RThigh": ("Hips", (-9, -4, 0), "Yrotation Xrotation Zrotation"),
    "RShin": ("RThigh", (-10, -40, 1), "Zrotation Yrotation Xrotation"),
    "RFoot": ("RShin", (-8, -38, -2), "Zrotation Yrotation Xrotation"),
}
_MAP = {"pelvis": "Hips", "spine1": "Spine", "spine3": "Chest", "head": "Head"} | {
    f"{side}_{ours}": f"{side[0].upper()}{theirs}"
    for side in ("left", "right")
    for ours, theirs in (
        ("shoulder", "Arm"),
        ("elbow", "Fore"),
        ("wrist", "Hand"),
        ("hip", "Thigh"),
        ("knee", "Shin"),
        ("ankle", "Foot"),
    )
}
_LIMB_BONES = [
    (f"{side}_{a}", f"{side}_{b}")
    for side in ("left", "right")
    for a, b in (("shoulder", "elbow"), ("elbow", "wrist"), ("hip", "knee"), ("knee", "ankle"))
]


def _write_bvh(path, rig, frames):
    """Write `rig` with its values `frames` (F, channels) to `path`."""

    def joint(name, depth):
        parent, offset, channels = rig[name]
        pad = "  " * depth
        lines = [f"{pad}{'ROOT' if parent is None else 'JOINT'} {name}", pad + "{"]
        lines += [
            f"{pad}OFFSET {offset[0]} {offset[1]} {offset[2]}",
            f"{pad}CHANNELS {len(channels.split())} {channels}",
        ]
        children = [child for child, (above, _, _) in rig.items() if above == name]
        for child in children:
            lines += joint(child, depth + 1)
        if not children:
            lines += [f"{pad}End Site", pad + "{", f"{pad}OFFSET 1 0 0", pad + "}"]
        return [*lines, pad + "}"]

    motion = [" ".join(f"{v:.6f}" for v in frame) for frame in frames]
    head = ["HIERARCHY", *joint("Hips", 0), "MOTION", f"Frames: {len(frames)}", "Frame Time: 0.033333"]
    path.write_text("\n".join(head + motion) + "\n")


@pytest.fixture(scope="module")
def rest_joints():
    return load_body(size="small").rest_joints


@pytest.fixture
def random_motion(tmp_path):
    width = sum(len(c.split()) for _, _, c in _RIG.values())
    frames = 40 * torch.randn(12, width, generator=torch.Generator().manual_seed(0))
    frames[0] = 0
    path = tmp_path / "motion.bvh"
    _write_bvh(path, _RIG, frames.tolist())
    return path


def _bone_directions(axis_angle, rest_joints):
    joints, _ = forward_kinematics(roma.rotvec_to_rotmat(axis_angle), rest_joints)
    bones = [joints[:, JOINT_NAMES.index(b)] - joints[:, JOINT_NAMES.index(a)] for a, b in _LIMB_BONES]
    return torch.nn.functional.normalize(torch.stack(bones, dim=1), dim=-1)


def _degrees_between(a, b):
    return torch.rad2deg(torch.acos((a * b).sum(-1).clamp(-1, 1)))


def test_bvh_limbs_point_where_the_file_points_them(random_motion, rest_joints):
    poses = read_bvh(random_motion, _MAP)
    bvh = parse_bvh(random_motion)
    places = bvh.positions().float()
    theirs = torch.stack(
        [places[:, bvh.names.index(_MAP[b])] - places[:, bvh.names.index(_MAP[a])] for a, b in _LIMB_BONES], dim=1
    )
    theirs = torch.nn.functional.normalize(theirs, dim=-1)
    assert poses.shape == (12, 22, 3) and poses.dtype == torch.float32
    lean = math.tan(math.radians(5.3))
    straight = torch.nn.functional.normalize(torch.tensor([[1.0, 0, 0]] * 2 + [[lean, -1.0, 0]] * 2), dim=-1)
    t_pose = rest_joints.clone()  # the bundled body's bones, straightened to the exact T-pose
    for (a, b), direction in zip(
        _LIMB_BONES, torch.cat([straight, straight * torch.tensor([-1.0, 1, 1])]), strict=True
    ):
        a, b = JOINT_NAMES.index(a), JOINT_NAMES.index(b)
        t_pose[b] = t_pose[a] + direction * (rest_joints[b] - rest_joints[a]).norm()
    assert _degrees_between(_bone_directions(poses, t_pose), theirs).max() < 0.1
    assert _degrees_between(_bone_directions(poses, rest_joints), theirs).mean() < 5


def test_bvh_trunk_and_head_turn_as_in_the_file(random_motion, rest_joints):
    poses = read_bvh(random_motion, _MAP)
    bvh = parse_bvh(random_motion)
    _, ours = forward_kinematics(roma.rotvec_to_rotmat(poses), rest_joints)
    theirs = bvh.global_rotations().float()
    for name in ("pelvis", "spine1", "spine3", "head"):
        expected = theirs[:, bvh.names.index(_MAP[name])]
        assert torch.allclose(ours[:, JOINT_NAMES.index(name)], expected, atol=1e-4), name


def test_missing_spine_joints_share_the_turn(random_motion):
    poses = read_bvh(random_motion, _MAP)
    spine2, spine3 = JOINT_NAMES.index("spine2"), JOINT_NAMES.index("spine3")
    assert torch.allclose(poses[:, spine2], poses[:, spine3], atol=1e-4)
    assert not poses[:, JOINT_NAMES.index("left_collar")].any()


def test_t_pose_rig_gives_identity(tmp_path):
    rig = dict(_RIG)
    for side, sign in (("L", 1), ("R", -1)):
        for bone in ("Fore", "Hand"):
            rig[side + bone] = (rig[side + bone][0], (20 * sign, 0, 0), rig[side + bone][2])
        for bone in ("Shin", "Foot"):
            rig[side + bone] = (
                rig[side + bone][0],
                (40 * sign * math.tan(math.radians(5.3)), -40, 0),
                rig[side + bone][2],
            )
    width = sum(len(c.split()) for _, _, c in rig.values())
    turned = [0.0] * width
    turned[3] = 90.0  # Yrotation of the hips: the body faces +x
    _write_bvh(tmp_path / "t.bvh", rig, [[0.0] * width, turned])
    poses = read_bvh(tmp_path / "t.bvh", _MAP)
    # The feet are level when the shins are vertical, so with legs apart they tilt with the shins.
    expected = torch.zeros(2, 22, 3)
    expected[:, JOINT_NAMES.index("left_ankle"), 2] = math.radians(5.3)
    expected[:, JOINT_NAMES.index("right_ankle"), 2] = -math.radians(5.3)
    expected[1, 0, 1] = math.pi / 2
    assert torch.allclose(poses, expected, atol=1e-5)


def test_bent_elbows_are_hinges(random_motion):
    poses = read_bvh(random_motion, _MAP)
    for name, sign in (("left_elbow", 1.0), ("right_elbow", -1.0)):
        forearm = roma.rotvec_to_rotmat(poses[:, JOINT_NAMES.index(name)])[..., 0] * sign
        bent = torch.rad2deg(torch.acos((forearm[:, 0] * sign).clamp(-1, 1))) > 30
        assert bent.any()
        assert forearm[bent, 1].abs().max() < 1e-4  # it leaves the upper arm forwards, not up or down
        assert (forearm[bent, 2] > 0).all()


def test_bvh_errors_say_what_is_wrong(tmp_path, random_motion):
    with pytest.raises(FileNotFoundError, match="nowhere.bvh"):
        read_bvh(tmp_path / "nowhere.bvh", _MAP)
    (tmp_path / "no.bvh").write_text("hello")
    with pytest.raises(ValueError, match="HIERARCHY"):
        read_bvh(tmp_path / "no.bvh", _MAP)
    with pytest.raises(ValueError, match="left_hip"):
        read_bvh(random_motion, {k: v for k, v in _MAP.items() if k != "left_hip"})
    with pytest.raises(ValueError, match="Tail"):
        read_bvh(random_motion, _MAP | {"neck": "Tail"})
    text = random_motion.read_text()
    random_motion.write_text(text[: len(text) - 200])
    with pytest.raises(ValueError, match="truncated or damaged"):
        read_bvh(random_motion, _MAP)


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: re.sub("Frames:.*", "", text),
        lambda text: re.sub("Frames:", "Frames", text),
        lambda text: re.sub("Frame Time:.*", "", text),
        lambda text: re.sub("Frames: .*", "Frames: many", text),
        lambda text: re.sub("Frames: .*", "Frames: 0", text),
        lambda text: re.sub("OFFSET.*", "", text),
        lambda text: re.sub("OFFSET.*", "", text, count=1),
        lambda text: re.sub("OFFSET (\\S+)", "OFFSET left", text, count=1),
        lambda text: re.sub("CHANNELS", "CHANNELS x", text, count=1),
        lambda text: re.sub("Xrotation", "Wrotation", text, count=1),
        lambda text: text.replace("}", "", 1),
        lambda text: text.replace("{", "", 1),
        lambda text: text.rsplit(maxsplit=1)[0] + " nan",
        lambda text: text.rsplit(maxsplit=1)[0] + " turn",
        lambda text: text.split("MOTION")[0],
        lambda text: "HIERARCHY MOTION Frames: 1 Frame Time: 1",
        lambda text: re.sub("OFFSET.*", "OFFSET 0 0 0", text),
    ],
)
def test_every_damage_is_one_sentence_with_the_path(random_motion, damage):
    random_motion.write_text(damage(random_motion.read_text()))
    with pytest.raises(ValueError, match=random_motion.name) as caught:
        read_bvh(random_motion, _MAP)
    assert "\n" not in str(caught.value)


def _quaternion(axis, degrees):
    half = math.radians(degrees) / 2
    return [math.cos(half), *(math.sin(half) * a for a in axis)]


def _deepmimic_frame(**joints):
    order = ("root", "chest", "neck", "right_hip", "right_knee", "right_ankle", "right_shoulder", "right_elbow")
    order += ("left_hip", "left_knee", "left_ankle", "left_shoulder", "left_elbow")
    frame = [0.03, 0.0, 0.9, 0.0]
    for name in order:
        hinge = name.endswith(("knee", "elbow"))
        frame += joints.get(name, [0.0] if hinge else [1.0, 0.0, 0.0, 0.0])
    return frame


def test_deepmimic_in_our_frame(tmp_path, rest_joints):
    forward = (0.0, 0.0, 1.0)  # about the right-pointing axis: a hanging limb swings forwards
    frames = [
        _deepmimic_frame(),
        _deepmimic_frame(left_elbow=[math.pi / 2], right_knee=[-math.pi / 2]),
        _deepmimic_frame(right_shoulder=_quaternion(forward, 90), left_hip=_quaternion(forward, 60)),
        _deepmimic_frame(chest=_quaternion((0.0, 1.0, 0.0), 45), root=_quaternion((0.0, 1.0, 0.0), 90)),
    ]
    path = tmp_path / "clip.txt"
    path.write_text(json.dumps({"Loop": "none", "Frames": frames}))
    poses = read_deepmimic(path)
    down, front = torch.tensor([0.0, -1.0, 0.0]), torch.tensor([0.0, 0.0, 1.0])
    bones = dict(zip([a for a, _ in _LIMB_BONES], _bone_directions(poses, rest_joints).unbind(1), strict=True))

    def near(direction, expected):
        return _degrees_between(direction, expected / expected.norm()) < 8  # the body's own bones are a little off

    assert all(near(bones[name][0], down) for name in bones)
    assert near(bones["left_shoulder"][1], down) and near(bones["left_elbow"][1], front)
    assert near(bones["right_hip"][1], down) and near(bones["right_knee"][1], -front)
    assert near(bones["right_shoulder"][2], front)
    assert near(bones["left_hip"][2], front * math.sin(math.pi / 3) + down * 0.5)
    assert torch.allclose(poses[3, 0], torch.tensor([0.0, math.pi / 2, 0.0]), atol=1e-5)
    spine = poses[3, [JOINT_NAMES.index(f"spine{k}") for k in (1, 2, 3)]]
    assert torch.allclose(spine, torch.tensor([0.0, math.pi / 12, 0.0]).expand(3, 3), atol=1e-5)

    path.write_text(json.dumps({"Frames": [[0.0] * 20]}))
    with pytest.raises(ValueError, match="20"):
        read_deepmimic(path)
    path.write_text("HIERARCHY")
    with pytest.raises(ValueError, match="not a DeepMimic clip"):
        read_deepmimic(path)


def test_quantised_rotations_stay_within_a_twentieth_of_a_degree():
    poses = torch.randn(200, 22, 3, generator=torch.Generator().manual_seed(1))
    poses = roma.rotmat_to_rotvec(roma.rotvec_to_rotmat(3 * poses))
    error = roma.rotmat_geodesic_distance(
        roma.rotvec_to_rotmat(poses.double()), roma.rotvec_to_rotmat(dequantise(quantise(poses)).double())
    )
    assert torch.rad2deg(error).max() < 0.05


def test_distinct_keeps_poses_that_differ():
    poses = torch.zeros(4, 22, 3)
    poses[1, :, 0] = math.radians(4)
    poses[2, :, 0] = math.radians(6)
    poses[3, :, 0] = math.radians(-1)
    assert distinct(poses).tolist() == [0, 2]


def test_open_poses_are_split_by_whole_clips():
    train, test, both = (load_open_poses(split) for split in ("train", "test", "all"))
    assert len(train) > 800 and len(test) > 300 and len(train) + len(test) == len(both)
    assert not set(train.clip_id.tolist()) & set(test.clip_id.tolist())
    assert {test.clip_names[i] for i in test.clip_id.tolist()} == set(TEST_CLIPS)
    assert both.clip_names == [clip.name for clip in CLIPS]
    assert all(clip["source"] and clip["licence"] for clip in both.clips)
    # No test pose is a copy of a training pose.
    gap = (train.axis_angle[None, :, 1:] - test.axis_angle[:, None, 1:]).abs().amax(dim=(-2, -1))
    assert gap.min() > 0.01
    with pytest.raises(ValueError, match="'dev'"):
        load_open_poses("dev")


def test_open_poses_are_people(rest_joints):
    poses = load_open_poses("all").axis_angle
    assert poses.dtype == torch.float32 and poses.isfinite().all()
    assert torch.allclose(remove_yaw(poses), poses, atol=2e-3)
    joints, turns = forward_kinematics(roma.rotvec_to_rotmat(poses), rest_joints)
    for side, sign in (("left", -1.0), ("right", 1.0)):
        elbow = poses[:, JOINT_NAMES.index(f"{side}_elbow"), 1] * sign
        knee = poses[:, JOINT_NAMES.index(f"{side}_knee"), 0]
        assert elbow.min() > math.radians(-5) and knee.quantile(0.01) > math.radians(-10)
    # Most of the time people stand: the head is above the pelvis, and feet point to where the pelvis faces.
    upright = joints[:, JOINT_NAMES.index("head"), 1] > joints[:, 0, 1]
    assert upright.float().mean() > 0.8
    foot, ankle = JOINT_NAMES.index("left_foot"), JOINT_NAMES.index("left_ankle")
    toes = joints[:, foot] - joints[:, ankle]
    facing = (toes * turns[:, 0, :, 2]).sum(-1)
    assert (facing[upright] > 0).float().mean() > 0.85
    assert PARENTS[foot] == ankle
