# SPDX-License-Identifier: Apache-2.0
"""Reads rotations of SMPL-family bodies as other programs store them, and detects which axis is up."""

import contextlib
import os
import warnings
from pathlib import Path

import numpy as np
import torch

from unipose_hf.modeling.pose_unipose import check_rotation_vectors
from unipose_hf.modeling.rotation_unipose import (
    axis_angle_to_matrix,
    axis_vector,
    matrix_to_axis_angle,
    nearest_axis,
    world_turn,
)

NUM_JOINTS = 22
# Possible lengths of a row of rotation vectors: 22 body joints; SMPL's 24; SMPL-H's 52; SMPL-X's 55, or 53 without
# eyes; and 22 or 25 with 6 or 12 principal components per hand.
WIDTHS = (66, 72, 78, 87, 90, 99, 156, 159, 165)
_OTHER_FORMATS = {4: "quaternions", 6: "6D rotations", 9: "flattened matrices"}
# Names of a pose's two parts: the root, then the other body joints.
PARTS = (("root_orient", "pose_body"), ("global_orient", "body_pose"))
_RATES = ("mocap_framerate", "mocap_frame_rate")
# The arrays that are read. Other arrays, and the optional ones, may contain anything.
_ROTATIONS = ("poses", *PARTS[0], *PARTS[1])
_TRANSLATIONS = ("trans", "transl")
_OPTIONAL = (*_TRANSLATIONS, *_RATES, "model", "format", "betas", "average_shape")
# Height of the pelvis above the floor (metres) for standing and lying bodies of any size.
_STANDS, _LIES = (0.6, 1.3), (0.0, 0.45)
_UPRIGHT = 0.7  # cosine: standing, walking and sitting bodies are within 45 degrees of the vertical in most frames
_PELVIS = -0.3  # offset of an SMPL body's pelvis from `trans`, along y


def read_archive(path: str | os.PathLike) -> dict[str, np.ndarray | None]:
    """Reads the known arrays of an .npz file; other arrays, and optional ones that cannot be read, become None.

    Raises:
        FileNotFoundError, ValueError: the file does not exist; it is damaged, or its rotations are objects.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"There is no file {path}.")
    try:
        with np.load(path, allow_pickle=False) as data:
            arrays = dict.fromkeys(data.files)
            arrays |= {key: data[key] for key in _ROTATIONS if key in data.files}
            for key in _OPTIONAL:
                if key in data.files:
                    with contextlib.suppress(ValueError):  # an object, such as None: numpy does not unpickle here
                        arrays[key] = data[key]
    except Exception as error:  # numpy, zipfile and zlib raise many kinds of errors for damaged files
        raise ValueError(f"{path} cannot be read as an .npz archive of plain arrays ({error}).") from error
    return arrays


def to_our_frame(
    arrays: dict, where: object, up: str | None = None, facing: str | None = None, default: str | None = None
) -> np.ndarray:
    """`body_rotations` in our frame; the file's axes are given, known by default, or detected by `up_axis`."""
    return turned_to_our_frame(arrays, where, up, facing, default)[0]


def turned_to_our_frame(
    arrays: dict, where: object, up: str | None = None, facing: str | None = None, default: str | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """`to_our_frame`, and the (3, 3) float64 rotation from the file's world into our frame."""
    poses = body_rotations(arrays, where)
    up = up or default or ("z" if arrays.get("format") is not None else up_axis(arrays, poses, where))
    turn = world_turn(up, facing)
    root = axis_angle_to_matrix(torch.from_numpy(poses[:, 0]).double())
    turned = poses.copy()
    turned[:, 0] = matrix_to_axis_angle(turn @ root).numpy()
    return turned, turn.numpy()


def root_translations(arrays: dict, frames: int) -> np.ndarray:
    """(frames, 3) float64 `trans` or `transl` in the file's frame; zeros if there are none."""
    found = next((arrays[name] for name in _TRANSLATIONS if arrays.get(name) is not None), None)
    if found is None or found.dtype.kind not in "fiu" or found.shape != (frames, 3):
        return np.zeros((frames, 3))
    return found.astype(np.float64)


def frame_rate(arrays: dict) -> float | None:
    """Frames per second, if the file specifies it."""
    for name in _RATES:
        rate = arrays.get(name)
        if rate is not None and rate.size == 1 and rate.dtype.kind in "fiu" and rate.item() > 0:
            return float(rate.item())
    return None


def body_joints(poses: np.ndarray, where: object) -> np.ndarray:
    """The 22 body joints of SMPL, SMPL-H or SMPL-X poses: (F, 66 or more) or (F, J, 3) -> (F, 22, 3) float32.

    These joints come first, in the same order, in all three; hands, jaw, eyes and fingers follow. Local matrices (F,
    J, 3, 3) are accepted too.

    Raises:
        ValueError: not numbers, or a wrong shape, for example of another rotation format; the message begins with
            `where`.
    """
    poses = np.asarray(poses)
    if poses.ndim == 4 and poses.shape[1] >= NUM_JOINTS and poses.shape[2:] == (3, 3):
        return vectors(poses[:, :NUM_JOINTS], where)
    rows = poses.reshape(len(poses), -1) if poses.ndim == 3 and poses.shape[2] == 3 else poses
    if rows.ndim != 2 or rows.shape[1] not in WIDTHS or rows.dtype.kind not in "fiu":
        raise ValueError(
            f"{where} has poses of shape {poses.shape} and type {poses.dtype}{_other_format(poses)}; expected "
            "rotation vectors (radians) of an SMPL-family body, of shape (frames, one of "
            f"{', '.join(map(str, WIDTHS))})."
        )
    return _plausible(rows[:, : 3 * NUM_JOINTS].astype(np.float32).reshape(-1, NUM_JOINTS, 3), where)


def _other_format(poses) -> str:
    width = poses.shape[-1] if poses.ndim == 2 else poses.shape[-1] * poses.shape[-2] if poses.ndim == 3 else 0
    for size, name in _OTHER_FORMATS.items():
        if width in (size * joints for joints in (21, 22, 23, 24, 52, 55)):
            return f", which suggests {width // size} {name}: convert them to rotation vectors"
    return ", which lacks the root's rotation" if width in (63, 69) else ""


def body_rotations(arrays: dict, where: object) -> np.ndarray:
    """(F, 22, 3) float32 rotation vectors, in the file's frame, from AMASS-style `poses` or from `PARTS`.

    Raises:
        ValueError: none of these arrays is present, or they hold no rotations; the message begins with `where`.
    """
    if arrays.get("poses") is not None:
        return body_joints(arrays["poses"], where)
    for root, body in PARTS:
        if arrays.get(root) is not None and arrays.get(body) is not None:
            roots = _part(arrays[root], (1,), root, where)
            bodies = _part(arrays[body], (21, 23), body, where)
            if len(roots) != len(bodies):
                raise ValueError(
                    f"{where} has {len(roots)} {root} but {len(bodies)} {body}; expected the same number of both."
                )
            return _plausible(np.concatenate([roots, bodies[:, : NUM_JOINTS - 1]], axis=1), where)
    parts = " or ".join(" and ".join(names) for names in PARTS)
    raise ValueError(
        f"{where} has the keys {', '.join(map(str, arrays))}; expected an SMPL-family body's rotations as AMASS-style "
        f"poses, or in the parts {parts}."
    )


def vectors(matrices: np.ndarray, where: object) -> np.ndarray:
    """Local rotation matrices (..., 3, 3) -> (..., 3) float32 rotation vectors; `ValueError` for other matrices."""
    matrices = np.asarray(matrices, dtype=np.float64)
    finite = np.isfinite(matrices).all((-2, -1), keepdims=True)
    matrices = np.where(finite, matrices, np.eye(3))
    off = np.abs(matrices @ np.swapaxes(matrices, -1, -2) - np.eye(3)).max(initial=0.0)
    if off > 1e-2 or (matrices.size and np.linalg.det(matrices).min() < 0.9):
        raise ValueError(f"{where} has matrices that are not rotations (off from orthonormal by {off:.3g}).")
    found = matrix_to_axis_angle(torch.from_numpy(matrices)).numpy()
    return np.where(finite[..., 0], found, np.nan).astype(np.float32)


def _part(array, joints, name, where) -> np.ndarray:
    """A part of a pose -> (F, joints, 3) rotation vectors."""
    array = np.asarray(array)
    for count in joints if array.dtype.kind in "fiu" else ():
        one = count == 1
        if array.shape[-2:] == (3, 3) and (
            array.shape[-3:-2] == (count,) or (one and (array.ndim == 3 or _are_rotations(array)))
        ):
            return vectors(array.reshape(-1, count, 3, 3), where)
        if array.shape in ((3 * count,), (count, 3)) or array.shape[1:] in ((3 * count,), (count, 3)):
            return array.astype(np.float32).reshape(-1, count, 3)
    what = "decode VPoser codes of 32 numbers first" if array.shape[-1:] == (32,) else "6D is not supported"
    expected = " or ".join(str(3 * count) for count in joints)
    raise ValueError(
        f"{where} has {name} of shape {array.shape} and type {array.dtype}; expected rotation vectors (frames, "
        f"{expected}) or matrices ({what})."
    )


def _are_rotations(matrices) -> bool:
    return bool(np.abs(matrices @ np.swapaxes(matrices, -1, -2) - np.eye(3)).max() < 1e-2)


def _plausible(poses, where):
    longest = np.abs(poses[np.isfinite(poses)]).max(initial=0.0)
    if longest > 4 * np.pi:
        raise ValueError(
            f"{where} has rotation vectors as long as {longest:.0f}, which look like degrees; expected radians."
        )
    if len(poses):
        try:
            check_rotation_vectors(poses[0])
        except ValueError as error:
            raise ValueError(f"{where} cannot be read: {error}") from None
    return poses


def up_axis(arrays: dict, poses: np.ndarray, where: object) -> str:
    """Detects which axis is up in the world of `poses` (F, 22, 3), from array names, the body and its position.

    AMASS files are z up by definition, but other programs store y-up worlds and camera frames under the same names.

    Args:
        arrays: the arrays of the file; `trans`, if present, as an array of numbers.

    Raises:
        ValueError: the axis is unclear in a file with `PARTS`; the message begins with `where`. Such files with
            AMASS's name `poses` are read as z up, with a warning if anything suggests another axis.
    """
    if "expressions" in arrays or str(arrays.get("model")) == "smplx2020":  # BEAT2 and EMAGE
        return "y"
    positions = next((arrays[name] for name in _TRANSLATIONS if arrays.get(name) is not None), None)
    stands, lies = _axes_by_height(positions, len(poses))
    body = _upright(poses)
    shown = nearest_axis(torch.from_numpy(body)) if np.abs(body).max() > _UPRIGHT else None
    other = {"z": "y", "y": "z"}.get(shown)
    if shown in ("y", "z") and (shown in stands or other not in stands | lies):
        return shown
    if shown == "-y" and "poses" not in arrays and not stands:  # in an OpenCV camera frame
        return "-y"
    of_amass = "gender" in arrays and any(rate in arrays for rate in _RATES) and stands | lies != {"y"}
    sentence = f"{where} does not tell which axis points up: nobody stands on a floor in it"
    if "poses" in arrays:
        if shown != "y" and (of_amass or lies == {"z"}):
            return "z"
        warnings.warn(
            f"{sentence}; reading it as z up, as in AMASS. Set up (--up) if this is wrong, such as up='y'.",
            stacklevel=4,
        )
        return "z"
    raise ValueError(f"{sentence}; set up (--up): y, z, or -y for a camera frame.")


def _upright(poses) -> np.ndarray:
    """(3,) upward direction of the body in most frames: the median of the mean direction of pelvis and chest."""
    rotations = axis_angle_to_matrix(torch.from_numpy(np.nan_to_num(poses[:, (0, 3, 6, 9)])).double())
    pelvis = rotations[:, 0]
    chest = pelvis @ rotations[:, 1] @ rotations[:, 2] @ rotations[:, 3]
    return ((pelvis[:, :, 1] + chest[:, :, 1]) / 2).median(0).values.numpy()


def _axes_by_height(positions, frames) -> tuple[set[str], set[str]]:
    """The axes along which the pelvis is as high as in a standing body, and as in a lying body."""
    positions = None if positions is None else np.asarray(positions)
    if positions is None or positions.dtype.kind not in "fiu" or positions.shape != (frames, 3) or not positions.any():
        return set(), set()
    middle = np.nanmedian(positions, axis=0) + np.array([0.0, _PELVIS, 0.0])
    heights = {axis: float(axis_vector(axis).numpy() @ middle) for axis in "yz"}
    return tuple({axis for axis, height in heights.items() if a < height < b} for a, b in (_STANDS, _LIES))
