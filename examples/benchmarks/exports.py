# SPDX-License-Identifier: Apache-2.0
"""Opens our BVH and GLB files with other programs, and compares every joint in every frame with ours.

    pip install bpy bvhio bvhTools pyyaml && npm install gltf-validator
    python examples/benchmarks/exports.py --output examples/benchmarks/results/exports.md

What is not installed is left out, with a line that says so. Fails if a joint is off by more than a millimetre, or if
the validator finds an error or a warning.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

import unipose_hf
from unipose_hf import Motion, Pose, named_pose
from unipose_hf.body import JOINT_NAMES
from unipose_hf.body.joints import MIXAMO_NAMES

ALLOWED = 1.0  # millimetres
FROM_Z_UP = np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]])
VALIDATE = """
const validator = require('gltf-validator'), fs = require('fs');
validator.validateBytes(new Uint8Array(fs.readFileSync(process.argv[1]))).then(
    (report) => console.log(JSON.stringify([validator.version(), report.issues])));
"""


def write_files(folder: Path, frames: int) -> list[tuple[Path, np.ndarray, float | None]]:
    """Files, the joints (F, 22, 3) that they should show, and the frame rate of motions."""
    walk = Motion.from_bvh(unipose_hf.sample("walk.bvh", folder))[:frames]
    path = np.stack([0.02 * np.arange(len(walk)), np.full(len(walk), 0.9), 0.01 * np.arange(len(walk))], axis=1)
    walk = Motion(walk, translation=path)
    turned = np.random.default_rng(0).normal(size=(22, 3))
    shaped = Pose(turned, betas=np.linspace(-2, 2, 10))
    files = []
    for suffix in ("bvh", "glb"):
        for name, pose in (("named", named_pose("warrior two")), ("turned, with betas", shaped)):
            files.append((pose.save(folder / f"pose {name}.{suffix}"), pose.joints[None], None))
        for names in ("smpl", "mixamo"):
            file = walk.save(folder / f"motion, {names} names.{suffix}", names=names)
            files.append((file, walk.joints, walk.frame_rate))
    return files


def in_our_order(places: dict[str, np.ndarray]) -> np.ndarray:
    """(22, 3) from places by name."""
    names = next(names for names in (JOINT_NAMES, MIXAMO_NAMES) if names[0] in places)
    return np.array([places[name] for name in names], dtype=np.float64)


def by_bvhio(path: Path, frames: int, rate: float | None) -> np.ndarray:
    import bvhio

    root, found = bvhio.readAsHierarchy(str(path)), []
    for frame in range(frames):
        root.loadPose(frame, recursive=True)
        found.append(in_our_order({joint.Name: tuple(joint.PositionWorld) for joint, _, _ in root.layout()}))
    return np.stack(found)


def by_bvhtools(path: Path, frames: int, rate: float | None) -> np.ndarray:
    from bvhTools.bvhIO import readBvh

    data = readBvh(str(path))
    kinematics = (data.getFKAtFrame(frame) for frame in range(frames))
    return np.stack([in_our_order({name: place for name, (_, place) in each.items()}) for each in kinematics])


def by_blender(path: Path, frames: int, rate: float | None) -> np.ndarray:
    import bpy

    bpy.ops.wm.read_factory_settings(use_empty=True)
    scene = bpy.context.scene
    if path.suffix == ".bvh":
        bpy.ops.preferences.addon_enable(module="io_anim_bvh")
        bpy.ops.import_anim.bvh(filepath=str(path), update_scene_fps=rate is not None)
    else:
        bpy.ops.preferences.addon_enable(module="io_scene_gltf2")
        scene.render.fps, scene.render.fps_base = round(rate or 30), 1.0
        bpy.ops.import_scene.gltf(filepath=str(path))
    [armature] = [one for one in scene.objects if one.type == "ARMATURE"]
    action = armature.animation_data.action if armature.animation_data else None
    first, found = round(action.frame_range[0]) if action else 1, []
    for frame in range(frames):
        scene.frame_set(first + frame)
        bones = {bone.name: armature.matrix_world @ bone.head for bone in armature.pose.bones}
        found.append(in_our_order(bones) @ FROM_Z_UP.T)
    return np.stack(found)


def by_trimesh(path: Path, frames: int, rate: float | None) -> np.ndarray:
    """Without animations, which trimesh does not read."""
    import trimesh

    graph = trimesh.load(path).graph
    return in_our_order({name: graph[name][0][:3, 3] for name in graph.nodes})[None]


def by_pygltflib(path: Path, frames: int, rate: float | None) -> np.ndarray:
    """Nodes and samplers as the specification of glTF reads them."""
    from pygltflib import GLTF2

    file = GLTF2.load_binary(str(path))
    blob, found = file.binary_blob(), []
    for frame in range(frames):
        places = {number: (node.translation, node.rotation) for number, node in enumerate(file.nodes)}
        for channel in file.animations[0].channels if file.animations else []:
            sampler = file.animations[0].samplers[channel.sampler]
            accessor = file.accessors[sampler.output]
            width, view = int(accessor.type[3]), file.bufferViews[accessor.bufferView]
            values = np.frombuffer(blob, np.float32, accessor.count * width, view.byteOffset).reshape(-1, width)
            move, turn = places[channel.target.node]
            moves = channel.target.path == "translation"
            places[channel.target.node] = (values[frame], turn) if moves else (move, values[frame])
        world, todo = {}, [(number, np.eye(4)) for number in file.scenes[0].nodes]
        for number, above in todo:  # grows
            world[file.nodes[number].name] = here = above @ _transform(*places[number])
            todo.extend((child, here) for child in file.nodes[number].children or [])
        found.append(in_our_order({name: matrix[:3, 3] for name, matrix in world.items()}))
    return np.stack(found)


def _transform(move, turn) -> np.ndarray:
    x, y, z, w = turn if turn is not None else (0, 0, 0, 1)
    matrix = np.eye(4)
    matrix[:3, :3] = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
        [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
        [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
    ]
    matrix[:3, 3] = 0 if move is None else move
    return matrix


READERS = {
    ".bvh": {"Blender": by_blender, "bvhio": by_bvhio, "bvhTools": by_bvhtools},
    ".glb": {"Blender": by_blender, "trimesh": by_trimesh, "pygltflib": by_pygltflib},
}
PACKAGES = {"Blender": "bpy", "bvhio": "bvhio", "bvhTools": "bvhTools", "trimesh": "trimesh", "pygltflib": "pygltflib"}


def version_of(reader: str) -> str:
    from importlib.metadata import version

    return f"{reader} {version(PACKAGES[reader])}"


def mesh_error(path: Path, pose: Pose) -> float:
    """The largest distance in millimetres of the vertices that Blender's skinning shows from ours."""
    import bpy

    by_blender(path, 1, None)
    [mesh] = [one for one in bpy.context.scene.objects if one.type == "MESH" and one.vertex_groups]
    shown = mesh.evaluated_get(bpy.context.evaluated_depsgraph_get())
    vertices = np.array([shown.matrix_world @ vertex.co for vertex in shown.data.vertices]) @ FROM_Z_UP.T
    return 1000 * float(np.linalg.norm(vertices - pose.vertices, axis=1).max())


def validated(path: Path, modules: Path) -> tuple[str, dict]:
    """The validator's version and its issues."""
    environment = os.environ | {"NODE_PATH": str(modules)}
    run = subprocess.run(["node", "-e", VALIDATE, str(path)], capture_output=True, text=True, env=environment)
    if run.returncode:
        raise ModuleNotFoundError(run.stderr.strip().split("\n")[0])
    return tuple(json.loads(run.stdout))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--frames", type=int, default=24, help="of the motion")
    parser.add_argument("--node-modules", type=Path, default=Path("node_modules"), help="holds gltf-validator")
    parser.add_argument("--output", type=Path, help="the table, in Markdown")
    arguments = parser.parse_args()
    lines, left_out, worst = [], [], 0.0

    def row(file: str, reader: str, frames: object, result: str) -> None:
        lines.append(f"| {file} | {reader} | {frames} | {result} |")
        print(lines[-1], flush=True)

    with tempfile.TemporaryDirectory() as folder:
        for path, expected, rate in write_files(Path(folder), arguments.frames):
            for reader, read in READERS[path.suffix].items():
                if reader == "trimesh" and rate is not None:
                    continue
                try:
                    found = read(path, len(expected), rate)
                except ModuleNotFoundError as error:
                    left_out.append(f"{reader} ({error})")
                    continue
                error = 1000 * float(np.linalg.norm(found - expected, axis=-1).max())
                worst = max(worst, error)
                row(path.name, version_of(reader), len(expected), f"{error:.4f} mm")
            if path.suffix == ".glb":
                if "named" in path.name and "Blender" not in " ".join(left_out):
                    error = mesh_error(path, named_pose("warrior two"))
                    worst = max(worst, error)
                    row(path.name, f"{version_of('Blender')}, vertices", 1, f"{error:.4f} mm")
                try:
                    version, issues = validated(path, arguments.node_modules)
                except (ModuleNotFoundError, FileNotFoundError) as error:
                    left_out.append(f"gltf-validator ({error})")
                    continue
                bad = issues["numErrors"] + issues["numWarnings"]
                worst = max(worst, float("inf") if bad else 0.0)
                counts = f"{issues['numErrors']} errors, {issues['numWarnings']} warnings, {issues['numInfos']} infos"
                row(path.name, f"gltf-validator {version}", "", counts)
    for one in sorted(set(left_out)):
        print(f"left out: {one}")
    if arguments.output:
        head = ["| file | reader | frames | largest error of a joint |", "| --- | --- | --- | --- |"]
        arguments.output.write_text("\n".join(["# Exports", "", *head, *lines, ""]), encoding="utf-8")
    sys.exit(worst > ALLOWED)


if __name__ == "__main__":
    main()
