# SPDX-License-Identifier: Apache-2.0
"""Reads videos frame by frame with PyAV, so that memory does not grow with their length."""

from collections.abc import Iterator
from pathlib import Path

from PIL import Image

from .animation_files import import_av

VIDEOS = (".mp4", ".mov", ".m4v", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".wmv", ".3gp")
# the anti-clockwise rotation that phones store instead of rotating the frames themselves
_TURNS = {90: Image.Transpose.ROTATE_90, 180: Image.Transpose.ROTATE_180, 270: Image.Transpose.ROTATE_270}


class Clip:
    """Every `every`-th frame of a video, at regular times; each iteration decodes the file again.

    Iterating gives pairs of an index and an upright RGB PIL image. Index `k` is the frame at `k / frame_rate` seconds;
    indices are skipped where the video has no frames, as in screen recordings and on some phones.

    Attributes:
        frame_rate: indices per second.
        every: frames of the video per index.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is not a video, or damaged; `every` is below 1.
        ImportError: PyAV is missing.
    """

    def __init__(self, path, every: int = 1):
        self.path, self.every = Path(path), every
        if every < 1:
            raise ValueError(f"every is {every}; take every frame (1), every second one (2), and so on.")
        if not self.path.is_file():
            raise FileNotFoundError(f"There is no video {self.path}; check the path.")
        with self._open() as container:
            stream = container.streams.video[0]
            self._rate = float(stream.average_rate or stream.guessed_rate or 30)
        self.frame_rate = self._rate / every

    def _open(self):
        av = import_av()
        try:
            container = av.open(str(self.path))
        except (av.FFmpegError, OSError) as error:
            reason = getattr(error, "strerror", None) or error
            raise ValueError(f"{self.path} cannot be read as a video ({reason}).") from None
        if not container.streams.video:
            container.close()
            raise ValueError(f"{self.path} has no pictures; give a video.")
        return container

    def __iter__(self) -> Iterator[tuple[int, Image.Image]]:
        av = import_av()
        with self._open() as container:
            stream = container.streams.video[0]
            stream.thread_type = "AUTO"
            start, count, wanted = None, 0, 0
            try:
                for frame in container.decode(stream):
                    seconds = count / self._rate if frame.time is None else frame.time
                    count += 1
                    start = seconds if start is None else start
                    native = round((seconds - start) * self._rate)
                    if native < wanted:
                        continue
                    index = native // self.every
                    wanted = (index + 1) * self.every
                    picture = frame.to_image()
                    turn = _TURNS.get(frame.rotation % 360)
                    yield index, picture if turn is None else picture.transpose(turn)
            except av.FFmpegError as error:
                raise ValueError(f"{self.path} is damaged after {count} frames ({error.strerror}).") from None
        if not count:
            raise ValueError(f"{self.path} has no pictures; give a video.")
