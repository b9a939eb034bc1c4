# SPDX-License-Identifier: Apache-2.0
"""`Motion`: the poses of one person over time."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy as np
import torch
from numpy.typing import ArrayLike
from PIL import Image

from ..body import JOINT_NAMES
from ..body.joints import MIXAMO_NAMES
from ..modeling.pose_unipose import NUM_JOINTS, Pose, bundled_body, npz_of, write_file
from ..modeling.rotation_unipose import axis_angle_to_matrix
from .animation_files import ANIMATION_SUFFIXES, write_animation
from .smoothing import interpolate_positions, interpolate_rotations, smooth_positions, smooth_rotations, window_of

if TYPE_CHECKING:
    from ..data.formats.motion_files import MotionArrays

# Readers and renderers are imported where they are used: `import unipose_hf` imports this file.
SUFFIXES = (".glb", ".bvh", ".npz")
NAMES = {"smpl": JOINT_NAMES, "mixamo": MIXAMO_NAMES}
_CHUNK = 32  # frames whose vertices are in memory


class Motion(Sequence[Pose]):
    """The poses of one person over time. Immutable.

    `motion[i]` is a `Pose`, a slice is a `Motion` (`motion[::2]` has half the frame rate), and iterating gives poses.
    Frame, units and joints are those of `Pose`.

    Args:
        poses: (T, 22, 3) rotation vectors in radians, a list of poses, or another `Motion`.
        frame_rate: frames per second.
        translation: (T, 3) positions of the pelvis in metres; by default the origin.
        betas: (10,) body shape, as for `Pose`.

    Raises:
        ValueError: no frames, a wrong shape, NaN or infinite values, rotations that are not in radians, or a frame
            rate that is not positive.
    """

    __slots__ = ("_axis_angle", "_betas", "_frame_rate", "_translation")

    def __init__(
        self,
        poses: ArrayLike | Sequence[Pose] | Motion,
        frame_rate: float | None = None,
        translation: ArrayLike | None = None,
        betas: ArrayLike | None = None,
    ) -> None:
        if isinstance(poses, Motion):
            frame_rate = poses.frame_rate if frame_rate is None else frame_rate
            translation = poses.translation if translation is None else translation
            betas = poses.betas if betas is None else betas
            poses = poses.axis_angle
        elif isinstance(poses, list | tuple) and poses and hasattr(poses[0], "axis_angle"):
            betas = poses[0].betas if betas is None else betas
            poses = [Pose(pose).axis_angle for pose in poses]
        self._axis_angle = _numbers(poses, "poses", (NUM_JOINTS, 3))
        frames = len(self._axis_angle)
        if not frames:
            raise ValueError("The motion has no frames; expected poses of shape (T, 22, 3) with T of at least 1.")
        turns = np.linalg.norm(self._axis_angle, axis=-1).max(1)
        Pose(self._axis_angle[int(turns.argmax())])  # raises for degrees, and for positions instead of rotations
        given = np.zeros((frames, 3)) if translation is None else translation
        self._translation = _numbers(given, "translation", (3,))
        if len(self._translation) != frames:
            raise ValueError(f"translation has {len(self._translation)} rows for {frames} poses; expected one each.")
        self._betas = None if betas is None else Pose(self._axis_angle[0], betas).betas
        self._frame_rate = 30.0 if frame_rate is None else float(frame_rate)
        if not 0 < self._frame_rate < float("inf"):
            raise ValueError(f"frame_rate is {frame_rate}; expected a positive number of frames per second.")

    # --- files ----------------------------------------------------------------------------------------------------

    @classmethod
    def from_file(
        cls,
        path: str | os.PathLike,
        frame_rate: float | None = None,
        up: str | None = None,
        facing: str | None = None,
        joint_map: dict[str, str] | None = None,
        person: str | None = None,
    ) -> Motion:
        """From any file of poses: .bvh, .npz, .glb, .json, .pkl or .pt, by its suffix.

        Args:
            frame_rate: frames per second; by default as in the file, or 30 if the file does not specify one.
            up, facing, joint_map: as for `Pose.from_bvh`.
            person: which of several people in a result of another program.

        The path of the pelvis is read from .bvh, AMASS-style .npz and our own .glb; for others it is the origin.
        """
        from ..data.formats.motion_files import read_motion

        found = read_motion(path, up=up, facing=facing, joint_map=joint_map, person=person)
        return cls._of(found, frame_rate, path)

    @classmethod
    def from_bvh(
        cls,
        path: str | os.PathLike,
        up: str | None = None,
        facing: str | None = None,
        joint_map: dict[str, str] | None = None,
    ) -> Motion:
        """From a BVH motion with any common skeleton; arguments as for `Pose.from_bvh`.

        Rotations are retargeted to our skeleton. Positions are scaled by the length of the legs, whatever the file's
        unit: metres, and steps of the right length.
        """
        return cls.from_file(_of_kind(path, ".bvh"), up=up, facing=facing, joint_map=joint_map)

    @classmethod
    def from_npz(
        cls,
        path: str | os.PathLike,
        frame_rate: float | None = None,
        up: str | None = None,
        facing: str | None = None,
    ) -> Motion:
        """From an AMASS-style file; arguments as for `Pose.from_npz`, and `frame_rate` for files without one.

        `trans` is taken as the position of the pelvis. In SMPL-family bodies the pelvis is displaced from it by a
        constant: horizontally in AMASS's z-up world, but some 0.3 m down in a y-up one; `on_floor` corrects this.
        `betas` are kept only from files that `save` wrote, as for `Pose.from_npz`.
        """
        return cls.from_file(_of_kind(path, ".npz"), frame_rate, up=up, facing=facing)

    @classmethod
    def from_glb(cls, path: str | os.PathLike) -> Motion:
        """From an animated .glb file that `save` wrote (without its body shape, which is in the mesh)."""
        return cls.from_file(_of_kind(path, ".glb"))

    @classmethod
    def _of(cls, found: MotionArrays, frame_rate: float | None, path: object) -> Motion:
        try:
            return cls(found.rotations, frame_rate or found.frame_rate, found.translation, found.betas)
        except ValueError as error:
            raise ValueError(f"{path} cannot be read as a motion: {error}") from None

    def save(self, path: str | os.PathLike, body: Any = None, on_floor: bool = False, names: str = "smpl") -> Path:
        """Write a file whose format follows from its suffix, and return its path.

        .glb: animated skinned mesh (Blender, game engines, web viewers), resting in the T-pose; .bvh: skeleton and
        motion, in metres; .npz: AMASS-style, z up. Files are written atomically.

        Args:
            body: replaces the bundled body model in .glb and .bvh.
            on_floor: save `self.on_floor(body)` instead.
            names: joint names in .glb and .bvh: "smpl", or "mixamo" for programs that know Mixamo's rig.

        Raises:
            ValueError: unknown suffix or `names`. FileNotFoundError: the folder does not exist.
        """
        from ..visualization.export import write_bvh, write_glb

        path = _checked_path(path, SUFFIXES, "a motion can be saved as")
        if names not in NAMES:
            raise ValueError(f"names is {names!r}; expected one of {', '.join(map(repr, NAMES))}.")
        if on_floor:
            return self.on_floor(body).save(path, body, names=names)
        if path.suffix.lower() == ".npz":
            return write_file(path, npz_of(self._axis_angle, self._translation, self._betas, self._frame_rate))
        write = write_glb if path.suffix.lower() == ".glb" else write_bvh
        return write(
            path,
            list(self),
            body=body,
            frame_time=1 / self._frame_rate,
            translation=self._translation,
            names=NAMES[names],
        )

    def render(
        self,
        path: str | os.PathLike | None = None,
        size: int | tuple[int, int] = 320,
        body: Any = None,
        frame_rate: float | None = None,
        **view: Any,
    ) -> Path | list[Image.Image]:
        """Render the motion as a .gif or .mp4 (extra `video`), in real time, and return its path.

        Args:
            path: the file; without it, a list of RGB PIL images is returned.
            size: width and height in pixels, or one number for both.
            frame_rate: frames per second of the pictures; by default those of the motion, but at most 25 in a .gif,
                whose frames last whole hundredths of a second.
            view: see `unipose_hf.visualization.draw_motion`, for example `azimuth=90, follow=False`.
        """
        from ..visualization.motion import draw_motion

        path = None if path is None else _checked_path(path, ANIMATION_SUFFIXES, "a motion can be rendered as")
        rate = self._frame_rate if frame_rate is None else frame_rate
        if path is not None and path.suffix.lower() == ".gif":
            rate = 100 / np.ceil(100 / min(rate, 25.0) - 1e-6)
        shown = self if rate == self._frame_rate else self.resampled(rate)
        pictures = draw_motion(list(shown), shown.translation, size=size, body=body, **view)
        return list(pictures) if path is None else write_animation(path, pictures, shown.frame_rate)

    # --- attributes -----------------------------------------------------------------------------------------------

    @property
    def axis_angle(self) -> np.ndarray:
        """(T, 22, 3) float32 rotation vectors in radians, read-only."""
        return self._axis_angle

    @property
    def translation(self) -> np.ndarray:
        """(T, 3) float32 positions of the pelvis in metres, read-only."""
        return self._translation

    @property
    def frame_rate(self) -> float:
        """Frames per second."""
        return self._frame_rate

    @property
    def betas(self) -> np.ndarray | None:
        """(10,) body shape, or None for the average body."""
        return self._betas

    @property
    def duration(self) -> float:
        """Length in seconds: each frame lasts `1 / frame_rate`."""
        return len(self) / self._frame_rate

    @property
    def matrix(self) -> np.ndarray:
        """(T, 22, 3, 3) float32 local rotation matrices."""
        return axis_angle_to_matrix(torch.from_numpy(self._axis_angle.copy())).numpy()

    @property
    def joints(self) -> np.ndarray:
        """(T, 22, 3) joint positions of the bundled body in metres; the pelvis is at `translation`."""
        betas = None if self._betas is None else torch.from_numpy(self._betas.copy())
        with torch.no_grad():
            return bundled_body().joints(torch.from_numpy(self.matrix), betas).numpy() + self._translation[:, None]

    # --- changes --------------------------------------------------------------------------------------------------

    def on_floor(self, body: Any = None) -> Motion:
        """The motion moved up or down by one constant, so that its lowest point is at height 0.

        The lowest point is that of the mesh (`body`, or the bundled body) over all frames; jumps stay jumps.
        """
        from ..visualization.motion import posed_vertices

        body, lowest = body or bundled_body(), np.inf
        for start in range(0, len(self), _CHUNK):
            poses = [self[frame] for frame in range(start, min(start + _CHUNK, len(self)))]
            heights = posed_vertices(body, poses, self._betas)[..., 1].min(1)
            lowest = min(lowest, float((heights + self._translation[start : start + _CHUNK, 1]).min()))
        return Motion(self, translation=self._translation - np.array([0.0, lowest, 0.0]))

    def resampled(self, frame_rate: float) -> Motion:
        """The motion at another frame rate, by slerp and linear interpolation; duration and speed stay."""
        if not 0 < frame_rate < float("inf"):
            raise ValueError(f"frame_rate is {frame_rate}; expected a positive number of frames per second.")
        count = max(1, round(len(self) * frame_rate / self._frame_rate))
        at = np.arange(count) * self._frame_rate / frame_rate
        rotations, places = interpolate_rotations(self._axis_angle, at), interpolate_positions(self._translation, at)
        return Motion(rotations, frame_rate, places, self._betas)

    def smoothed(self, seconds: float = 0.3) -> Motion:
        """The motion smoothed by a Savitzky-Golay filter over windows of `seconds`, which does not lag (needs scipy).

        Longer windows are smoother, and flatten fast movements; windows of less than 5 frames change nothing.
        """
        window = window_of(seconds, self._frame_rate)
        rotations = smooth_rotations(self._axis_angle, window)
        return Motion(rotations, self._frame_rate, smooth_positions(self._translation, window), self._betas)

    # --- sequence -------------------------------------------------------------------------------------------------

    def __len__(self) -> int:
        return len(self._axis_angle)

    @overload
    def __getitem__(self, index: int) -> Pose: ...

    @overload
    def __getitem__(self, index: slice) -> Motion: ...

    def __getitem__(self, index: int | slice) -> Pose | Motion:
        if isinstance(index, slice):
            rate = self._frame_rate / abs(index.step or 1)
            return Motion(self._axis_angle[index], rate, self._translation[index], self._betas)
        if not -len(self) <= index < len(self):
            raise IndexError(f"The motion has {len(self)} frames; there is no frame {index}.")
        return Pose(self._axis_angle[index], self._betas)

    def __iter__(self) -> Iterator[Pose]:
        return (self[frame] for frame in range(len(self)))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Motion):
            return NotImplemented
        return (
            self._frame_rate == other._frame_rate
            and np.array_equal(self._axis_angle, other._axis_angle)
            and np.array_equal(self._translation, other._translation)
            and self[0] == other[0]  # with its betas
        )

    __hash__ = None  # type: ignore[assignment]

    def __array__(self, dtype=None, copy=None) -> np.ndarray:
        return np.array(self._axis_angle, dtype=dtype or np.float32)

    def __reduce__(self):
        return Motion, (np.array(self._axis_angle), self._frame_rate, np.array(self._translation), self._betas)

    def __repr__(self) -> str:
        distance = float(np.linalg.norm(np.diff(self._translation, axis=0), axis=1).sum())
        shape = "" if self._betas is None else ", with betas"
        return f"Motion({len(self)} frames at {self._frame_rate:g} per second, path of {distance:.1f} m{shape})"

    def _repr_png_(self) -> bytes:
        """How a notebook shows the motion: six of its poses."""
        from ..visualization.picture import contact_sheet

        frames = np.unique(np.linspace(0, len(self) - 1, 6).round().astype(int))
        buffer = io.BytesIO()
        contact_sheet([self[int(frame)] for frame in frames], columns=len(frames), cell=160).save(buffer, "PNG")
        return buffer.getvalue()


def _numbers(values: Any, name: str, shape: tuple[int, ...]) -> np.ndarray:
    """A read-only float32 copy of `values` of shape (T, *shape)."""
    if isinstance(values, torch.Tensor):
        values = values.detach().cpu().float().numpy()
    expected = f"(T, {', '.join(map(str, shape))})"
    try:
        array = np.array(values, dtype=np.float32)
    except (TypeError, ValueError):
        raise ValueError(f"{name} holds values that are not numbers; expected an array of shape {expected}.") from None
    if array.shape[1:] != shape or array.ndim != len(shape) + 1:
        raise ValueError(f"{name} has shape {array.shape}; expected {expected}.")
    finite = np.isfinite(array).all(tuple(range(1, array.ndim)))
    if not finite.all():
        raise ValueError(f"{name} holds NaN or infinite values in frame {int(finite.argmin())}; expected numbers.")
    array.flags.writeable = False
    return array


def _checked_path(path: str | os.PathLike, suffixes: Sequence[str], what: str) -> Path:
    path = Path(path)
    if path.suffix.lower() not in suffixes:
        found = f"the suffix {path.suffix!r}" if path.suffix else "no suffix"
        raise ValueError(f"{path.name!r} has {found}; {what} {', '.join(suffixes)}.")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"The folder {path.parent} does not exist; create it first.")
    return path


def _of_kind(path: str | os.PathLike, suffix: str) -> Path:
    path = Path(path)
    if path.suffix.lower() != suffix:
        raise ValueError(f"{path.name!r} is not a {suffix} file; Motion.from_file reads every kind.")
    return path
