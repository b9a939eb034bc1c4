# SPDX-License-Identifier: Apache-2.0
"""`Pose`: one human pose, the input or output of every task."""

from __future__ import annotations

import functools
import importlib
import io
import json
import os
import secrets
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import ArrayLike

from .rotation_unipose import (
    axis_angle_to_matrix,
    matrix_to_axis_angle,
    matrix_to_rotation_6d,
    rotation_6d_to_matrix,
)

if TYPE_CHECKING:
    from PIL import Image

FORMAT = "unipose_hf.pose"
VERSION = 1
SUFFIXES = (".glb", ".bvh", ".obj", ".npz", ".json")
NUM_JOINTS = 22
NUM_BETAS = 10
# a z-up world (AMASS, SMPL itself) is our frame rotated by +90 degrees about x; this undoes the rotation
Z_UP_TO_Y_UP = np.array([[1, 0, 0], [0, 0, 1], [0, -1, 0]], dtype=np.float32)
# Bones from hip to toe, the neck, the collar bones, and from shoulder to wrist: the joint at the end, the joint at the
# start, and the length in hundredths of a person's height.
_BONES = np.array([1, 2, 4, 5, 7, 8, 10, 11, 12, 13, 14, 16, 17, 18, 19, 20, 21])
_BONE_PARENTS = np.array([0, 0, 1, 2, 4, 5, 7, 8, 9, 9, 9, 13, 14, 16, 17, 18, 19])
_BONE_LENGTHS = np.array([7, 7, 23, 23, 25, 25, 9, 9, 11, 10, 10, 8, 8, 15, 15, 14, 14], dtype=np.float32)
_LEFT_BONES = np.array([0, 2, 4, 6, 9, 11, 13, 15])  # indices into _BONES; each right bone follows its left one


class Pose:
    """A body pose: 22 local joint rotations and, optionally, a body shape. Immutable.

    Frame: y up, z towards the viewer, metres. The body's left is +x, and zero rotations are the T-pose facing the
    viewer. The joints are SMPL's 22 body joints in SMPL's order; the first one (the pelvis) holds the global
    orientation.

    Args:
        axis_angle: (22, 3) rotation vectors in radians; array, tensor, nested lists or another `Pose`.
        betas: (10,) body shape, in standard deviations of the body model's components.

    Raises:
        ValueError: wrong shape, not numbers, NaN or infinite values, degrees instead of radians, or joint positions
            instead of rotations.
    """

    __slots__ = ("_axis_angle", "_betas")

    def __init__(self, axis_angle: ArrayLike | Pose, betas: ArrayLike | None = None) -> None:
        if hasattr(axis_angle, "axis_angle"):  # a Pose, possibly from a copy of this file loaded from a Hub folder
            betas = axis_angle.betas if betas is None else betas
            axis_angle = axis_angle.axis_angle
        self._axis_angle = _checked(axis_angle, "axis_angle", (NUM_JOINTS, 3))
        check_rotation_vectors(self._axis_angle)
        self._betas = None if betas is None else _checked(betas, "betas", (NUM_BETAS,))

    # --- constructors ---------------------------------------------------------------------------------------------

    @classmethod
    def from_axis_angle(cls, axis_angle: ArrayLike, betas: ArrayLike | None = None) -> Pose:
        """From (22, 3) rotation vectors in radians."""
        return cls(axis_angle, betas)

    @classmethod
    def from_matrix(cls, matrix: ArrayLike, betas: ArrayLike | None = None) -> Pose:
        """From (22, 3, 3) local rotation matrices; `ValueError` if one is not a rotation within 0.001."""
        matrix = _checked(matrix, "matrix", (NUM_JOINTS, 3, 3))
        error = np.abs(matrix @ matrix.transpose(0, 2, 1) - np.eye(3)).max((1, 2))
        error = np.maximum(error, np.abs(np.linalg.det(matrix) - 1))  # a reflection is orthogonal too
        worst = int(error.argmax())
        if error[worst] > 1e-3:
            raise ValueError(
                f"matrix[{worst}] is not a rotation (determinant {np.linalg.det(matrix[worst]):.3f}, off from "
                f"orthonormal by {error[worst]:.3g}); expected orthonormal (22, 3, 3) matrices of determinant 1."
            )
        return cls(matrix_to_axis_angle(torch.from_numpy(matrix.copy())), betas)

    @classmethod
    def from_6d(cls, rotation_6d: ArrayLike, betas: ArrayLike | None = None) -> Pose:
        """From (22, 6): the first two rows of each matrix, made orthonormal by Gram-Schmidt."""
        rotation_6d = _checked(rotation_6d, "rotation_6d", (NUM_JOINTS, 6))
        area = np.linalg.norm(np.cross(rotation_6d[:, :3], rotation_6d[:, 3:]), axis=1)
        if area.min() < 1e-6:
            raise ValueError(
                f"rotation_6d[{int(area.argmin())}] has two parallel or zero rows, which do not define a rotation; "
                "expected two independent rows."
            )
        return cls.from_matrix(rotation_6d_to_matrix(torch.from_numpy(rotation_6d.copy())), betas)

    @classmethod
    def from_npz(
        cls, path: str | os.PathLike, frame: int = 0, up: str | None = None, facing: str | None = None
    ) -> Pose:
        """From one frame of an AMASS-style file: `poses` (F, 66 or more) rotation vectors, or `root_orient` and
        `pose_body`, or `global_orient` and `body_pose`.

        Reads the 22 body joints, but not the hands or the translation. `betas` are kept only from files that `save`
        wrote: those of AMASS belong to SMPL-family bodies; pass them yourself if you use such a body.

        `up` is the axis of the file's world that points up ("y", "z", "-y" in a camera frame), `facing` the one that
        points towards the viewer. By default both are detected from the file: AMASS is z up, other programs are not.
        """
        path = _check_exists(path)
        rows = _import_from_package("data.formats.smpl_rows")
        arrays = rows.read_archive(path)
        poses = rows.to_our_frame(arrays, path, up, facing)
        if not -len(poses) <= frame < len(poses):
            raise ValueError(f"frame is {frame}, but {path} has {len(poses)} frames; choose 0 to {len(poses) - 1}.")
        return cls(poses[frame], own_betas(arrays))

    @classmethod
    def from_bvh(
        cls,
        path: str | os.PathLike,
        frame: int = 0,
        up: str | None = None,
        facing: str | None = None,
        joint_map: dict[str, str] | None = None,
    ) -> Pose:
        """From one frame of a BVH motion with any common skeleton.

        `up` and `facing` as for `from_npz`; `joint_map` assigns joints of the file with unknown names, such as
        `{"left_hip": "Hip.L"}`.
        """
        return _import_from_package("data.formats.pose_files").read_pose(
            path, frame, up=up, facing=facing, joint_map=joint_map
        )

    @classmethod
    def from_glb(cls, path: str | os.PathLike) -> Pose:
        """From a .glb file that `save` wrote (without its body shape, which is in the mesh)."""
        return cls(_import_from_package("data.formats.glb_file").read_glb(path).rotations[0])

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Pose:
        """From the result of `to_dict`."""
        if not isinstance(data, dict) or data.get("format") != FORMAT:
            found = f"format {data.get('format')!r}" if isinstance(data, dict) else type(data).__name__
            raise ValueError(f"The pose has {found}; expected a dictionary with format {FORMAT!r}.")
        if data.get("version") != VERSION:
            raise ValueError(
                f"The pose has version {data.get('version')!r}, but this package reads version {VERSION}; upgrade "
                "unipose-hf."
            )
        if "axis_angle" not in data:
            raise ValueError("The pose has no 'axis_angle'; expected 22 rotation vectors of 3 numbers under that key.")
        return cls(data["axis_angle"], data.get("betas"))

    @classmethod
    def from_json(cls, path: str | os.PathLike) -> Pose:
        """From a .json file that `save` wrote."""
        path = _check_exists(path)
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise ValueError(f"{path} is not a JSON file ({error}); expected one written by Pose.save.") from error
        return cls.from_dict(data)

    # --- attributes -----------------------------------------------------------------------------------------------

    @property
    def axis_angle(self) -> np.ndarray:
        """(22, 3) float32 rotation vectors, radians (read-only)."""
        return self._axis_angle

    @property
    def betas(self) -> np.ndarray | None:
        """(10,) float32 body shape, or None for the average body."""
        return self._betas

    @property
    def global_orient(self) -> np.ndarray:
        """(3,) the pelvis's rotation vector: how the whole body is turned."""
        return self._axis_angle[0]

    @property
    def body_pose(self) -> np.ndarray:
        """(21, 3) the rotation vectors of the other joints."""
        return self._axis_angle[1:]

    @property
    def matrix(self) -> np.ndarray:
        """(22, 3, 3) float32 local rotation matrices."""
        return self._matrix().numpy()

    @property
    def rotation_6d(self) -> np.ndarray:
        """(22, 6) float32: the first two rows of each matrix."""
        return matrix_to_rotation_6d(self._matrix()).numpy()

    @property
    def joints(self) -> np.ndarray:
        """(22, 3) joint positions of the bundled body in metres, pelvis at the origin."""
        body, betas = bundled_body(), self._betas_tensor()
        with torch.no_grad():
            return body.joints(self._matrix(), betas).numpy()

    @property
    def vertices(self) -> np.ndarray:
        """(V, 3) vertices of the bundled body in metres, pelvis at the origin."""
        body, betas = bundled_body(), self._betas_tensor()
        with torch.no_grad():
            return body(self._matrix(), betas).vertices.numpy()

    @property
    def faces(self) -> np.ndarray:
        """(F, 3) triangles of the bundled body: vertex indices, counter-clockwise when seen from outside."""
        return bundled_body().faces.numpy()

    def _matrix(self) -> torch.Tensor:
        return axis_angle_to_matrix(torch.from_numpy(self._axis_angle.copy()))

    def _betas_tensor(self) -> torch.Tensor | None:
        return None if self._betas is None else torch.from_numpy(self._betas.copy())

    # --- output ---------------------------------------------------------------------------------------------------

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers that survive JSON exactly; `from_dict` reads them back."""
        return {
            "format": FORMAT,
            "version": VERSION,
            "axis_angle": [[_decimal(x) for x in row] for row in self._axis_angle],
            "betas": None if self._betas is None else [_decimal(x) for x in self._betas],
        }

    def save(self, path: str | os.PathLike, body: Any = None) -> Path:
        """Write a file whose format follows from its suffix, and return its path.

        .glb: skinned mesh with a skeleton (Blender, game engines, web viewers); .bvh: skeleton, one frame; .obj: mesh
        only; .npz: AMASS-style; .json: `to_dict`. `body` replaces the bundled body model (see
        `unipose_hf.body.load_body`) in the first three.
        """
        path = Path(path)
        suffix = path.suffix.lower()
        if suffix not in SUFFIXES:
            found = f"the suffix {path.suffix!r}" if path.suffix else "no suffix"
            raise ValueError(f"{path.name!r} has {found}; a pose can be saved as {', '.join(SUFFIXES)}.")
        if not path.parent.is_dir():
            raise FileNotFoundError(f"The folder {path.parent} does not exist; create it first.")
        if suffix == ".json":
            write_file(path, (json.dumps(self.to_dict(), indent=1) + "\n").encode())
        elif suffix == ".npz":
            write_file(path, npz_of(self._axis_angle[None], betas=self._betas))
        else:
            export = _import_from_package("visualization.export")
            getattr(export, f"write_{suffix[1:]}")(path, self, body=body)
        return path

    def render(
        self, path: str | os.PathLike | None = None, size: int = 512, body: Any = None, **view: Any
    ) -> Image.Image:
        """Renders the bundled body (or `body`) as a square image of `size` pixels; saves it if `path` is given.

        `view`: see `unipose_hf.visualization.draw_pose`, for example `azimuth=90` to look at a body that faces the
        viewer from its left.
        """
        image = _import_from_package("visualization").draw_pose(self, size=size, body=body, **view)
        if path is not None:
            path = Path(path)
            if path.suffix.lower() not in (".png", ".jpg", ".jpeg", ".webp"):
                raise ValueError(f"{path.name!r} is not the name of an image file; use .png, .jpg or .webp.")
            if not path.parent.is_dir():
                raise FileNotFoundError(f"The folder {path.parent} does not exist; create it first.")
            buffer = io.BytesIO()
            image.save(buffer, {".png": "PNG", ".webp": "WEBP"}.get(path.suffix.lower(), "JPEG"))
            write_file(path, buffer.getvalue())
        return image

    def skeleton(
        self, style: str = "openpose", camera: Any = None, size: int | tuple[int, int] = 512, **view: Any
    ) -> Image.Image:
        """Draws the OpenPose skeleton of the body on black: a conditioning picture for a ControlNet.

        Args:
            style: "openpose" or "dwpose", the published annotator to follow.
            camera: the (scale, x, y) that `pipeline("image-to-pose")` returns: pixels per metre, and the pelvis in
                pixels. By default the body fills the picture, seen from the front.
            size: width and height in pixels, or one number for both.
            view: see `unipose_hf.imaging.draw_skeletons`, which also draws several people, for example `azimuth=90`.
        """
        imaging = _import_from_package("imaging")
        return imaging.draw_skeletons(self, size, style=style, camera=camera, **view)

    def _repr_png_(self) -> bytes | None:
        """How a notebook shows the pose."""
        try:
            image = self.render(size=320)
        except ImportError:  # without the renderer, show the text form
            return None
        buffer = io.BytesIO()
        image.save(buffer, "PNG")
        return buffer.getvalue()

    # --- value semantics ------------------------------------------------------------------------------------------

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Pose):
            return NotImplemented
        if (self._betas is None) != (other._betas is None):
            return False
        return np.array_equal(self._axis_angle, other._axis_angle) and (
            self._betas is None or np.array_equal(self._betas, other._betas)
        )

    def __hash__(self) -> int:
        return hash((self._key(self._axis_angle), None if self._betas is None else self._key(self._betas)))

    @staticmethod
    def _key(values: np.ndarray) -> bytes:
        return (values + 0.0).tobytes()  # -0.0 and 0.0 are equal

    def __array__(self, dtype=None, copy=None) -> np.ndarray:
        return np.array(self._axis_angle, dtype=dtype or np.float32)

    def __reduce__(self):
        return Pose, (np.array(self._axis_angle), None if self._betas is None else np.array(self._betas))

    def __repr__(self) -> str:
        turn = ", ".join(f"{x:.0f}" for x in np.degrees(self.global_orient))
        bent = int((np.linalg.norm(self.body_pose, axis=1) > 0.1).sum())
        shape = "" if self._betas is None else ", with betas"
        return f"Pose(global_orient=[{turn}] degrees, {bent} of 21 joints bent{shape})"


def _checked(values, name: str, shape: tuple[int, ...]) -> np.ndarray:
    """A read-only float32 copy of `values` of exactly this shape."""
    if isinstance(values, torch.Tensor):
        values = values.detach().cpu().float().numpy()
    try:
        array = np.array(values, dtype=np.float32)
    except (TypeError, ValueError):
        raise ValueError(
            f"{name} holds values that are not numbers; expected an array of numbers of shape {shape}."
        ) from None
    if array.shape != shape:
        hint = ""
        if array.ndim == len(shape) + 1 and array.shape[1:] == shape:
            hint = " (one pose at a time: index the batch first)"
        elif array.size == int(np.prod(shape)):
            hint = f" (reshape it to {shape})"
        raise ValueError(f"{name} has shape {array.shape}; expected {shape}{hint}.")
    if not np.isfinite(array).all():
        raise ValueError(f"{name} holds NaN or infinite values; expected finite numbers.")
    array.flags.writeable = False
    return array


def check_rotation_vectors(vectors: np.ndarray) -> None:
    """Checks that (22, 3) numbers can be rotations in radians, and are not degrees or joint positions.

    Raises:
        ValueError: they rotate by more than two full turns, or are arranged like the joints of a body. More than one
            full turn is only a warning: some optimisers produce such vectors.
    """
    bones = np.linalg.norm(vectors[_BONES] - vectors[_BONE_PARENTS], axis=1) / _BONE_LENGTHS
    sides = bones[_LEFT_BONES] / np.maximum(bones[_LEFT_BONES + 1], 1e-9)
    if bones.max() < 2.6 * bones.min() and 0.7 < sides.min() and sides.max() < 1.4:
        raise ValueError(
            "axis_angle looks like the positions of 22 joints, because they are as far apart as those of a body; "
            "expected 22 rotation vectors in radians."
        )
    turns = np.linalg.norm(vectors, axis=1)
    worst = int(turns.argmax())
    found = f"axis_angle[{worst}] rotates by {turns[worst]:.4g} radians, more than"
    if turns[worst] > 4 * np.pi:
        raise ValueError(f"{found} two full turns; give radians, not degrees (numpy.radians).")
    if turns[worst] > 2 * np.pi + 1e-3:
        warnings.warn(f"{found} a full turn; if these are degrees, convert them with numpy.radians.", stacklevel=3)


def npz_of(
    axis_angle: np.ndarray,
    translation: np.ndarray | None = None,
    betas: np.ndarray | None = None,
    frame_rate: float = 30.0,
) -> bytes:
    """An AMASS-style archive, z up, of poses (F, 22, 3) and pelvis positions (F, 3) in our frame.

    The rows are SMPL-X's: 22 body joints, then jaw, eyes and hands. Readers require betas and one of the two rates.
    """
    poses = np.zeros((len(axis_angle), 165), dtype=np.float32)
    poses[:, : 3 * NUM_JOINTS] = _rotate_root(axis_angle, Z_UP_TO_Y_UP.T).reshape(len(axis_angle), -1)
    trans = np.zeros((len(axis_angle), 3)) if translation is None else translation @ Z_UP_TO_Y_UP
    arrays = {
        "poses": poses,
        "trans": trans.astype(np.float32),
        "betas": np.zeros(NUM_BETAS, dtype=np.float32) if betas is None else betas,
        "gender": np.array("neutral"),
        "mocap_framerate": np.array(float(frame_rate)),
        "mocap_frame_rate": np.array(float(frame_rate)),
        "format": np.array(FORMAT),
    }
    if betas is None:
        arrays["average_shape"] = np.array(True)
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def own_betas(arrays: dict[str, Any]) -> np.ndarray | None:
    """The body shape (10,) in an archive of `npz_of`; None for the average body and for files of other programs."""
    if arrays.get("format") is None or arrays.get("betas") is None or arrays.get("average_shape") is not None:
        return None
    return arrays["betas"].reshape(-1)[:NUM_BETAS]


def _rotate_root(axis_angle: np.ndarray, turn: np.ndarray) -> np.ndarray:
    """Poses (F, 22, 3) with their global orientation rotated by the matrix `turn` about the world's axes."""
    root = torch.from_numpy(turn.copy()) @ axis_angle_to_matrix(torch.from_numpy(axis_angle[:, 0].copy()))
    result = axis_angle.copy()
    result[:, 0] = matrix_to_axis_angle(root).numpy()
    return result


def _decimal(value: np.float32) -> float:
    return float(f"{value:.9g}")  # nine digits represent a float32 exactly


def _check_exists(path: str | os.PathLike) -> Path:
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"There is no file {path}.")
    return path


def write_file(path: Path, content: bytes) -> Path:
    """Write a file atomically, and return its path."""
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        with open(part, "xb") as file:  # with the permissions of the user's umask
            file.write(content)
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
    return path


def _import_from_package(name: str):
    """Imports a module of the unipose_hf package, which may be missing: a Hub folder ships this file without it."""
    try:
        return importlib.import_module(f"unipose_hf.{name}")
    except ModuleNotFoundError as error:
        if error.name is not None and error.name.split(".")[0] == "unipose_hf":
            raise ImportError(
                "Bodies, pictures, choosing by words and files other than .json need the package: pip install "
                "unipose-hf"
            ) from error
        raise


@functools.cache
def bundled_body():
    """The bundled full-resolution body, loaded once."""
    return _import_from_package("body").load_body()
