# SPDX-License-Identifier: Apache-2.0
"""Turns chats of text, images and poses into tensors, and tasks into chats (UniPose, section 3.1)."""

import functools
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, is_typeddict

import numpy as np
import torch
from tokenizers import pre_tokenizers
from transformers import AddedToken, BatchFeature, PreTrainedTokenizerFast
from transformers.processing_utils import ProcessingKwargs, ProcessorMixin, Unpack

from .image_processing_unipose import UniPoseImageProcessor, UniPoseImageProcessorKwargs, flatten_pictures
from .pose_unipose import check_rotation_vectors
from .rotation_unipose import axis_angle_to_matrix

if TYPE_CHECKING:
    # transformers copies the files imported here when a user saves remote code again, so the pipelines are included
    from .pipeline_unipose import UniPosePipeline  # noqa: F401

IMAGE_TOKEN = "<image>"
POSE_TOKEN = "<pose>"
POSE_START_TOKEN = "<pose_start>"
POSE_END_TOKEN = "<pose_end>"
POSE_QUERY_TOKEN = "<pose_query>"
USER_TOKEN = "<user>"
ASSISTANT_TOKEN = "<assistant>"

# A character that Unicode reserves for internal use. It is inserted into control tokens in a user's text, so that the
# tokenizer does not match them; the tokenizer then drops it, and the user's words arrive unchanged as plain text.
_BREAK = "\ufdd0"

# `answer_queries` writes the poses of assistant turns as `<pose_query>`: placeholders whose codes the model predicts.
CHAT_TEMPLATE = (
    "{%- macro content(message, place) -%}"
    "{%- if message['content'] is string -%}{{- message['content'] -}}{%- else -%}"
    "{%- for part in message['content'] -%}"
    "{%- if part['type'] == 'text' -%}{{- part['text'] -}}"
    "{%- elif part['type'] == 'image' -%}<image>"
    "{%- elif part['type'] == 'pose' -%}{{- place -}}{%- endif -%}"
    "{%- endfor -%}{%- endif -%}"
    "{%- endmacro -%}"
    "{{- bos_token -}}"
    "{%- for message in messages -%}"
    "{%- if message['role'] == 'system' -%}{{- content(message, '<pose>') -}}"
    "{%- elif message['role'] == 'user' -%}<user>{{- content(message, '<pose>') -}}"
    "{%- elif message['role'] == 'assistant' -%}<assistant>"
    "{%- generation -%}"
    "{{- content(message, '<pose_query>' if answer_queries else '<pose>') -}}{{- eos_token -}}"
    "{%- endgeneration -%}"
    "{%- else -%}"
    "{{- raise_exception('A UniPose chat has the roles system, user and assistant, not ' ~ message['role'] ~ '.') -}}"
    "{%- endif -%}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}<assistant>{%- endif -%}"
)


@dataclass(frozen=True)
class Task:
    """The inputs and output of a task. `prompt` is its default wording; `{text}` stands for the user's text."""

    prompt: str
    images: int = 0
    poses: int = 0
    text: bool = False
    answer: str = "text"
    prompt_with_text: str | None = None


# Styles of generated text: plain English, short or full, and the measured style of posecodes and paircodes.
TEXT_STYLES = {"short": " In a few words.", "full": " In plain English.", "measured": ""}

TASKS = {
    "image-to-pose": Task(
        "Estimate the pose.", images=1, answer="pose", prompt_with_text="Estimate the pose of this person: {text}"
    ),
    "text-to-pose": Task("Make a pose: {text}", text=True, answer="pose"),
    "pose-editing": Task("Edit this pose: {text}", poses=1, text=True, answer="pose"),
    "pose-to-text": Task("Describe this pose.", poses=1),
    "pose-diff": Task("How does the first pose become the second?", poses=2),
    "image-to-pose-text": Task("Describe the pose of this person.", images=1),
    "image-diff": Task("How does the pose of the first image become that of the second?", images=2),
}


def task_messages(
    task: str,
    *,
    text: str | None = None,
    images: Sequence[Any] = (),
    poses: Sequence[Any] = (),
    answer: Any = None,
    style: str | None = None,
) -> list[dict[str, Any]]:
    """
    Returns a task as chat messages, with the default wording that the model is trained on.

    Args:
        task (`str`): a key of `TASKS`.
        text (`str`, *optional*): the user's text: a description, an instruction, or which person in the image is
            meant.
        images (sequence): images, or dicts `{"image": image, "box": (x0, y0, x1, y1)}`.
        poses (sequence): poses in any form that [`UniPoseProcessor`] takes.
        answer (*optional*): a pose or a text; adds the assistant's message, for training.
        style (*optional*): the style of a text answer, a key of `TEXT_STYLES`.

    Raises:
        ValueError: unknown task or style, a style for a task that answers with a pose, missing or superfluous text,
            wrong number of images or poses.
    """
    if task not in TASKS:
        raise ValueError(f"Unknown task {task!r}; choose one of {', '.join(TASKS)}.")
    rule = TASKS[task]
    for name, given, expected in (("image", images, rule.images), ("pose", poses, rule.poses)):
        if len(given) != expected:
            raise ValueError(f"{task} takes {expected} {name}{'s' * (expected != 1)}, but {len(given)} were given.")
    if text is not None and not (isinstance(text, str) and text.strip()):
        raise ValueError(f"The text of {task} must be a sentence, but it is {text!r}.")
    if rule.text and text is None:
        raise ValueError(f"{task} needs a text: give the description or instruction under the key 'text'.")
    template = rule.prompt if text is None or rule.text else rule.prompt_with_text
    if template is None:
        raise ValueError(f"{task} takes no text, but {text!r} was given.")
    template += style_suffix(task, style)
    content = [{"type": "image", **(i if isinstance(i, dict) else {"image": i})} for i in images]
    content += [{"type": "pose", "pose": pose} for pose in poses]
    content.append({"type": "text", "text": template.replace("{text}", text or "")})
    messages = [{"role": "user", "content": content}]
    if answer is not None:
        key = rule.answer
        messages.append({"role": "assistant", "content": [{"type": key, key: answer}]})
    return messages


def _is_known(word, known):
    """Whether a word, or another form of it, is known."""
    word = word.replace("’", "'")
    stems = {word.removesuffix(ending) for ending in ("", "'s", "s", "es", "d", "ed", "er", "ing", "ly")}
    stems |= {word.removesuffix("ing") + "e", word + "s", word + "ing"}
    return len(word) == 1 or not stems.isdisjoint(known)


def style_suffix(task, style):
    """The sentence after a prompt that asks for a style; empty for `None`.

    Raises:
        ValueError: unknown style, or the task answers with a pose.
    """
    if style is None:
        return ""
    if style not in TEXT_STYLES:
        raise ValueError(f"Unknown style {style!r}; choose one of {', '.join(TEXT_STYLES)}.")
    if TASKS[task].answer != "text":
        raise ValueError(f"{task} answers with a pose, which has no style; leave out style={style!r}.")
    return TEXT_STYLES[style]


def add_pose_tokens(tokenizer: PreTrainedTokenizerFast, codebook_size: int) -> int:
    """
    Adds the tokens of UniPose to a fast tokenizer: seven special ones, then `codebook_size` codes with contiguous ids.
    Codes are not special tokens, so decoding with `skip_special_tokens` keeps them. Returns the id of `<pose_0>`.
    """
    special = [
        IMAGE_TOKEN,
        POSE_TOKEN,
        POSE_START_TOKEN,
        POSE_END_TOKEN,
        POSE_QUERY_TOKEN,
        USER_TOKEN,
        ASSISTANT_TOKEN,
    ]
    tokenizer.add_tokens([AddedToken(token, special=True, normalized=False) for token in special], special_tokens=True)
    tokenizer.add_tokens([AddedToken(f"<pose_{i}>", special=False, normalized=False) for i in range(codebook_size)])
    _drop_breaks(tokenizer)
    return tokenizer.convert_tokens_to_ids("<pose_0>")


def _drop_breaks(tokenizer):
    """Makes the tokenizer drop `_BREAK` after matching added tokens and before splitting words."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        raise ValueError(f"UniPose needs a fast tokenizer, but {type(tokenizer).__name__} is slow.")
    steps = backend.pre_tokenizer
    if steps is not None and _BREAK in json.dumps(json.loads(steps.__getstate__()), ensure_ascii=False):
        return
    drop = pre_tokenizers.Split(_BREAK, behavior="removed")
    backend.pre_tokenizer = drop if steps is None else pre_tokenizers.Sequence([drop, steps])


class UniPoseProcessorKwargs(ProcessingKwargs, total=False):
    pass


class UniPoseProcessor(ProcessorMixin):
    r"""
    Combines an image processor and a tokenizer, and also takes poses.

    A pose is a `Pose`, an array or tensor of axis-angle vectors `(22, 3)` in radians or of rotation matrices `(22, 3,
    3)`, or a list of `num_codes` codes. Each `<pose>` in a text stands for one pose and becomes `<pose_start>` +
    `num_codes` placeholders + `<pose_end>`. Rotations are returned as `pose_values` `(n, 22, 3, 3)` float32; codes
    become code tokens directly. Each `<pose_query>` stands for a pose that the model learns to answer; its rotations
    are returned as `answer_pose_values`, its codes as `answer_pose_codes` `(n, num_codes)`.

    In [`~UniPoseProcessor.apply_chat_template`] content is `{"type": "text", "text": ...}`,
    `{"type": "image", "image": ..., "box": (x0, y0, x1, y1)}` (box optional) or `{"type": "pose", "pose": ...}`;
    `"url"`, `"path"` or `"base64"` may replace the key `"image"`. A system message comes before the first turn. An
    image may also be given as features of the frozen encoders, `{"type": "image", "features": array (cells,
    channels)}`, for all images of a batch or for none; they are returned as `vision_features`. User text is always
    plain text: `<pose>`, `<image>`, `</s>` and the like are spelled out and never become control tokens.

    Args:
        image_processor ([`UniPoseImageProcessor`]): produces `pixel_values` and `pose_pixel_values`.
        tokenizer ([`PreTrainedTokenizerFast`]): a fast tokenizer with the tokens of [`add_pose_tokens`].
        chat_template (`str`, *optional*): Jinja template, by default `<user>...<assistant>...`.
        num_codes (`int`, *optional*, defaults to 80): tokens of one pose.
        num_image_tokens (`int`, *optional*, defaults to 576): tokens of one image.
        text_style (`str`, *optional*): the style that pipelines ask for, a key of `TEXT_STYLES`, for a model trained
            on several styles; `None` for the default prompts only.
        known_words (`str`, *optional*): the words in the model's training texts, in lower case, separated by spaces;
            pipelines warn about other words.
        normalize_prompts (`bool`, *optional*, defaults to `False`): whether user text is read in lower case and
            without a full stop at the end, so that "Sit down." and "sit down" are the same prompt.
    """

    valid_processor_kwargs = UniPoseProcessorKwargs
    return_mm_token_type_ids = True
    skip_tensor_conversion = ["text_replacement_offsets", "offset_mapping"]

    def __init__(
        self,
        image_processor: UniPoseImageProcessor | None = None,
        tokenizer: PreTrainedTokenizerFast | None = None,
        chat_template: str | None = None,
        num_codes: int = 80,
        num_image_tokens: int = 576,
        text_style: str | None = None,
        known_words: str | None = None,
        normalize_prompts: bool = False,
        **kwargs: Any,
    ) -> None:
        self.text_style, self.known_words, self.normalize_prompts = text_style, known_words, normalize_prompts
        self.num_codes = num_codes
        self.num_image_tokens = num_image_tokens
        self.image_token, self.pose_token, self.pose_query_token = IMAGE_TOKEN, POSE_TOKEN, POSE_QUERY_TOKEN
        vocabulary = tokenizer.get_vocab()
        missing = [t for t in (IMAGE_TOKEN, POSE_TOKEN, POSE_QUERY_TOKEN, "<pose_0>") if t not in vocabulary]
        if missing:
            raise ValueError(f"The tokenizer lacks {', '.join(missing)}: add the tokens with add_pose_tokens first.")
        self.image_token_id = vocabulary[IMAGE_TOKEN]
        self.pose_token_id = vocabulary[POSE_TOKEN]
        self.pose_query_token_id = vocabulary[POSE_QUERY_TOKEN]
        self.pose_code_offset = vocabulary["<pose_0>"]
        self.codebook_size = sum(re.fullmatch(r"<pose_\d+>", token) is not None for token in vocabulary)
        _drop_breaks(tokenizer)
        self._token_types = np.zeros(max(vocabulary.values()) + 1, dtype=np.int64)
        self._token_types[self.image_token_id] = 1
        self._token_types[[self.pose_token_id, *self._code_ids]] = 4
        self._token_types[self.pose_query_token_id] = 5
        codes = {f"<pose_{i}>" for i in range(self.codebook_size)}
        control = [t.content for t in tokenizer.added_tokens_decoder.values() if t.special or t.content in codes]
        self._control_tokens = re.compile("|".join(re.escape(t) for t in sorted(control, key=len, reverse=True)))
        super().__init__(image_processor, tokenizer, chat_template=chat_template or CHAT_TEMPLATE)

    def token_ids(self) -> dict[str, int]:
        """The ids for a [`UniPoseConfig`] with this tokenizer: `UniPoseConfig(**processor.token_ids(), ...)`."""
        names = {"image": IMAGE_TOKEN, "pose": POSE_TOKEN, "pose_start": POSE_START_TOKEN, "pose_end": POSE_END_TOKEN}
        names["pose_query"] = POSE_QUERY_TOKEN
        ids = {f"{name}_token_id": self.tokenizer.convert_tokens_to_ids(token) for name, token in names.items()}
        return {**ids, "pose_code_offset": self.pose_code_offset}

    def unknown_words(self, text: str) -> list[str]:
        """The words of a text that the model was not trained on, in order; empty if `known_words` is not set."""
        if not self.known_words:
            return []
        known = self._known_words
        found = [
            word for word in re.findall(r"[^\W\d_]+(?:['’][^\W\d_]+)?", text) if not _is_known(word.lower(), known)
        ]
        return list(dict.fromkeys(found))

    @functools.cached_property
    def _known_words(self):
        return frozenset(self.known_words.split())

    @property
    def _code_ids(self):
        return range(self.pose_code_offset, self.pose_code_offset + self.codebook_size)

    @property
    def model_input_names(self) -> list[str]:
        names = [name for name in super().model_input_names if name != "token_type_ids"]
        return [*names, "pose_values", "mm_token_type_ids"]

    def __call__(
        self,
        images: Any = None,
        text: str | list[str] | None = None,
        poses: Any = None,
        boxes: Sequence[Sequence[float] | None] | None = None,
        vision_features: Sequence[Any] | None = None,
        **kwargs: Unpack[UniPoseProcessorKwargs],
    ) -> BatchFeature:
        """
        Args:
            images: images (path, URL, PIL image, array), as a flat list or one list for each text.
            text (`str` or `list[str]`): `<image>`, `<pose>` and `<pose_query>` are placeholders of images and poses.
            poses: poses in the order of their placeholders, as a flat list or one list for each text.
            boxes: for each image, in order, `(x0, y0, x1, y1)` in pixels of the upright image, or `None`.
            vision_features: instead of images, an array `(cells, channels)` of encoder features for each.

        Returns:
            `BatchFeature` with `input_ids`, `attention_mask`, `mm_token_type_ids` (0 text, 1 image, 4 pose, 5 query),
            and, where present, `pixel_values`, `pose_pixel_values`, `vision_features`, `pose_values`,
            `answer_pose_values`, `answer_pose_codes`.
        """
        self._check_options(kwargs)
        poses = self.read_poses(poses)
        if text is None and poses:
            raise ValueError(
                f"{len(poses)} poses were given without a text; give a text with one <pose> for each of them."
            )
        if images is not None:
            images = flatten_pictures(images)
        images, text, _, _ = self.prepare_inputs_layout(images=images, text=text)
        if not vision_features:  # transformers would complain about placeholders without images
            self.validate_inputs(images=images, text=text)
        merged = self._merge_kwargs(tokenizer_init_kwargs=self.tokenizer.init_kwargs, **kwargs)
        text_kwargs = merged["text_kwargs"]
        # Tensors are made at the end: transformers would iterate over every offset of every token to convert them.
        return_tensors = text_kwargs.pop("return_tensors", None)
        with_types = text_kwargs.pop("return_mm_token_type_ids", merged["return_mm_token_type_ids"])
        with_offsets = text_kwargs.pop("return_text_replacement_offsets", merged["return_text_replacement_offsets"])

        data = {}
        image_texts = []
        if images is not None:
            image_kwargs = merged["images_kwargs"]
            image_kwargs.pop("return_tensors", None)
            data.update(self.image_processor(images, **{**image_kwargs, "boxes": boxes}))
        if vision_features:
            if images is not None:
                raise ValueError("This batch mixes images and image features; give all of them in the same form.")
            data["vision_features"] = np.stack([np.asarray(cells, dtype=np.float32) for cells in vision_features])
        if images is not None or vision_features:
            count = len(images if images is not None else vision_features)
            image_texts = [IMAGE_TOKEN * self.num_image_tokens] * count
        if text is not None:
            text, offsets, pose_data = self._expand(text, image_texts, poses)
            text_inputs = self.tokenizer(text, **{"return_token_type_ids": False, **text_kwargs})
            if text_kwargs.get("truncation"):
                self._check_whole(text, text_inputs["input_ids"])
            if with_offsets:
                text_inputs["text_replacement_offsets"] = offsets
            if with_types:
                text_inputs["mm_token_type_ids"] = self.create_mm_token_type_ids(text_inputs["input_ids"])
            data = {**text_inputs, **pose_data, **data}
        return BatchFeature(data, tensor_type=return_tensors, skip_tensor_conversion=self.skip_tensor_conversion)

    def _check_options(self, given):
        """Raises for options that transformers would only warn about, or drop silently."""
        own = self.valid_processor_kwargs.__annotations__
        groups = {name: kind.__annotations__ for name, kind in own.items() if is_typeddict(kind)}
        groups["images_kwargs"] = UniPoseImageProcessorKwargs.__annotations__
        known = {*own, "common_kwargs"}.union(*groups.values())
        unknown = [name for name, value in given.items() if name not in known and value is not None]
        for group, names in groups.items():
            unknown += [name for name in given.get(group) or () if name not in names]
        if unknown:
            raise ValueError(f"A UniPose processor has no option {', '.join(map(repr, unknown))}.")

    # -- poses ------------------------------------------------------------------------------------------------------

    def read_poses(self, poses: Any) -> list[np.ndarray | list[int]]:
        """Any nesting of poses -> a flat list of checked `(22, 3, 3)` float32 arrays and lists of codes."""
        found = list(_walk_poses(poses))
        vectors, entries = [], []
        for pose in found:
            entry = self._read_pose(pose)
            if isinstance(entry, np.ndarray) and entry.shape == (22, 3):
                vectors.append((len(entries), entry))
            entries.append(entry)
        if vectors:
            indices, values = zip(*vectors, strict=True)
            matrices = axis_angle_to_matrix(torch.from_numpy(np.stack(values))).numpy()
            for index, matrix in zip(indices, matrices, strict=True):
                entries[index] = matrix
        return entries

    def _read_pose(self, pose):
        if pose.ndim == 1 and pose.dtype.kind in "iu":
            if len(pose) != self.num_codes:
                raise ValueError(f"A pose has {self.num_codes} codes, but {len(pose)} were given.")
            if pose.min() < 0 or pose.max() >= self.codebook_size:
                raise ValueError(
                    f"Codes must be in 0..{self.codebook_size - 1}, but a pose has codes from {pose.min()} to "
                    f"{pose.max()}."
                )
            return pose.tolist()
        if pose.shape not in ((22, 3), (22, 3, 3)) or pose.dtype.kind not in "fiu":
            raise ValueError(
                f"A pose is axis-angle of shape (22, 3), matrices of shape (22, 3, 3) or {self.num_codes} integer "
                f"codes, but an array of shape {pose.shape} and type {pose.dtype} was given."
            )
        pose = pose.astype(np.float32, copy=False)
        largest = np.abs(pose).max()
        if not np.isfinite(largest):
            raise ValueError("A pose holds NaN or infinite values; every rotation must be finite.")
        if pose.ndim == 2:
            check_rotation_vectors(pose)
        if pose.ndim == 3:
            error = np.abs(pose @ pose.transpose(0, 2, 1) - np.eye(3, dtype=np.float32)).max()
            if error > 1e-2 or np.linalg.det(pose).min() < 0:
                raise ValueError(
                    "A pose of shape (22, 3, 3) must hold rotation matrices, but some are not orthonormal."
                )
        return pose

    def _expand(self, texts, image_texts, poses):
        """Expands every placeholder; returns the texts, the spans of the replacements, and the poses as arrays."""
        images, poses = iter(image_texts), iter(poses)
        values, answers, answer_codes = [], [], []
        expanded, offsets = [], []
        for text in texts:
            parts, spans, last, shift = [], [], 0, 0
            for match in _PLACEHOLDERS.finditer(text):
                placeholder, (start, end) = match.group(), match.span()
                if placeholder == IMAGE_TOKEN:
                    written = next(images)
                else:
                    pose = next(poses, None)
                    if pose is None:
                        raise ValueError("The texts have more pose placeholders than there are poses.")
                    if placeholder == POSE_QUERY_TOKEN:
                        (answer_codes if isinstance(pose, list) else answers).append(pose)
                        inner = POSE_QUERY_TOKEN * self.num_codes
                    elif isinstance(pose, list):
                        inner = "".join(f"<pose_{code}>" for code in pose)
                    else:
                        values.append(pose)
                        inner = POSE_TOKEN * self.num_codes
                    written = f"{POSE_START_TOKEN}{inner}{POSE_END_TOKEN}"
                new_start = start + shift
                spans.append(
                    {
                        "type": "image" if placeholder == IMAGE_TOKEN else "pose",
                        "span": (start, end),
                        "new_span": (new_start, new_start + len(written)),
                        "text": placeholder,
                        "replacement": written,
                    }
                )
                parts += [text[last:start], written]
                shift += len(written) - (end - start)
                last = end
            expanded.append("".join([*parts, text[last:]]))
            offsets.append(spans)
        if next(poses, None) is not None:
            raise ValueError(
                "There are more poses than pose placeholders in the texts; write <pose> once for each pose."
            )
        if answers and answer_codes:
            raise ValueError("The answer poses of one batch must all be rotations or all be codes.")
        data = {}
        if values:
            data["pose_values"] = np.stack(values)
        if answers:
            data["answer_pose_values"] = np.stack(answers)
        if answer_codes:
            data["answer_pose_codes"] = np.array(answer_codes, dtype=np.int64)
        return expanded, offsets, data

    def _check_whole(self, texts, input_ids):
        for text, ids in zip(texts, input_ids, strict=True):
            wanted = sum(text.count(t) for t in (IMAGE_TOKEN, POSE_TOKEN, POSE_QUERY_TOKEN))
            ids = np.asarray(ids)
            found = np.isin(ids, [self.image_token_id, self.pose_token_id, self.pose_query_token_id]).sum()
            if found != wanted:
                raise ValueError(
                    "Truncation would cut through an image or a pose; increase max_length or shorten the text."
                )

    def create_mm_token_type_ids(self, input_ids: Any) -> Any:
        """Token types: 0 text, 1 image, 4 pose, 5 query of an answer pose."""
        if not isinstance(input_ids, list):
            return self._token_types[np.asarray(input_ids)]
        return [self._token_types[np.asarray(row, dtype=np.int64)].tolist() for row in input_ids]

    # -- chats ------------------------------------------------------------------------------------------------------

    def apply_chat_template(
        self, conversation: list, *args: Any, sanitize_control_tokens: bool = True, **kwargs: Any
    ) -> Any:
        """
        As in [`ProcessorMixin`], with poses. Control tokens in users' text always become plain text, so
        `sanitize_control_tokens` has no effect. `answer_queries=True` turns the poses of assistant messages into
        `<pose_query>` placeholders, for training.
        """
        del sanitize_control_tokens
        if len(conversation) == 0:
            raise ValueError("The chat has no messages.")
        return super().apply_chat_template(conversation, *args, **kwargs)

    def _normalize_conversations(self, conversation):
        conversations, is_batched = super()._normalize_conversations(conversation)
        for messages in conversations:
            for message in messages:
                content = message.get("content") or []
                parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
                parts = [self._checked_part(part) for part in parts]
                if self.normalize_prompts and message.get("role") == "user":
                    parts = _normalized(parts)
                texts = [{"text": self._plain(part["text"])} if part["type"] == "text" else {} for part in parts]
                parts = [part | text for part, text in zip(parts, texts, strict=True)]
                message["content"] = parts[0]["text"] if content and isinstance(content, str) else parts
        return conversations, is_batched

    def _plain(self, text):
        """Breaks up every control token in a text, so that the tokenizer spells it out."""
        if _BREAK in text:
            text = text.replace(_BREAK, "")
        return self._control_tokens.sub(lambda match: match.group()[:1] + _BREAK + match.group()[1:], text)

    def _checked_part(self, part):
        kind = part.get("type")
        if kind == "text":
            if not isinstance(part.get("text"), str):
                raise ValueError(f"The value of 'text' in a chat must be a string, but it is {part.get('text')!r}.")
            return {"type": "text", "text": part["text"]}
        if kind == "pose" and part.get("pose") is None:
            raise ValueError("A part of type 'pose' in a chat needs the key 'pose', which is missing.")
        if kind not in ("image", "pose"):
            raise ValueError(f"The type of chat content must be text, image or pose, but it is {kind!r}.")
        return part

    def _multimodal_inputs_from_conversations(self, conversations, *args, **kwargs):
        images, poses, boxes, features = [], [], [], []
        for messages in conversations:
            images.append([])
            poses.append([])
            for message in messages:
                if isinstance(message["content"], str):
                    continue
                for part in message["content"]:
                    if part["type"] == "image" and "features" in part:
                        features.append(part["features"])
                    elif part["type"] == "image":
                        images[-1] += [_picture(part, key) for key in _PICTURE_KEYS if key in part][:1]
                        boxes.append(part.get("box"))
                    elif part["type"] == "pose":
                        poses[-1].append(part["pose"])
        more = {"vision_features": features} if features else {}
        return (
            images,
            [],
            [],
            {
                "poses": poses,
                "boxes": boxes if any(box is not None for box in boxes) else None,
                **more,
            },
        )

    def _adjust_assistant_masks_indices(self, processed, generation_indices):
        # transformers compares token by token in Python, which takes a millisecond per sample on tensors.
        offset_mapping = processed.pop("offset_mapping")
        replacements = processed.pop("text_replacement_offsets")
        masks = []
        for row, spans, replaced in zip(offset_mapping, generation_indices, replacements, strict=True):
            row = np.asarray(row).reshape(-1, 2)
            ends = [item["span"][1] for item in replaced]
            shifts = [0, *(item["new_span"][1] - item["span"][1] for item in replaced)]
            mask = np.zeros(len(row), dtype=bool)
            for span in spans:
                start, end = (char + shifts[np.searchsorted(ends, char, side="right")] for char in span)
                # tokens of zero width (padding) never match
                mask |= (row[:, 0] < end) & (row[:, 1] > start) & (row[:, 1] > row[:, 0])
            masks.append(mask.astype(np.int64).tolist())
        processed["assistant_masks"] = masks
        return processed


def _normalized(parts):
    """The parts of a user message in lower case, without a full stop at the end."""
    texts = [(part.get("text") or "").lower() for part in parts]  # None in rows of a data set
    texts[-1:] = [text.rstrip(" .") for text in texts[-1:]]
    return [part | {"text": text} if part["type"] == "text" else part for part, text in zip(parts, texts, strict=True)]


def _picture(part, key):
    """The image under `key` in a chat, as the image processor takes it."""
    is_bare = key == "base64" and isinstance(part[key], str) and not part[key].startswith("data:")
    return f"data:image/png;base64,{part[key]}" if is_bare else part[key]


_PICTURE_KEYS = ("image", "url", "path", "base64")
_PLACEHOLDERS = re.compile("|".join(re.escape(token) for token in (IMAGE_TOKEN, POSE_TOKEN, POSE_QUERY_TOKEN)))


def _walk_poses(poses):
    """Yield every pose of any nesting as a numpy array: `(22, 3)`, `(22, 3, 3)` or 1-D codes."""
    if poses is None:
        return
    if hasattr(poses, "axis_angle"):  # a `Pose`; checked by attribute, because remote code has a second class of it
        yield np.asarray(poses.axis_angle, dtype=np.float32)
    elif isinstance(poses, torch.Tensor):
        yield from _split_poses(
            poses.detach().cpu().float().numpy() if poses.is_floating_point() else poses.cpu().numpy()
        )
    elif isinstance(poses, np.ndarray):
        yield from _split_poses(poses)
    elif isinstance(poses, list | tuple):
        first = poses
        while isinstance(first, list | tuple) and first:
            first = first[0]
        if isinstance(first, int | float | np.number):
            try:
                array = np.asarray(poses)
            except ValueError:
                if not isinstance(poses[0][0], list | tuple):
                    raise ValueError("A pose given as nested lists has rows of different lengths.") from None
                for pose in poses:  # chats with different numbers of poses
                    yield from _walk_poses(pose)
            else:
                yield from _split_poses(array)
        else:
            for pose in poses:
                yield from _walk_poses(pose)
    else:
        raise ValueError(
            "A pose is a Pose, an array of shape (22, 3) or (22, 3, 3), or a list of codes, but "
            f"{type(poses).__name__} was given."
        )


def _split_poses(array):
    single = array.ndim < 2 or array.shape in ((22, 3), (22, 3, 3))
    stacked = array.shape[-2:] == (22, 3) or array.shape[-3:] == (22, 3, 3) or array.dtype.kind in "iu"
    if single or not stacked:
        yield array
    else:
        for pose in array:
            yield from _split_poses(pose)


__all__ = ["TASKS", "Task", "UniPoseProcessor", "add_pose_tokens", "task_messages"]
