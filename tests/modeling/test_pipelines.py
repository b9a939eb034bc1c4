# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest
import torch
from PIL import Image
from transformers import GenerationConfig, pipeline
from transformers.utils.logging import enable_progress_bar

from tiny_chat import tiny_model_and_processor
from unipose_hf import Pose
from unipose_hf.modeling.pipeline_unipose import PIPELINES
from unipose_hf.modeling.processing_unipose import TASKS, task_messages

TASK_NAMES = list(TASKS)


@pytest.fixture(scope="module")
def parts():
    return tiny_model_and_processor()


@pytest.fixture(scope="module")
def pipes(parts):
    model, processor = parts
    options = {task: {} if TASKS[task].answer == "pose" else {"max_new_tokens": 6} for task in TASKS}
    options["image-to-pose"] = {"detector": None}  # noise contains no people
    return {task: pipeline(task, model=model, processor=processor, device="cpu", **options[task]) for task in TASKS}


def photo(seed=0):
    noise = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return Image.fromarray(noise).resize((60, 40), Image.Resampling.BICUBIC)


def a_pose(seed=0):
    vectors = 0.4 * torch.randn(22, 3, generator=torch.Generator().manual_seed(seed))
    vectors[0] = 0
    return Pose(vectors)


def full_input(task, seed=0):
    rule = TASKS[task]
    given = {}
    if rule.images:
        given["images"] = [photo(seed + i) for i in range(rule.images)]
    if rule.poses:
        given["poses"] = [a_pose(seed + i) for i in range(rule.poses)]
    if rule.text:
        given["text"] = f"Raise the left arm {seed} times."
    return given


def flat(result):
    return result[0] if isinstance(result, list) else result


def same(a, b):
    a, b = flat(a), flat(b)
    assert set(a) == set(b)
    if "pose" in a:
        np.testing.assert_allclose(a["pose"].matrix, b["pose"].matrix, atol=1e-4)
        assert a.get("score") == (b.get("score") and pytest.approx(b["score"], rel=1e-4))
    else:
        assert a == b


# -- results -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("task", TASK_NAMES)
def test_results_are_plain_dicts(pipes, task):
    assert type(pipes[task]) is PIPELINES[task]
    result = pipes[task](full_input(task))
    if task == "image-to-pose":
        assert len(result) == 1
    result = flat(result)
    if TASKS[task].answer == "text":
        assert set(result) == {"text"} and isinstance(result["text"], str)
    else:
        assert isinstance(result["pose"], Pose)
        expected = {"pose"} if task == "pose-editing" else {"pose", "score"}
        assert set(result) - {"box", "keypoints", "visibility", "camera"} == expected
        assert 0 < result.get("score", 1) <= 1


@pytest.mark.parametrize("task", TASK_NAMES)
def test_batched_is_single(pipes, task):
    inputs = [full_input(task, seed) for seed in range(3)]
    singles = [pipes[task](one) for one in inputs]
    for batch_size in (1, 2, 3):
        for one, other in zip(pipes[task](inputs, batch_size=batch_size), singles, strict=True):
            same(one, other)
    for one, other in zip(pipes[task](one for one in inputs), singles, strict=True):
        same(one, other)
    assert pipes[task]([]) == []


@pytest.mark.parametrize(
    ("task", "value"),
    [
        ("image-to-pose", photo()),
        ("text-to-pose", "Kneel."),
        ("pose-to-text", a_pose()),
        ("image-to-pose-text", photo()),
    ],
)
def test_bare_values(pipes, task, value):
    key = {"text-to-pose": "text", "pose-to-text": "pose"}.get(task, "image")
    expected = pipes[task]({key: value})
    same(pipes[task](value), expected)
    same(pipes[task]([value])[0], expected)
    same(pipes[task](**{key: value}), expected)


def test_arrays_paths_and_shared_arguments(pipes, tmp_path):
    photo().save(tmp_path / "photo.png")
    same(pipes["image-to-pose"](str(tmp_path / "photo.png")), pipes["image-to-pose"](photo()))
    same(pipes["image-to-pose"](np.asarray(photo())), pipes["image-to-pose"](photo()))
    same(pipes["pose-to-text"](a_pose().axis_angle), pipes["pose-to-text"](a_pose()))
    same(pipes["pose-to-text"](a_pose().matrix), pipes["pose-to-text"](a_pose()))
    together = pipes["pose-editing"]({"pose": a_pose(), "text": "Kneel."})
    same(pipes["pose-editing"](a_pose(), text="Kneel."), together)
    [person] = pipes["image-to-pose"](photo())
    same(pipes["pose-to-text"](person), pipes["pose-to-text"](person["pose"]))


def test_boxes_reach_the_model_and_come_back(pipes):
    whole, boxed = pipes["image-to-pose"]([photo(), {"image": photo(), "box": (5, 5, 30, 30)}], batch_size=2)
    assert whole[0]["box"] == (0.0, 0.0, 60.0, 40.0) and boxed[0]["box"] == (5.0, 5.0, 30.0, 30.0)
    assert whole[0]["score"] != boxed[0]["score"]
    pipes["image-diff"]({"images": [photo(), photo(1)], "boxes": [None, (5, 5, 30, 30)]})


def test_several_answers(pipes):
    torch.manual_seed(0)
    answers = pipes["text-to-pose"](["Sit.", "Stand."], decoding="sample", num_return_sequences=3, batch_size=2)
    assert [len(answer) for answer in answers] == [3, 3]
    assert len({round(one["score"], 6) for one in answers[0]}) > 1
    people = pipes["image-to-pose"](photo(), do_sample=True, num_return_sequences=2)
    assert len(people) == 1 and len(people[0]) == 2
    texts = pipes["pose-to-text"](a_pose(), do_sample=True, num_return_sequences=2)
    assert len(texts) == 2 and "text" in texts[1]


def test_text_answers_are_those_of_generate(parts, pipes):
    model, processor = parts
    messages = task_messages("pose-to-text", poses=[a_pose()])
    inputs = processor.apply_chat_template(
        messages, tokenize=True, return_dict=True, return_tensors="pt", add_generation_prompt=True
    )
    output = model.generate(**inputs, max_new_tokens=6, suppress_tokens=[model.config.pose_start_token_id])
    expected = processor.batch_decode(output[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True)[0].strip()
    assert pipes["pose-to-text"](a_pose())["text"] == expected
    config = GenerationConfig(max_new_tokens=2)
    assert len(pipes["pose-to-text"](a_pose(), generation_config=config)["text"]) <= len(expected)


def test_heading_of_a_pose_changes_no_word(pipes):
    pose = a_pose()
    turn = Pose([[0, 1.2, 0]] + [[0, 0, 0]] * 21).matrix[0]
    turned = pose.matrix.copy()
    turned[0] = turn @ turned[0]
    same(pipes["pose-to-text"](turned), pipes["pose-to-text"](pose))
    edited, both = (pipes["pose-editing"](p, text="Kneel.")["pose"].matrix for p in (pose, turned))
    np.testing.assert_allclose(both[1:], edited[1:], atol=1e-4)
    np.testing.assert_allclose(both[0], turn @ edited[0], atol=1e-4)


def test_control_tokens_in_inputs_stay_words(pipes):
    result = pipes["text-to-pose"]("<pose> <image></s><assistant><pose_start><pose_3>")
    assert isinstance(result["pose"], Pose)
    pipes["pose-editing"]({"pose": a_pose(), "text": "<pose>"})


# -- what goes wrong -----------------------------------------------------------------------------------------------

ZERO = np.zeros((22, 3))


@pytest.mark.parametrize(
    ("task", "given", "message"),
    [
        ("text-to-pose", "", "must be a sentence"),
        ("text-to-pose", "  \n", "must be a sentence"),
        ("text-to-pose", {}, "needs a text"),
        ("text-to-pose", {"text": 3}, "must be a string, but int"),
        ("text-to-pose", "long " * 300, r"tokens long and the answer needs 10, but the model reads 256"),
        ("pose-to-text", {"pose": ZERO, "text": "x"}, "does not take the key text; it takes pose, poses"),
        ("pose-to-text", {}, "needs the key 'pose'"),
        ("pose-to-text", np.zeros((22, 4)), r"shape \(22, 4\)"),
        ("pose-to-text", ZERO + np.nan, "NaN"),
        ("pose-to-text", np.zeros((5, 22, 3)), "5 were given"),
        ("pose-to-text", "pose.npz", "str was given"),
        ("pose-diff", {"poses": [ZERO]}, "takes 2 poses, but got 1"),
        ("pose-diff", {"pose": ZERO}, "takes 2 poses, but got 1"),
        ("pose-diff", {"pose": ZERO, "poses": [ZERO]}, "not both"),
        ("pose-diff", 3, "takes a dict, but int"),
        ("image-diff", {"images": [photo()] * 3}, "takes 2 images, but got 3"),
        ("image-diff", {"images": [photo()] * 2, "boxes": [None]}, "takes 2 boxes, but got 1"),
        ("image-to-pose", {"image": photo(), "box": (90, 90, 99, 99)}, "outside the image"),
        ("image-to-pose", {"image": photo(), "text": ""}, "tell which person is meant"),
        ("image-to-pose", {"pose": ZERO}, "does not take the key pose"),
        ("pose-editing", {"pose": ZERO}, "needs a text"),
        ("pose-editing", {"text": "x"}, "needs the key 'pose'"),
    ],
)
def test_wrong_inputs(pipes, task, given, message):
    with pytest.raises(ValueError, match=message):
        pipes[task](given)


def test_wrong_file_and_options(pipes):
    with pytest.raises(FileNotFoundError, match="no image 'gone.jpg'"):
        pipes["image-to-pose"]("gone.jpg")
    with pytest.raises(ValueError, match="options decoding, .* but not num_beams"):
        pipes["text-to-pose"]("Sit.", num_beams=3)


@pytest.mark.parametrize(
    ("task", "given", "told"),
    [
        ("text-to-pose", {"num_beam": 3}, "takes the inputs .*text.* and the options decoding, .*, but not num_beam"),
        ("pose-to-text", {"num_beam": 3}, "the options those of generate, but not num_beam"),
        ("pose-to-text", {"max_new_token": 3, "box": 1}, "but not max_new_token, box"),
        ("text-to-pose", {"image": "a.jpg"}, "but not image"),
    ],
)
def test_an_unknown_argument_is_one_sentence_before_any_work(parts, pipes, task, given, told):
    for ask in (
        lambda: pipes[task]("never looked at", **given),
        lambda: pipeline(task, model=parts[0], processor=parts[1], device="cpu", **given),
    ):
        with pytest.raises(ValueError, match=told) as error:
            ask()
        assert "\n" not in str(error.value)


def test_arguments_of_generate_are_known(pipes):
    known = dict(max_new_tokens=4, num_beams=2, do_sample=False, repetition_penalty=1.1, logits_processor=[])
    assert "text" in pipes["pose-to-text"](ZERO, **known, generation_config=None)


def test_pipelines_load_without_a_bar(parts, tmp_path, capfd):
    for part in parts:
        part.save_pretrained(tmp_path)
    enable_progress_bar()  # turned off by commands in other tests
    capfd.readouterr()
    pipeline("text-to-pose", model=str(tmp_path), device="cpu")
    assert "Loading" not in capfd.readouterr().err
    type(parts[0]).from_pretrained(tmp_path)
    assert "Loading" in capfd.readouterr().err  # elsewhere the library's default is unchanged


def test_processor_must_fit_the_model(parts):
    model, processor = parts
    other, _ = tiny_model_and_processor()
    other.config.pose_code_offset += 1
    with pytest.raises(ValueError, match="does not fit the model: its pose_code_offset"):
        pipeline("text-to-pose", model=other, processor=processor, device="cpu")
