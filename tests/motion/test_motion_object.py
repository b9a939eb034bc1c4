# SPDX-License-Identifier: Apache-2.0
"""`Motion`: a sequence of poses that survives every file, smoothing that does not lag, and renders."""

import pickle

import numpy as np
import pygltflib
import pytest
import roma
import torch
from PIL import Image
from typer.testing import CliRunner

import unipose_hf
from rigs import MIXAMO
from unipose_hf import Motion, Pose
from unipose_hf.body import JOINT_NAMES, load_body
from unipose_hf.body.joints import MIXAMO_NAMES
from unipose_hf.cli import app
from unipose_hf.data.formats.pose_files import read_pose, read_poses
from unipose_hf.motion.smoothing import interpolate_rotations, smooth_rotations


@pytest.fixture(scope="module")
def body():
    return load_body(size="small")


@pytest.fixture(scope="module")
def walk(tmp_path_factory):
    """The bundled clip, 24 frames of it, with a path."""
    clip = Motion.from_bvh(unipose_hf.sample("walk.bvh", tmp_path_factory.mktemp("clip")))[:24]
    seconds = np.arange(24) / 30
    path = np.stack((0.3 * seconds, 0.9 + 0.02 * np.sin(9 * seconds), 1.2 * seconds), axis=1)
    return Motion(clip, translation=path)


def degrees_between(a, b):
    """Angles between rotation vectors."""
    a, b = (roma.rotvec_to_rotmat(torch.from_numpy(np.array(x, dtype=np.float64))) for x in (a, b))
    return np.degrees(roma.rotmat_geodesic_distance(a, b).numpy())


def test_is_a_sequence_of_poses(walk):
    assert len(walk) == 24 and walk.axis_angle.shape == (24, 22, 3) and walk.matrix.shape == (24, 22, 3, 3)
    assert walk[3] == Pose(walk.axis_angle[3]) and walk[-1] == list(walk)[23] and isinstance(walk[0], Pose)
    part = walk[4:10:2]
    assert isinstance(part, Motion) and len(part) == 3 and part.frame_rate == walk.frame_rate / 2
    assert part[1] == walk[6] and np.array_equal(part.translation, walk.translation[4:10:2])
    assert walk[::-1][0] == walk[-1] and walk[::-1].duration == walk.duration == 24 / 30
    assert Motion(list(walk), translation=walk.translation) == walk == Motion(walk)
    assert pickle.loads(pickle.dumps(walk)) == walk != walk[1:]
    shaped = Motion([Pose(pose, betas=np.ones(10)) for pose in walk])
    assert np.array_equal(shaped[2].betas, np.ones(10)) and np.array_equal(shaped[1:].betas, np.ones(10))
    assert np.array_equal(np.asarray(walk), walk.axis_angle)
    np.testing.assert_allclose(walk.joints[5] - walk.translation[5], walk[5].joints, atol=1e-6)
    with pytest.raises(ValueError):
        walk.axis_angle[0] = 1
    assert "24 frames at 30 per second, path of 1.0 m" in repr(walk)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Motion(np.zeros((22, 3))), r"poses has shape \(22, 3\); expected \(T, 22, 3\)"),
        (lambda: Motion(np.zeros((0, 22, 3))), "no frames"),
        (lambda: Motion(np.zeros((2, 22, 3)), translation=np.zeros((3, 3))), "3 rows for 2 poses"),
        (lambda: Motion(np.zeros((2, 22, 3)), frame_rate=0), "frame_rate is 0"),
        (lambda: Motion(np.full((2, 22, 3), 45.0)), "not degrees"),
        (lambda: Motion(np.stack((np.zeros((22, 3)), np.full((22, 3), np.nan)))), "in frame 1"),
        (lambda: Motion(np.zeros((1, 22, 3)), betas=np.zeros(3)), "betas has shape"),
        (lambda: Motion(np.zeros((1, 22, 3))).save("a.obj"), r"'a.obj' has the suffix '.obj'.*\.glb, \.bvh, \.npz"),
        (lambda: Motion(np.zeros((1, 22, 3))).save("a.glb", names="unreal"), "'smpl', 'mixamo'"),
        (lambda: Motion(np.zeros((1, 22, 3))).render("a.png"), r"\.gif, \.mp4"),
        (lambda: Motion(np.zeros((1, 22, 3))).resampled(-1), "frame_rate is -1"),
        (lambda: Motion.from_bvh("a.npz"), "Motion.from_file"),
    ],
)
def test_mistakes(make, words):
    with pytest.raises(ValueError, match=words):
        make()
    with pytest.raises(IndexError, match="1 frames"):
        Motion(np.zeros((1, 22, 3)))[1]


@pytest.mark.parametrize("names", ["smpl", "mixamo"])
@pytest.mark.parametrize("suffix", [".bvh", ".npz", ".glb"])
def test_files_bring_the_motion_back(walk, body, tmp_path, suffix, names):
    path = walk.save(tmp_path / f"walk{suffix}", body=body, names=names)
    again = Motion.from_file(path)
    assert len(again) == len(walk) and abs(again.frame_rate - 30) < 0.01
    assert degrees_between(again.axis_angle, walk.axis_angle).max() < 0.01
    np.testing.assert_allclose(again.translation, walk.translation, atol=1e-5)
    twice = Motion.from_file(again.save(tmp_path / f"again{suffix}", body=body, names=names))
    assert degrees_between(twice.axis_angle, walk.axis_angle).max() < 0.01
    assert np.allclose(read_poses(path).numpy(), again.axis_angle)  # what `unipose describe` reads
    assert degrees_between(read_pose(path, 7).axis_angle, walk[7].axis_angle).max() < 0.01


def test_npz_keeps_shape_and_rate(walk, tmp_path):
    shaped = Motion(walk, frame_rate=59.94, betas=np.linspace(-1, 1, 10))
    again = Motion.from_npz(shaped.save(tmp_path / "a.npz"))
    assert again.frame_rate == 59.94 and np.array_equal(again.betas, shaped.betas)
    with np.load(tmp_path / "a.npz") as data:
        np.testing.assert_allclose(data["trans"][:, 2], walk.translation[:, 1])  # z up, as in AMASS
        assert data["poses"].shape == (24, 165) and data["mocap_frame_rate"] == 59.94


def test_npz_of_other_programs(tmp_path):
    poses = np.zeros((4, 72))
    poses[:, 0] = np.pi / 2
    trans = np.array([[0.0, -k, 0.9] for k in range(4)])
    np.savez(tmp_path / "a.npz", poses=poses, trans=trans, gender="male", mocap_framerate=np.array(120.0))
    clip = Motion.from_npz(tmp_path / "a.npz")
    assert clip.frame_rate == 120 and clip.betas is None and np.allclose(clip.axis_angle, 0, atol=1e-6)
    np.testing.assert_allclose(clip.translation, [[0, 0.9, k] for k in range(4)], atol=1e-6)  # towards the viewer
    np.savez(tmp_path / "b.npz", poses=poses, trans=trans[:2], gender="male")
    clip = Motion.from_npz(tmp_path / "b.npz", frame_rate=50, up="z")
    assert clip.frame_rate == 50 and not clip.translation.any()
    assert Motion.from_npz(tmp_path / "b.npz", up="z").frame_rate == 30


def test_bvh_of_other_programs_in_their_units(walk, body, tmp_path):
    """The same motion in centimetres, on a body half as tall again, under names that the reader has to find."""
    text = walk.save(tmp_path / "ours.bvh", body=body).read_text()
    head, frames = text.split("MOTION\n")
    for ours, theirs in MIXAMO.items():
        head = head.replace(f" {ours}\n", f" {theirs}\n")
    lines = []
    for line in head.splitlines():
        if "OFFSET" in line:
            word, *numbers = line.split()
            line = f"{word} {' '.join(str(150 * float(number)) for number in numbers)}"
        lines.append(line)
    rows = frames.splitlines()
    for number, row in enumerate(rows[2:], 2):
        values = row.split()
        rows[number] = " ".join([*(str(150 * float(value)) for value in values[:3]), *values[3:]])
    (tmp_path / "theirs.bvh").write_text("\n".join([*lines, "MOTION", *rows]) + "\n")
    clip = Motion.from_bvh(tmp_path / "theirs.bvh")
    np.testing.assert_allclose(clip.translation, walk.translation, atol=2e-3)
    assert np.median(degrees_between(clip.axis_angle, walk.axis_angle)) < 1


def accessor(file, number):
    found = file.accessors[number]
    width = {"SCALAR": 1, "VEC3": 3, "VEC4": 4}[found.type]
    start = file.bufferViews[found.bufferView].byteOffset
    return np.frombuffer(file.binary_blob(), np.float32, found.count * width, start).reshape(-1, width)


def test_glb_is_animated_from_a_t_pose(body, tmp_path):
    spin = np.zeros((50, 22, 3))
    turn = np.linspace(0, 4 * np.pi - 0.1, 50)  # two whole turns, whose quaternions change sign
    spin[:, 0, 1] = np.arctan2(np.sin(turn), np.cos(turn))
    spin[:, 16, 2] = np.linspace(-1, 1, 50)
    clip = Motion(spin, 25, np.linspace((0, 1, 0), (2, 1, 0), 50))
    file = pygltflib.GLTF2().load(clip.save(tmp_path / "spin.glb", body=body, names="mixamo"))
    assert [file.nodes[joint].name for joint in file.skins[0].joints] == list(MIXAMO_NAMES)
    assert all(node.rotation in (None, [0, 0, 0, 1]) for node in file.nodes)
    [animation] = file.animations
    targets = {(c.target.node, c.target.path): animation.samplers[c.sampler] for c in animation.channels}
    assert set(targets) == {(0, "translation")} | {(joint, "rotation") for joint in range(22)}
    assert all(sampler.interpolation == "LINEAR" for sampler in targets.values())
    for joint in (0, 16):
        sampler = targets[joint, "rotation"]
        turns = accessor(file, sampler.output)
        np.testing.assert_allclose(np.linalg.norm(turns, axis=1), 1, atol=1e-6)
        assert (turns[1:] * turns[:-1]).sum(1).min() > 0.9  # the short way round, always
        matrices = roma.unitquat_to_rotmat(torch.from_numpy(turns.copy()))
        np.testing.assert_allclose(matrices, clip.matrix[:, joint], atol=1e-5)
        np.testing.assert_allclose(accessor(file, sampler.input)[:, 0], np.arange(50) / 25, atol=1e-6)
    clock = file.accessors[targets[0, "rotation"].input]
    assert clock.min == [0] and abs(clock.max[0] - 49 / 25) < 1e-6
    moved = accessor(file, targets[0, "translation"].output) - body.rest_joints[0].numpy()
    np.testing.assert_allclose(moved, clip.translation, atol=1e-6)


def test_on_floor_is_one_constant(walk, body, tmp_path):
    stood = walk.on_floor(body)
    step = stood.translation - walk.translation
    assert np.allclose(step, step[0]) and not step[:, [0, 2]].any()
    heights = [
        body(torch.from_numpy(pose.matrix)).vertices[:, 1].min() + y
        for pose, (_, y, _) in zip(stood, stood.translation, strict=True)
    ]
    assert abs(min(heights)) < 1e-5
    saved = Motion.from_npz(walk.save(tmp_path / "a.npz", body=body, on_floor=True))
    np.testing.assert_allclose(saved.translation, stood.translation, atol=1e-6)


def test_resampling_keeps_time(walk):
    twice = walk.resampled(60)
    assert len(twice) == 48 and twice.duration == walk.duration
    assert degrees_between(twice.axis_angle[::2], walk.axis_angle).max() < 0.01
    halfway = (degrees_between(twice.axis_angle[21], twice.axis_angle[k]) for k in (20, 22))
    np.testing.assert_allclose(*halfway, atol=1e-2)
    np.testing.assert_allclose(twice.translation[1], (walk.translation[0] + walk.translation[1]) / 2, atol=1e-6)


def test_interpolation_takes_the_short_way_round():
    turns = np.zeros((2, 1, 3))
    turns[:, 0, 1] = (3.0, -3.0)  # 16 degrees apart, through half a turn
    [middle] = interpolate_rotations(turns, np.array([0.5]))
    assert degrees_between(middle, np.array([[0, np.pi, 0]])).max() < 0.01


def test_smoothing_removes_noise_and_does_not_lag():
    pytest.importorskip("scipy")
    rng, seconds = np.random.default_rng(0), np.arange(120) / 60
    truth = np.zeros((120, 2, 3))
    truth[:, 0, 1] = 5 * seconds + 2  # through half a turn, where rotation vectors jump
    truth[:, 1, 0] = np.sin(6 * seconds)
    noisy = truth + rng.normal(0, 0.06, truth.shape)
    smooth = smooth_rotations(noisy, 15)
    before, after = (degrees_between(one, truth).mean() for one in (noisy, smooth))
    assert after < 0.5 * before
    delays = range(-5, 6)
    errors = [degrees_between(smooth[10:-10], truth[10 - k : 110 - k]).mean() for k in delays]
    assert delays[int(np.argmin(errors))] == 0
    assert np.array_equal(smooth_rotations(noisy, 3), noisy.astype(np.float32))
    assert Motion(np.zeros((2, 22, 3))).smoothed(9) == Motion(np.zeros((2, 22, 3)))


def test_gif_plays_in_real_time(walk, body, tmp_path):
    path = walk.render(tmp_path / "walk.gif", size=(64, 80), body=body)
    with Image.open(path) as animation:
        assert animation.size == (64, 80) and animation.n_frames == 20 and animation.info["duration"] == 40
        assert animation.info["loop"] == 0
        first = np.asarray(animation.convert("RGB")).astype(int)
        animation.seek(10)
        later = np.asarray(animation.convert("RGB")).astype(int)
    assert np.abs(first - later).max() > 60 and (first < 100).any()  # a body, which moves
    pictures = walk[:2].render(size=64, body=body, follow=False)
    assert [picture.size for picture in pictures] == [(64, 64)] * 2
    assert walk[::12]._repr_png_().startswith(b"\x89PNG")


def test_the_camera_follows_or_sees_the_whole_path(body):
    stand = Motion(np.zeros((2, 22, 3)), translation=[[0, 0, 0], [3, 0, 0]])
    near = [np.asarray(picture) for picture in stand.render(size=64, body=body, azimuth=0)]
    far = [np.asarray(picture) for picture in stand.render(size=64, body=body, azimuth=0, follow=False)]

    def columns(picture):
        return np.nonzero((picture.astype(int).sum(-1) < 380).any(0))[0]

    assert abs(columns(near[0]).mean() - columns(near[1]).mean()) < 2
    assert columns(far[1]).mean() - columns(far[0]).mean() > 20 and len(columns(far[0])) < 0.7 * len(columns(near[0]))


def test_mp4(walk, body, tmp_path):
    av = pytest.importorskip("av")
    path = walk[:6].render(tmp_path / "walk.mp4", size=(63, 80), body=body)
    with av.open(str(path)) as clip:
        stream = clip.streams.video[0]
        frames = [frame.to_ndarray(format="rgb24") for frame in clip.decode(stream)]
        assert float(stream.average_rate) == 30
    assert len(frames) == 6 and frames[0].shape == (80, 64, 3)  # even sides
    pictures = walk[:6].render(size=(63, 80), body=body)
    for frame, picture in zip(frames, pictures, strict=True):
        assert np.abs(frame[:, :63].astype(int) - np.asarray(picture)).mean() < 6
    assert [file.name for file in tmp_path.iterdir()] == ["walk.mp4"]


def test_command(walk, body, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    walk.save("walk.npz")
    run = lambda *words: CliRunner().invoke(app, list(words))  # noqa: E731
    result = run("motion", "walk.npz", "walk.bvh", "--every", "2", "--on-floor", "--names", "mixamo")
    assert result.exit_code == 0 and result.stdout == "walk.bvh (12 frames, 0.8 seconds)\n", result.output
    clip = Motion.from_bvh("walk.bvh")
    assert clip.frame_rate == 15 and degrees_between(clip.axis_angle, walk.axis_angle[::2]).max() < 0.01
    assert "mixamorig:LeftUpLeg" in (tmp_path / "walk.bvh").read_text()
    np.testing.assert_allclose(clip.translation, walk[::2].on_floor().translation, atol=1e-5)
    assert run("describe", "walk.bvh", "--every", "6").stdout.count("walk.bvh\t") == 2
    assert run("render", "walk.bvh", "--output", "walk.gif", "--every", "6", "--size", "64").exit_code == 0
    with Image.open("walk.gif") as animation:
        assert animation.n_frames == 2 and animation.info["duration"] == 400
    result = run("motion", "walk.npz", "walk.obj")
    assert result.exit_code == 2 and ".glb, .bvh, .npz, .gif, .mp4" in result.stderr
    assert len(JOINT_NAMES) == len(MIXAMO_NAMES) == len(set(MIXAMO_NAMES))
    for ours, theirs in zip(JOINT_NAMES, MIXAMO_NAMES, strict=True):
        assert theirs == f"mixamorig:{MIXAMO[ours]}"
