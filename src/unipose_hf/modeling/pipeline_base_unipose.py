# SPDX-License-Identifier: Apache-2.0
"""What the pipelines of all tasks have in common: plain inputs -> chat -> model -> plain dicts."""

import inspect
import itertools
import warnings
from typing import Any

import numpy as np
from transformers import GenerationConfig, GenerationMixin, Pipeline

from .image_processing_unipose import load_picture
from .pose_unipose import Pose
from .processing_unipose import TASKS, task_messages

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
                "they mean. Describe in other words what the body does.",
                stacklevel=2,
            )

    def _face_viewer(self, pose):
        """A pose -> the pose facing the viewer, as in training of text tasks, and the removed turn `(3, 3)`."""
        entries = self.processor.read_poses(pose)
        if len(entries) != 1:
            raise ValueError(f"{self.unipose_task} needs a single pose here, but {len(entries)} were given.")
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
