# SPDX-License-Identifier: Apache-2.0
"""Reads the poses that unipose_hf saves (.json, .npz, .bvh), and writes .json; numpy alone."""

import json
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .retarget import in_space, to_axis_angle, to_matrix
from .skeleton import JOINTS, MIXAMO, PARENTS, REST

FORMAT, VERSION = "unipose_hf.pose", 1
SUFFIXES = (".json", ".npz", ".bvh")
_FROM_Z_UP = np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]])
_NO_T_POSE = 0.9  # cosine, of a limb to that of the T-pose


@dataclass
class Poses:
    """Rotations (F, 22, 3, 3), each joint relative to its parent; pelvis (F, 3) in metres; frames a second."""

    rotations: np.ndarray
    positions: np.ndarray
    rate: float = 30.0


def read_poses(path):
    """The poses in a file.

    Raises:
        FileNotFoundError: no such file. ValueError: another kind of file, or a damaged one.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"There is no file {path}.")
    readers = {".json": _read_json, ".npz": _read_npz, ".bvh": _read_bvh}
    if path.suffix.lower() not in readers:
        raise ValueError(f"{path.name} is none of {', '.join(SUFFIXES)}; convert it with `unipose motion IN OUT.npz`.")
    try:
        poses = readers[path.suffix.lower()](path)
    except (KeyError, IndexError, TypeError, StopIteration, UnicodeDecodeError) as error:
        raise ValueError(f"{path.name} is damaged, or no pose ({type(error).__name__}: {error}).") from None
    if not np.isfinite(poses.rotations).all() or not np.isfinite(poses.positions).all() or not len(poses.rotations):
        raise ValueError(f"{path.name} has no poses, or numbers that are not finite.")
    return poses


def from_dict(data):
    """Rotations (22, 3, 3) from the dictionary of `Pose.to_dict`."""
    if not isinstance(data, dict) or data.get("format") != FORMAT or data.get("version") != VERSION:
        raise ValueError(f"This is no pose of the format {FORMAT} {VERSION}; save it with Pose.save.")
    vectors = np.asarray(data["axis_angle"], dtype=float)
    if vectors.shape != (22, 3):
        raise ValueError(f"The pose has rotation vectors of shape {vectors.shape}; expected (22, 3).")
    return to_matrix(vectors)


def to_dict(rotations):
    """The dictionary of `Pose.to_dict` for rotations (22, 3, 3)."""
    vectors = [[float(f"{number:.9g}") for number in row] for row in to_axis_angle(rotations)]
    return {"format": FORMAT, "version": VERSION, "axis_angle": vectors, "betas": None}


def write_json(path, rotations):
    """Write a pose that `Pose.from_json` reads; atomically."""
    path = Path(path)
    part = path.with_name(f".{path.name}.part")
    try:
        part.write_text(json.dumps(to_dict(rotations), indent=1) + "\n", encoding="utf-8")
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def _read_json(path):
    return Poses(from_dict(json.loads(path.read_text(encoding="utf-8")))[None], np.zeros((1, 3)))


def _read_npz(path):
    """AMASS-style, z up, as unipose_hf writes it."""
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in ("poses", "trans", "mocap_framerate") if name in file}
    except Exception as error:  # a damaged archive can raise anything
        raise ValueError(f"{path.name} cannot be read as .npz ({error}).") from None
    rows = arrays["poses"]
    if rows.ndim != 2 or rows.shape[1] < 66:
        raise ValueError(f"{path.name} has poses of shape {rows.shape}; expected (frames, 66 or more), as AMASS.")
    rotations = to_matrix(rows[:, :66].reshape(-1, 22, 3))
    rotations[:, 0] = _FROM_Z_UP @ rotations[:, 0]
    positions = arrays.get("trans", np.zeros((len(rows), 3))) @ _FROM_Z_UP.T
    return Poses(rotations, positions, float(arrays.get("mocap_framerate", 30.0)))


def _read_bvh(path):
    """A skeleton with our joints, or Mixamo's names for them, which rests in the T-pose, y up."""
    head, _, tail = path.read_text(encoding="utf-8").partition("MOTION")
    names, offsets, channels, words = [], {}, [], head.split()
    for k, word in enumerate(words):
        if word in ("ROOT", "JOINT"):
            names.append(words[k + 1])
        elif word == "OFFSET" and len(offsets) < len(names):
            offsets.setdefault(names[-1], np.array([float(number) for number in words[k + 1 : k + 4]]))
        elif word == "CHANNELS":
            channels += [(names[-1], channel) for channel in words[k + 2 : k + 2 + int(words[k + 1])]]
    theirs = next((one for one in (JOINTS, [f"mixamorig:{name}" for name in MIXAMO]) if set(one) == set(names)), None)
    if theirs is None or not _rests_in_t_pose([offsets[name] for name in theirs]):
        raise ValueError(f"{path.name} is not by unipose_hf; convert it with `unipose motion {path.name} OUT.npz`.")
    lines = tail.split("\n")
    rate = 1 / float(next(line for line in lines if line.startswith("Frame Time")).split(":")[1])
    rows = np.array([[float(number) for number in line.split()] for line in lines[3:] if line.strip()])
    rotations, positions = np.tile(np.eye(3), (len(rows), 22, 1, 1)), np.zeros((len(rows), 3))
    for column, (name, channel) in enumerate(channels):
        axis = "XYZ".index(channel[0])
        if channel.endswith("rotation"):  # from left to right: R = Rz Rx Ry
            joint, turn = list(theirs).index(name), np.radians(rows[:, column, None]) * np.eye(3)[axis]
            rotations[:, joint] = rotations[:, joint] @ to_matrix(turn)
        else:
            positions[:, axis] = rows[:, column]
    return Poses(rotations, positions, rate)


def _rests_in_t_pose(offsets):
    """Whether the limbs of a skeleton of these offsets (22, 3) point as ours do."""
    for joint in (4, 5, 7, 8, 18, 19, 20, 21):
        ours = REST[joint] - REST[PARENTS[joint]]
        if offsets[joint] @ ours < _NO_T_POSE * np.linalg.norm(offsets[joint]) * np.linalg.norm(ours):
            return False
    return True


def joint_positions(rotations):
    """(22, 3) positions of the joints of the average body in metres, pelvis at the origin."""
    turns, positions = in_space(rotations), np.zeros((22, 3))
    for joint, parent in enumerate(PARENTS):
        if parent >= 0:
            positions[joint] = positions[parent] + turns[parent] @ (REST[joint] - REST[parent])
    return positions
