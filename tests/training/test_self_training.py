# SPDX-License-Identifier: Apache-2.0
"""Self-training rewards for true statements in generated texts, per sentence and token."""

import pytest
import torch

from tiny_chat import tiny_model_and_processor
from tiny_training import arguments, some_samples
from unipose_hf.captions import caption_poses, instruct_pairs
from unipose_hf.data.open_poses import load_open_poses
from unipose_hf.training.experimental import self_training as module
from unipose_hf.training.experimental.self_training import FALSE_PENALTY, sample_texts, sentence_rewards
from unipose_hf.training.trainer import UniPoseTrainer

POSES = load_open_poses("test").axis_angle[::60]  # (8, 22, 3)


def sentences_of(texts):
    return [[part if part.endswith(".") else f"{part}." for part in text.split(". ")] for text in texts]


@pytest.mark.parametrize("task", ["captions", "instructions"])
def test_true_sentences_are_worth_more_than_those_of_other_poses(task):
    if task == "captions":
        poses = POSES[:, None]
        texts = caption_poses(POSES, seed=1)
    else:
        poses = torch.stack((POSES, POSES.roll(3, 0)), 1)
        texts = instruct_pairs(*poses.unbind(1), seed=1)
    own, true, codes = sentence_rewards(sentences_of(texts), poses)
    assert true == codes > 20
    assert [len(row) for row in own] == [len(row) for row in sentences_of(texts)]
    # common facts are worth little, and turns, which are not measured, nothing
    assert all(-FALSE_PENALTY <= value for row in own for value in row) and sum(map(sum, own)) > 0.4 * codes
    others, true, codes = sentence_rewards(sentences_of(texts), poses.roll(4, 0))
    assert true < 0.5 * codes and sum(map(sum, others)) < 0


def test_a_sentence_is_worth_what_it_adds():
    (caption,) = caption_poses(POSES[:1], seed=1)
    first, *_ = sentences_of([caption])[0]
    texts = [[first, first, "The sky is green."], [first], []]
    values, true, codes = sentence_rewards(texts, POSES[:3, None])
    assert values[0][0] > values[0][1] and values[0][1:] == pytest.approx([-FALSE_PENALTY, -FALSE_PENALTY])
    assert len(values[1]) == 1 and values[2] == [] and 0 < true < codes
    assert sentence_rewards([[], []], POSES[:2, None]) == ([[], []], 0.0, 0.0)


def test_tokens_are_worth_what_their_sentences_are(monkeypatch):
    model, processor = tiny_model_and_processor()
    rows = ["Raise the left arm. The right knee is bent.", "The torso leans forward."]
    ids = [processor.tokenizer(text, add_special_tokens=False)["input_ids"] for text in rows]
    width = max(map(len, ids)) + 2
    written = torch.tensor([row + [2] + [0] * (width - len(row) - 1) for row in ids])  # 2 ends a text
    prompts = torch.tensor([[5, 6, 7, 9, 9], [8, 9, 9, 0, 0]])  # 9 is an answer
    seen = {}

    def generate(input_ids, attention_mask, **options):
        seen.update(options, input_ids=input_ids, mask=attention_mask)
        return torch.cat((input_ids, written), 1)

    monkeypatch.setattr(model, "generate", generate)
    monkeypatch.setattr(module, "sentence_rewards", lambda sentences, poses: ([[3.0, 1.0], [-1.0]], 2.0, 4.0))
    answered = torch.tensor([[0, 0, 1, 1, 0], [1, 1, 0, 0, 0]]).bool()  # the logits before each answer's tokens
    batch = {"input_ids": prompts, "attention_mask": torch.ones_like(prompts)}
    texts = sample_texts(model.train(), processor, batch, answered, POSES[:2, None])
    assert model.training and seen["do_sample"]
    assert seen["input_ids"].tolist() == [[5, 6, 7], [0, 0, 8]] and seen["mask"].tolist() == [[1, 1, 1], [0, 0, 1]]
    assert (texts.true, texts.codes) == (0.5, 2.0)
    assert not texts.weights[:, :3].any()
    assert texts.attention_mask.sum(1).tolist() == [3 + len(ids[0]) + 1, 1 + len(ids[1]) + 1]
    first = len(processor.tokenizer("Raise the left arm.", add_special_tokens=False)["input_ids"])
    weights = texts.weights[:, 3:]  # of values 3, 1 and -1: mean 1, deviation 2
    assert weights[0, :first].tolist() == [1.0] * first
    assert not weights[0, first : len(ids[0])].any()
    assert weights[1, : len(ids[1])].tolist() == [-1.0] * len(ids[1])
    assert weights[0, len(ids[0])] == weights[1, len(ids[1])] == -0.5  # the end, worth nothing
    assert not weights[0, len(ids[0]) + 1 :].any() and not weights[1, len(ids[1]) + 1 :].any()


def test_what_is_rewarded_becomes_likelier(tmp_path, monkeypatch):
    """Texts with an e are worth more: after some steps more have one."""
    torch.manual_seed(0)
    model, processor = tiny_model_and_processor()
    monkeypatch.setattr(module, "MAX_NEW_TOKENS", 4)
    shares = []

    def values(sentences, poses):
        good = ["e" in " ".join(said) for said in sentences]
        shares.append(sum(good) / len(good))
        return [[2.0 if fine else -1.0] * len(said) for fine, said in zip(good, sentences, strict=True)], 1.0, 2.0

    monkeypatch.setattr(module, "sentence_rewards", values)
    settings = dict(max_steps=20, per_device_train_batch_size=16, truth_loss_weight=20.0, save_strategy="no")
    samples = some_samples(model, count=320, block=16, shares={"pose-to-text": 1})
    trainer = UniPoseTrainer(model, arguments(tmp_path, **settings), samples, processor)
    trainer.train()
    logged = trainer.state.log_history[0]
    assert logged["pose-to-text/true_codes"] == 0.5 and "pose-to-text/stated_codes" in logged
    assert sum(shares[-5:]) / 5 > sum(shares[:5]) / 5 + 0.3


def test_a_split_model_cannot_write(tmp_path, monkeypatch):
    begin = UniPoseTrainer.create_accelerator_and_postprocess

    def begin_with_fsdp(trainer):
        begin(trainer)
        trainer.is_fsdp_enabled = True

    monkeypatch.setattr(UniPoseTrainer, "create_accelerator_and_postprocess", begin_with_fsdp)
    model, processor = tiny_model_and_processor()
    with pytest.raises(ValueError, match="truth_loss_weight generates texts"):
        UniPoseTrainer(model, arguments(tmp_path, truth_loss_weight=1.0), some_samples(model), processor)


def test_what_cannot_be_written_is_not_made_likelier_by_bad_texts(tmp_path, monkeypatch):
    """A pose never begins in the texts that are sampled: pushing these down must not push it up."""
    torch.manual_seed(0)
    model, processor = tiny_model_and_processor()
    monkeypatch.setattr(module, "MAX_NEW_TOKENS", 4)
    worth = iter(range(-100, 0))
    monkeypatch.setattr(
        module,
        "sentence_rewards",
        lambda sentences, _: ([[float(next(worth)) for _ in said] for said in sentences], 0, 1),
    )
    samples = some_samples(model, count=4, block=4, shares={"pose-to-text": 1})
    trainer = UniPoseTrainer(model, arguments(tmp_path, truth_loss_weight=1.0), samples, processor)
    batch = trainer.data_collator([samples[row] for row in range(4)])
    trainer._prefix = ""
    inputs = {name: batch[name] for name in ("input_ids", "attention_mask")}
    about = batch["prompt_pose_values"], batch["prompt_pose_follows"]
    trainer._truth_loss(model, inputs, batch["shift_labels"] != -100, *about).backward()
    gradient = model.lm_head.weight.grad
    assert gradient.any() and not gradient[model.config.pose_start_token_id].any()
