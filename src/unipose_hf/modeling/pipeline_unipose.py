# SPDX-License-Identifier: Apache-2.0
"""One pipeline per UniPose task (section 3.1): plain inputs -> chat -> model -> plain dicts."""

import inspect
import itertools
import warnings
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import torch
from transformers import GenerationConfig, GenerationMixin, Pipeline

from .blazepose_unipose import BlazePoseBackbone
from .image_processing_unipose import load_picture
from .people_unipose import DETECTOR, People, PeopleFinder, bundled_folder
from .pose_unipose import Pose, _import_from_package
from .processing_unipose import TASKS, task_messages
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

_INPUT_KEYS = ("image", "images", "box", "boxes", "pose", "poses", "text", "style")
_OF_RESULTS = ("score", "box", "keypoints", "visibility", "camera")  # keys of results other than the pose
NO_DIFFERENCE = "There is no difference."
_SAME_DEGREES = 3.0  # a rotation that nobody sees
_POSE_OPTIONS = ("decoding", "num_return_sequences", "steps", "temperature", "do_sample")


# Arguments of `generate` that are not in a generation configuration.
_TEXT_OPTIONS = {*inspect.signature(GenerationMixin.generate).parameters} - {"self", "inputs", "kwargs"}


class UniPosePipeline(Pipeline):
    """
    Base class of the task pipelines.

    An input is a dict with the keys of the task (`image` or `images`, `box` or `boxes`, `pose` or `poses`, `text`,
    `style`), or the bare value if the task needs only one; a list is a batch. The same keys can be passed as arguments
    of the call to apply to all inputs. `style` is the style of the generated text, `"short"`, `"full"` or
    `"measured"`, for models trained on several styles (`processor.text_style` is set). `batch_size` inputs are
    processed at once. All other arguments are passed to `generate_pose` or `generate`. With `num_return_sequences`
    above 1, each result is a list.

    Raises:
        ValueError: an empty or too long text, a missing or unknown key, a wrong number of images or poses, a pose with
            a wrong shape or NaN, an unreadable picture, a box that is empty or outside the picture.
        FileNotFoundError: the picture does not exist.
    """

    _load_processor = True
    _load_tokenizer = _load_image_processor = _load_video_processor = _load_feature_extractor = False
    _pipeline_calls_generate = True
    _default_generation_config = GenerationConfig(max_new_tokens=256)

    unipose_task = None  # a key of TASKS
    more_options = ()  # options of this task only

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        if self.processor is None:
            raise ValueError(f"{self.unipose_task} needs the processor of the model: give processor=... .")
        for name, token_id in self.processor.token_ids().items():
            if getattr(self.model.config, name) != token_id:
                raise ValueError(
                    f"The processor does not fit the model: its {name} is {token_id}, the model's is "
                    f"{getattr(self.model.config, name)}; load both from the same folder."
                )

    def _sanitize_parameters(self, **kwargs):
        self._check_options(kwargs)
        shared = {key: kwargs.pop(key) for key in _INPUT_KEYS if key in kwargs}
        return shared, kwargs, {}

    def _check_options(self, given):
        """Raises an error for unsupported arguments."""
        inputs = [key for key in _INPUT_KEYS if self._takes(key)]
        if TASKS[self.unipose_task].answer == "pose":
            options, names = _POSE_OPTIONS, ", ".join((*_POSE_OPTIONS, *self.more_options))
        else:
            options = _TEXT_OPTIONS | self.model.generation_config.to_dict().keys()
            names = ", ".join((*self.more_options, "those of generate"))
        unknown = [name for name in given if name not in inputs and name not in options]
        if unknown:
            raise ValueError(
                f"{self.unipose_task} takes the inputs {', '.join(inputs)} and the options {names}, but not "
                f"{', '.join(unknown)}."
            )

    def __call__(self, inputs=None, **kwargs):
        if inputs is None:
            inputs = {}
        if isinstance(inputs, tuple):
            inputs = list(inputs)
        if isinstance(inputs, list) and not inputs:
            return []
        return super().__call__(inputs, **kwargs)

    def run_single(self, inputs, preprocess_params, forward_params, postprocess_params):
        return next(self.get_iterator([inputs], 0, 1, preprocess_params, forward_params, postprocess_params))

    def get_iterator(self, inputs, num_workers, batch_size, preprocess_params, forward_params, postprocess_params):
        # The processor pads and stacks chats of different shapes, which the default collator cannot do.
        inputs = iter(inputs)
        while batch := list(itertools.islice(inputs, batch_size)):
            samples = [self.preprocess(item, **preprocess_params) for item in batch]
            outputs = self.forward(self._collate(samples), **forward_params)
            for sample, output in zip(samples, outputs, strict=True):
                results = [self.postprocess(one, sample=sample, **postprocess_params) for one in output]
                yield results[0] if len(results) == 1 else results

    # -- one input --------------------------------------------------------------------------------------------------

    def preprocess(self, item, **shared):
        """One input -> chat `messages`, `images` with boxes, `poses`, the `turns` removed from them, and `text`."""
        given = {**shared, **self._as_dict(item)}
        images = self._values(given, "image", TASKS[self.unipose_task].images)
        boxes = self._values(given, "box", TASKS[self.unipose_task].images, optional=True)
        poses, turns = [], []
        for pose in self._values(given, "pose", TASKS[self.unipose_task].poses):
            pose, turn = self._face_viewer(pose)
            poses.append(pose)
            turns.append(turn)
        if given.get("text") is not None and not isinstance(given["text"], str):
            raise ValueError(f"The text must be a string, but {type(given['text']).__name__} was given.")
        pictures = [{"image": load_picture(i), "box": b} for i, b in zip(images, boxes, strict=True)]
        style = given.get("style")
        if style not in (None, "measured") and self.processor.text_style is None:
            raise ValueError(
                f"This model was not trained to write in the style {style!r}; leave it out, or train a model on "
                "samples in plain English (unipose train instruction --plain 0.8)."
            )
        if style is None and TASKS[self.unipose_task].answer == "text" and not images:
            style = self.processor.text_style
        self._warn_of_unknown_words(given.get("text"))
        messages = task_messages(self.unipose_task, text=given.get("text"), images=pictures, poses=poses, style=style)
        return {"messages": messages, "images": pictures, "poses": poses, "turns": turns, "text": given.get("text")}

    def _warn_of_unknown_words(self, text):
        if text and (unknown := self.processor.unknown_words(text)):
            words = ", ".join(repr(word) for word in unknown)
            warnings.warn(
                f"The model was not trained on the word{'s' * (len(unknown) > 1)} {words}; the pose may not show what "
                "they mean. Say in other words what the body does.",
                stacklevel=2,
            )

    def _face_viewer(self, pose):
        """A pose -> the pose facing the viewer, as in training of text tasks, and the removed turn `(3, 3)`."""
        entries = self.processor.read_poses(pose)
        if len(entries) != 1:
            raise ValueError(f"{self.unipose_task} takes one pose in each place, but {len(entries)} were given.")
        rotations = entries[0]
        if isinstance(rotations, list):  # codes
            return rotations, np.eye(3, dtype=np.float32)
        turn = _turn_about_vertical(rotations[0])
        rotations = rotations.copy()
        rotations[0] = turn.T @ rotations[0]
        return rotations, turn

    def _as_dict(self, item):
        rule = TASKS[self.unipose_task]
        bare = {
            "image": rule.images == 1,
            "pose": rule.poses == 1 and not rule.text,
            "text": rule.text and not rule.poses,
        }
        if isinstance(item, dict):
            allowed = [key for key in _INPUT_KEYS if self._takes(key)]
            # the result of one pipeline can be passed to the next unchanged
            item = {key: value for key, value in item.items() if key in allowed or key not in _OF_RESULTS}
            unknown = [str(key) for key in item if key not in allowed]
            if unknown:
                raise ValueError(
                    f"{self.unipose_task} does not take the key {', '.join(unknown)}; it takes {', '.join(allowed)}."
                )
            return item
        key = next((key for key, is_bare in bare.items() if is_bare), None)
        if key is None:
            # a bare pose is allowed if the text is an argument of the call
            key = "pose" if rule.poses == 1 and rule.text else None
        if key is None:
            raise ValueError(
                f"{self.unipose_task} takes a dict, but {type(item).__name__} was given; see its key names."
            )
        return {key: item}

    def _takes(self, key):
        rule = TASKS[self.unipose_task]
        if key == "style":
            return rule.answer == "text"
        if key == "text":
            return rule.text or rule.prompt_with_text is not None
        return bool(rule.poses if key in ("pose", "poses") else rule.images)

    def _values(self, given, key, count, optional=False):
        """The values under a key or its plural, as a list of `count`."""
        plural = key + ("es" if key == "box" else "s")
        if given.get(key) is not None and given.get(plural) is not None:
            raise ValueError(f"Give either {key!r} or {plural!r}, not both.")
        if given.get(key) is not None:
            values = [given[key]]
        elif given.get(plural) is not None:
            values = list(given[plural])
        elif optional:
            return [None] * count
        elif count:
            name = key if count == 1 else plural
            raise ValueError(f"{self.unipose_task} needs the key {name!r}, which is missing.")
        else:
            return []
        if len(values) != count:
            raise ValueError(
                f"{self.unipose_task} takes {count} {key if count == 1 else plural}, but got {len(values)}."
            )
        return values

    # -- one batch --------------------------------------------------------------------------------------------------

    def _collate(self, samples):
        inputs = self.processor.apply_chat_template(
            [sample["messages"] for sample in samples],
            tokenize=True,
            return_dict=True,
            return_tensors="pt",
            add_generation_prompt=True,
            processor_kwargs={"padding": True, "padding_side": "left"},
        )
        longest = int(inputs["attention_mask"].sum(-1).max())
        context = getattr(self.model.config.get_text_config(), "max_position_embeddings", None)
        is_pose = TASKS[self.unipose_task].answer == "pose"
        prefix = len(self.model.config.pose_answer_prefix_ids)
        answer = prefix + self.processor.num_codes + 2 if is_pose else 16
        if context is not None and longest + answer > context:
            raise ValueError(
                f"The input is {longest} tokens long and the answer needs {answer}, but the model reads {context} in "
                "all; shorten the text."
            )
        return dict(inputs)

    def _forward(self, inputs, **kwargs):
        """A batch -> a list of results for each input: poses `(22, 3, 3)` with scores, or texts."""
        batch_size = len(inputs["input_ids"])
        if TASKS[self.unipose_task].answer == "pose":
            rows = self._answer_poses(inputs, {**self._generate_kwargs, **kwargs})
        else:
            rows = self._answer_texts(inputs, self._prepare_generate_kwargs(kwargs))
        each = len(rows) // batch_size
        return [rows[i * each : (i + 1) * each] for i in range(batch_size)]

    def _answer_poses(self, inputs, kwargs):
        if kwargs.pop("do_sample", False):
            kwargs.setdefault("decoding", "sample")
        output = self.model.generate_pose(**inputs, **kwargs)
        pairs = zip(output.rotations.float().cpu(), output.scores.tolist(), strict=True)
        return [{"rotations": rotations, "score": score} for rotations, score in pairs]

    def _answer_texts(self, inputs, kwargs):
        # Tasks with a text answer never start a pose.
        kwargs.setdefault("suppress_tokens", [self.model.config.pose_start_token_id])
        prompt = inputs["input_ids"].shape[1]
        context = getattr(self.model.config.get_text_config(), "max_position_embeddings", None)
        if context is not None and kwargs.get("max_new_tokens"):
            kwargs["max_new_tokens"] = min(kwargs["max_new_tokens"], context - prompt)
        sequences = self.model.generate(**inputs, **kwargs)
        texts = self.processor.batch_decode(sequences[:, prompt:], skip_special_tokens=True)
        return [{"text": text.strip()} for text in texts]

    def postprocess(self, output: dict[str, Any], sample: dict[str, Any] | None = None) -> dict[str, Any]:
        """One result of the model -> the dict returned to the user."""
        if "text" in output:
            return {"text": NO_DIFFERENCE} if sample is not None and _equal(sample["poses"]) else output
        rotations = output["rotations"].numpy().copy()
        if sample is not None and sample["turns"]:  # an edited pose keeps the direction of its source
            rotations[0] = sample["turns"][0] @ rotations[0]
        return {"pose": Pose.from_matrix(rotations), "score": output["score"]}


def _equal(poses):
    """Whether two poses, rotation matrices `(22, 3, 3)` each, are the same to the eye."""
    if len(poses) != 2 or any(isinstance(pose, list) for pose in poses):
        return False
    a, b = poses
    cosines = (np.einsum("jab,jab->j", a, b) - 1) / 2
    return bool((cosines > np.cos(np.radians(_SAME_DEGREES))).all())


def _turn_about_vertical(orientation):
    """`Ry(c)` of a global orientation `Ry(c) Rz(b) Rx(a)`, `(3, 3)`; the identity for a body lying on its side."""
    left_x, left_z = orientation[0, 0], orientation[2, 0]  # direction of the body's left side
    length = np.hypot(left_x, left_z)
    cos, sin = (left_x / length, -left_z / length) if length > 1e-6 else (1.0, 0.0)
    return np.array([[cos, 0, sin], [0, 1, 0], [-sin, 0, cos]], dtype=np.float32)


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
        """Log-likelihoods `(n,)` of words for each pose, by the model of plain English; 0 if it lacks the words."""
        if self._reader is None:
            folder = bundled_folder("unipose-plain")
            model, processor = type(self.model).from_pretrained(folder), type(self.processor).from_pretrained(folder)
            self._reader = TextToPosePipeline(model=model, processor=processor, device=self.device)
        if self._reader.processor.unknown_words(words):
            return np.zeros(len(poses))
        return len(words.split()) * np.log([self._reader._read_back(words, pose) for pose in poses])

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


class TextToPosePipeline(UniPosePipeline):
    """
    `pipeline("text-to-pose")`: a description, or `{"text"}`, -> `{"pose": Pose, "score": float}`.

    The score is the geometric mean of the token probabilities that the model assigns to the text as a description of
    the generated pose. It separates right from wrong answers only weakly, and the best of several samples by score is
    no better than the plain answer (examples/RESULTS.md). Models not trained on plain English (no
    `processor.known_words`) return the score of the generated pose codes.
    """

    unipose_task = "text-to-pose"

    def postprocess(self, output: dict[str, Any], sample: dict[str, Any] | None = None) -> dict[str, Any]:
        result = super().postprocess(output, sample)
        if sample is not None and self.processor.known_words:
            result["score"] = self._read_back(sample["text"], result["pose"])
        return result

    @torch.no_grad()
    def _read_back(self, text, pose):
        pose, _ = self._face_viewer(pose)
        inputs = self.processor.apply_chat_template(
            [task_messages("pose-to-text", poses=[pose], answer=text, style="short")],
            tokenize=True,
            return_dict=True,
            return_tensors="pt",
            return_assistant_tokens_mask=True,
        )
        asked = torch.as_tensor(inputs.pop("assistant_masks"))[0, 1:].bool()
        inputs.pop("mm_token_type_ids", None)
        ids = inputs["input_ids"][0, 1:]
        logits = self.model(**inputs.to(self.device)).logits[0, :-1].float().cpu()
        return float(logits.log_softmax(-1).gather(-1, ids[:, None])[asked].mean().exp())


class PoseEditingPipeline(UniPosePipeline):
    """
    `pipeline("pose-editing")`: `{"pose", "text": instruction}` -> `{"pose": Pose}`.

    There is no score: neither code probabilities nor describing the change separate good edits from bad ones.
    """

    unipose_task = "pose-editing"

    def postprocess(self, output: dict[str, Any], sample: dict[str, Any] | None = None) -> dict[str, Any]:
        return {"pose": super().postprocess(output, sample)["pose"]}


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
    """Reads the features of pictures or, with `from_poses`, estimates and refines their poses and describes those."""

    more_options = ("from_poses",)
    _pose_task = None  # the task that describes the poses

    def __init__(self, *args: Any, detector: str | None = "bundled", **kwargs: Any):
        super().__init__(*args, **kwargs)
        self._estimate = ImageToPosePipeline(
            model=self.model, processor=self.processor, device=self.device, detector=detector
        )

    def _sanitize_parameters(self, from_poses=None, **kwargs):
        shared, forward, after = super()._sanitize_parameters(**kwargs)
        return shared | ({} if from_poses is None else {"from_poses": from_poses}), forward, after

    def preprocess(self, item, from_poses=None, **shared):
        sample = super().preprocess(item, **shared)
        if not (self._from_poses() if from_poses is None else from_poses):
            return sample
        poses = []
        for number, picture in enumerate(sample["images"], 1):
            people = self._estimate(picture)
            if not people:
                raise ValueError(f"Nobody was found in picture {number}; give a box around the person.")
            poses.append(self._face_viewer(people[0]["pose"])[0])
        style = {**shared, **self._as_dict(item)}.get("style") or self.processor.text_style
        return {**sample, "messages": task_messages(self._pose_task, poses=poses, style=style), "poses": poses}

    def _from_poses(self):
        return False


class ImageToPoseTextPipeline(_TextOfImagesPipeline):
    """
    `pipeline("image-to-pose-text")`: an image, or `{"image", "box"}`, -> `{"text": description of the pose}`.

    `from_poses=True` estimates the pose of the largest person first and describes that: it states more, and on renders
    a little less of it is true (docs/evaluation.md).
    """

    unipose_task, _pose_task = "image-to-pose-text", "pose-to-text"


class ImageDiffPipeline(_TextOfImagesPipeline):
    """
    `pipeline("image-diff")`: `{"images": (a, b), "boxes"}` -> `{"text": how to get from a's pose to b's}`.

    With the bundled encoder, both poses are estimated first and compared, which says twice as much, and about as much
    of it is true (docs/evaluation.md); `from_poses=False` reads the pictures' features, as other models do by default.
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
