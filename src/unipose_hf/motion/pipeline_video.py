# SPDX-License-Identifier: Apache-2.0
"""`pipeline("video-to-pose")`: a video -> the motions of the people in it."""

import os
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from ..modeling.pipeline_unipose import ImageToPosePipeline
from .animation_files import write_animation
from .motion import Motion
from .smoothing import interpolate_positions, interpolate_rotations, smooth_positions, window_of
from .tracking import MIN_SCORE, Track, Tracker, inside
from .video_files import Clip

KEY_SECONDS = 0.2  # between two frames on which the detector runs
PATIENCE = 0.5  # seconds without a good pose after which a track ends; shorter gaps are filled
OVERLAY_SIDE = 960  # pixels of the longer side of an overlay
DISTANCE_SECONDS = 1.0  # window of the distance's smoothing: the size of a person is a noisy measure of it


class VideoPeople(list):
    """List of the people in a video, each a dict; see `VideoToPosePipeline`. `clip` is the video."""

    def __init__(self, people: Iterable[dict[str, Any]], clip: Clip):
        super().__init__(people)
        self.clip = clip

    def overlay(self, path: str | os.PathLike) -> Path:
        """Draw the bodies on the frames that were processed, and write a .gif or .mp4."""
        return write_animation(Path(path), self._pictures(), self.clip.frame_rate)

    def _pictures(self):
        from ..visualization.overlay import draw_overlay  # imported here so that `import unipose_hf` stays fast

        for index, picture in self.clip:
            shown = []
            for number, person in enumerate(self):
                row = index - person["frames"][0] // self.clip.every
                if 0 <= row < len(person["motion"]):
                    camera = person["cameras"][row]
                    shown.append({"pose": person["motion"][row], "camera": camera, "number": number})
            yield draw_overlay(picture, shown, max_side=OVERLAY_SIDE)


class VideoToPosePipeline(ImageToPosePipeline):
    """
    `pipeline("video-to-pose")`: the path of a video -> a `VideoPeople` list of everyone in it, largest first; empty if
    nobody is found. A list of paths gives a list of them. Needs the extra `video`. Each person is a dict with

    * `motion`: a `Motion`, with the camera at the origin, at the frame rate of the processed frames;
    * `frames`: (start, end), the first frame of the video with the person, and the one after the last;
    * `score`: mean score of the poses, as for `image-to-pose`;
    * `scores`: (T,) score of each pose; 0 where it was filled in;
    * `cameras`: (T, 3), a weak-perspective camera for each pose, as for `image-to-pose`.

    The detector runs on five frames a second; in between, boxes are interpolated, and where it misses someone, the
    box follows the estimated keypoints. Boxes that overlap belong to one person. Poses are estimated by
    `image-to-pose`, gaps of up to half a second are filled by slerp, and everything is smoothed without lag
    (`Motion.smoothed`). People who were detected only once are left out. Frames are decoded as they are needed, so
    that memory does not grow with the video.

    The path of the pelvis assumes a still, level camera whose focal length is the picture's diagonal: directions are
    good, distances are rough. Cuts are not detected; split edited videos into their shots.

    `threshold` and the other options of `image-to-pose` apply to each frame.

    Args:
        inputs: path of a video of any format that FFmpeg reads.
        every: process every n-th frame. The motion's frame rate is lower accordingly.
        smooth: window of the smoothing in seconds; 0 turns it off.
        max_people: maximum number of people, the largest.
        batch_size: frames at once.

    Raises:
        FileNotFoundError, ValueError: there is no such file, or it is not a video; an option is wrong.
        ImportError: the extra `video` is not installed.
    """

    def __call__(
        self,
        inputs: Any = None,
        every: int = 1,
        smooth: float = 0.3,
        max_people: int | None = None,
        batch_size: int = 8,
        **options: Any,
    ) -> Any:
        if isinstance(inputs, list | tuple):
            return [self(one, every, smooth, max_people, batch_size, **options) for one in inputs]
        if not isinstance(inputs, str | os.PathLike):
            raise ValueError(f"video-to-pose takes the path of a video, but {type(inputs).__name__} was given.")
        if max_people is not None and max_people < 1:
            raise ValueError(f"max_people is {max_people}; it must be at least 1, or None for all.")
        if smooth < 0:
            raise ValueError(f"smooth is {smooth}; give seconds, or 0 to turn it off.")
        self._sanitize_parameters(**options)  # mistakes should not wait for the first frames
        clip = Clip(inputs, every)
        tracker, size, key_frames = self._follow(clip, batch_size, **options)
        needed = min(2, key_frames)
        tracks = [track for track in tracker.all_tracks() if track.detections >= needed and _has_good_pose(track)]
        people = [_person(track, clip, size, smooth) for track in sorted(tracks, key=_size, reverse=True)[:max_people]]
        if not people:
            warnings.warn(
                "Nobody was found in the video; give a lower threshold, or estimate single frames with their boxes.",
                stacklevel=2,
            )
        return VideoPeople(people, clip)

    def _follow(self, clip, batch_size, threshold=None, **options):
        """Decodes the clip once -> the tracks, the size of its frames, and the number of key frames."""
        step = max(1, round(KEY_SECONDS * clip.frame_rate))
        tracker = Tracker(patience=max(step, round(PATIENCE * clip.frame_rate)))
        segment, key_frames, size = [], 0, (0, 0)
        for index, picture in clip:
            if not segment or len(segment) == step:
                boxes, size = self._boxes(picture, threshold), picture.size
                key_frames += 1
                if segment:
                    tracker.expect(index, boxes)
                    self._estimate(segment, tracker, batch_size, options)
                    tracker.advance(index)
                    segment = []
                else:
                    tracker.begin(index, boxes)
            segment.append((index, picture))
        self._estimate(segment, tracker, batch_size, options)
        return tracker, size, key_frames

    def _boxes(self, picture, threshold):
        finder = self._people_finder()
        return [(0, 0, *picture.size)] if finder is None else [box for box, _ in finder(picture, threshold)]

    def _estimate(self, segment, tracker, batch_size, options):
        """Estimates everyone on the frames between two key frames."""
        items, tracks = [], []
        for index, picture in segment:
            boxes = [(track, inside(track.box_at(index), picture)) for track in tracker.active]
            boxes = [(track, box) for track, box in boxes if box is not None]
            if boxes:
                items.append({"image": picture, "boxes": [box for _, box in boxes]})
                tracks.append((index, [track for track, _ in boxes]))
        if not items:
            return
        for (index, owners), people in zip(
            tracks, super().__call__(items, batch_size=batch_size, **options), strict=True
        ):
            for track, person in zip(owners, people, strict=True):
                tracker.add(track, index, {key: person[key] for key in _KEPT_KEYS})


_KEPT_KEYS = ("pose", "score", "keypoints", "camera", "box")


def _has_good_pose(track: Track) -> bool:
    return any(person["score"] >= MIN_SCORE for person in track.estimates.values())


def _size(track: Track) -> float:
    """Median area of the boxes."""
    boxes = np.array([person["box"] for person in track.estimates.values()])
    return float(np.median((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])))


def _person(track: Track, clip: Clip, size: tuple[int, int], smooth: float) -> dict[str, Any]:
    """One track -> the result for a person: gaps filled, smoothed."""
    known = _used_frames(track, round(PATIENCE * clip.frame_rate))
    people = [track.estimates[frame] for frame in known]
    frames = np.arange(known[0], known[-1] + 1)
    rotations = interpolate_rotations(np.stack([person["pose"].axis_angle for person in people]), frames, known)
    cameras = interpolate_positions(np.array([person["camera"] for person in people]), frames, known)
    scores = np.zeros(len(frames), dtype=np.float32)
    scores[known - known[0]] = [person["score"] for person in people]
    cameras = smooth_positions(cameras, window_of(smooth, clip.frame_rate))
    smooth_scale = (
        smooth_positions(cameras[:, :1], window_of(DISTANCE_SECONDS, clip.frame_rate)) if smooth else cameras[:, :1]
    )
    motion = Motion(rotations, clip.frame_rate, _pelvis_positions(cameras, smooth_scale[:, 0], size))
    if smooth:
        motion = Motion(motion.smoothed(smooth), translation=motion.translation)
    return {
        "motion": motion,
        "frames": (int(frames[0]) * clip.every, int(frames[-1]) * clip.every + 1),
        "score": float(scores[known - known[0]].mean()),
        "scores": scores,
        "cameras": cameras,
    }


def _used_frames(track: Track, patience: int) -> np.ndarray:
    """The frames whose poses are used, ascending: good ones, and bad ones inside long gaps between these."""
    frames = np.array(sorted(track.estimates))
    good = np.array([frame for frame in frames if track.estimates[frame]["score"] >= MIN_SCORE])
    frames = frames[(frames >= good[0]) & (frames <= good[-1])]
    before = good[np.searchsorted(good, frames, side="right") - 1]
    after = good[np.searchsorted(good, frames)]
    return frames[(frames == before) | (after - before > patience + 1)]


def _pelvis_positions(cameras: np.ndarray, scale: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """(T, 3) positions of the pelvis in metres, in the camera's frame, from weak-perspective cameras (T, 3).

    Args:
        scale: (T,) pixels per metre, for the distance.
        size: width and height of the picture; its diagonal is taken as the focal length.
    """
    scale = np.maximum(scale, 1e-3)
    x, y = (cameras[:, 1] - size[0] / 2) / scale, (size[1] / 2 - cameras[:, 2]) / scale
    return np.stack((x, y, -np.hypot(*size) / scale), axis=1)
