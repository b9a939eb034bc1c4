# SPDX-License-Identifier: Apache-2.0
"""Reads rotations from the result files of other body estimators: pickles, PyTorch files, JSON, npz.

Supports 4D-Humans and PHALP, WHAM, GVHMR, VIBE and similar programs, ROMP, AIST++, SMPLify-X, and anything else that
stores an SMPL-family body under AMASS's names or in parts (`smpl_rows.py`). Keypoint files contain no
rotations.
"""

import numpy as np
import torch

from .smpl_rows import PARTS, to_our_frame

# Layouts of one person that identify the program: the entry with the rotations, its AMASS name (None: it has parts),
# and its up axis. World coordinates come before camera coordinates of the same person.
_PROGRAMS = (
    ("smpl_params_global", None, "y"),  # GVHMR
    ("smpl_params_incam", None, "-y"),
    ("pose_world", "poses", "y"),  # WHAM
    ("smpl_poses", "poses", "y"),  # AIST++
    ("pred_smpl_params", None, "-y"),  # HMR 2.0
    ("pose", "poses", "-y"),  # VIBE, PARE, TCMR
    ("smpl_thetas", "poses", "-y"),  # ROMP, BEV
)
_AT_ONCE = {"smpl_thetas"}  # rows are people in one image
_POINTS = ("keypoint", "landmark", "joints2d", "joints_2d")


def read_results(
    content: object, where: object, up: str | None = None, facing: str | None = None, person: str | None = None
) -> torch.Tensor:
    """
    The poses `(F, 22, 3)` float32, in our frame, of one person in the content of a file.

    Args:
        content: dicts, lists, arrays and tensors.
        up, facing: as for `Pose.from_npz`; by default what the program is known to write, or what the motion shows.
        person: the person's name or number in the program; required if there are several. Frames without this person
            are skipped.

    Raises:
        ValueError: no rotations, or several people; the message begins with `where`.
    """
    people = _people(content)
    if not people:
        raise ValueError(_refusal(content, where))
    names = {str(name): name for name in people}
    if person is None and len(people) > 1:
        raise ValueError(
            f"{where} shows {len(people)} people ({', '.join(names)}); choose one with --person (person in Python)."
        )
    if person is not None and str(person) not in names:
        raise ValueError(f"{where} has no person {person}; it shows {', '.join(names)}.")
    arrays, known = people[names[str(person)] if person is not None else next(iter(people))]
    return torch.from_numpy(to_our_frame(arrays, where, up, facing, known))


def _people(content, depth: int = 0) -> dict[object, tuple[dict, str | None]]:
    """Each person's arrays, under AMASS's names or in parts, and the up axis, if known."""
    if not isinstance(content, dict) or depth > 3:
        return {}
    if "poses" in content or any(set(parts) <= set(content) for parts in PARTS):
        return {"0": ({name: _array(value) for name, value in content.items()}, None)}
    for name, rows, up in _PROGRAMS:
        if name in content and rows is None and isinstance(content[name], dict):
            return {who: (arrays, up) for who, (arrays, _) in _people(content[name], depth + 1).items()}
        if name in content and rows is not None:
            array = _array(content[name])
            if name in _AT_ONCE and isinstance(array, np.ndarray) and array.ndim == 2:
                return {str(k): ({rows: array[k : k + 1]}, up) for k in range(len(array))}
            return {"0": ({rows: array}, up)}
    frames = [value for value in content.values() if isinstance(value, dict)]
    if frames and any("smpl" in frame for frame in frames):
        return _tracks(frames)
    found = {}
    for who, value in content.items():
        inner = _people(value, depth + 1)
        found |= {who if len(inner) == 1 else f"{who}/{name}": one for name, one in inner.items()}
    return found


def _tracks(frames) -> dict[object, tuple[dict, str | None]]:
    """People in PHALP's results, which list bodies and track ids for each frame."""
    tracks: dict[object, list] = {}
    for frame in frames:
        bodies, numbers = frame.get("smpl", ()), frame.get("tid", ())
        for who, body in zip(numbers, bodies, strict=False):
            if isinstance(body, dict) and set(PARTS[1]) <= set(body):
                tracks.setdefault(str(_array(who)), []).append(body)
    return {
        who: ({name: np.concatenate([_rows(body[name]) for body in bodies]) for name in PARTS[1]}, "-y")
        for who, bodies in sorted(tracks.items())
    }


def _rows(value):
    """Adds a frame dimension to the matrices of one frame, `(J, 3, 3)`."""
    array = np.asarray(_array(value))
    return array[None] if array.ndim == 3 else array


def _array(value):
    if isinstance(value, torch.Tensor):
        return value.detach().cpu().float().numpy()
    if isinstance(value, list | tuple):
        try:
            return np.asarray(value, dtype=np.float64)
        except (TypeError, ValueError):  # lists of other things, or of different lengths
            return None
    return value


def _refusal(content, where) -> str:
    if _points(content):
        return (
            f"{where} has key points (as in OpenPose, MediaPipe and COCO): joint positions, mostly in an image, "
            "which do not determine rotations; estimate the pose from the image itself with unipose estimate."
        )
    found = type(content).__name__
    if isinstance(content, dict):
        found = f"keys {', '.join(map(str, list(content)[:20]))}"
    known = ", ".join(name for name, _, _ in _PROGRAMS)
    return (
        f"{where} holds {found}; expected an SMPL-family body's rotations, as {known} or poses, or in the parts "
        f"{' or '.join(' and '.join(parts) for parts in PARTS)}."
    )


def _points(content, depth: int = 0) -> bool:
    if depth > 5:
        return False
    if isinstance(content, dict):
        if any(word in str(key).lower() for key in content for word in _POINTS) or {"x", "y"} <= set(content):
            return True
        return any(_points(value, depth + 1) for value in content.values())
    return isinstance(content, list | tuple) and any(_points(value, depth + 1) for value in content[:3])
