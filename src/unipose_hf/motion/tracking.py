# SPDX-License-Identifier: Apache-2.0
"""Follows people from key frame to key frame, by the overlap of their boxes.

On key frames there are detections; in between, the box of a person is interpolated. A person whom the detector misses
is followed by the box of the estimated keypoints, as long as the estimates are good.
"""

from dataclasses import dataclass, field

import numpy as np
from PIL import Image

from ..modeling.people_unipose import _overlap

MATCH_IOU = 0.3  # IoU from which a detection continues a track
DUPLICATE_IOU = 0.5  # IoU from which two tracks show one person
MIN_SCORE = 0.1  # of a pose that counts as a person
MIN_VISIBILITY = 0.3  # of a keypoint that counts as visible
MARGIN = 0.06  # by which a person is larger than the box of the keypoints, which end at eyes, wrists and ankles


@dataclass
class Track:
    """One person over time.

    Attributes:
        box: the person's box at the key frame `key_frame`.
        speed: (4,) how far its edges move per frame.
        detections: key frames on which the detector found the person.
        next_box: the box at the next key frame, if it is found there.
        estimates: the result of the pose estimate, by frame.
    """

    box: np.ndarray
    key_frame: int
    detections: int = 1
    speed: np.ndarray = field(default_factory=lambda: np.zeros(4))
    next_box: np.ndarray | None = None
    next_key_frame: int = 0
    estimates: dict[int, dict] = field(default_factory=dict)
    last_seen: int = 0

    def box_at(self, frame: int) -> np.ndarray:
        """The box (4,) at a frame: interpolated between two key frames, or extrapolated."""
        if self.next_box is not None:
            share = (frame - self.key_frame) / max(1, self.next_key_frame - self.key_frame)
            return (1 - share) * self.box + share * self.next_box
        return self.box + self.speed * (frame - self.key_frame)


class Tracker:
    """Assigns detections to people.

    For each segment between two key frames, call `expect`, then `add` for each frame and person, then `advance`.

    Args:
        patience: frames after which a person who was not seen is finished; whoever appears later is someone else.
    """

    def __init__(self, patience: int):
        self.patience = patience
        self.active: list[Track] = []
        self.finished: list[Track] = []
        self._unmatched: list[np.ndarray] = []

    def begin(self, frame: int, boxes: list) -> None:
        """The detections on the first key frame."""
        self.active = [Track(np.asarray(box, dtype=float), frame, last_seen=frame) for box in boxes]

    def expect(self, frame: int, boxes: list) -> None:
        """The detections on the next key frame: those that continue a track become its `next_box`."""
        boxes = [np.asarray(box, dtype=float) for box in boxes]
        for track, box in self._matched(self.active, [track.box_at(frame) for track in self.active], boxes):
            track.next_box, track.next_key_frame = box, frame
        matched = [id(track.next_box) for track in self.active if track.next_box is not None]
        self._unmatched = [box for box in boxes if id(box) not in matched]

    def add(self, track: Track, frame: int, person: dict) -> None:
        """Adds the estimate of a person on one frame."""
        track.estimates[frame] = person
        if person["score"] >= MIN_SCORE:
            track.last_seen = frame

    def advance(self, frame: int) -> None:
        """Goes to the next key frame: follows people whom the detector missed, and begins new tracks."""
        missed = [track for track in self.active if track.next_box is None]
        guesses = [_followed(track, frame) for track in missed]
        for track, box in self._matched(missed, guesses, self._unmatched):
            track.next_box, track.next_key_frame = box, frame
        continued = [track for track in self.active if track.next_box is not None]
        new_boxes = [box for box in self._unmatched if not any(box is track.next_box for track in continued)]
        for track in continued:
            box = np.asarray(track.next_box)
            track.speed = (box - track.box) / max(1, frame - track.key_frame)
            track.box, track.key_frame, track.next_box = box, frame, None
            track.detections += 1
        active = continued
        for track, guess in zip(missed, guesses, strict=True):
            if any(track is other for other in continued):
                continue
            is_duplicate = any(_overlap(guess, other.box) > DUPLICATE_IOU for other in continued)
            if is_duplicate or frame - track.last_seen > self.patience:
                self.finished.append(track)
            else:
                track.speed = (
                    (guess - track.box) / max(1, frame - track.key_frame)
                    if track.last_seen >= track.key_frame
                    else 0 * guess
                )
                track.box, track.key_frame = guess, frame
                active.append(track)
        self.active = active + [Track(box, frame, last_seen=frame) for box in new_boxes]
        self._unmatched = []

    def all_tracks(self) -> list[Track]:
        return self.finished + self.active

    @staticmethod
    def _matched(tracks, expected, boxes):
        """Pairs of a track and a box, those with the largest overlap first."""
        pairs = [(_overlap(a, b), i, k) for i, a in enumerate(expected) for k, b in enumerate(boxes)]
        used_tracks, used_boxes = set(), set()
        for overlap, i, k in sorted(pairs, key=lambda pair: -pair[0]):
            if overlap >= MATCH_IOU and i not in used_tracks and k not in used_boxes:
                used_tracks.add(i)
                used_boxes.add(k)
                yield tracks[i], boxes[k]


def _followed(track: Track, frame: int) -> np.ndarray:
    """The box (4,) at a frame, from the latest keypoints; the last box of the track if they are not good."""
    person = track.estimates.get(track.last_seen)
    box = None if person is None or track.last_seen < track.key_frame else box_of(person["keypoints"])
    return track.box if box is None else box


def box_of(keypoints: np.ndarray) -> np.ndarray | None:
    """The box (x0, y0, x1, y1) of a person, from the visible ones of keypoints (17, 3); None if there are too few."""
    points = keypoints[keypoints[:, 2] >= MIN_VISIBILITY, :2].astype(float)
    if len(points) < 4:
        return None
    low, high = points.min(0), points.max(0)
    margin = MARGIN * (high - low).max()
    return np.concatenate((low - margin, high + margin))


def inside(box: np.ndarray, picture: Image.Image) -> tuple[float, ...] | None:
    """The part of a box within a picture; None if hardly any is left."""
    width, height = picture.size
    x0, y0, x1, y1 = (float(edge) for edge in box)
    x0, y0, x1, y1 = max(x0, 0.0), max(y0, 0.0), min(x1, float(width)), min(y1, float(height))
    return None if min(x1 - x0, y1 - y0) < 4 else (x0, y0, x1, y1)
