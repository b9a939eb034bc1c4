# SPDX-License-Identifier: Apache-2.0
"""Refines an estimated pose to fit landmarks, with Levenberg-Marquardt on the rotations and a camera.

The camera is weak-perspective, `(scale, x, y)`: a joint at `(X, Y, Z)` metres from the pelvis (y up) projects to the
pixel `(x + scale * X, y - scale * Y)`. There are three kinds of residuals, each in units of its typical size: 2D
landmarks, weighted by visibility; limb directions from the landmark network's 3D landmarks; and deviation from the
model's own prediction. Joints that are not visible keep the predicted rotation.
"""

import torch
from torch import Tensor

from .rotation_unipose import axis_angle_to_matrix, matrix_to_axis_angle

NUM_JOINTS = 22
PARENTS = (-1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19)
STEPS = 8
# Typical sizes of residuals: metres in the picture, metres at a bone's end, radians from the prediction. A weaker
# prior fits photographs slightly better, but lets the pose rotate in depth, which hurts on rendered people.
PICTURE, SPACE = 0.06, 0.08
ANSWER = {"root": 0.03, "trunk": 0.03, "limb": 0.05, "end": 0.05}
ROBUST = 3.0  # Huber threshold, in typical sizes
MIN_VISIBILITY = 0.1  # landmarks with a lower visibility are ignored

# Joints of the average bundled body in the T-pose, metres from the pelvis.
REST_JOINTS = (
    (0.0, 0.0, 0.0),
    (0.1092, -0.0412, -0.0123),
    (-0.1092, -0.0412, -0.0123),
    (0.0, 0.1003, 0.007),
    (0.1447, -0.4284, 0.021),
    (-0.1447, -0.4284, 0.021),
    (0.0, 0.2076, -0.0065),
    (0.1857, -0.8572, -0.0057),
    (-0.1857, -0.8572, -0.0057),
    (0.0, 0.3317, -0.0386),
    (0.1831, -0.9053, 0.1421),
    (-0.1831, -0.9053, 0.1421),
    (0.0, 0.5166, -0.0094),
    (0.0618, 0.4827, -0.001),
    (-0.0618, 0.4827, -0.001),
    (0.0, 0.5678, 0.006),
    (0.1783, 0.4193, 0.0041),
    (-0.1783, 0.4193, 0.0041),
    (0.4426, 0.4193, 0.0041),
    (-0.4426, 0.4193, 0.0041),
    (0.681, 0.4193, 0.0041),
    (-0.681, 0.4193, 0.0041),
)
# BlazePose landmarks on this body: the parent joint, and the offset in that joint's frame in the T-pose.
MARKERS = {
    0: (15, (0.0, 0.054, 0.144)),
    7: (15, (0.086, 0.086, 0.013)),
    8: (15, (-0.086, 0.086, 0.013)),
    11: (16, (0.0, 0.0, 0.0)),
    12: (17, (0.0, 0.0, 0.0)),
    13: (18, (0.0, 0.0, 0.0)),
    14: (19, (0.0, 0.0, 0.0)),
    15: (20, (0.0, 0.0, 0.0)),
    16: (21, (0.0, 0.0, 0.0)),
    23: (1, (0.0, 0.0, 0.0)),
    24: (2, (0.0, 0.0, 0.0)),
    25: (4, (0.0, 0.0, 0.0)),
    26: (5, (0.0, 0.0, 0.0)),
    27: (7, (0.0, 0.0, 0.0)),
    28: (8, (0.0, 0.0, 0.0)),
    31: (10, (0.0, 0.0, 0.0)),
    32: (11, (0.0, 0.0, 0.0)),
}
# Limbs and trunk as (start, end); several landmarks stand for their mean.
BONES = (
    ((11,), (13,)),
    ((13,), (15,)),
    ((12,), (14,)),
    ((14,), (16,)),
    ((23,), (25,)),
    ((25,), (27,)),
    ((27,), (31,)),
    ((24,), (26,)),
    ((26,), (28,)),
    ((28,), (32,)),
    ((24,), (23,)),
    ((12,), (11,)),
    ((23, 24), (11, 12)),
    ((7, 8), (0,)),
    ((11, 12), (7, 8)),
)


def _stiffness() -> Tensor:
    """(66,) inverse of the typical rotation away from the prediction, for each joint and axis."""
    kinds = ["root"] + ["limb"] * (NUM_JOINTS - 1)
    for joint in (3, 6, 9, 12, 13, 14, 15):
        kinds[joint] = "trunk"
    for joint in (7, 8, 10, 11, 20, 21):
        kinds[joint] = "end"
    return torch.tensor([1 / ANSWER[kind] for kind in kinds]).repeat_interleave(3)


def _levels() -> list[tuple[list[int], list[int]]]:
    """The joints at each distance from the pelvis, and their parents."""
    distance = [0] * NUM_JOINTS
    for joint in range(1, NUM_JOINTS):
        distance[joint] = distance[PARENTS[joint]] + 1
    levels = [[joint for joint in range(NUM_JOINTS) if distance[joint] == d] for d in range(1, max(distance) + 1)]
    return [(joints, [PARENTS[joint] for joint in joints]) for joints in levels]


LEVELS = _levels()


def _kinematics(rotations: Tensor, rest: Tensor) -> tuple[Tensor, Tensor]:
    """Local rotations `(n, 22, 3, 3)` -> joints `(n, 22, 3)` relative to the pelvis, and global rotations."""
    turned, placed = rotations.clone(), torch.zeros_like(rotations[..., 0])
    for joints, parents in LEVELS:
        above = turned[:, parents]
        turned[:, joints] = above @ rotations[:, joints]
        placed[:, joints] = placed[:, parents] + (above @ (rest[joints] - rest[parents])[..., None])[..., 0]
    return placed, turned


class _Problem:
    """The residuals of poses and cameras of `n` people, and how they change."""

    def __init__(self, answer, xy, visibility, world, rest):
        marks = list(MARKERS)
        self.answer, self.rest = answer, rest
        self.joints = torch.tensor([joint for joint, _ in MARKERS.values()])
        self.offsets = rest.new_tensor([offset for _, offset in MARKERS.values()])
        is_ancestor = torch.zeros(len(marks), NUM_JOINTS)
        for row, (joint, _) in enumerate(MARKERS.values()):
            while joint >= 0:
                is_ancestor[row, joint] = 1.0
                joint = PARENTS[joint]
        self.is_ancestor = is_ancestor[:, :, None, None].to(rest)  # (K, 22, 1, 1)
        self.xy = xy[:, marks]
        self.weights = (visibility * (visibility > MIN_VISIBILITY))[:, marks].to(rest)
        ends = torch.zeros(len(BONES), len(marks))
        for row, (begin, end) in enumerate(BONES):
            for landmark in begin:
                ends[row, marks.index(landmark)] -= 1 / len(begin)
            for landmark in end:
                ends[row, marks.index(landmark)] += 1 / len(end)
        self.ends = ends.to(rest)  # (B, K)
        markers = self.markers_and_joints(answer)[0]
        directions = self.ends @ world[:, marks]
        lengths = (self.ends @ markers).norm(dim=-1, keepdim=True)
        self.bones = torch.nn.functional.normalize(directions, dim=-1) * lengths
        lowest_weight = torch.where(self.ends[None] != 0, self.weights[:, None], torch.inf).amin(dim=2)
        self.bone_weights = lowest_weight.sqrt()[..., None]  # (n, B, 1)
        self.stiffness = _stiffness().to(rest)

    def markers_and_joints(self, rotations):
        """Markers `(n, K, 3)`, joints and their global rotations."""
        joints, turned = _kinematics(rotations, self.rest)
        markers = joints[:, self.joints] + (turned[:, self.joints] @ self.offsets[..., None])[..., 0]
        return markers, joints, turned

    def camera(self, rotations):
        """The `(scale, x, y)` `(n, 3)` that fits the markers to the landmarks best."""
        flat = self.markers_and_joints(rotations)[0][..., :2] * self.rest.new_tensor([1.0, -1.0])
        weights = self.weights + 1e-3  # well-defined even if nothing is visible
        weights = (weights / weights.sum(dim=1, keepdim=True))[..., None]
        middle, target = (weights * flat).sum(dim=1, keepdim=True), (weights * self.xy).sum(dim=1, keepdim=True)
        spread = (weights * (flat - middle).square()).sum(dim=(1, 2))
        common = (weights * (flat - middle) * (self.xy - target)).sum(dim=(1, 2))
        widths = (weights * (self.xy - target).square()).sum(dim=(1, 2))
        # a pose that does not match at all (facing backwards, for example) could have a scale of zero or less
        scale = torch.maximum(common / spread, 0.5 * (widths / spread).sqrt()).clamp(min=1e-3)
        return torch.cat((scale[:, None], target[:, 0] - scale[:, None] * middle[:, 0]), dim=1)

    def residuals(self, rotations, camera, unit):
        """All residuals `(n, R)`, and their Jacobian `(n, R, 66 + 3)` with respect to the rotation of each joint in
        its own frame, the log of the scale, and the translation in pixels over `unit` `(n,)`."""
        markers, joints, turned = self.markers_and_joints(rotations)
        n, count = markers.shape[:2]
        scale = (camera[:, 0] / unit)[:, None, None]
        sign = markers.new_tensor([1.0, -1.0])
        flat = markers[..., :2] * sign
        off = (scale * flat + (camera[:, None, 1:] - self.xy) / unit[:, None, None]) / PICTURE  # (n, K, 2)
        # Huber: beyond ROBUST the residual grows as a square root, so its square grows linearly
        size = off.norm(dim=-1, keepdim=True)
        robust = torch.where(size > ROBUST, (2 * ROBUST * size - ROBUST**2).clamp(min=0).sqrt() / size, 1.0)
        pull = self.weights.sqrt()[..., None] * robust
        bones = (self.ends @ markers - self.bones) / SPACE * self.bone_weights
        from_answer = matrix_to_axis_angle(self.answer.mT @ rotations).flatten(1) * self.stiffness
        values = torch.cat(((off * pull).flatten(1), bones.flatten(1), from_answer), dim=1)
        arms = markers[:, :, None] - joints[:, None]  # (n, K, 22, 3)
        moves = torch.cross(turned.mT[:, None], arms[..., None, :].expand(-1, -1, -1, 3, -1), dim=-1)
        moves = (moves * self.is_ancestor).flatten(2, 3)  # (n, K, 66, 3): of each marker by each rotation
        in_picture = (moves[..., :2] * sign).transpose(2, 3) * scale[..., None]
        by_scale = (scale * flat)[..., None]
        by_place = torch.eye(2).to(flat).expand(n, count, 2, 2)
        jacobian = torch.cat((in_picture, by_scale, by_place), dim=-1) / PICTURE * pull[..., None]
        of_bones = (self.ends @ moves.flatten(2)).unflatten(2, (-1, 3)).transpose(2, 3)
        of_bones = of_bones / SPACE * self.bone_weights[..., None]
        of_answer = torch.diag(self.stiffness).expand(n, -1, -1)
        others = torch.cat((of_bones.flatten(1, 2), of_answer), dim=1)
        others = torch.nn.functional.pad(others, (0, 3))
        return values, torch.cat((jacobian.flatten(1, 2), others), dim=1)


@torch.no_grad()
def pull_to_landmarks(answer: Tensor, xy: Tensor, visibility: Tensor, world: Tensor, steps: int = STEPS):
    """Refine poses to fit landmarks.

    Args:
        answer: `(n, 22, 3, 3)` local rotations, as predicted.
        xy: `(n, 39, 2)` BlazePose landmarks in pixels of the picture, y down.
        visibility: `(n, 39)` visibility of the landmarks, in [0, 1].
        world: `(n, 39, 3)` 3D landmarks: metres, x right, y up, z towards the viewer.
        steps: number of optimisation steps; 0 fits only the camera.

    Returns:
        rotations `(n, 22, 3, 3)`; cameras `(n, 3)`: pixels per metre, and the pelvis in pixels; and the mean distance
        of each pose from the visible landmarks `(n,)`, in metres on the body.
    """
    answer, rest = answer.float(), torch.tensor(REST_JOINTS, device=answer.device)
    problem = _Problem(answer, xy.to(answer), visibility.to(answer), world.to(answer), rest)
    rotations, camera = answer, problem.camera(answer)
    unit = camera[:, 0].clone()
    damping = answer.new_full((len(answer), 1), 1e-2)
    values, jacobian = problem.residuals(rotations, camera, unit) if steps else (None, None)
    for _ in range(steps):
        normal = jacobian.mT @ jacobian
        diagonal = normal.diagonal(dim1=1, dim2=2)
        damped = normal + torch.diag_embed(damping * diagonal + 1e-6)
        step = -torch.linalg.solve(damped, (jacobian.mT @ values[..., None]))[..., 0]
        turned = rotations @ axis_angle_to_matrix(step[:, :-3].unflatten(1, (NUM_JOINTS, 3)))
        moved = torch.cat(
            (camera[:, :1] * step[:, -3:-2].clamp(-1, 1).exp(), camera[:, 1:] + step[:, -2:] * unit[:, None]), dim=1
        )
        new_values, new_jacobian = problem.residuals(turned, moved, unit)
        better = new_values.square().sum(dim=1, keepdim=True) < values.square().sum(dim=1, keepdim=True)
        rotations = torch.where(better[..., None, None], turned, rotations)
        camera = torch.where(better, moved, camera)
        values = torch.where(better, new_values, values)
        jacobian = torch.where(better[..., None], new_jacobian, jacobian)
        damping = torch.where(better, damping / 3, damping * 10)
    flat = problem.markers_and_joints(rotations)[0][..., :2] * rest.new_tensor([1.0, -1.0])
    off = (flat + (camera[:, None, 1:] - problem.xy) / camera[:, None, :1]).norm(dim=-1)
    weights = problem.weights + 1e-3
    return rotations, camera, (weights * off).sum(dim=1) / weights.sum(dim=1)
