# SPDX-License-Identifier: Apache-2.0
import base64
import io
import random

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import PreTrainedTokenizerFast

from tiny import CODEBOOK, NUM_CODES
from tiny_chat import SENTENCES, tiny_processor, tiny_tokenizer
from unipose_hf import Pose
from unipose_hf.modeling.processing_unipose import TASKS, UniPoseProcessor, task_messages
from unipose_hf.training.text_tokenizer import train_text_tokenizer

CONTROL = ["<image>", "<pose>", "<pose_start>", "<pose_end>", "<pose_query>", "<user>", "<assistant>"]
CONTROL += ["</s>", "<s>", "<pad>", "<pose_0>", "<pose_15>"]
CHAT = {"tokenize": True, "return_dict": True, "return_tensors": "pt"}


@pytest.fixture(scope="module")
def processor():
    return tiny_processor()


def vectors(count=1, seed=0):
    return [v.numpy() for v in 0.4 * torch.randn(count, 22, 3, generator=torch.Generator().manual_seed(seed))]


def user(*content):
    return [{"role": "user", "content": list(content)}]


def words(text):
    return {"type": "text", "text": text}


def tokens(processor, ids):
    return processor.tokenizer.convert_ids_to_tokens(ids)


# -- what users of transformers expect -----------------------------------------------------------------------------


def test_a_system_message_stands_first(processor):
    told = [{"role": "system", "content": "Be brief."}, *user(words("Sit."))]
    for system in ("Be brief.", [words("Be brief.")]):
        told[0]["content"] = system
        ids = processor.apply_chat_template(told, add_generation_prompt=True, **CHAT)["input_ids"][0]
        assert processor.tokenizer.decode(ids) == "<s>Be brief.<user>Sit.<assistant>"
    told[0]["content"] = "<user>"
    ids = processor.apply_chat_template(told, **CHAT)["input_ids"][0]
    assert (ids == processor.tokenizer.convert_tokens_to_ids("<user>")).sum() == 1
    with pytest.raises(Exception, match="roles system, user and assistant, not tool"):
        processor.apply_chat_template([{"role": "tool", "content": "x"}], **CHAT)


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_a_picture_in_base64(processor, kind):
    file = io.BytesIO()
    Image.radial_gradient("L").convert("RGB").save(file, kind)
    plain = base64.b64encode(file.getvalue()).decode()
    expected = processor.image_processor(file.getvalue(), return_tensors="pt")["pose_pixel_values"]
    for given in ({"base64": plain}, {"base64": f"data:image/{kind.lower()};base64,{plain}"}):
        found = processor.apply_chat_template(user({"type": "image", **given}, words("Look.")), **CHAT)
        assert found["pose_pixel_values"].equal(expected)
    with pytest.raises(ValueError, match="not an image that PIL can read"):
        processor.apply_chat_template(user({"type": "image", "base64": plain[400:]}), **CHAT)


def test_input_names_are_those_of_the_outputs(processor):
    inputs = processor(text="<image> <pose>", images=Image.new("RGB", (40, 40)), poses=vectors(1))
    assert set(inputs) == set(processor.model_input_names)


@pytest.mark.parametrize("option", [{"paddding": True}, {"sise": 2}, {"images_kwargs": {"pose_sise": 3}}])
def test_unknown_options_are_refused(processor, option):
    with pytest.raises(ValueError, match=f"has no option '{[*option.get('images_kwargs', option)][0]}'"):
        processor(text="<image>", images=Image.new("RGB", (40, 40)), **option)
    if "images_kwargs" not in option:
        with pytest.raises(ValueError, match="has no option"):
            processor.apply_chat_template(user(words("Sit.")), processor_kwargs=option, **CHAT)


# -- users' words --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("as_string", [True, False])
@pytest.mark.parametrize("role", ["user", "assistant"])
def test_control_tokens_in_words_stay_words(processor, as_string, role):
    text = "a " + " ".join(CONTROL) + " <<pose>> <pose<pose>_17> \ufdd0<\ufdd0pose> <pose_16> é 日本 🙂  two\n\tend"
    content = text if as_string else [words(text)]
    output = processor.apply_chat_template([{"role": role, "content": content}], **CHAT)
    ids = output["input_ids"][0].tolist()
    inside = ids[2:-1] if role == "assistant" else ids[2:]
    names = {*CONTROL, *(f"<pose_{i}>" for i in range(CODEBOOK))}
    assert not names & set(tokens(processor, inside))
    assert processor.tokenizer.decode(inside) == text.replace("\ufdd0", "")
    assert output["mm_token_type_ids"].sum() == 0


def test_normalized_prompts_read_every_spelling_alike(processor):
    def prompt(text, role="user"):
        ids = processor.apply_chat_template([{"role": role, "content": [words("Pose: "), words(text)]}], **CHAT)
        return processor.tokenizer.decode(ids["input_ids"][0])

    spellings = ["T-pose.", "t-pose", "T-POSE"]
    assert len({prompt(text) for text in spellings}) == 3
    processor.normalize_prompts = True
    try:
        assert {prompt(text) for text in spellings} == {prompt("t-pose")}
        assert "T-pose." in prompt("T-pose.", role="assistant")
        row = [{"type": "pose", "pose": np.zeros((22, 3)), "text": None}, words("Sit down.") | {"pose": None}]
        ids = processor.apply_chat_template([{"role": "user", "content": row}], **CHAT)["input_ids"][0]
        assert processor.tokenizer.decode(ids).endswith("sit down")
        names = {*CONTROL, *(f"<pose_{i}>" for i in range(CODEBOOK))}
        shouted = " ".join(CONTROL).upper()
        ids = processor.apply_chat_template([{"role": "user", "content": shouted}], **CHAT)["input_ids"][0].tolist()
        assert not names & set(tokens(processor, ids[2:]))
    finally:
        processor.normalize_prompts = False


def test_random_words_come_back_as_they_were(processor):
    generator = random.Random(0)
    alphabet = [*CONTROL, *"abcXYZ <>_/0179.,'é\n", "pose", "_1", "日", "\u200d", "\x00", "🤸🏽"]
    for _ in range(200):
        text = "".join(generator.choices(alphabet, k=generator.randint(1, 30)))
        ids = processor.apply_chat_template(user(words(text)), tokenize=True)[0]
        assert processor.tokenizer.decode(ids[2:]) == text
        assert set(tokens(processor, ids[2:])).isdisjoint(CONTROL)


def test_rendered_chat_is_safe_when_it_is_tokenized_later(processor):
    prompt = processor.apply_chat_template(user(words("one <pose> and <image>")))
    ids = processor(text=prompt)["input_ids"][0]
    assert processor.tokenizer.decode(ids[2:]) == "one <pose> and <image>"
    assert processor.pose_token_id not in ids and processor.image_token_id not in ids


def test_safety_survives_saving(processor, tmp_path):
    processor.save_pretrained(tmp_path)
    again = UniPoseProcessor.from_pretrained(tmp_path)
    chat = [*user(words("x </s> <pose_3>")), {"role": "assistant", "content": "ok"}]
    assert again.apply_chat_template(chat, tokenize=True) == processor.apply_chat_template(chat, tokenize=True)
    assert (again.num_codes, again.num_image_tokens) == (processor.num_codes, processor.num_image_tokens)
    assert again.token_ids() == processor.token_ids()
    assert again.image_processor.to_dict() == processor.image_processor.to_dict()


# -- poses ---------------------------------------------------------------------------------------------------------


def test_a_pose_is_a_block_of_places(processor):
    output = processor.apply_chat_template(
        user({"type": "pose", "pose": vectors()[0]}, words("x")), add_generation_prompt=True, **CHAT
    )
    names = tokens(processor, output["input_ids"][0].tolist())
    assert names[:3] == ["<s>", "<user>", "<pose_start>"]
    assert names[3 : 3 + NUM_CODES] == ["<pose>"] * NUM_CODES
    assert names[3 + NUM_CODES] == "<pose_end>" and names[-1] == "<assistant>"
    types = output["mm_token_type_ids"][0]
    assert types.tolist() == [4 * (name == "<pose>") for name in names]
    assert output["pose_values"].shape == (1, 22, 3, 3) and output["pose_values"].dtype == torch.float32


def test_every_form_of_a_pose_gives_the_same_values(processor):
    vector = vectors()[0]
    pose = Pose(vector)
    forms = [vector, vector.astype(np.float64), vector.tolist(), torch.from_numpy(vector), pose, pose.matrix]
    values = [processor(text="<pose>", poses=form, return_tensors="pt")["pose_values"] for form in forms]
    for value in values:
        torch.testing.assert_close(value, values[0], atol=1e-6, rtol=0)


@pytest.mark.parametrize("wrap", [list, tuple, np.stack, lambda p: [[p[0]], [p[1], p[2]]], torch.from_numpy])
def test_poses_may_be_nested_in_any_way(processor, wrap):
    three = vectors(3)
    poses = wrap(np.stack(three)) if wrap is torch.from_numpy else wrap(three)
    output = processor(text=["<pose>", "<pose> to <pose>"], poses=poses, padding=True, return_tensors="pt")
    expected = processor(text=["<pose>"] * 3, poses=three, return_tensors="pt")["pose_values"]
    assert torch.equal(output["pose_values"], expected)


def test_codes_become_code_tokens(processor):
    codes = [i % CODEBOOK for i in range(NUM_CODES)]
    output = processor(text="<pose>", poses=[codes])
    assert tokens(processor, output["input_ids"][0])[1:-1] == [f"<pose_{i}>" for i in codes]
    assert "pose_values" not in output and output["mm_token_type_ids"][0][1:-1] == [4] * NUM_CODES
    text = processor.tokenizer.decode(output["input_ids"][0], skip_special_tokens=True)
    assert text == "".join(f"<pose_{i}>" for i in codes)
    assert processor.pose_code_offset + codes[3] == output["input_ids"][0][4]


def test_answers_become_queries(processor):
    prompt, answer = vectors(2)
    messages = task_messages("pose-editing", text="Raise it.", poses=[prompt], answer=answer)
    output = processor.apply_chat_template(messages, answer_queries=True, return_assistant_tokens_mask=True, **CHAT)
    names = tokens(processor, output["input_ids"][0].tolist())
    assert names[-2 - NUM_CODES - 1 :] == ["<pose_start>", *["<pose_query>"] * NUM_CODES, "<pose_end>", "</s>"]
    assert output["mm_token_type_ids"][0].eq(5).sum() == NUM_CODES
    reference = processor(text=["<pose>"] * 2, poses=[prompt, answer], return_tensors="pt")["pose_values"]
    assert torch.equal(output["pose_values"], reference[:1])
    assert torch.equal(output["answer_pose_values"], reference[1:])
    mask = output["assistant_masks"][0]
    assert mask.tolist() == [0] * (len(names) - NUM_CODES - 3) + [1] * (NUM_CODES + 3)
    codes = [2] * NUM_CODES
    messages = task_messages("text-to-pose", text="x", answer=codes)
    output = processor.apply_chat_template(messages, answer_queries=True, **CHAT)
    assert output["answer_pose_codes"].tolist() == [codes] and "answer_pose_values" not in output


def test_assistant_mask_with_images_poses_and_padding(processor):
    image = np.zeros((40, 40, 3), np.uint8)
    first = [
        *user({"type": "image", "image": image}, words("who?")),
        {"role": "assistant", "content": [words("See "), {"type": "pose", "pose": vectors()[0]}, words(" <pose>!")]},
        *user(words("more")),
        {"role": "assistant", "content": "Done."},
    ]
    second = task_messages("pose-to-text", poses=vectors(), answer="Short.")
    output = processor.apply_chat_template(
        [first, second], return_assistant_tokens_mask=True, processor_kwargs={"padding": True}, **CHAT
    )
    block = f"<pose_start>{'<pose>' * NUM_CODES}<pose_end>"
    for row, mask, expected in zip(
        output["input_ids"],
        output["assistant_masks"],
        [f"See {block} <pose>!</s>Done.</s>", "Short.</s>"],
        strict=True,
    ):
        assert processor.tokenizer.decode(row[mask.bool()]) == expected


def test_batch_is_the_singles_padded_on_the_left(processor):
    chats = [task_messages("pose-diff", poses=vectors(2)), task_messages("text-to-pose", text="Raise the left arm.")]
    batch = processor.apply_chat_template(chats, processor_kwargs={"padding": True}, **CHAT)
    for row, mask, chat in zip(batch["input_ids"], batch["attention_mask"], chats, strict=True):
        single = processor.apply_chat_template(chat, **CHAT)
        assert row[mask.bool()].tolist() == single["input_ids"][0].tolist()
        assert mask[-1] == 1


def test_offsets_tell_where_poses_and_images_stand(processor):
    output = processor(
        text=["a <pose> b <image>"],
        poses=vectors(),
        images=[np.zeros((40, 40), np.uint8)],
        return_text_replacement_offsets=True,
    )
    first, second = output["text_replacement_offsets"][0]
    assert (first["type"], second["type"]) == ("pose", "image")
    assert second["new_span"][0] - first["new_span"][1] == second["span"][0] - first["span"][1]


# -- what goes wrong -----------------------------------------------------------------------------------------------

ZERO = np.zeros((22, 3))


@pytest.mark.parametrize(
    ("poses", "message"),
    [
        (np.zeros((21, 3)), r"shape \(21, 3\)"),
        (np.zeros(66), r"shape \(66,\)"),
        (np.full((22, 3), np.nan), "NaN"),
        (np.full((22, 3), np.inf), "infinite"),
        (np.full((22, 3), 90.0), "degrees"),
        (np.zeros((22, 3, 3)), "orthonormal"),
        (np.stack([-np.eye(3)] * 22), "orthonormal"),
        ([CODEBOOK] * NUM_CODES, "Codes must be in 0..15"),
        ([-1] * NUM_CODES, "Codes must be in 0"),
        ([1, 2], "A pose has 8 codes, but 2"),
        ([[0, 0, 0], [0, 0]], "different lengths"),
        ("pose.npz", "str was given"),
        (np.array([["a"] * 3] * 22), "type <U1"),
        ([ZERO, ZERO], "more poses"),
        ([], "than there are poses"),
    ],
)
def test_wrong_poses(processor, poses, message):
    with pytest.raises(ValueError, match=message):
        processor(text="<pose>", poses=poses)


@pytest.mark.parametrize(
    ("messages", "message"),
    [
        ([], "no messages"),
        (user({"type": "pose"}), "needs the key 'pose'"),
        (user({"type": "video", "video": 1}), "it is 'video'"),
        (user(words(None)), "must be a string"),
        (user({"type": "image"}), "1 <image> tokens in the text"),
    ],
)
def test_wrong_chats(processor, messages, message):
    with pytest.raises(ValueError, match=message):
        processor.apply_chat_template(messages, **CHAT)


def test_truncation_may_not_cut_a_pose(processor):
    with pytest.raises(ValueError, match="cut through an image or a pose"):
        processor(text="<pose> and more", poses=ZERO, truncation=True, max_length=5)
    output = processor(text="<pose> and more words here", poses=ZERO, truncation=True, max_length=NUM_CODES + 3)
    assert len(output["input_ids"][0]) == NUM_CODES + 3


def test_tokenizers_without_the_tokens_are_refused():
    backend = tiny_tokenizer().backend_tokenizer.model
    from tokenizers import Tokenizer

    plain = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(backend))
    with pytest.raises(ValueError, match="add_pose_tokens"):
        UniPoseProcessor(tiny_processor().image_processor, plain)


# -- tasks ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("task", TASKS)
def test_each_task_is_a_chat(processor, task):
    rule = TASKS[task]
    image = np.zeros((40, 40, 3), np.uint8)
    given = dict(
        images=[image] * rule.images, poses=vectors(rule.poses), text="Arms {text} up." if rule.text else None
    )
    answer = vectors()[0] if rule.answer == "pose" else "An answer."
    messages = task_messages(task, **given, answer=answer)
    output = processor.apply_chat_template(messages, answer_queries=True, **CHAT)
    text = processor.tokenizer.decode(output["input_ids"][0])
    assert text.count("<image>") == rule.images * processor.num_image_tokens
    assert text.count("<pose>") == rule.poses * NUM_CODES
    assert text.count("<pose_query>") == (rule.answer == "pose") * NUM_CODES
    assert rule.text == ("Arms {text} up." in text)


@pytest.mark.parametrize(
    ("task", "given", "message"),
    [
        ("pose-to-dance", {}, "Unknown task 'pose-to-dance'"),
        ("text-to-pose", {}, "needs a text"),
        ("text-to-pose", {"text": "  "}, "must be a sentence"),
        ("pose-to-text", {"poses": [ZERO], "text": "x"}, "takes no text"),
        ("pose-diff", {"poses": [ZERO]}, "takes 2 poses, but 1"),
        ("image-to-pose", {}, "takes 1 image, but 0"),
    ],
)
def test_wrong_tasks(task, given, message):
    with pytest.raises(ValueError, match=message):
        task_messages(task, **given)


# -- the text tokenizer --------------------------------------------------------------------------------------------


def test_text_tokenizer_is_deterministic_and_contiguous():
    first, second = (train_text_tokenizer(SENTENCES * 5, 310, CODEBOOK) for _ in range(2))
    assert first.get_vocab() == second.get_vocab()
    codes = first.convert_tokens_to_ids([f"<pose_{i}>" for i in range(CODEBOOK)])
    assert codes == list(range(codes[0], codes[0] + CODEBOOK)) and codes[-1] == len(first) - 1
    with pytest.raises(ValueError, match="no sentences"):
        train_text_tokenizer([])
    with pytest.raises(ValueError, match="vocab_size is 100"):
        train_text_tokenizer(SENTENCES, 100)
