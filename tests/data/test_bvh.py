# SPDX-License-Identifier: Apache-2.0
"""BVH files from different programs: joint names, rest poses, axes and syntax."""

import json

import numpy as np
import pytest
import roma
import torch

from rigs import MIXAMO, in_one_line, t_pose_rig, write_rig
from unipose_hf.body import JOINT_NAMES, forward_kinematics, load_body
from unipose_hf.data.formats.bvh import parse_bvh
from unipose_hf.data.formats.bvh_names import guess_joint_map, read_joint_map, side_and_part
from unipose_hf.data.formats.pose_files import read_poses
from unipose_hf.data.open_poses import load_open_poses

TURNED = roma.rotvec_to_rotmat(torch.tensor([[-np.pi / 2, 0, 0], [0, np.pi, 0]], dtype=torch.float64))
Z_UP = TURNED[0].T  # our y is that world's z, our z its -y


def joints(poses):
    return forward_kinematics(roma.rotvec_to_rotmat(poses), load_body(size="small").rest_joints)[0]


def bound(*limbs, **more):
    pose = np.zeros((22, 3))
    for name, vector in {**dict(limbs), **more}.items():
        pose[JOINT_NAMES.index(name)] = vector
    return pose


STANDING = bound(left_shoulder=(0, 0, -1.2), right_shoulder=(0, 0, 1.2))


@pytest.fixture(scope="module")
def walk():
    """A walk, with arms and legs that bend."""
    poses = load_open_poses("all")
    return poses.axis_angle[poses.clip_id == poses.clip_names.index("walk_forward")]


# --- rest poses and axes --------------------------------------------------------------------------------------------

RIGS = {
    "t-pose": lambda: torch.eye(3).repeat(22, 1, 1).double(),
    "z up": lambda: TURNED[0].repeat(22, 1, 1),
    "faces back": lambda: TURNED[1].repeat(22, 1, 1),
    "faces aside": lambda: roma.rotvec_to_rotmat(torch.tensor([0, np.pi / 2, 0]).double()).repeat(22, 1, 1),
    "bones along x": lambda: in_one_line(t_pose_rig()),
}


@pytest.mark.parametrize("rig", RIGS)
@pytest.mark.parametrize("height", [0.0, 0.9])
def test_one_pose_on_every_rig_is_one_pose(tmp_path, rig, height):
    path = write_rig(tmp_path / "a.bvh", [STANDING], frames=RIGS[rig](), root=(0, height, 0))
    places = joints(read_poses(path))[0]
    np.testing.assert_allclose(places, joints(torch.tensor(STANDING[None]).float())[0], atol=0.04)
    assert places[15, 1] > 0.5 and places[20, 1] < 0 < places[20, 0]  # head up, the left hand hangs at +x


@pytest.mark.parametrize("rig", RIGS)
@pytest.mark.parametrize("world", ["y", "z"])
def test_a_motion_is_the_same_on_every_rig_in_every_world(tmp_path, walk, rig, world):
    turn = None if world == "y" else Z_UP
    path = write_rig(tmp_path / "a.bvh", walk, frames=RIGS[rig](), world=turn, grounded=True)
    plain = read_poses(write_rig(tmp_path / "plain.bvh", walk))
    found = read_poses(path)
    assert (joints(found) - joints(plain)).norm(dim=-1).max() < 0.06
    apart = roma.rotmat_geodesic_distance(roma.rotvec_to_rotmat(found), roma.rotvec_to_rotmat(plain))
    rest = [JOINT_NAMES.index(name) for name in ("left_ankle", "right_ankle")]  # the rest angle of the foot is unknown
    assert apart[:, [j for j in range(22) if j not in rest]].max() < np.radians(15)
    assert apart.max() < np.radians(30)


def test_a_rest_pose_that_tells_nothing_is_found_in_the_motion(tmp_path, walk):
    """As kimodo's and Unreal's, whose joints all have axes of their own."""
    frames = roma.random_rotmat(22, generator=torch.Generator().manual_seed(3)).double()
    found = read_poses(write_rig(tmp_path / "a.bvh", walk, frames=frames))
    plain = read_poses(write_rig(tmp_path / "plain.bvh", walk))
    assert (joints(found) - joints(plain)).norm(dim=-1).max() < 0.1


@pytest.mark.parametrize("degrees", [27, -60])
@pytest.mark.parametrize("toes", ["level", "in line"])
def test_feet_that_rest_bent_up_or_pointed_stand_flat(tmp_path, walk, degrees, toes):
    """As ZeroEGGS's, whose ankles and toes rest at one height."""
    bent = roma.rotvec_to_rotmat(torch.tensor([np.radians(degrees), 0, 0], dtype=torch.float64))
    frames = torch.eye(3, dtype=torch.float64).repeat(22, 1, 1)
    for side in ("left", "right"):
        frames[JOINT_NAMES.index(f"{side}_ankle")] = bent
        if toes == "in line":
            frames[JOINT_NAMES.index(f"{side}_foot")] = bent
    path = write_rig(tmp_path / "a.bvh", walk, frames=frames)
    plain = roma.rotvec_to_rotmat(read_poses(write_rig(tmp_path / "plain.bvh", walk)))

    def apart():
        return roma.rotmat_geodesic_distance(roma.rotvec_to_rotmat(read_poses(path)), plain).max()

    assert apart() < np.radians(15)  # bodies differ in how high the ankle is
    if toes == "in line":  # then an exporter's arbitrary tip of the toes does no harm
        tip = next(line for line in path.read_text().splitlines() if line.startswith("\t" * 6 + "OFFSET"))
        rewritten(path, lambda text: text.replace(tip, "\t" * 6 + "OFFSET 0 1 0"))
        assert apart() < np.radians(15)


@pytest.mark.parametrize("rig", RIGS)
def test_who_lies_on_the_floor_lies(tmp_path, rig):
    lying = STANDING.copy()
    lying[0] = (-np.pi / 2, 0, 0)  # on the back
    places = joints(read_poses(write_rig(tmp_path / "a.bvh", [lying], frames=RIGS[rig](), root=(0.4, 0.12, 2.1))))[0]
    assert abs(places[15, 1]) < 0.15 and places[15, 2] < -0.5


@pytest.mark.parametrize("names", [MIXAMO, {name: name for name in JOINT_NAMES}])
def test_a_t_pose_rig_in_a_z_up_world(tmp_path, walk, names):
    """As AMASS's motions come out of converters that leave the world as it is."""
    sitting = bound(left_hip=(-1.5, 0, 0), right_hip=(-1.5, 0, 0), left_knee=(1.5, 0, 0), right_knee=(1.5, 0, 0))
    for poses, place in ((walk, (1.0, 0.9, 2.0)), ([sitting], (1.0, 0.5, 2.0))):
        found = read_poses(write_rig(tmp_path / "a.bvh", poses, world=Z_UP, root=place, names=names))
        plain = read_poses(write_rig(tmp_path / "plain.bvh", poses, names=names))
        assert torch.allclose(found, plain, atol=2e-4)


def test_a_body_that_lies_only_for_its_rest_pose_is_told(tmp_path, walk):
    with pytest.warns(UserWarning, match=r"a\.bvh is read as y up because .*--up z"):
        read_poses(write_rig(tmp_path / "a.bvh", walk, world=Z_UP))


def test_what_cannot_be_told_is_asked_for(tmp_path):
    lying = STANDING.copy()
    lying[0] = (np.pi / 2, 0, 0)
    path = write_rig(tmp_path / "a.bvh", [lying], frames=RIGS["bones along x"]())  # no floor, no upright rest pose
    with pytest.raises(ValueError, match=r"a\.bvh does not tell which axis points up .*--up y or --up z") as caught:
        read_poses(path)
    assert "\n" not in str(caught.value)
    assert abs(joints(read_poses(path, up="y"))[0, 15, 1]) < 0.2
    assert joints(read_poses(path, up="z"))[0, 15, 1] > 0.5
    # the viewer of a z-up world is at -y; `facing` changes this
    front = roma.rotvec_to_rotmat(read_poses(path, up="z"))[0, 0, :, 2]
    other = roma.rotvec_to_rotmat(read_poses(path, up="z", facing="y"))[0, 0, :, 2]
    assert torch.allclose(front * torch.tensor([-1, 1, -1]), other, atol=1e-5)
    for wrong in ({"up": "w"}, {"up": "x"}, {"up": "y", "facing": "-y"}):
        with pytest.raises(ValueError, match=r"expected|set facing"):
            read_poses(path, **wrong)


def test_exchanged_sides_are_refused(tmp_path):
    swapped = {ours: theirs.translate(str.maketrans("", "")) for ours, theirs in MIXAMO.items()}
    for ours in MIXAMO:
        if ours.startswith("left"):
            other = ours.replace("left", "right")
            swapped[ours], swapped[other] = MIXAMO[other], MIXAMO[ours]
    for rig in ("t-pose", "bones along x"):
        path = write_rig(tmp_path / "a.bvh", [STANDING], frames=RIGS[rig](), names=swapped)
        with pytest.raises(ValueError, match=r"a\.bvh is mirrored, .*--joint-map"):
            read_poses(path)


def test_a_body_without_width_is_refused(tmp_path):
    rest = t_pose_rig()
    rest[[JOINT_NAMES.index("left_hip"), JOINT_NAMES.index("right_hip")]] = 0.0
    with pytest.raises(ValueError, match=r"a\.bvh has both hips at the same position"):
        read_poses(write_rig(tmp_path / "a.bvh", [STANDING], rest=rest))


# --- names ----------------------------------------------------------------------------------------------------------

LEG_AND_ARM = ("hip", "knee", "ankle", "foot", "collar", "shoulder", "elbow", "wrist")
CONVENTIONS = {
    "mixamo": "{Left|Right}UpLeg, Leg, Foot, ToeBase, Shoulder, Arm, ForeArm, Hand",
    "mixamorig:": "mixamorig:{Left|Right}UpLeg, Leg, Foot, ToeBase, Shoulder, Arm, ForeArm, Hand",
    "mixamorig_": "mixamorig_{Left|Right}UpLeg, Leg, Foot, ToeBase, Shoulder, Arm, ForeArm, Hand",
    "MotionBuilder": "Character1_{Left|Right}UpLeg, Leg, Foot, ToeBase, Shoulder, Arm, ForeArm, Hand",
    "Perception Neuron": "Robot_{Left|Right}UpLeg, Leg, Foot, ToeBase, Shoulder, Arm, ForeArm, Hand",
    "Rokoko": "{Left|Right}Thigh, Shin, Foot, Toe, Shoulder, Arm, ForeArm, Hand",
    "Xsens": "{Left|Right}Hip, Knee, Ankle, Toe, Collar, Shoulder, Elbow, Wrist",
    "Xsens FBX": "{Left|Right}UpperLeg, LowerLeg, Foot, Toe, Shoulder, UpperArm, ForeArm, Hand",
    "Unity": "{Left|Right}UpperLeg, LowerLeg, Foot, Toes, Shoulder, UpperArm, LowerArm, Hand",
    "OptiTrack": "{L|R}Thigh, Shin, Foot, Toe, Shoulder, UArm, FArm, Hand",
    "OptiTrack skeleton": "Skeleton 001:{L|R}Thigh, Shin, Foot, Toe, Shoulder, UArm, FArm, Hand",
    "Biped": "Bip01 {L|R} Thigh, Calf, Foot, Toe0, Clavicle, UpperArm, Forearm, Hand",
    "Biped_": "Bip001_{L|R}_Thigh, Calf, Foot, Toe0, Clavicle, UpperArm, Forearm, Hand",
    "VRM": "J_Bip_{L|R}_UpperLeg, LowerLeg, Foot, ToeBase, Shoulder, UpperArm, LowerArm, Hand",
    "iClone": "CC_Base_{L|R}_Thigh, Calf, Foot, ToeBase, Clavicle, Upperarm, Forearm, Hand",
    "SMPL FBX": "m_avg_{L|R}_Hip, Knee, Ankle, Foot, Collar, Shoulder, Elbow, Wrist",
    "Daz": "{l|r}ThighBend, Shin, Foot, Toe, Collar, ShldrBend, ForearmBend, Hand",
    "Poser": "{l|r}Thigh, Shin, Foot, Toe, Collar, Shldr, ForeArm, Hand",
    "DeepMotion": "{l|r}_upleg_JNT, leg_JNT, foot_JNT, toebase_JNT, shoulder_JNT, arm_JNT, forearm_JNT, hand_JNT",
    "CMU": "{l|r}femur, tibia, foot, toes, clavicle, humerus, radius, wrist",
    "Second Life": "mHip{Left|Right} mKnee{} mAnkle{} mFoot{} mCollar{} mShoulder{} mElbow{} mWrist{}",
    "Kinect": "Hip{Left|Right} Knee{} Ankle{} Foot{} Clavicle{} Shoulder{} Elbow{} Wrist{}",
    "Unreal": "thigh_{l|r} calf_{} foot_{} ball_{} clavicle_{} upperarm_{} lowerarm_{} hand_{}",
    "Blender": "thigh.{L|R} shin.{} foot.{} toe.{} shoulder.{} upper_arm.{} forearm.{} hand.{}",
    "Bandai Namco": "UpperLeg_{L|R} LowerLeg_{} Foot_{} Toes_{} Shoulder_{} UpperArm_{} LowerArm_{} Hand_{}",
    "MakeHuman": "upperleg01.{L|R} lowerleg01.{} foot.{} toe1-1.{} clavicle.{} upperarm01.{} lowerarm01.{} wrist.{}",
    "MakeHuman walks": "UpLeg_{L|R} LoLeg_{} Foot_{} Toe_{} Clavicle_{} UpArm_{} LoArm_{} Hand_{}",
    "Biovision": "{Left|Right}UpLeg, LowLeg, Foot, Toe, Collar, UpArm, LowArm, Hand",
    "SOMA": "{Left|Right}Leg, Shin, Foot, ToeBase, Shoulder, Arm, ForeArm, Hand",
    "Momentum": "{l|r}_upleg lowleg foot ball clavicle uparm lowarm wrist".replace(" ", ", "),
    "Azure Kinect": "HIP_{LEFT|RIGHT} KNEE_{} ANKLE_{} FOOT_{} CLAVICLE_{} SHOULDER_{} ELBOW_{} WRIST_{}",
    "CAT": "CATRig{L|R}Leg1, Leg2, LegAnkle, LegToe, ArmCollarbone, Arm1, Arm2, ArmPalm",
    "BEAT": "{L|R}UpLeg, Leg, Foot, ToeBase, Shoulder, Arm, Arm1, Hand",
}


def named(convention):
    """Our joint names -> those of a convention."""
    text = CONVENTIONS[convention]
    head, sides, tail = text.partition("{")[0], text.partition("{")[2].partition("}")[0], text.partition("}")[2]
    names = {
        "pelvis": "Hips",
        "spine1": "Spine",
        "spine2": "Spine1",
        "spine3": "Spine2",
        "neck": "Neck",
        "head": "Head",
    }
    for ours, side in zip(("left", "right"), sides.split("|"), strict=True):
        if "{}" in tail:
            parts = (head + "{}" + tail).split()
            theirs = [part.replace("{}", side) for part in parts]
        else:
            theirs = [
                head + side + ("_" if tail[0] == "_" else " " if tail[0] == " " else "") * bool(k) + part
                for k, part in enumerate(tail.split(", "))
            ]
        names |= {f"{ours}_{joint}": name for joint, name in zip(LEG_AND_ARM, theirs, strict=True)}
    return names


@pytest.mark.parametrize("convention", CONVENTIONS)
def test_names_of_all_usual_rigs(tmp_path, convention):
    names = named(convention)
    found = guess_joint_map(write_rig(tmp_path / "a.bvh", [STANDING], names=names))
    limbs = {ours: theirs for ours, theirs in names.items() if "_" in ours}
    assert {ours: found.get(ours) for ours in limbs} == limbs
    assert found["pelvis"] == "Hips" and found["spine3"] == "Spine2" and found["head"] == "Head"


def test_joints_beside_a_limb_are_not_of_it():
    for name in ("LeftHandThumb1", "CC_Base_L_ThighTwist01", "ik_foot_l", "HandTipLeft", "L_ElbowShareBone", "Spine1"):
        assert side_and_part(name)[1] == "", name
    assert side_and_part("Bip01 Head") == ("", "head") and side_and_part("HeadTop_End") == ("", "")


def test_a_helper_between_pelvis_and_thigh_is_not_the_hip(tmp_path):
    """As MakeHuman's `__UpLeg_L`, which both legs have at the same position."""
    plain = write_rig(tmp_path / "plain.bvh", [STANDING])
    lines = plain.read_text().splitlines()
    for side in ("Left", "Right"):
        first = lines.index(f"\tJOINT {side}UpLeg")
        last = lines.index("\t}", first)
        lines[last] += "\n\t}"
        lines[first] = f"\tJOINT __{side}UpLeg\n\t{{\n\tOFFSET 0 0 0\n{lines[first]}"
    (tmp_path / "a.bvh").write_text("\n".join(lines))
    assert guess_joint_map(tmp_path / "a.bvh") == guess_joint_map(plain)
    assert torch.equal(read_poses(tmp_path / "a.bvh"), read_poses(plain))


def test_other_names_need_a_joint_map_and_the_message_says_so(tmp_path):
    names = MIXAMO | {"left_hip": "Coil", "right_hip": "RightCoil"}
    path = write_rig(tmp_path / "a.bvh", [STANDING], names=names)
    with pytest.raises(ValueError, match=r"left_hip, right_hip not found .*--joint-map FILE"):
        read_poses(path)
    (tmp_path / "map.json").write_text(json.dumps({"left_hip": "Coil", "right_hip": "RightCoil"}))
    given = read_joint_map(tmp_path / "map.json")
    expected = read_poses(write_rig(tmp_path / "plain.bvh", [STANDING]))
    assert torch.allclose(read_poses(path, joint_map=given), expected, atol=1e-5)  # the others are matched by name
    for wrong in ({"left_hip": "None"}, {"lefthip": "Coil"}):
        with pytest.raises(ValueError, match="unknown joints"):
            read_poses(path, joint_map=wrong)
    for text in ("{", "[]", '{"left_hip": 3}'):
        (tmp_path / "map.json").write_text(text)
        with pytest.raises(ValueError, match=r"map\.json is (not JSON|not a joint map)"):
            read_joint_map(tmp_path / "map.json")
    with pytest.raises(FileNotFoundError, match="no file .*none.json"):
        read_joint_map(tmp_path / "none.json")


# --- the text -------------------------------------------------------------------------------------------------------


def rewritten(path, change):
    path.write_text(change(path.read_text()), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    "write",
    [
        lambda text: b"\xef\xbb\xbf" + text.encode(),
        lambda text: text.encode("utf-16"),
        lambda text: text.replace("\n", "\r\n").encode(),
        lambda text: text.replace("\n", "\r").encode(),
        lambda text: text.replace("End Site", "End site").encode(),
        lambda text: text.replace("End Site", "END SITE").encode(),
        lambda text: text.replace("End Site", "EndSite").encode(),
        lambda text: text.replace("ROOT", "Root").replace("JOINT", "Joint").replace("MOTION", "Motion").encode(),
        lambda text: text.replace("Frame Time: ", "Frame Time:").replace("Frames: ", "Frames:\t").encode(),
        lambda text: text.replace("Frame Time", "frame time").replace("Frames", "FRAMES").encode(),
        lambda text: ("# made by hand\n" + text.replace("MOTION", "// the motion\nMOTION # begins")).encode(),
        lambda text: text.replace("\n{", " {").replace("Hips\n", "Hips").encode(),
        lambda text: (text + "\n\n").encode(),
    ],
)
def test_the_same_file_written_otherwise(tmp_path, walk, write):
    plain = write_rig(tmp_path / "plain.bvh", walk)
    (tmp_path / "a.bvh").write_bytes(write(plain.read_text()))
    assert torch.equal(read_poses(tmp_path / "a.bvh"), read_poses(plain))
    assert parse_bvh(tmp_path / "a.bvh").frame_time == pytest.approx(0.0333333)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda text: text[:-10] + " 1.#IND00\n", r"'1\.#IND00' in line \d+"),
        (lambda text: text[:-10] + " 0,35\n", r"'0,35' in line \d+"),
        (lambda text: text[:-10] + " nan\n", r"'nan' in line \d+"),
        (lambda text: text.replace("OFFSET 0", "OFFSET O", 1), r"'O\.00000' in line 4"),
        (
            lambda text: text.replace("MOTION", "CONSTRAINT x\n{\n}\nMOTION"),
            r"'CONSTRAINT' in line \d+, expected ROOT",
        ),
        (lambda text: text.replace("\tCHANNELS", "\tSCALE 1\n\tCHANNELS", 1), r"'SCALE' in line 5"),
        (lambda text: text.replace("Frames: 1", "Frames: one"), r"'one' in line \d+"),
        (lambda text: text.replace("Xrotation", "Wrotation", 1), r"'Wrotation' in line 5"),
    ],
)
def test_damage_is_told_with_its_line(tmp_path, change, words):
    path = write_rig(tmp_path / "a.bvh", [STANDING])
    with pytest.raises(ValueError, match=r"a\.bvh has " + words) as caught:
        read_poses(rewritten(path, change))
    assert "\n" not in str(caught.value)


def test_a_line_is_the_one_in_the_file(tmp_path, walk):
    path = write_rig(tmp_path / "a.bvh", walk)
    lines = path.read_text().splitlines()
    lines[-3] = lines[-3].replace(" ", " x", 1)
    path.write_text("# one line more\n" + "\n".join(lines))
    with pytest.raises(ValueError, match=f"in line {len(lines) - 1},"):
        parse_bvh(path)


def test_two_people_in_a_file_are_refused_and_a_thing_beside_one_is_not(tmp_path):
    one = write_rig(tmp_path / "one.bvh", [STANDING]).read_text()
    tree, motion = one.split("MOTION")
    values = motion.splitlines()[3]
    thing = "ROOT Sword\n{\nOFFSET 0 0 0\nCHANNELS 3 Zrotation Xrotation Yrotation\nEnd Site\n{\nOFFSET 0 1 0\n}\n}\n"
    head = "MOTION\nFrames: 1\nFrame Time: 0.03\n"
    (tmp_path / "thing.bvh").write_text(f"{tree}{thing}{head}{values} 0 0 0\n")
    assert torch.allclose(read_poses(tmp_path / "thing.bvh"), read_poses(tmp_path / "one.bvh"), atol=1e-6)
    (tmp_path / "two.bvh").write_text(f"{tree}{tree.removeprefix('HIERARCHY')}{head}{values} {values}\n")
    with pytest.raises(ValueError, match=r"two\.bvh shows 2 people"):
        read_poses(tmp_path / "two.bvh")
