# SPDX-License-Identifier: Apache-2.0
"""Detects how a BVH file's rest pose is oriented and which axis of its world points up, without assumptions.

The rest pose (all rotations zero) shows where its trunk points if spine and neck form a line with hips and shoulders
across it; this holds for most files, whatever their axes. The world's up axis may differ from that of the rest pose
(FAIR1 rests z up in a y-up world), so it is also detected from the motion: where the body points most of the time, and
whether its feet are then near the floor.
"""

import warnings
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor

from unipose_hf.modeling.rotation_unipose import axis_vector, nearest_axis

from .bvh import Bvh

# A direction this close to an axis is taken as that axis: rest spines are curved, and rigs lean a little.
_SNAP = 0.87  # cosine of 30 degrees
_UPRIGHT = 0.7  # standing, walking and sitting bodies are within 45 degrees of the vertical in most frames
_LINE, _ACROSS = 0.6, 0.5  # cosines: spine and neck in one line, hips across it


class Standing(NamedTuple):
    """What the motion shows about an axis of the world: the body stands on the floor along it, or lies on it."""

    stands: bool
    lies: bool


def rest_frame(bvh: Bvh, index: dict[str, int]) -> Tensor | None:
    """`(3, 3)`: columns are the body's left, up and front in the file's axes when all rotations are zero.

    None if the rest pose has no straight trunk.
    """
    rest = bvh.rest_positions()
    up, sideways = _trunk_line(rest, index), _sideways(rest, index)
    if up is None or sideways is None or abs(up @ sideways) > _ACROSS:
        return None
    frame = torch.stack([sideways, up, torch.linalg.cross(sideways, up)], dim=-1)
    left, _, front = torch.linalg.svd(frame)  # the nearest orthogonal frame
    frame = left @ front
    snapped = torch.stack([axis_vector(nearest_axis(frame[:, k])) for k in range(3)], dim=-1)
    angle = ((snapped.mT @ frame).trace() - 1) / 2
    return snapped if angle > _SNAP and torch.linalg.det(snapped) > 0.5 else frame


def _trunk_line(rest: Tensor, index: dict[str, int]) -> Tensor | None:
    chain = [index[name] for name in ("pelvis", "spine1", "spine2", "spine3", "neck", "head") if name in index]
    chest = (rest[index["left_shoulder"]] + rest[index["right_shoulder"]]) / 2
    positions = [rest[joint] for joint in chain]
    if "neck" not in index and "head" not in index:
        positions.append(chest)
    whole = positions[-1] - positions[0]
    steps = [b - a for a, b in zip(positions, positions[1:], strict=False) if (b - a).norm() > 1e-2 * whole.norm()]
    if not steps or whole.norm() < 1e-9:
        return None
    up = whole / whole.norm()
    return up if min(step @ up / step.norm() for step in steps) > _LINE else None


def _sideways(rest: Tensor, index: dict[str, int]) -> Tensor | None:
    """Direction from right to left, from hips and shoulders; None if they disagree or have no width."""
    shoulders = "collar" if {"left_collar", "right_collar"} <= set(index) else "shoulder"
    widths = [rest[index[f"left_{joint}"]] - rest[index[f"right_{joint}"]] for joint in ("hip", shoulders, "shoulder")]
    widths = [width / width.norm() for width in widths if width.norm() > 1e-6 * rest.abs().max()]
    if not widths or min(a @ b for a in widths for b in widths) < _LINE:
        return None
    return torch.stack(widths).mean(0) / torch.stack(widths).mean(0).norm()


def world_up(bvh: Bvh, index: dict[str, int], rest_up: Tensor | None, where: object) -> str:
    """The axis of the file's world that points up.

    Args:
        rest_up: upward direction of the rest pose, if known.

    Raises:
        ValueError: neither rest pose nor motion shows it; the message begins with `where`.
    """
    step = max(1, len(bvh.rotations) // 200)
    some = {joint: positions[::step] for joint, positions in bvh.translations.items()}
    seen = replace(bvh, rotations=bvh.rotations[::step], translations=some)
    positions = seen.positions()
    pelvis = positions[:, index["pelvis"]]
    floor = _floor(seen, index)
    rest_axis = None if rest_up is None or rest_up.abs().max() < _SNAP else nearest_axis(rest_up)
    head = positions[:, index.get("head", index.get("neck", index["left_shoulder"]))]
    feet = positions[:, [index["left_ankle"], index["right_ankle"]]].mean(1)
    body = sum(torch.nn.functional.normalize(v, dim=-1) for v in (head - pelvis, head - feet)).median(0).values / 2
    shown = nearest_axis(body) if body.abs().max() > _UPRIGHT else None
    axis = _decide(rest_axis, shown, floor)
    if axis is None:
        tells = "its rest pose does not stand" if rest_axis is None else f"its rest pose stands along {rest_axis}"
        motion = "its motion does not stand along any axis" if shown is None else f"its motion stands along {shown}"
        raise ValueError(
            f"{where} does not tell which axis points up ({tells}, {motion}); set --up y or --up z (up in Python)."
        )
    if shown == "z" and axis == rest_axis == "y" and not floor:
        warnings.warn(
            f"{where} is read as y up because its rest pose stands that way, which makes the body lie; set --up z "
            "(up='z' in Python) if it should stand.",
            stacklevel=5,
        )
    return axis


def _decide(rest_axis: str | None, shown: str | None, floor: dict[str, Standing]) -> str | None:
    """The up axis from rest pose, motion and floor; None if it is unclear. BVH's own axis is y."""
    stands, lies = (
        {axis for axis, standing in floor.items() if getattr(standing, kind)} for kind in ("stands", "lies")
    )
    on_floor = stands | lies
    if rest_axis == "y":
        elsewhere = stands == {"z"} or (shown == "z" and "z" in lies)
        if shown != "y" and elsewhere:  # in a z-up world, or lying at the origin of a y-up one
            return None if "y" in on_floor else "z"
        return "y"
    if shown == "y":
        if "y" in stands or lies != {"z"}:
            return "y"
        return "z" if rest_axis == "z" else None
    if shown == "z":
        if "z" in stands and "y" not in lies:
            return "z"
        if on_floor:
            return "y" if on_floor == {"y"} else None
        return "z" if rest_axis == "z" else None
    best = stands or lies
    if len(best) == 1:
        return next(iter(best))
    return "-y" if rest_axis == shown == "-y" else None


def pelvis_positions(bvh: Bvh, pelvis: int) -> Tensor | None:
    """`(F, 3)` positions of the pelvis in the file's world; None if no joint on the path to it is translated."""
    turns, position, moves = bvh.global_rotations(), torch.zeros(3, dtype=torch.float64), False
    for joint in bvh.path_to_root(pelvis)[::-1]:
        local, parent = bvh.translations.get(joint), bvh.parents[joint]
        if local is None or local.abs().max() < 1e-6 * bvh.offsets.abs().max():
            local = bvh.offsets[joint] if parent >= 0 else torch.zeros(3, dtype=torch.float64)
        else:
            moves = True
        position = position + (local if parent < 0 else (turns[:, parent] @ local[..., None])[..., 0])
    return position if moves else None


def _floor(bvh: Bvh, index: dict[str, int]) -> dict[str, Standing]:
    """What the floor shows about the axes y and z; empty if the file keeps the body at the origin."""
    positions, pelvis = bvh.positions(), pelvis_positions(bvh, index["pelvis"])
    chain = [index[name] for name in ("left_hip", "left_knee", "left_ankle")]
    leg = sum((positions[0, a] - positions[0, b]).norm() for a, b in zip(chain, chain[1:], strict=False))
    if pelvis is None or pelvis.median(0).values.norm() < 0.2 * leg:
        return {}
    positions = (positions + (pelvis - positions[:, index["pelvis"]])[:, None]) / leg
    return {axis: _standing(positions @ axis_vector(axis), index["pelvis"]) for axis in "yz"}


def _standing(heights: Tensor, pelvis: int) -> Standing:
    """`heights`: `(F, J)` above the origin, in lengths of a leg."""
    lowest, middle = heights.min(dim=1).values.median(), heights[:, pelvis].median()
    return Standing(
        stands=bool(lowest.abs() < 0.3 and middle - lowest > 0.6),
        lies=bool(lowest.abs() < 0.3 and 0 < middle <= 0.6 + lowest),
    )
