# SPDX-License-Identifier: Apache-2.0
"""Exports a posed body for other programs: skinned GLB, BVH skeleton, OBJ mesh. All in metres, y up.

Each writer takes a `Pose` (or (22, 3) axis-angle) and optionally another body model, writes the file atomically, and
returns the path. The first two also take a list of poses: a motion, whose body has the shape of the first pose.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import roma
import torch
from numpy.typing import ArrayLike

from ..body import JOINT_NAMES, PARENTS, BodyModel
from ..modeling.pose_unipose import Pose, bundled_body, write_file
from .outfit import BodyPaint, Outfit
from .renderer import vertex_normals

FRAME_TIME = 1 / 30


def _posed(pose: Pose, body, rest: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Joints (22, 3) and vertices (V, 3) of the body in this pose, or in the T-pose, with the pose's betas."""
    rotations = torch.eye(3).expand(22, 3, 3) if rest else torch.from_numpy(pose.matrix)
    betas = None if pose.betas is None else torch.from_numpy(pose.betas.copy())
    with torch.no_grad():
        output = body(rotations, betas)
    return output.joints.cpu().numpy(), output.vertices.cpu().numpy()


def write_obj(path: str | os.PathLike, pose: Pose | ArrayLike, body: BodyModel | None = None) -> Path:
    """Writes only the posed mesh."""
    import trimesh

    pose, body = Pose(pose), body or bundled_body()
    _, vertices = _posed(pose, body)
    mesh = trimesh.Trimesh(vertices, body.faces.cpu().numpy(), process=False)  # keep the vertices' order
    return write_file(Path(path), trimesh.exchange.obj.export_obj(mesh).encode())


def write_bvh(
    path: str | os.PathLike,
    pose: Pose | ArrayLike | list[Pose],
    body: BodyModel | None = None,
    frame_time: float = FRAME_TIME,
    translation: ArrayLike | None = None,
    names: Sequence[str] = JOINT_NAMES,
) -> Path:
    """Writes the skeleton with one frame of motion, or one frame per pose for a list of poses.

    Offsets are the body's own T-pose, in metres. Each joint has the channels Zrotation Xrotation Yrotation in degrees,
    that is `R = Rz Rx Ry`; the pelvis has its position before them: `translation` (F, 3), by default the origin.
    `names` are those of the 22 joints.
    """
    poses = [Pose(one) for one in (pose if isinstance(pose, list) else [pose])]
    positions = np.zeros((len(poses), 3)) if translation is None else np.asarray(translation).reshape(len(poses), 3)
    body = body or bundled_body()
    joints, vertices = _posed(poses[0], body, rest=True)
    owner = body.lbs_weights.cpu().numpy().argmax(1)
    lines, order = ["HIERARCHY"], []

    def add(joint: int, depth: int) -> None:
        parent = PARENTS[joint]
        offset = joints[joint] - (joints[parent] if parent >= 0 else 0)
        indent = "\t" * depth
        channels = "3 Zrotation Xrotation Yrotation"
        if parent < 0:
            channels = "6 Xposition Yposition Zposition Zrotation Xrotation Yrotation"
        lines.append(f"{indent}{'ROOT' if parent < 0 else 'JOINT'} {names[joint]}")
        lines.append(f"{indent}{{\n{indent}\tOFFSET {_numbers(offset)}\n{indent}\tCHANNELS {channels}")
        order.append(joint)
        children = [child for child in range(len(PARENTS)) if PARENTS[child] == joint]
        for child in children:
            add(child, depth + 1)
        if not children:  # the crown, the toes and the finger tips: as far as the skin of the bone reaches
            bone = offset / np.linalg.norm(offset)
            reach = ((vertices[owner == joint] - joints[joint]) @ bone).max(initial=0.05)
            lines.append(
                f"{indent}\tEnd Site\n{indent}\t{{\n{indent}\t\tOFFSET {_numbers(reach * bone)}\n{indent}\t}}"
            )
        lines.append(f"{indent}}}")

    add(0, 0)
    lines += ["MOTION", f"Frames: {len(poses)}", f"Frame Time: {frame_time:.8f}"]
    for one, position in zip(poses, positions, strict=True):
        angles = roma.rotmat_to_euler("ZXY", torch.from_numpy(one.matrix).double(), degrees=True).numpy()[order]
        lines.append(_numbers([*position, *angles.reshape(-1)]))
    return write_file(Path(path), ("\n".join(lines) + "\n").encode())


def _numbers(values) -> str:
    return " ".join(f"{value:.6f}" for value in values)


def write_glb(
    path: str | os.PathLike,
    pose: Pose | ArrayLike | list[Pose],
    body: BodyModel | None = None,
    outfit: Outfit | None = None,
    frame_time: float = FRAME_TIME,
    translation: ArrayLike | None = None,
    names: Sequence[str] = JOINT_NAMES,
) -> Path:
    """Writes the skinned mesh on a skeleton of 22 named joints, in the given pose and ready for animation.

    For a list of poses the nodes rest in the T-pose, and an animation "motion" moves them: linear samplers of each
    joint's rotation and of the pelvis' position, `translation` (F, 3), by default the origin.

    A vertex keeps its four largest weights, glTF's limit for one set (the bundled body has no more). Pose-dependent
    correctives of SMPL-family bodies are not included.
    """
    from pygltflib import (
        ARRAY_BUFFER,
        ELEMENT_ARRAY_BUFFER,
        FLOAT,
        GLTF2,
        UNSIGNED_BYTE,
        UNSIGNED_INT,
        UNSIGNED_SHORT,
        Accessor,
        Animation,
        AnimationChannel,
        AnimationChannelTarget,
        AnimationSampler,
        Asset,
        Attributes,
        Buffer,
        BufferView,
        Material,
        Mesh,
        Node,
        PbrMetallicRoughness,
        Primitive,
        Scene,
        Skin,
    )

    poses = [Pose(one) for one in (pose if isinstance(pose, list) else [pose])]
    turns = _quaternions(np.stack([one.axis_angle for one in poses]).astype(np.float64))  # (F, 22, 4)
    positions = np.zeros((len(poses), 3)) if translation is None else np.asarray(translation).reshape(len(poses), 3)
    body = body or bundled_body()
    joints, vertices = _posed(poses[0], body, rest=True)
    faces = body.faces.cpu().numpy()
    bones, weights = four_weights(body.lbs_weights.cpu().numpy())
    colors, _ = BodyPaint.of(body).dress(outfit or Outfit())
    linear = np.where(colors <= 0.04045, colors / 12.92, ((colors + 0.055) / 1.055) ** 2.4)  # sRGB, as glTF requires
    inverse_bind = np.tile(np.eye(4, dtype=np.float32), (22, 1, 1))
    inverse_bind[:, :3, 3] = -joints

    file = GLTF2(asset=Asset(version="2.0", generator="unipose_hf"), scene=0)
    blob = bytearray()

    def add(array: np.ndarray, kind: str, component: int, target: int | None = None, **extra) -> int:
        """Append an array to the binary chunk; returns its accessor's number."""
        file.bufferViews.append(BufferView(buffer=0, byteOffset=len(blob), byteLength=array.nbytes, target=target))
        file.accessors.append(
            Accessor(
                bufferView=len(file.bufferViews) - 1, componentType=component, count=len(array), type=kind, **extra
            )
        )
        blob.extend(array.tobytes())
        blob.extend(bytes(-len(blob) % 4))
        return len(file.accessors) - 1

    bounds = {"min": vertices.min(0).tolist(), "max": vertices.max(0).tolist()}
    rgba = np.concatenate((linear, np.ones((len(linear), 1))), axis=1)
    attributes = Attributes(
        POSITION=add(vertices.astype(np.float32), "VEC3", FLOAT, ARRAY_BUFFER, **bounds),
        NORMAL=add(vertex_normals(vertices, faces), "VEC3", FLOAT, ARRAY_BUFFER),
        COLOR_0=add(np.round(rgba * 65535).astype(np.uint16), "VEC4", UNSIGNED_SHORT, ARRAY_BUFFER, normalized=True),
        JOINTS_0=add(bones.astype(np.uint8), "VEC4", UNSIGNED_BYTE, ARRAY_BUFFER),
        WEIGHTS_0=add(weights.astype(np.float32), "VEC4", FLOAT, ARRAY_BUFFER),
    )
    indices = add(faces.astype(np.uint32).reshape(-1), "SCALAR", UNSIGNED_INT, ELEMENT_ARRAY_BUFFER)
    # glTF counts matrices by columns
    binding = add(np.ascontiguousarray(inverse_bind.transpose(0, 2, 1)), "MAT4", FLOAT)

    moves = isinstance(pose, list)
    for joint, name in enumerate(names):
        offset = joints[joint] - (joints[PARENTS[joint]] if joint else 0 if moves else -positions[0])
        children = [child for child in range(22) if PARENTS[child] == joint]
        rotation = [0.0, 0.0, 0.0, 1.0] if moves else turns[0, joint].tolist()
        file.nodes.append(Node(name=name, translation=offset.tolist(), rotation=rotation, children=children))
    if moves:
        times = (np.arange(len(poses)) * frame_time).astype(np.float32)
        clock = add(times, "SCALAR", FLOAT, min=[float(times[0])], max=[float(times[-1])])
        animation = Animation(name="motion", channels=[], samplers=[])
        for joint, kind, values in [
            (0, "translation", joints[0] + positions),
            *((joint, "rotation", turns[:, joint]) for joint in range(22)),
        ]:
            output = add(values.astype(np.float32), f"VEC{values.shape[1]}", FLOAT)
            target = AnimationChannelTarget(node=joint, path=kind)
            animation.channels.append(AnimationChannel(sampler=len(animation.samplers), target=target))
            animation.samplers.append(AnimationSampler(input=clock, output=output, interpolation="LINEAR"))
        file.animations.append(animation)
    file.nodes.append(Node(name="body", mesh=0, skin=0))
    file.scenes.append(Scene(nodes=[0, 22]))
    file.skins.append(Skin(name="skeleton", joints=list(range(22)), skeleton=0, inverseBindMatrices=binding))
    surface = PbrMetallicRoughness(metallicFactor=0.0, roughnessFactor=0.8)
    file.materials.append(Material(name="body", pbrMetallicRoughness=surface))
    file.meshes.append(Mesh(name="body", primitives=[Primitive(attributes=attributes, indices=indices, material=0)]))
    file.buffers.append(Buffer(byteLength=len(blob)))
    file.set_binary_blob(bytes(blob))
    return write_file(Path(path), b"".join(file.save_to_bytes()))


def four_weights(weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Keep each vertex's four largest skinning weights: joint numbers (V, 4) and weights (V, 4) that sum to one."""
    bones = np.argsort(-weights, axis=1, kind="stable")[:, :4]
    kept = np.take_along_axis(weights, bones, axis=1)
    bones = np.where(kept > 0, bones, 0)  # glTF requires joint 0 where the weight is 0
    return bones, kept / kept.sum(1, keepdims=True)


def _quaternions(axis_angle: np.ndarray) -> np.ndarray:
    """Rotation vectors (F, ..., 3) to unit quaternions (F, ..., 4), x y z w.

    Of a quaternion and its negative, which are the same rotation, each frame has the one nearer to the frame before;
    otherwise a linear sampler would turn the long way round.
    """
    turns = roma.rotvec_to_unitquat(torch.from_numpy(axis_angle)).numpy()
    signs = np.where((turns[1:] * turns[:-1]).sum(-1, keepdims=True) < 0, -1.0, 1.0)
    turns[1:] *= np.cumprod(signs, axis=0)
    return turns
