# SPDX-License-Identifier: Apache-2.0
"""Person detection: runs a detector at several scales and merges the boxes."""

import io
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from transformers import pipeline

from .movenet_unipose import MoveNetMultiPose
from .pose_unipose import _import_from_package

DETECTOR = "movenet-multipose"  # folder under the package's checkpoints
INPUT_SIZES = (256, 512, 1024)  # longer side of the input in each pass; the detector was trained at the first size
SMALL_PERSON = 96  # pixels in a pass: if people are smaller than this, others may be too small to detect
SAME_PERSON_IOU = 0.6  # from which two boxes count as one person (those of two people rarely overlap this much)
MIN_SCORE = 0.2


class PeopleFinder:
    """Finds the people in a picture.

    Args:
        detector: folder or Hub name of a detector, or a `MoveNetMultiPose`. Any other model is run with
            `pipeline("object-detection")` and must have a label "person".
        device: device of the detector.
    """

    def __init__(self, detector, device="cpu", **options):
        if isinstance(detector, MoveNetMultiPose):
            self.network, self.objects = detector.to(device).eval(), None
        elif isinstance(detector, (str, Path)) and not _is_movenet(detector, options):
            self.network, self.objects = None, pipeline("object-detection", model=str(detector), device=device)
        elif isinstance(detector, (str, Path)):
            self.network, self.objects = MoveNetMultiPose.from_pretrained(detector, **options).to(device).eval(), None
        else:
            raise ValueError(
                f"detector is a {type(detector).__name__}; expected the folder or Hub name of an object detector, or "
                "None to treat each picture as one person."
            )

    def __call__(self, picture: Image.Image, threshold: float | None = None) -> list[tuple[tuple, float]]:
        """Upright RGB picture -> boxes (x0, y0, x1, y1) in pixels with their scores, largest box first."""
        if self.objects is not None:
            found = self.objects(picture, threshold=0.5 if threshold is None else threshold)
            people = [
                ([one["box"][edge] for edge in ("xmin", "ymin", "xmax", "ymax")], one["score"])
                for one in found
                if one["label"] == "person"
            ]
        else:
            people = self._detect_at_scales(picture, MIN_SCORE if threshold is None else threshold)
        people = [(_inside(box, picture.size), float(score)) for box, score in people]
        people = [(box, score) for box, score in people if min(box[2] - box[0], box[3] - box[1]) >= 4]
        return sorted(people, key=lambda person: -_area(person[0]))

    def _detect_at_scales(self, picture, threshold):
        """Doubles the input size as long as nobody is found, or somebody found is small."""
        people, longer = [], max(picture.size)
        for size in INPUT_SIZES:
            people = merge(people + self._detect(picture, size / longer, threshold))
            smallest = min((max(box[2] - box[0], box[3] - box[1]) for box, _ in people), default=0)
            if size >= longer or smallest * size / longer >= SMALL_PERSON:
                break
        return people

    @torch.inference_mode()
    def _detect(self, picture, scale, threshold):
        """Detects people in the picture resized by `scale`."""
        size = [max(1, round(side * scale)) for side in picture.size]
        view = picture.resize(size, Image.Resampling.BILINEAR, reducing_gap=3.0)
        pixels = torch.zeros(1, 3, *(-(-side // 32) * 32 for side in reversed(size)))
        pixels[0, :, : size[1], : size[0]] = torch.from_numpy(np.array(view)).permute(2, 0, 1) / 255
        found = self.network(pixels.to(self.network.device), threshold=threshold)
        pairs = zip(found.boxes.cpu().tolist(), found.scores.cpu().tolist(), strict=True)
        return [([edge / scale for edge in box], score) for box, score in pairs if score >= threshold]


def merge(people):
    """Non-maximum suppression: keeps the highest-scoring box of each person."""
    kept = []
    for box, score in sorted(people, key=lambda person: -person[1]):
        if all(_overlap(box, other) < SAME_PERSON_IOU for other, _ in kept):
            kept.append((box, score))
    return kept


def _is_movenet(folder, options) -> bool:
    from transformers import PreTrainedConfig

    config, _ = PreTrainedConfig.get_config_dict(folder, **options)
    return config.get("model_type") == MoveNetMultiPose.config_class.model_type


def _area(box):
    return max(0.0, box[2] - box[0]) * max(0.0, box[3] - box[1])


def _overlap(a, b):
    """Intersection over union."""
    common = _area((max(a[0], b[0]), max(a[1], b[1]), min(a[2], b[2]), min(a[3], b[3])))
    return common / max(_area(a) + _area(b) - common, 1e-9)


def _inside(box, size):
    width, height = size
    x0, y0, x1, y1 = box
    return max(x0, 0.0), max(y0, 0.0), min(x1, float(width)), min(y1, float(height))


def bundled_folder(name: str) -> Path | None:
    """A folder under the package's checkpoints; None if the package is not installed."""
    try:
        import unipose_hf
    except ImportError:
        return None
    return Path(unipose_hf.__file__).parent / "checkpoints" / name


class People(list):
    """List of the people found in a picture, each a dict; `picture` is the upright RGB PIL image."""

    def __init__(self, people=(), picture=None):
        super().__init__(people)
        self.picture = picture

    def overlay(self, path=None) -> Image.Image:
        """Draws the bodies on the picture, and saves it if `path` is given. Requires the package."""
        image = _import_from_package("visualization.overlay").draw_overlay(self.picture, self)
        if path is not None:
            image.save(path)
        return image

    def _repr_png_(self) -> bytes | None:
        """PNG preview for notebooks."""
        if not self or "camera" not in self[0]:
            return None
        buffer = io.BytesIO()
        self.overlay().save(buffer, "PNG")
        return buffer.getvalue()
