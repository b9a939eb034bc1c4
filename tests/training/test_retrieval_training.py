# SPDX-License-Identifier: Apache-2.0
"""Retrieval training on any texts and poses, with exact resumption after a kill."""

import math

import numpy as np
import pytest
import torch
from datasets import Dataset
from transformers import AutoModel, AutoTokenizer, pipeline

from test_pose_retrieval import KINDS, TEXTS, known_poses, some_poses, tiny_retrieval
from test_sft import StopAfter
from tiny_chat import tiny_tokenizer
from tiny_training import weights
from unipose_hf.auto import PLAIN_CHECKPOINT
from unipose_hf.body import mirror_pose, remove_yaw
from unipose_hf.captions.flip import flip_text
from unipose_hf.modeling.rotation_unipose import axis_angle_to_matrix
from unipose_hf.training.generated_rows import GeneratedRows, draw_captions, draw_instructions
from unipose_hf.training.retrieval import (
    RetrievalTrainer,
    RetrievalTrainingArguments,
    collate_rows,
    flip_some,
    new_retrieval_model,
    plain_word_vectors,
    replace_text_vocabulary,
    retrieval_tokenizer,
)

ENGLISH = ["A ballet dancer in arabesque.", "She squats, ready to jump.", "He looks defeated.", "Like a crane!"]


def columns(poses, texts=TEXTS) -> dict:
    if poses.ndim == 3:
        return {"text": texts, "pose": poses.numpy()}
    return {"text": texts, "pose_a": poses[:, 0].numpy(), "pose_b": poses[:, 1].numpy()}


def trainer_of(folder, model, rows, tokenizer=None, eval_dataset=None, **changes):
    settings = dict(max_steps=4, per_device_train_batch_size=4, learning_rate=1e-2, warmup_steps=1, logging_steps=1)
    settings |= dict(use_cpu=True, report_to="none", disable_tqdm=True, save_strategy="no", seed=3)
    args = RetrievalTrainingArguments(str(folder), **settings | changes)
    return RetrievalTrainer(model, args, rows, eval_dataset, processing_class=tokenizer or tiny_tokenizer())


@pytest.mark.parametrize("num_poses", KINDS)
def test_plain_english_and_its_poses_are_learnt_and_found_again(num_poses, tmp_path):
    poses = known_poses(num_poses)
    rows = Dataset.from_dict(columns(poses, ENGLISH))
    tokenizer = retrieval_tokenizer(ENGLISH, vocab_size=310)
    torch.manual_seed(0)
    sizes = dict(
        conv_channels=[16], pose_hidden_size=32, word_embedding_size=16, embed_dim=32, initial_temperature=20.0
    )
    model = new_retrieval_model(tokenizer, pairs=num_poses == 2, **sizes)
    trainer = trainer_of(tmp_path, model, rows, tokenizer, rows, max_steps=40, logging_steps=10)
    before = trainer.evaluate()["eval_mrecall"]
    trainer.train()
    lines = [line for line in trainer.state.log_history if "recall@1" in line]
    assert lines[-1]["recall@1"] == 100 and lines[-1]["loss"] < 0.2 < lines[0]["loss"]
    assert lines[-1]["temperature"] == pytest.approx(model.temperature.item(), rel=0.1)
    assert before < trainer.evaluate()["eval_mrecall"] == 100
    trainer.save_model()
    search = pipeline("pose-retrieval", model=str(tmp_path), gallery=poses, device="cpu")
    assert [search(text)[0]["index"] for text in ENGLISH] == [0, 1, 2, 3]


def test_a_tokenizer_is_learnt_from_the_texts_at_the_size_asked_for(tmp_path):
    texts = [f"{who} {does} the {what}." for who in ("She", "Nobody") for does in ("lifts", "turns") for what in TEXTS]
    small, large = (retrieval_tokenizer(texts, vocab_size=size) for size in (300, 340))
    assert 0 < len(large) - len(small) <= 40
    assert len(large.tokenize(texts[0])) < len(small.tokenize(texts[0]))
    assert large.decode(large("Ça va 🙂?")["input_ids"]) == "Ça va 🙂?"
    assert new_retrieval_model(large, pairs=True).config.vocab_size == len(large)
    with pytest.raises(ValueError, match="no sentences"):
        retrieval_tokenizer(["", ""])


def test_a_model_learns_further_words_and_reads_the_ones_it_knew_as_before():
    known, tokenizer = retrieval_tokenizer(TEXTS, 310), retrieval_tokenizer(TEXTS + 20 * ["crawling cobra"], 330)
    torch.manual_seed(0)
    model = new_retrieval_model(known)
    before = model.get_input_embeddings().weight.clone()
    replace_text_vocabulary(model, known, tokenizer)
    after, both = model.get_input_embeddings().weight, known.get_vocab().keys() & tokenizer.get_vocab().keys()
    assert model.config.vocab_size == len(tokenizer) == len(after) > len(before) and after.requires_grad
    assert len(both) > 260
    for piece in both:
        assert torch.equal(after[tokenizer.get_vocab()[piece]], before[known.get_vocab()[piece]])
    new = [number for piece, number in tokenizer.get_vocab().items() if piece not in known.get_vocab()]
    assert new and 0.5 < after[new].square().mean() < 2  # as long as the others
    words = tokenizer(TEXTS, padding=True, return_tensors="pt")
    assert model.get_text_features(**words).pooler_output.isfinite().all()


def test_new_words_start_near_similar_words():
    said = ["crouch", "squat", "guitar", "left", "right", "knee"]
    tokenizer = retrieval_tokenizer(100 * [" " + " ".join(said)], 380)
    vectors = plain_word_vectors(tokenizer, 64, PLAIN_CHECKPOINT)
    assert vectors.shape == (len(tokenizer), 64) and 0.9 < vectors.square().mean() < 1.1
    numbers = [tokenizer.get_vocab()["▁" + word] for word in said]
    crouch, squat, guitar, *_ = torch.nn.functional.normalize(vectors[numbers])
    assert crouch @ squat > crouch @ guitar + 0.1
    known = retrieval_tokenizer(TEXTS, 300)
    model = new_retrieval_model(known, word_embedding_size=64)
    replace_text_vocabulary(model, known, tokenizer, vectors)
    assert torch.equal(model.get_input_embeddings().weight[numbers[0]], vectors[numbers[0]])


@pytest.mark.parametrize("num_poses", KINDS)
def test_a_batch_has_each_text_with_its_poses_facing_the_viewer(num_poses):
    poses = some_poses(4 * num_poses) if num_poses == 1 else some_poses(8).unflatten(0, (4, 2))
    texts = [TEXTS[0], ["", TEXTS[1], "other"], "", []]
    keys = ["pose"] if num_poses == 1 else ["pose_a", "pose_b"]
    rows = [
        {"text": text} | dict(zip(keys, pose.reshape(-1, 22, 3), strict=True))
        for text, pose in zip(texts, poses, strict=True)
    ]
    batch = collate_rows(rows, keys)
    assert batch["texts"] == [[TEXTS[0]], [TEXTS[1], "other"]]  # the others are not mentioned
    torch.testing.assert_close(batch["poses"], remove_yaw(poses[:2]))
    lists = [row | {key: row[key].tolist() for key in keys} for row in rows]
    torch.testing.assert_close(collate_rows(lists, keys)["poses"], batch["poses"])


def test_each_step_draws_one_of_several_texts_and_an_evaluation_the_first(tmp_path):
    rows = Dataset.from_dict({"text": [[TEXTS[0], TEXTS[1]]] * 4, "pose": known_poses().numpy()})
    trainer = trainer_of(tmp_path, tiny_retrieval(), rows, flip=False)
    seen, tokenizer = [], trainer.processing_class
    trainer.processing_class = lambda texts, **options: seen.append(texts) or tokenizer(texts, **options)
    batch = trainer.data_collator([rows[i] for i in range(4)])
    for _ in range(8):
        trainer.compute_loss(trainer.model.train(), batch)
    assert {text for texts in seen for text in texts} == {TEXTS[0], TEXTS[1]}
    seen.clear()
    trainer.compute_loss(trainer.model.eval(), batch)
    assert seen == [[TEXTS[0]] * 4]


def test_the_loss_is_the_models_own_and_flipping_is_an_option(tmp_path):
    rows = Dataset.from_dict(columns(known_poses()))
    losses = {}
    for flip in (True, False):
        trainer = trainer_of(tmp_path, tiny_retrieval(), rows, flip=flip)
        batch = trainer.data_collator([rows[i] for i in range(4)])
        torch.manual_seed(1)
        losses[flip] = trainer.compute_loss(trainer.model.train(), batch).item()
    words = tiny_tokenizer()(TEXTS, padding=True, return_tensors="pt")
    own = tiny_retrieval()(axis_angle_to_matrix(known_poses()), **words).loss.item()
    assert losses[False] == pytest.approx(own, abs=1e-6) and losses[True] != pytest.approx(own, abs=1e-4)


@pytest.mark.parametrize("shape", [(40, 22, 3), (40, 2, 22, 3)])
def test_flip_turns_text_and_poses_together(shape):
    poses = some_poses(math.prod(shape[:-2])).reshape(shape)
    texts = ["The left knee is bent." if i % 2 else "It is at three o'clock." for i in range(40)]
    flipped, said = flip_some(poses, texts, torch.Generator().manual_seed(0))
    changed = [i for i in range(40) if said[i] != texts[i]]
    assert 4 < len(changed) < 16 and all(i % 2 for i in changed)
    for i in range(40):
        expected = mirror_pose(poses[i]) if i in changed else poses[i]
        assert torch.equal(flipped[i], expected)
        assert said[i] == (flip_text(texts[i]) if i in changed else texts[i])


@pytest.mark.parametrize("num_poses", KINDS)
@pytest.mark.parametrize("drawn", [False, True])
def test_a_run_that_is_stopped_and_resumed_ends_as_an_unbroken_one(num_poses, drawn, tmp_path):
    poses = some_poses(24).reshape(-1, *(22, 3) if num_poses == 1 else (2, 22, 3))
    draw = draw_captions if num_poses == 1 else draw_instructions

    def train(folder, stop_at=None):
        texts = [[TEXTS[i % 4], TEXTS[(i + 1) % 4]] for i in range(len(poses))]
        rows = GeneratedRows(draw, some_poses(30), 16, 4) if drawn else Dataset.from_dict(columns(poses, texts))
        trainer = trainer_of(tmp_path / folder, tiny_retrieval(num_poses), rows, save_strategy="steps", save_steps=2)
        if stop_at:
            trainer.add_callback(StopAfter(stop_at))
        trainer.train(resume_from_checkpoint=True)
        return weights(trainer.model)

    train("broken", stop_at=2)
    whole, resumed, start = train("whole"), train("broken"), weights(tiny_retrieval(num_poses))
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
    assert not torch.equal(whole["pose_encoder.pooling.weight"], start["pose_encoder.pooling.weight"])


def test_drawn_rows_come_in_order_and_each_block_is_drawn_once(tmp_path):
    drawn = []

    def draw(pool, rows, generator):
        drawn.append(rows)
        return draw_captions(pool, rows, generator)

    rows = GeneratedRows(draw, some_poses(30), 12, 4, seed=5)
    trainer = trainer_of(tmp_path, tiny_retrieval(), rows)
    assert list(trainer._get_train_sampler()) == list(range(12))
    poses, texts = draw_captions(some_poses(30), 4, torch.Generator().manual_seed(5 * 1_000_003 + 1))
    found = [rows[number] for number in range(4, 8)]
    assert [row["text"] for row in found] == texts and drawn == [4]
    assert torch.equal(torch.stack([row["pose"] for row in found]), poses)


def test_rows_that_do_not_fit_are_told(tmp_path):
    poses, pairs = known_poses(), known_poses(2)
    broken = poses.clone()
    broken[2, 5] = torch.nan
    for num_poses, rows, message in (
        (1, columns(pairs), "must have text, pose, but have text, pose_a, pose_b without pose"),
        (2, columns(poses), "have text, pose without pose_a, pose_b; rename"),
        (1, {"caption": TEXTS, "pose": poses.numpy()}, "without text"),
        (1, columns(poses[:, :21]), r"found shape \(21, 3\) where the text is"),
        (1, columns(broken), "found NaN or infinity where the text is 'The torso leans forward.'"),
        (1, columns(poses, [""] * 4), "None of the 4 rows has a text"),
    ):
        with pytest.raises(ValueError, match=message):
            trainer_of(tmp_path, tiny_retrieval(num_poses), Dataset.from_dict(rows)).train()
    args = RetrievalTrainingArguments(str(tmp_path), use_cpu=True)
    with pytest.raises(ValueError, match="need a tokenizer"):
        RetrievalTrainer(tiny_retrieval(), args, Dataset.from_dict(columns(poses)))


def test_a_loss_that_is_not_finite_stops_the_run(tmp_path):
    model = tiny_retrieval()
    with torch.no_grad():
        model.log_temperature.fill_(math.nan)
    with pytest.raises(FloatingPointError, match="step 1 is not finite"):
        trainer_of(tmp_path, model, Dataset.from_dict(columns(known_poses()))).train()


def test_a_saved_model_goes_on_with_its_tokenizer(tmp_path):
    rows = Dataset.from_dict(columns(known_poses()))
    first = trainer_of(tmp_path / "one", tiny_retrieval(), rows)
    first.train()
    first.save_model()
    model = AutoModel.from_pretrained(tmp_path / "one")
    second = trainer_of(tmp_path / "two", model, rows, AutoTokenizer.from_pretrained(tmp_path / "one"))
    batch = first.data_collator([rows[i] for i in range(4)])
    losses = [t.compute_loss(t.model.eval(), batch).item() for t in (first, second)]
    assert losses[0] == losses[1] and np.isfinite(losses).all()
