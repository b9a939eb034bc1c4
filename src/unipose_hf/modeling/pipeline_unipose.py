# SPDX-License-Identifier: Apache-2.0
"""One pipeline per UniPose task (section 3.1)."""

import itertools
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from .blazepose_unipose import BlazePoseBackbone
from .image_processing_unipose import load_picture
from .people_unipose import DETECTOR, People, PeopleFinder, bundled_folder
from .pipeline_base_unipose import UniPosePipeline
from .pose_unipose import _import_from_package
from .processing_unipose import task_messages
from .refinement_unipose import STEPS, pull_to_landmarks
from .seen_unipose import (
    CROP_VIEW,
    box_in_view,
    in_picture,
    is_blazepose,
    is_somebody,
    keypoints,
    landmark_view,
    score_of,
    square_of,
    visibility_of_joints,
)


class ImageToPosePipeline(UniPosePipeline):
    """
    `pipeline("image-to-pose")`: an image, or `{"image", "box"}`, -> a `People` list of everyone in the picture,
    largest first; empty if nobody is found. Each person is a dict with

    * `pose`: a `Pose`;
    * `score`: confidence in [0, 1]; lower if fewer joints are visible or the pose fits them less well;
    * `box`: (x0, y0, x1, y1) in pixels of the upright picture, detected or given;
    * `keypoints`: (17, 3) float32, x and y in pixels and visibility in [0, 1]; COCO order, see `KEYPOINT_NAMES`;
    * `visibility`: (22,) float32, visibility of each joint of the pose; hidden joints are predicted by the model;
    * `camera`: (scale, x, y), a weak-perspective camera: a joint at (X, Y, Z) metres from the pelvis projects to the
      pixel (x + scale * X, y - scale * Y).

    Predictions are refined to fit the landmarks in the picture; `refine=False` turns this off.

    With `box`, or `boxes` for several people, detection is skipped and the list has one person per box, in the same
    order. `text` tells which person is meant, by place ("on the left"), clothes ("in the red shirt") or pose ("who
    kneels"); the list then has this person only (needs the package). Models that see with CLIP, such as those of the
    published size, are trained on such texts, so they read text and whole picture themselves; `choose=True` or `False`
    overrides this.

    Args:
        detector: the person detector. Defaults to the bundled one; can be the folder or Hub name of any transformers
            object detector with a person class (`detector="PekingU/rtdetr_v2_r18vd"`), or `None` to treat each picture
            as a single person.

    Besides the arguments of `generate_pose`, calls accept `threshold`, the minimum detection score (default 0.2; 0.5
    for other detectors), `max_people`, `refine` and `choose`.
    """

    unipose_task = "image-to-pose"
    more_options = ("threshold", "max_people", "refine", "choose")

    def __init__(self, *args: Any, detector: str | None = "bundled", **kwargs: Any):
        self.detector, self._finder, self._landmarker, self._reader = detector, None, None, None
        super().__init__(*args, **kwargs)

    def _sanitize_parameters(self, threshold=None, max_people=None, refine=None, choose=None, **kwargs):
        shared, forward, after = super()._sanitize_parameters(**kwargs)
        forward |= {"refine": refine} if refine is not None else {}
        if threshold is not None and not 0 < threshold < 1:
            raise ValueError(f"threshold is {threshold}; give a minimum score between 0 and 1.")
        if max_people is not None and max_people < 1:
            raise ValueError(f"max_people is {max_people}; it must be at least 1, or None for all.")
        options = {"threshold": threshold, "max_people": max_people, "choose": choose}
        return shared | {name: value for name, value in options.items() if value is not None}, forward, after

    def get_iterator(
        self,
        inputs: Iterable[Any],
        num_workers: int,
        batch_size: int,
        preprocess_params: dict[str, Any],
        forward_params: dict[str, Any],
        postprocess_params: dict[str, Any],
    ) -> Iterator[People]:
        inputs = iter(inputs)
        while batch := list(itertools.islice(inputs, batch_size)):
            shared = dict(preprocess_params)
            most = shared.pop("max_people", None)
            pictures = [self._people_in(item, **shared) for item in batch]
            everybody = [sample for _, samples, _ in pictures for sample in samples]
            results = iter(super().get_iterator(everybody, 0, batch_size, {}, forward_params, postprocess_params))
            for picture, samples, words in pictures:
                people = [next(results) for _ in samples]
                found = [person for person in people if person and None not in person]
                found = People(found[:most] if words is None else self.meant(words, People(found, picture)), picture)
                if not found:
                    warnings.warn(
                        "Nobody was found in the picture; give box=(x0, y0, x1, y1) around a person, or a lower "
                        "threshold.",
                        stacklevel=2,
                    )
                yield found

    def preprocess(self, item: dict[str, Any], **shared: Any) -> dict[str, Any]:
        return item  # `_people_in` has already built the samples

    def _people_in(self, item, threshold=None, choose=None, **shared):
        """One input -> its picture, one sample per person, and the words to choose by, if any."""
        given = {**shared, **self._as_dict(item)}
        words = given.get("text")
        if words is not None and (self.model.model.vision_tower is None if choose is None else choose):
            given["text"] = None
            if not isinstance(words, str) or not words.strip():
                raise ValueError(f"The text is {words!r}; expected words that tell which person is meant.")
        else:
            words = None
        boxes = given.pop("boxes", None)
        if boxes is not None and given.get("box") is not None:
            raise ValueError("Give either 'box' or 'boxes', not both.")
        if boxes is not None:
            boxes = list(boxes)
        elif given.get("box") is not None or given.get("text") is not None or self._people_finder() is None:
            boxes = [given.get("box")]
        [image] = self._values(given, "image", 1)
        picture = load_picture(image)
        found = boxes is None
        if found:
            boxes = self._people_finder()(picture, threshold)
        scores = [score for _, score in boxes] if found else [None] * len(boxes)
        boxes = [box for box, _ in boxes] if found else boxes
        given = {key: value for key, value in given.items() if key not in ("box", "image", "images")}
        samples = []
        for box, score in zip(boxes, scores, strict=True):
            sample = super().preprocess({**given, "image": picture, "box": box})
            samples.append({**sample, "found": score})
        return picture, samples, words

    def meant(self, text: str, people: People) -> People:
        """The one of estimated people that a text means, without estimating again; see `text` of the class."""
        if len(people) < 2:
            return people
        first = [person[0] if isinstance(person, list) else person for person in people]
        choose = _import_from_package("data.language.choosing").choose_person
        return People([people[choose(text, first, people.picture, self._log_likelihood)]], people.picture)

    def _log_likelihood(self, words, poses):
        """Log-likelihoods `(n,)` of words for each pose, by the retrieval model; 0 if it lacks the words."""
        if self._reader is None:  # has the vocabulary of the texts that both models of plain English were trained on
            self._reader = type(self.processor).from_pretrained(bundled_folder("unipose-plain"))
        if self._reader.unknown_words(words):
            return np.zeros(len(poses))
        return _import_from_package("data.language.fitting").log_likelihoods(words, poses)

    def _people_finder(self):
        if self._finder is None and self.detector is not None:
            detector = bundled_folder(DETECTOR) if self.detector == "bundled" else self.detector
            if detector is None:
                return None
            self._finder = PeopleFinder(detector, self.device)
        return self._finder

    # -- landmarks ----------------------------------------------------------------------------------------------------

    def _collate(self, samples):
        inputs = super()._collate(samples)
        tower = self.model.model.pose_vision_tower
        size = tower.config.image_size if is_blazepose(tower) else CROP_VIEW
        boxes = [box_in_view(sample["images"][0], self._margin, size) for sample in samples]
        inputs["landmark_boxes"] = torch.tensor(boxes)
        if not is_blazepose(tower):
            views = [landmark_view(sample["images"][0], self._margin) for sample in samples]
            inputs["landmark_pixels"] = torch.from_numpy(np.stack(views))
        return inputs

    def _forward(self, inputs, refine=True, **kwargs):
        """A batch -> a list of results for each input: poses with scores and landmarks."""
        inputs, tower = dict(inputs), self.model.model.pose_vision_tower
        pixels = inputs.pop("landmark_pixels", None)
        boxes, seen = inputs.pop("landmark_boxes"), None
        with torch.no_grad():
            if pixels is None:
                seen = tower(inputs["pose_pixel_values"], boxes)
                if self.model.model.vision_tower is None:  # reuse the features
                    del inputs["pose_pixel_values"]
                    inputs["vision_features"] = seen.feature_maps[0].flatten(2).transpose(1, 2)
            elif (landmarker := self._bundled_landmarker()) is not None:
                seen = landmarker(pixels, boxes)
        results = super()._forward(inputs, **kwargs)
        if seen is not None:
            size = (tower if pixels is None else landmarker).config.image_size
            self._add_what_is_seen(results, seen, size, STEPS if refine else 0)
        return results

    def _add_what_is_seen(self, results, seen, size, steps):
        """Adds landmarks, presence and camera to the results, and refines their poses to fit the landmarks."""
        owners = [row for row, result in enumerate(results) for _ in result]
        flat = [one for result in results for one in result]
        landmarks, world = (part.float().cpu()[owners] for part in (seen.landmarks, seen.world_landmarks))
        answer = torch.stack([one["rotations"] for one in flat])
        rotations, cameras, misfit = pull_to_landmarks(
            answer, landmarks[..., :2], landmarks[..., 3:].sigmoid().prod(dim=-1), world, steps
        )
        presence = seen.presence.float().cpu()[owners, 0]
        for row, one in enumerate(flat):
            one |= {"rotations": rotations[row], "camera": cameras[row], "landmarks": landmarks[row], "view": size}
            one |= {"presence": float(presence[row]), "misfit": float(misfit[row])}

    @property
    def _margin(self):
        return self.processor.image_processor.box_margin

    def _bundled_landmarker(self):
        if self._landmarker is None and (folder := bundled_folder("blazepose-full")) is not None:
            self._landmarker = BlazePoseBackbone.from_pretrained(folder).to(self.device).eval()
        return self._landmarker

    def postprocess(self, output: dict[str, Any], sample: dict[str, Any] | None = None) -> dict[str, Any]:
        picture = sample["images"][0]
        whole = (0, 0, *picture["image"].size)
        box = whole if picture["box"] is None else picture["box"]
        person = super().postprocess(output)
        if "landmarks" in output:
            if sample["found"] is not None and not is_somebody(sample["found"], output["presence"]):
                return None
            left, top, side = square_of(picture, self._margin)
            unit, corner = side / output["view"], torch.tensor([left, top])
            xy, seen = in_picture(output["landmarks"], unit, corner, picture["image"].size)
            scale, *place = (output["camera"] * unit).tolist()
            person |= {
                "score": score_of(output["presence"], seen, output["misfit"]),
                "keypoints": keypoints(xy, seen),
                "visibility": visibility_of_joints(seen),
                "camera": (scale, place[0] + left, place[1] + top),
            }
        return {**person, "box": tuple(float(edge) for edge in box)}


class _LookUpPipeline(UniPosePipeline):
    """Answers from the language bank where a text is one of its names or commands."""

    more_options = ("named",)

    def _sanitize_parameters(self, named=None, **kwargs):
        shared, forward, after = super()._sanitize_parameters(**kwargs)
        if named is None and forward:  # the options are the model's
            named = False
        return shared, forward, after | ({} if named is None else {"named": named})

    def _looks_up(self, named):
        return Path(self.model.name_or_path) == bundled_folder("unipose-plain") if named is None else named


class TextToPosePipeline(_LookUpPipeline):
    """
    `pipeline("text-to-pose")`: a description, or `{"text"}`, -> `{"pose": Pose, "score": float}`.

    The score tells how well the pose fits the text: the share of 1,483 named poses that fit it less well, by the
    bundled retrieval model. It needs the package; without it there is no score. Models not trained on plain English
    (no `processor.known_words`) return the score of the generated pose codes instead.

    With the bundled model, a text that names a pose of the language bank ("T-pose", "a person in tree pose"), or
    consists of its commands ("raise your left arm and look up"), gives exactly that pose, and the result has its
    `name`. `named=False` lets the model answer, as do options such as `decoding="sample"`; `named=True` looks texts up
    for other models too.
    """

    unipose_task = "text-to-pose"

    def postprocess(
        self, output: dict[str, Any], sample: dict[str, Any] | None = None, named: bool | None = None
    ) -> dict[str, Any]:
        result = super().postprocess(output, sample)
        if sample is not None and self._looks_up(named):
            found = _import_from_package("data.language").find_pose(sample["text"])
            if found is not None:
                result["name"], result["pose"] = found
        if sample is not None and self.processor.known_words:
            del result["score"]
            if bundled_folder("pose-text-retrieval-plain") is not None:
                fit_to_text = _import_from_package("data.language.fitting").fit_to_text
                result["score"] = fit_to_text(result["pose"], sample["text"])
        return result


class PoseEditingPipeline(_LookUpPipeline):
    """
    `pipeline("pose-editing")`: `{"pose", "text": instruction}` -> `{"pose": Pose}`.

    There is no score: neither code probabilities nor describing the change separate good edits from bad ones.

    With the bundled model, a text made of commands of the language bank ("mirror it", "raise your left arm and bend
    the right knee, but leave the head as it is") is done exactly as the bank defines them, and the result has these
    commands as its `name`. `named` works as in [`TextToPosePipeline`].
    """

    unipose_task = "pose-editing"

    def postprocess(
        self, output: dict[str, Any], sample: dict[str, Any] | None = None, named: bool | None = None
    ) -> dict[str, Any]:
        result = {"pose": super().postprocess(output, sample)["pose"]}
        if sample is not None and self._looks_up(named) and not isinstance(sample["poses"][0], list):  # codes
            before = output | {"rotations": torch.as_tensor(sample["poses"][0])}
            source = super().postprocess(before, sample)["pose"]
            found = _import_from_package("data.language").edit_by_command(source, sample["text"])
            if found is not None:
                result["name"], result["pose"] = found
        return result


class PoseToTextPipeline(UniPosePipeline):
    """`pipeline("pose-to-text")`: a pose, or `{"pose"}`, -> `{"text": description}`."""

    unipose_task = "pose-to-text"


class PoseDiffPipeline(UniPosePipeline):
    """
    `pipeline("pose-diff")`: `{"poses": (a, b)}` -> `{"text": how to get from a to b}`.

    If both poses are the same but for their heading, within 3 degrees in every joint, the text is `NO_DIFFERENCE`.
    """

    unipose_task = "pose-diff"


class _TextOfImagesPipeline(UniPosePipeline):
    """Reads the features of pictures or, with `from_poses`, estimates and refines their poses and describes those.

    For the bundled model, which reads pictures, the bundled plain-English model writes the texts about poses.
    """

    more_options = ("from_poses",)
    _pose_task = None  # the task that describes the poses

    def __init__(self, *args: Any, detector: str | None = "bundled", **kwargs: Any):
        super().__init__(*args, **kwargs)
        self._estimate = ImageToPosePipeline(
            model=self.model, processor=self.processor, device=self.device, detector=detector
        )
        plain = bundled_folder("unipose-plain")
        self._writer_folder = None
        if plain is not None and Path(self.model.name_or_path) == plain.with_name("unipose-tiny"):
            self._writer_folder = plain
        self._writer = None

    def _sanitize_parameters(self, from_poses=None, **kwargs):
        shared, forward, after = super()._sanitize_parameters(**kwargs)
        return shared | ({} if from_poses is None else {"from_poses": from_poses}), forward, after

    def get_iterator(self, inputs, num_workers, batch_size, preprocess_params, forward_params, postprocess_params):
        from_poses = preprocess_params.get("from_poses")
        if self._writer_folder is None or not (self._from_poses() if from_poses is None else from_poses):
            yield from super().get_iterator(
                inputs, num_workers, batch_size, preprocess_params, forward_params, postprocess_params
            )
            return
        shared = {key: value for key, value in preprocess_params.items() if key != "from_poses"}
        items = ({"poses": poses, "style": style} for _, poses, style in (self._seen(i, shared) for i in inputs))
        yield from self._text_writer().get_iterator(items, num_workers, batch_size, {}, forward_params, {})

    def preprocess(self, item, from_poses=None, **shared):
        if not (self._from_poses() if from_poses is None else from_poses):
            return super().preprocess(item, **shared)
        sample, poses, style = self._seen(item, shared)
        poses = [self._face_viewer(pose)[0] for pose in poses]
        style = style or self.processor.text_style
        return {**sample, "messages": task_messages(self._pose_task, poses=poses, style=style), "poses": poses}

    def _seen(self, item, shared):
        """One input -> its sample, the pose of the largest person in each picture, and the style asked for."""
        style = {**shared, **self._as_dict(item)}.get("style")
        if self._writer_folder is not None:  # which knows all styles
            shared, item = ({k: v for k, v in each.items() if k != "style"} for each in (shared, self._as_dict(item)))
        sample, poses = super().preprocess(item, **shared), []
        for number, picture in enumerate(sample["images"], 1):
            people = self._estimate(picture)
            if not people:
                raise ValueError(f"Nobody was found in picture {number}; give a box around the person.")
            poses.append(people[0]["pose"])
        return sample, poses, style

    def _text_writer(self):
        if self._writer is None:
            model, processor = (
                type(part).from_pretrained(self._writer_folder) for part in (self.model, self.processor)
            )
            kind = PoseToTextPipeline if self._pose_task == "pose-to-text" else PoseDiffPipeline
            self._writer = kind(model=model, processor=processor, device=self.device)
        return self._writer

    def _from_poses(self):
        return self._writer_folder is not None


class ImageToPoseTextPipeline(_TextOfImagesPipeline):
    """
    `pipeline("image-to-pose-text")`: an image, or `{"image", "box"}`, -> `{"text": description of the pose}`.

    With the bundled model, the pose of the largest person is estimated first and described by the bundled
    plain-English model; `from_poses=False` reads the picture's features, as other models do by default.
    """

    unipose_task, _pose_task = "image-to-pose-text", "pose-to-text"


class ImageDiffPipeline(_TextOfImagesPipeline):
    """
    `pipeline("image-diff")`: `{"images": (a, b), "boxes"}` -> `{"text": how to get from a's pose to b's}`.

    With the bundled model or its encoder, both poses are estimated first and compared (docs/evaluation.md);
    `from_poses=False` reads the pictures' features, as other models do by default.
    """

    unipose_task, _pose_task = "image-diff", "pose-diff"

    def _from_poses(self):
        return is_blazepose(self.model.model.pose_vision_tower)


PIPELINES = {
    pipeline.unipose_task: pipeline
    for pipeline in (
        ImageToPosePipeline,
        TextToPosePipeline,
        PoseEditingPipeline,
        PoseToTextPipeline,
        PoseDiffPipeline,
        ImageToPoseTextPipeline,
        ImageDiffPipeline,
    )
}
