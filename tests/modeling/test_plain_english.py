# SPDX-License-Identifier: Apache-2.0
"""Plain English: text styles, unknown words, stepwise decoding, and scores."""

import json
import warnings

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from transformers import pipeline

from tiny_chat import tiny_model_and_processor
from unipose_hf import Pose, UniPoseProcessor
from unipose_hf.data.captured_poses import RAREST, load_captured_poses
from unipose_hf.data.language import fit_to_text
from unipose_hf.data.language.composer import Composer, load_described
from unipose_hf.data.open_poses import load_open_poses
from unipose_hf.modeling.processing_unipose import TASKS, TEXT_STYLES, task_messages
from unipose_hf.training.open_samples import PLAIN_SHARES, face_viewer_together, open_samples
from unipose_hf.training.pose_tokenizer import wide_pose_pool
from unipose_hf.training.text_tokenizer import train_text_tokenizer
from unipose_hf.training.vocabulary import replace_vocabulary


@pytest.fixture(scope="module")
def parts():
    return tiny_model_and_processor()


def asked(messages):
    return messages[0]["content"][-1]["text"]


def test_a_style_is_asked_for_in_words():
    pose = Pose(np.zeros((22, 3)))
    plain = asked(task_messages("pose-to-text", poses=[pose]))
    told = {style: asked(task_messages("pose-to-text", poses=[pose], style=style)) for style in TEXT_STYLES}
    assert told["measured"] == plain and len(set(told.values())) == 3
    with pytest.raises(ValueError, match="Unknown style 'long'; choose one of short, full, measured"):
        task_messages("pose-to-text", poses=[pose], style="long")
    with pytest.raises(ValueError, match="answers with a pose"):
        task_messages("text-to-pose", text="Sit.", style="short")


def test_pipelines_ask_for_the_style_of_the_processor_or_of_the_call(parts):
    model, processor = parts
    words = pipeline("pose-to-text", model=model, processor=processor, max_new_tokens=2)
    pose = Pose(np.zeros((22, 3)))
    try:
        processor.text_style = "full"
        assert asked(words.preprocess(pose)["messages"]).endswith(TEXT_STYLES["full"])
        assert asked(words.preprocess(pose, style="short")["messages"]).endswith(TEXT_STYLES["short"])
        pictures = pipeline("image-to-pose-text", model=model, processor=processor, max_new_tokens=2)
        of_picture = asked(pictures.preprocess(np.zeros((32, 32, 3), np.uint8))["messages"])
        assert not of_picture.endswith(TEXT_STYLES["full"])
        item = {"image": np.zeros((32, 32, 3), np.uint8), "box": (0, 0, 32, 32)}
        for style, expected in ((None, "full"), ("short", "short")):
            of_its_pose = pictures.preprocess(item, from_poses=True, style=style)["messages"]
            assert asked(of_its_pose).endswith(TEXT_STYLES[expected])
    finally:
        processor.text_style = None
    with pytest.raises(ValueError, match="not trained to write in the style 'short'"):
        words(pose, style="short")


def test_words_that_were_not_taught_are_named(parts):
    model, processor = parts
    make = pipeline("text-to-pose", model=model, processor=processor)
    try:
        processor.known_words = "a arm knee kneel lift raise raising the person's person"
        vars(processor).pop("_known_words", None)
        with pytest.warns(UserWarning, match="not trained on the words 'asdf', 'ukulele'; the pose may not show"):
            make("Raise the asdf ukulele, asdf!")
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            result = make("Kneeling person’s arms raised, LIFTS the knees 3")
        assert result["score"] == fit_to_text(result["pose"], "Kneeling person’s arms raised, LIFTS the knees 3")
    finally:
        processor.known_words = None
        vars(processor).pop("_known_words", None)
    assert processor.unknown_words("asdf") == []


def test_the_processor_keeps_its_words_and_style(parts, tmp_path):
    _, processor = parts
    try:
        processor.text_style, processor.known_words, processor.normalize_prompts = "full", "arm leg", True
        processor.save_pretrained(tmp_path)
    finally:
        processor.text_style, processor.known_words, processor.normalize_prompts = None, None, False
    again = UniPoseProcessor.from_pretrained(tmp_path)
    assert again.normalize_prompts and again.text_style == "full" and again.unknown_words("arm foot legs") == ["foot"]


@pytest.mark.parametrize("decoding", ["argmax", "expected", "sample"])
def test_more_steps_decide_the_surest_codes_first(parts, decoding):
    model, processor = parts
    inputs = processor.apply_chat_template(
        [task_messages("text-to-pose", text="Sit.")],
        tokenize=True,
        return_dict=True,
        return_tensors="pt",
        add_generation_prompt=True,
    )
    one = model.generate_pose(**inputs, decoding=decoding)
    steps = model.generate_pose(**inputs, decoding=decoding, steps=processor.num_codes)
    assert steps.rotations.shape == one.rotations.shape and bool(steps.rotations.isfinite().all())
    surest = int(model._code_variance(one.probabilities)[0].argmin())
    torch.testing.assert_close(steps.probabilities[0, surest], one.probabilities[0, surest])
    others = [code for code in range(processor.num_codes) if code != surest]
    assert (steps.probabilities[0, others] - one.probabilities[0, others]).abs().max() > 1e-4
    if decoding == "argmax":
        assert torch.equal(steps.codes, model.generate_pose(**inputs, decoding=decoding, steps=8).codes)
    with pytest.raises(ValueError, match="decoded in 1 to"):
        model.generate_pose(**inputs, decoding="sample", steps=0)
    three = model.generate_pose(**inputs, decoding="sample", steps=4, num_return_sequences=3)
    assert len(three.rotations) == len(three.scores) == 3 and len({tuple(row) for row in three.codes.tolist()}) == 3
    cold = model.generate_pose(**inputs, decoding="sample", temperature=1e-5, steps=4, num_return_sequences=2)
    assert torch.equal(cold.codes[0], cold.codes[1])
    likeliest = model.generate_pose(**inputs, decoding="argmax", temperature=1e-5, steps=4)
    assert torch.equal(cold.codes[0], likeliest.codes[0])


def test_a_new_vocabulary_keeps_what_known_words_have_learnt():
    model, processor = tiny_model_and_processor()
    sentences = ["Raise the left arm.", "kneel and squat like a frog", *(task.prompt for task in TASKS.values())] * 30
    tokenizer = train_text_tokenizer(sentences, vocab_size=330, codebook_size=processor.codebook_size)
    size = model.config.text_config.hidden_size
    vectors = {
        word: torch.randn(size + 4, generator=torch.Generator().manual_seed(n))
        for n, word in enumerate(("arm", "left", "raise", "frog", "the", "squat", "kneel"))
    }
    old_codes = model.lm_head.weight[processor.pose_code_offset :][: processor.codebook_size].clone()
    old_rows, old_words = model.get_input_embeddings().weight.clone(), processor.tokenizer.get_vocab()
    renewed = replace_vocabulary(model, processor, tokenizer, vectors)
    assert model.config.text_config.vocab_size == len(tokenizer) == len(model.lm_head.weight)
    new_codes = model.lm_head.weight[renewed.pose_code_offset :][: renewed.codebook_size]
    torch.testing.assert_close(new_codes, old_codes)
    shared = [piece for piece in tokenizer.get_vocab() if piece in old_words and not piece.strip("▁").isalpha()]
    assert shared
    for piece in shared:
        row = model.get_input_embeddings().weight[tokenizer.get_vocab()[piece]]
        torch.testing.assert_close(row, old_rows[old_words[piece]])
    pose = pipeline("text-to-pose", model=model, processor=renewed)("Raise the left arm like a frog")["pose"]
    assert np.isfinite(pose.axis_angle).all()


def write_folder(folder, count=300):
    """A folder as the further captured and described poses come in, of poses of the open clips."""
    poses = load_open_poses("train").axis_angle[:count]
    clips = [{"name": name} for name in ("walk", "cmu_01_05", "shared")]
    arrays = {
        "axis_angle": poses.half(),
        "clip_id": (torch.arange(count) % 3).short(),
        "licence_id": torch.where(torch.arange(count) % 3 == 2, 3, 0).byte(),
        "fps_rank": torch.arange(count).int(),
    }
    (folder / "mocap").mkdir()
    save_file(arrays, folder / "mocap" / "open_mocap.safetensors")
    (folder / "mocap" / "open_mocap_clips.json").write_text(json.dumps(clips))
    (folder / "language").mkdir()
    source = {"licence": "CMU", "clip": "cmu_09_01"}
    rows = [{"id": n, "short": f"pose {n}", "full": f"This is pose {n}.", **source} for n in range(40)]
    rows[0]["licence"], rows[1]["clip"] = "CC BY-SA 3.0", "cmu_01_02"
    pairs = [{"id": n, "short": f"go {n}", "full": f"Go on to {n}.", "from": source, "to": source} for n in range(20)]
    for kind, lines in (("poses", rows), ("pairs", pairs)):
        text = "".join(json.dumps(line) + "\n" for line in lines)
        (folder / "language" / f"described_{kind}.jsonl").write_text(text)
    np.savez(folder / "language" / "described_poses.npz", axis_angle=poses[:40].numpy())
    np.savez(folder / "language" / "described_pairs.npz", a=poses[:20].numpy(), b=poses[20:40].numpy())


def test_captured_and_described_poses_leave_out_what_may_not_be_learnt(tmp_path):
    write_folder(tmp_path)
    trained, rarest = (load_captured_poses(tmp_path / "mocap", rarest=flag) for flag in (False, True))
    assert len(rarest) == RAREST and len(trained) == sum(n % 3 == 0 for n in range(RAREST, 300))
    learnt, kept = (load_described(tmp_path / "language", "poses", kept_back=flag) for flag in (False, True))
    texts = [text["short"] for text in learnt.texts + kept.texts]
    assert sorted(texts) == sorted(f"pose {n}" for n in range(2, 40)) and 0 < len(kept.texts) < 12
    assert learnt.poses.shape[1:] == (1, 22, 3)
    assert load_described(tmp_path / "language", "pairs").poses.shape[1:] == (2, 22, 3)


def test_samples_in_plain_english_stand_beside_the_engines(parts, tmp_path):
    write_folder(tmp_path)
    model, _ = parts
    captured = load_captured_poses(tmp_path / "mocap")
    folder = tmp_path / "language"
    composer = Composer(captured, load_described(folder, "poses"), load_described(folder, "pairs"))
    options = dict(block=4, poses=64, composer=composer, captured=captured)
    plain = open_samples(160, dict.fromkeys(PLAIN_SHARES, 1), model.model.pose_tokenizer, plain=1.0, **options)
    rows = [plain[n] for n in range(160)]
    assert {row["task"] for row in rows} == set(PLAIN_SHARES)
    assert any(min(row["weights"]) < 1 for row in rows if row["task"] == "text-to-pose")
    endings = tuple(TEXT_STYLES[style] for style in ("short", "full"))
    for row in rows:
        if TASKS[row["task"]].answer == "text":
            assert asked(row["messages"]).endswith(endings)
    engine = open_samples(8, {"text-to-pose": 1}, model.model.pose_tokenizer, plain=0.0, **options)
    assert engine[0]["weights"] is None and engine[0]["stated"]


def test_a_pose_tokenizer_learns_from_poses_of_all_kinds(tmp_path):
    write_folder(tmp_path)
    captured = load_captured_poses(tmp_path / "mocap")
    pool = wide_pose_pool(str(tmp_path), 32, seed=0)
    assert pool.shape == (32 + 2 * len(captured) + 32, 22, 3) and bool(pool.isfinite().all())
    torch.testing.assert_close(pool[32 : 32 + len(captured)], captured)


def test_pairs_are_turned_together():
    poses = load_open_poses("test").axis_angle[:8]
    pairs = torch.stack([poses, poses.roll(1, 0)], 1)
    turned = face_viewer_together(pairs)
    torch.testing.assert_close(face_viewer_together(turned), turned, atol=1e-4, rtol=0)
    torch.testing.assert_close(turned[:, :, 1:], pairs[:, :, 1:])
