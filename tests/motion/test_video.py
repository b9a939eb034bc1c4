# SPDX-License-Identifier: Apache-2.0
"""Videos to motions: decoding, tracking by overlap, filling, and the pipeline on a rendered clip."""

import warnings
from fractions import Fraction

import numpy as np
import pytest
from PIL import Image
from transformers import pipeline
from typer.testing import CliRunner

import unipose_hf
from unipose_hf import Motion, Pose
from unipose_hf.body import load_body
from unipose_hf.cli import app
from unipose_hf.motion.animation_files import write_animation
from unipose_hf.motion.pipeline_video import _pelvis_positions, _person, _used_frames
from unipose_hf.motion.tracking import Track, Tracker, box_of
from unipose_hf.motion.video_files import Clip

SIZE = 160  # pixels of the side of one person's picture


def person(score=0.9, box=(0, 0, 10, 20), pose=None, camera=(100.0, 50.0, 60.0)):
    """An estimate of one person on one frame, whose visible keypoints fill the box."""
    x0, y0, x1, y1 = box
    keypoints = np.zeros((17, 3), dtype=np.float32)
    keypoints[:6] = [(x0, y0, 1), (x1, y0, 1), (x0, y1, 1), (x1, y1, 1), (x0, y0, 1), (900, 900, 0)]
    pose = Pose(np.zeros((22, 3))) if pose is None else pose
    return {"pose": pose, "score": score, "keypoints": keypoints, "camera": camera, "box": box}


def moved(box, x):
    return np.array(box, dtype=float) + (x, 0, x, 0)


def follow(tracker, step, detections, estimates):
    """Runs a tracker: boxes on each key frame, and `estimates(track, frame)` on every frame."""
    tracker.begin(0, detections[0])
    for number, boxes in enumerate(detections[1:], 1):
        tracker.expect(number * step, boxes)
        for frame in range((number - 1) * step, number * step):
            for track in tracker.active:
                tracker.add(track, frame, estimates(track, frame))
        tracker.advance(number * step)
    return tracker.all_tracks()


# --- tracking -------------------------------------------------------------------------------------------------------


def test_people_who_pass_each_other_stay_themselves():
    """One goes right, one left, at different heights; the detector lists them in any order."""
    starts = (np.array([0, 0, 40, 100.0]), np.array([200, 30, 240, 130.0]))
    detections = [[moved(starts[0], 15 * k), moved(starts[1], -15 * k)][:: (-1) ** k] for k in range(14)]
    tracks = follow(Tracker(10), 5, detections, lambda track, frame: person(box=tuple(track.box_at(frame))))
    assert len(tracks) == 2 and [track.detections for track in tracks] == [14, 14]
    for track, start, speed in zip(sorted(tracks, key=lambda track: track.box[1]), starts, (3, -3), strict=True):
        np.testing.assert_allclose(track.box, moved(start, 13 * 5 * speed))
        np.testing.assert_allclose(track.estimates[7]["box"], moved(start, 7 * speed))  # between two key frames


def test_who_is_missed_is_followed_by_keypoints():
    """The detector misses someone twice; the estimates on these frames lead to where it finds the person again."""
    start = np.array([0, 0, 40, 100.0])
    detections = [[moved(start, 10 * k)] if k not in (3, 4) else [] for k in range(8)]
    tracks = follow(Tracker(20), 5, detections, lambda track, frame: person(box=tuple(moved(start, 2 * frame))))
    assert len(tracks) == 1 and tracks[0].detections == 6 and sorted(tracks[0].estimates) == list(range(35))


def test_who_leaves_is_gone_and_who_comes_is_someone_else():
    start = np.array([0, 0, 40, 100.0])
    detections = [[start]] * 3 + [[]] * 4 + [[start]] * 3
    here = [frame for frame in range(45) if frame < 12 or frame >= 35]
    tracks = follow(Tracker(10), 5, detections, lambda track, frame: person(0.9 if frame in here else 0.01))
    assert len(tracks) == 2
    assert max(frame for frame, one in tracks[0].estimates.items() if one["score"] > 0.5) == 11
    assert min(tracks[1].estimates) == 35


def test_one_person_is_not_two():
    """A track that the detector lost does not stay on a person whom another track follows."""
    left, right = np.array([0, 0, 40, 100.0]), np.array([60, 0, 100, 100.0])
    detections = [[left, right], [left, right], [left], [left], [left]]
    tracks = follow(Tracker(100), 5, detections, lambda track, frame: person(box=tuple(left)))
    assert len(tracks) == 2 and len(tracks[0].estimates) + len(tracks[1].estimates) == 20 + 10


def test_box_of_keypoints():
    x0, y0, x1, y1 = box_of(person(box=(10, 20, 50, 120))["keypoints"])
    assert x0 < 10 and y0 < 20 and 50 < x1 < 100 and 120 < y1 < 200  # the hidden one at 900 does not count
    assert box_of(np.zeros((17, 3))) is None


# --- from tracks to motions -----------------------------------------------------------------------------------------


class FakeClip:
    frame_rate, every = 10.0, 3


def turned(angle):
    vectors = np.zeros((22, 3))
    vectors[16, 2] = angle
    return Pose(vectors)


def test_gaps_are_filled_by_slerp():
    pytest.importorskip("scipy")
    found = {k: person(0.9, pose=turned(0.1 * k), camera=(100.0, 10.0 * k, 60.0)) for k in range(2, 20)}
    found[5] = person(0.02, pose=turned(3.0))  # a bad pose between good ones
    del found[9], found[10]
    result = _person(Track(np.zeros(4), 0, estimates=found), FakeClip(), (300, 200), smooth=0.5)
    assert result["frames"] == (6, 58) and len(result["motion"]) == 18 and result["motion"].frame_rate == 10
    np.testing.assert_allclose(result["motion"].axis_angle[:, 16, 2], 0.1 * np.arange(2, 20), atol=0.01)
    assert not result["scores"][[3, 7, 8]].any() and result["score"] == pytest.approx(0.9)
    np.testing.assert_allclose(result["cameras"][:, 1], 10.0 * np.arange(2, 20), atol=1e-3)


def test_smoothing_is_on_request():
    pytest.importorskip("scipy")
    rng = np.random.default_rng(0)
    found = {k: person(0.9, pose=turned(0.05 * k + rng.normal(0, 0.1))) for k in range(40)}
    angles = [
        _person(Track(np.zeros(4), 0, estimates=found), FakeClip(), (9, 9), s)["motion"].axis_angle for s in (0, 0.9)
    ]
    raw, smooth = (np.abs(angle[:, 16, 2] - 0.05 * np.arange(40)).mean() for angle in angles)
    assert smooth < 0.7 * raw
    np.testing.assert_allclose(angles[0], [one["pose"].axis_angle for one in found.values()], atol=1e-5)


def test_bad_poses_are_better_than_none_for_long():
    scores = [0.01] + [0.9] * 3 + [0.01] * 2 + [0.9] * 3 + [0.01] * 9 + [0.9] * 2 + [0.01]
    track = Track(np.zeros(4), 0, estimates={k: person(score) for k, score in enumerate(scores)})
    assert _used_frames(track, 5).tolist() == [1, 2, 3, 6, 7, 8, *range(9, 18), 18, 19]


def test_positions_are_metres_from_the_camera():
    size, focal = (600, 800), 1000
    truth = np.array([[0.5, -0.2, -4.0], [-1.0, 0.3, -8.0]])
    scale = focal / -truth[:, 2]
    cameras = np.stack((scale, 300 + scale * truth[:, 0], 400 - scale * truth[:, 1]), axis=1)
    np.testing.assert_allclose(_pelvis_positions(cameras, scale, size), truth)


# --- files ----------------------------------------------------------------------------------------------------------


def test_clip_streams_every_nth_frame(tmp_path):
    pytest.importorskip("av")
    shades = [Image.new("RGB", (64, 48), (10 * k, 10 * k, 10 * k)) for k in range(20)]
    clip = Clip(write_animation(tmp_path / "a.mp4", shades, 10), every=4)
    assert clip.frame_rate == 2.5
    for _ in range(2):  # each time from the start
        found = list(clip)
        assert [index for index, _ in found] == [0, 1, 2, 3, 4]
        for index, picture in found:
            assert picture.size == (64, 48) and abs(np.asarray(picture).mean() - 40 * index) < 6
    with pytest.raises(ValueError, match="every is 0"):
        Clip(tmp_path / "a.mp4", every=0)
    with pytest.raises(FileNotFoundError, match="none.mp4"):
        Clip(tmp_path / "none.mp4")
    (tmp_path / "text.mp4").write_text("not a video")
    with pytest.raises(ValueError, match=r"text\.mp4 cannot be read as a video"):
        Clip(tmp_path / "text.mp4")


def test_clip_with_pauses_keeps_time(tmp_path):
    """A recorder that writes no frame while nothing changes: times count, not frames."""
    av = pytest.importorskip("av")
    with av.open(str(tmp_path / "a.mkv"), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.time_base = Fraction(1, 10)
        for k in (*range(10), *range(15, 30)):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 8 * k, dtype=np.uint8), format="rgb24")
            frame.pts, frame.time_base = k, Fraction(1, 10)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    clip = Clip(tmp_path / "a.mkv")
    clip._rate = clip.frame_rate = 10.0
    assert [index for index, _ in clip] == [*range(10), *range(15, 30)]


# --- the pipeline ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def estimate():
    return pipeline("video-to-pose", device="cpu")


@pytest.fixture(scope="module")
def walks(tmp_path_factory):
    """Two people walking on the spot, side by side, the left one larger and facing us; the truth and the video."""
    pytest.importorskip("av")
    folder = tmp_path_factory.mktemp("walk")
    clip = Motion.from_bvh(unipose_hf.sample("walk.bvh", folder))[:16:2]
    body = load_body(size="small")
    renders = [clip.render(size=SIZE, body=body, azimuth=azimuth) for azimuth in (0, 40)]
    frames = []
    for near, far in zip(*renders, strict=True):
        frame = Image.new("RGB", (2 * SIZE, SIZE), (236, 238, 241))
        frame.paste(near, (0, 0))
        frame.paste(far.resize((SIZE * 3 // 4,) * 2), (SIZE + 20, SIZE // 4))
        frames.append(frame)
    return clip, write_animation(folder / "walk.mp4", frames, clip.frame_rate)


def test_two_people_walk(estimate, walks, tmp_path):
    truth, path = walks
    people = estimate(path)
    assert [person["frames"] for person in people] == [(0, 8), (0, 8)]
    x = [person["motion"].translation[:, 0].mean() for person in people]
    assert x[0] < 0 < x[1]  # the larger one first, who is on the left
    for one in people:
        motion = one["motion"]
        assert len(motion) == len(truth) and motion.frame_rate == 15 and 0.2 < one["score"] < 1
        assert one["cameras"].shape == (8, 3) and one["scores"].shape == (8,)
    errors = np.linalg.norm(people[0]["motion"].joints - people[0]["motion"].joints[:, :1] - truth.joints, axis=-1)
    assert errors.mean() < 0.15
    animation = people.overlay(tmp_path / "overlay.gif")
    with Image.open(animation) as drawn:
        assert drawn.size == (2 * SIZE, SIZE) and drawn.n_frames == 8


def test_every_nth_frame_and_nobody(estimate, walks, tmp_path):
    _, path = walks
    [one] = estimate(str(path), every=3, max_people=1)
    assert len(one["motion"]) == 3 and one["motion"].frame_rate == 5 and one["frames"] == (0, 7)
    grey = write_animation(tmp_path / "grey.mp4", [Image.new("RGB", (64, 64), (90, 90, 90))] * 3, 5)
    with pytest.warns(UserWarning, match="Nobody was found in the video"):
        assert estimate([grey]) == [[]]
    for mistake, words in (({"every": 0}, "every"), ({"smooth": -1}, "smooth"), ({"max_people": 0}, "max_people")):
        with pytest.raises(ValueError, match=words):
            estimate(path, **mistake)
    with pytest.raises(ValueError, match="threshold"):
        estimate(path, threshold=7)
    with pytest.raises(ValueError, match="ndarray was given"):
        estimate(np.zeros((2, 4, 4, 3)))


def test_command(walks, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    _, path = walks
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        result = CliRunner().invoke(app, ["estimate", str(path), "--every", "4", "--max-people", "1"])
    assert result.exit_code == 0, result.output
    assert sorted(file.name for file in (tmp_path / "poses").iterdir()) == ["walk-overlay.mp4", "walk.glb", "walk.npz"]
    assert len(Motion.from_npz("poses/walk.npz")) == len(Motion.from_glb("poses/walk.glb")) == 2
    assert "2 frames" in result.stdout
    result = CliRunner().invoke(app, ["estimate", str(path), "--box", "0,0,9,9"])
    assert result.exit_code == 2 and "--box" in result.stderr
    grey = write_animation(tmp_path / "grey.mp4", [Image.new("RGB", (64, 64), (90, 90, 90))] * 3, 5)
    result = CliRunner().invoke(app, ["estimate", str(grey)])
    assert result.exit_code == 0 and "grey.mp4: nobody was found" in result.stdout
