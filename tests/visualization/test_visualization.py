# SPDX-License-Identifier: Apache-2.0
"""Renderings and exported files: both renderers agree, and other readers load the same body."""

import concurrent.futures
import os
import signal
import time

import numpy as np
import pygltflib
import pytest
import torch
import trimesh

from unipose_hf.body import JOINT_NAMES, load_body
from unipose_hf.modeling.pose_unipose import Pose
from unipose_hf.visualization import (
    BodyPaint,
    Camera,
    Outfit,
    Renderer,
    contact_sheet,
    draw_pose,
    vertex_normals,
)
from unipose_hf.visualization.export import four_weights
from unipose_hf.visualization.outfit import HAIR_STYLES, PATTERNS


@pytest.fixture(scope="module")
def body():
    return load_body(size="small")


@pytest.fixture(scope="module")
def pose():
    return Pose(np.random.default_rng(3).normal(0, 0.35, (22, 3)), betas=np.linspace(-1, 1, 10))


@pytest.fixture(scope="module")
def posed(body, pose):
    output = body(torch.from_numpy(pose.matrix), torch.from_numpy(pose.betas.copy()))
    return output.joints.numpy(), output.vertices.numpy()


def test_camera_agrees_with_opencv_and_with_clip_space(posed):
    joints, vertices = posed
    camera = Camera.fit(vertices, 120, 80, azimuth=50, elevation=20, roll=7, box=(10, 5, 90, 70), center=(50, 45))
    pixels = camera.project(joints)
    opencv = camera.to_camera(joints) * (1, -1, -1)  # ours turned by 180 degrees about x
    intrinsics = np.array([[camera.focal, 0, 50], [0, camera.focal, 45], [0, 0, 1]])
    expected = opencv @ intrinsics.T
    np.testing.assert_allclose(pixels, expected[:, :2] / expected[:, 2:], rtol=1e-4)
    clip = np.c_[joints, np.ones(22)] @ camera.clip_matrix(120, 80).T
    np.testing.assert_allclose((clip[:, :2] / clip[:, 3:] + 1) / 2 * (120, 80), pixels, rtol=1e-3)
    box = np.r_[camera.project(vertices).min(0), camera.project(vertices).max(0)]
    assert (box >= (9.99, 4.99, 9.99, 4.99)).all() and (box <= (90.01, 70.01, 90.01, 70.01)).all()
    assert box[2] - box[0] > 79.9 or box[3] - box[1] > 64.9  # as close as the box allows


def test_camera_walks_and_climbs():
    cube = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], dtype=np.float32)
    assert Camera.fit(cube, 64, 64).position[2] > 2
    assert Camera.fit(cube, 64, 64, azimuth=90).position[0] > 2  # to the viewer's right, the body's left
    assert Camera.fit(cube, 64, 64, elevation=60).position[1] > 2
    assert Camera.fit(cube, 64, 64).project(np.array([0.0, 1, 0]))[1] < 32  # rows count downwards


def test_renderers_agree(body, posed):
    _, vertices = posed
    faces = body.faces.numpy()
    colors, _ = BodyPaint.of(body).dress(Outfit())
    camera = Camera.fit(vertices, 96, 128, azimuth=30)
    background = np.random.default_rng(0).integers(0, 255, (128, 96, 3), dtype=np.uint8)
    views = {}
    for backend in ("opengl", "software"):
        try:
            renderer = Renderer(96, 128, backend=backend)
        except RuntimeError as error:  # a machine without EGL: the message must say what to install
            assert backend == "opengl" and "libEGL" in str(error)
            return
        assert renderer.backend == backend
        views[backend] = renderer.render(
            vertices, faces, camera=camera, vertex_colors=colors, background=background, return_mask=True
        )
        picture, mask = views[backend]
        assert picture.shape == (128, 96, 3) and mask.shape == (128, 96)
        assert np.array_equal(picture[mask == 0], background[mask == 0])
    (picture, mask), (other, other_mask) = views.values()
    assert np.minimum(mask, other_mask).sum() / np.maximum(mask, other_mask).sum() > 0.98
    assert np.abs(picture.astype(int) - other)[(mask == 255) & (other_mask == 255)].mean() < 2


def test_renderer_keeps_buffers_apart(body, posed):
    renderer = Renderer(48, 48)
    _, vertices = posed
    camera = Camera.fit(vertices, 48, 48)
    first = renderer.render(vertices, body.faces.numpy(), camera=camera)
    triangle = np.array([[-0.1, 0, 0], [0.1, 0, 0], [0, 0.1, 0]], dtype=np.float32)
    small, mask = renderer.render(triangle, np.array([[0, 1, 2]]), camera=camera, return_mask=True)
    assert 0 < (mask > 0).sum() < 200
    assert np.array_equal(renderer.render(vertices, body.faces.numpy(), camera=camera), first)
    assert (first != 255).any() and not np.array_equal(small, first)


def test_renderer_in_threads_and_forked_children(body, posed):
    _, vertices = posed
    camera = Camera.fit(vertices, 32, 32)

    def picture() -> np.ndarray:
        return Renderer(32, 32).render(vertices, body.faces.numpy(), camera=camera)

    expected = picture()
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        for found in [pool.submit(picture) for _ in range(4)]:
            assert np.array_equal(found.result(), expected)
    child = os.fork()
    if child == 0:  # OpenGL would hang here, so numpy must take over
        close = np.abs(picture().astype(int) - expected).mean() < 2
        os._exit(0 if close and Renderer(32, 32).backend == "software" else 1)
    deadline = time.monotonic() + 120
    while (ended := os.waitpid(child, os.WNOHANG)) == (0, 0) and time.monotonic() < deadline:
        time.sleep(0.05)
    if ended == (0, 0):
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    assert ended == (child, 0)


def test_renderer_errors(posed):
    with pytest.raises(ValueError, match="backend"):
        Renderer(8, 8, backend="vulkan")
    camera = Camera.fit(posed[1], 8, 8)
    renderer = Renderer(8, 8, backend="software")
    with pytest.raises(ValueError, match="one mesh at a time"):
        renderer.render(posed[1][None], np.array([[0, 1, 2]]), camera=camera)
    with pytest.raises(ValueError, match="background"):
        renderer.render(posed[1], np.array([[0, 1, 2]]), camera=camera, background=np.zeros((9, 8, 3)))


def test_normals_point_outwards():
    sphere = trimesh.creation.icosphere(2)
    vertices = np.asarray(sphere.vertices, dtype=np.float32)
    np.testing.assert_allclose(vertex_normals(vertices, sphere.faces), vertices, atol=0.03)


def test_every_outfit_dresses(body):
    paint = BodyPaint.of(body)
    rng = np.random.default_rng(0)
    seen = set()
    for _ in range(60):
        outfit = Outfit.random(rng)
        colors, thickness = paint.dress(outfit)
        assert colors.shape == (body.num_vertices, 3) and 0 <= colors.min() and colors.max() <= 1
        assert 0 <= thickness.min() and thickness.max() < 0.03
        seen |= {outfit.hair_style, outfit.top_pattern}
    assert seen == set(HAIR_STYLES) | set(PATTERNS)
    assert Outfit.random(np.random.default_rng(5)) == Outfit.random(np.random.default_rng(5))


def test_draw_pose(body, pose):
    image = draw_pose(pose, size=(80, 64), body=body)
    assert image.size == (80, 64)
    assert np.array_equal(np.asarray(image), np.asarray(draw_pose(pose, size=(80, 64), body=body)))
    assert not np.array_equal(np.asarray(image), np.asarray(draw_pose(pose, size=(80, 64), body=body, azimuth=-90)))
    with pytest.raises(ValueError, match="size is 4"):
        draw_pose(pose, size=4, body=body)


def test_contact_sheet(pose):
    images = [np.zeros((40, 20, 3), dtype=np.uint8), draw_pose(pose, size=48), pose]
    sheet = contact_sheet(images, columns=2, labels=["a", "two words " * 9, "c"], cell=64, gap=4)
    assert sheet.width == 2 * 64 + 3 * 4 and sheet.height > 2 * 64
    with pytest.raises(ValueError, match="2 labels for 3 images"):
        contact_sheet(images, labels=["a", "b"])
    with pytest.raises(ValueError, match="empty"):
        contact_sheet([])


def accessor(file: pygltflib.GLTF2, number: int) -> np.ndarray:
    kind = file.accessors[number]
    view = file.bufferViews[kind.bufferView]
    dtype = {5121: np.uint8, 5123: np.uint16, 5125: np.uint32, 5126: np.float32}[kind.componentType]
    width = {"SCALAR": 1, "VEC3": 3, "VEC4": 4, "MAT4": 16}[kind.type]
    values = np.frombuffer(file.binary_blob(), dtype, kind.count * width, view.byteOffset)
    return values.reshape(kind.count, width)


def test_glb_skins_to_the_same_body(body, pose, posed, tmp_path):
    file = pygltflib.GLTF2().load(pose.save(tmp_path / "pose.glb", body=body))
    assert [file.nodes[i].name for i in file.skins[0].joints] == list(JOINT_NAMES)
    world = {}

    def visit(number: int, parent: np.ndarray) -> None:
        node = file.nodes[number]
        local = trimesh.transformations.quaternion_matrix(np.roll(node.rotation or (0, 0, 0, 1), 1))
        local[:3, 3] = node.translation or (0, 0, 0)
        world[number] = parent @ local
        for child in node.children or ():
            visit(child, world[number])

    for root in file.scenes[file.scene].nodes:
        visit(root, np.eye(4))
    primitive = file.meshes[0].primitives[0]
    rest = accessor(file, primitive.attributes.POSITION)
    bones, weights = (accessor(file, getattr(primitive.attributes, name)) for name in ("JOINTS_0", "WEIGHTS_0"))
    np.testing.assert_allclose(weights.sum(1), 1, atol=1e-5)
    inverse_bind = accessor(file, file.skins[0].inverseBindMatrices).reshape(22, 4, 4).transpose(0, 2, 1)
    matrices = np.stack([world[i] for i in file.skins[0].joints]) @ inverse_bind
    skinned = np.einsum("vk,vkij,vj->vi", weights, matrices[bones], np.c_[rest, np.ones(len(rest))])[:, :3]

    dense = np.zeros(body.lbs_weights.shape, dtype=np.float32)
    np.add.at(dense, (np.arange(len(dense))[:, None], bones.astype(int)), weights)
    four = load_body(size="small")
    four.lbs_weights = torch.from_numpy(dense)
    expected = four(torch.from_numpy(pose.matrix), torch.from_numpy(pose.betas.copy())).vertices.numpy()
    assert np.abs(skinned - expected).max() < 1e-4
    assert np.abs(skinned - posed[1]).max() < 0.01
    assert np.array_equal(accessor(file, primitive.indices).reshape(-1, 3), body.faces.numpy())
    assert len(trimesh.load(tmp_path / "pose.glb").geometry) == 1


def test_four_weights():
    bones, weights = four_weights(np.array([[0.1, 0.3, 0.2, 0.25, 0.15], [0, 0, 1.0, 0, 0]]))
    assert bones[0].tolist() == [1, 3, 2, 4] and bones[1].tolist() == [2, 0, 0, 0]
    np.testing.assert_allclose(weights, [[1 / 3, 0.25 / 0.9, 0.2 / 0.9, 0.15 / 0.9], [1, 0, 0, 0]])


def read_bvh_joints(text: str) -> tuple[dict[str, np.ndarray], int]:
    """Joint places in the first frame, by a reader of its own."""
    tokens = iter(text.split("MOTION")[0].split())
    frame = [float(x) for x in text.strip().splitlines()[-1].split()]
    places, ends, stack, name = {}, 0, [np.eye(4)], None
    for token in tokens:
        if token in ("ROOT", "JOINT", "End"):
            name = next(tokens)
        elif token == "OFFSET":
            local = np.eye(4)
            local[:3, 3] = [float(next(tokens)) for _ in range(3)]
            stack.append(stack[-1] @ local)
            ends += name == "Site"
            places.setdefault(name, stack[-1][:3, 3])
        elif token == "CHANNELS":
            for _ in range(int(next(tokens))):
                channel, value = next(tokens), frame.pop(0)
                axis = np.eye(3)["XYZ".index(channel[0])]
                if channel.endswith("position"):
                    step = trimesh.transformations.translation_matrix(value * axis)
                else:
                    step = trimesh.transformations.rotation_matrix(np.radians(value), axis)
                stack[-1] = stack[-1] @ step
        elif token == "}":
            stack.pop()
    assert not frame
    return places, ends


@pytest.mark.parametrize("locked", [False, True])
def test_bvh_stands_in_the_pose(body, pose, posed, tmp_path, locked):
    joints = posed[0]
    if locked:  # x at exactly 90 degrees, where the other two angles share one axis (gimbal lock)
        axis_angle = pose.axis_angle.copy()
        axis_angle[0], axis_angle[16] = (np.pi / 2, 0, 0), (-np.pi / 2, 0, 0)
        pose = Pose(axis_angle, pose.betas)
        joints = body.joints(torch.from_numpy(pose.matrix), torch.from_numpy(pose.betas.copy())).numpy()
    places, ends = read_bvh_joints(pose.save(tmp_path / "pose.bvh", body=body).read_text())
    assert ends == 5  # head, toes, hands
    read = np.stack([places[name] for name in JOINT_NAMES])
    np.testing.assert_allclose(read - read[0], joints - joints[0], atol=1e-4)


def test_obj_is_the_posed_mesh(body, pose, posed, tmp_path):
    mesh = trimesh.load(pose.save(tmp_path / "pose.obj", body=body), process=False)
    np.testing.assert_allclose(mesh.vertices, posed[1], atol=1e-6)
    assert np.array_equal(mesh.faces, body.faces.numpy())
