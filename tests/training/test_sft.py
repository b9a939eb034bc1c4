# SPDX-License-Identifier: Apache-2.0
"""The trainer of the language model stages: loss, trained parameters of each stage, and checkpoints."""

import errno
import math
import os
import signal

import pytest
import torch
from PIL import Image
from transformers import TrainerCallback

from forked import start_process
from tiny import VITPOSE
from tiny_training import arguments, sample, some_samples, text_model_and_processor, weights
from unipose_hf.body import forward_kinematics
from unipose_hf.modeling.modeling_unipose import UniPoseForConditionalGeneration
from unipose_hf.training.arguments import UniPoseSFTConfig
from unipose_hf.training.collator import UniPoseCollator
from unipose_hf.training.resuming import last_complete_checkpoint
from unipose_hf.training.stages import save_whole_model
from unipose_hf.training.trainer import POSES, UniPoseTrainer, set_trainable

ALL_LOSSES = dict(joint_loss_weight=30.0, rotation_loss_weight=10.0, stated_loss_weight=2.0)


def trainer_of(folder, seed=0, **changes):
    model, processor = text_model_and_processor(seed=seed)
    args = arguments(folder, train_sampling_strategy="sequential", **changes)
    return UniPoseTrainer(model, args, some_samples(model), processor)


def trained(folder, **changes):
    trainer = trainer_of(folder, **changes)
    trainer.train()
    return weights(trainer.model)


@pytest.mark.parametrize("losses", [{}, ALL_LOSSES])
def test_the_loss_is_the_models_own(tmp_path, losses):
    trainer = trainer_of(tmp_path, stage="instruction", **losses)
    batch = next(iter(trainer.get_train_dataloader()))
    inputs = {name: batch[name] for name in ("input_ids", "attention_mask", "shift_labels")}
    with torch.no_grad():
        own = trainer.model(**inputs).loss
        trainer.args.joint_loss_weight = trainer.args.rotation_loss_weight = trainer.args.stated_loss_weight = 0.0
        trls = trainer.compute_loss(trainer.model, dict(batch))
        tokens = trainer._losses(trainer.model, inputs | {"labels": batch["labels"]}, dict.fromkeys(POSES), None)
    assert trls == pytest.approx(float(own), abs=1e-5) and tokens == pytest.approx(float(own), abs=1e-5)


def test_losses_on_whole_poses_are_those_of_the_expected_pose(tmp_path):
    trainer = trainer_of(tmp_path, stage="instruction", **ALL_LOSSES)
    batch = trainer.data_collator([trainer.train_dataset[n] for n in range(8)])
    with torch.no_grad():
        plain = trainer.model(**{k: batch[k] for k in ("input_ids", "attention_mask", "shift_labels")}).loss
        loss = trainer.compute_loss(trainer.model, dict(batch))
        trainer.args.joint_loss_weight = 60.0
        more = trainer.compute_loss(trainer.model, dict(batch))
        trainer.args.contact_loss_weight = 6.0
        most = trainer.compute_loss(trainer.model, dict(batch))
    contact = next(kept[-1] for name, kept in trainer._metrics["train"].items() if "contact" in name)
    assert most - more == pytest.approx(6 * contact, rel=1e-3) and contact > 0
    errors = [value for name, kept in trainer._metrics["train"].items() if "mpjpe" in name for value in kept]
    assert loss > plain + 1 and more - loss == pytest.approx(30 * errors[0] / 1000, rel=1e-3)


def test_joints_that_count_less_teach_less(tmp_path):
    """The loss is linear in what joints count, and what counts nothing leaves the cross-entropy of the marks alone."""
    trainer = trainer_of(tmp_path, stage="instruction", joint_loss_weight=30.0, rotation_loss_weight=10.0)

    def loss(weight):
        rows = [sample("text-to-pose", number) | {"weights": [weight] * 22} for number in range(2)]
        with torch.no_grad():
            return float(trainer.compute_loss(trainer.model, trainer.data_collator(rows)))

    nothing, half, whole = map(loss, (0.0, 0.5, 1.0))
    assert whole - half == pytest.approx(half - nothing, rel=1e-4) and whole > nothing + 1


def test_codes_that_are_given_are_not_asked_for(tmp_path, monkeypatch):
    trainer = trainer_of(tmp_path, stage="instruction", joint_loss_weight=30.0, given_share=0.5)
    torch.manual_seed(0)
    codes = torch.zeros(400, 8, dtype=torch.long)
    trainer.model.train()
    given = trainer._given_codes(codes)
    assert 0.35 < given.any(1).float().mean() < 0.55 and 0.15 < given.float().mean() < 0.35
    trainer.model.eval()
    assert not trainer._given_codes(codes).any()
    monkeypatch.setattr(trainer, "_given_codes", lambda codes: torch.ones_like(codes, dtype=torch.bool))
    rows = [sample("text-to-pose", number) for number in range(2)]
    batch = trainer.data_collator(rows)
    target = batch["answer_pose_values"]
    with torch.no_grad():
        trainer.compute_loss(trainer.model, batch)
        tokenizer = trainer.pose_tokenizer
        decoded = tokenizer.decode(tokenizer.encode(target).codes).rotations
    joints, truth = (forward_kinematics(each, trainer.rest_joints)[0] for each in (decoded, target))
    kept = trainer._metrics["eval"]["text-to-pose/mpjpe_mm"]
    assert kept == [pytest.approx(1000 * float((joints - truth).norm(dim=-1).mean()), rel=1e-3)]


def test_rows_of_words_may_learn_at_a_rate_of_their_own(tmp_path):
    trainer = trainer_of(tmp_path, stage="instruction", use_muon=True, learning_rate=1e-3, table_learning_rate=4e-3)
    rates = {group["muon"]: group["lr"] for group in trainer.create_optimizer().param_groups}
    assert rates == {True: 1e-3, False: 4e-3}


def test_the_paper_is_the_default():
    alignment = UniPoseSFTConfig("x", stage="alignment", use_cpu=True)
    assert (alignment.learning_rate, alignment.per_device_train_batch_size, alignment.num_train_epochs) == (
        1.5e-4,
        24,
        6,
    )
    instruction = UniPoseSFTConfig("x", use_cpu=True)
    assert (instruction.learning_rate, instruction.per_device_train_batch_size) == (5e-5, 8)
    assert (instruction.num_train_epochs, instruction.lora_r, instruction.lora_alpha) == (2, 64, 16)
    assert instruction.warmup_steps == pytest.approx(0.03 / 2) and not instruction.pose_losses
    with pytest.raises(ValueError, match="[Uu]nknown stage 'vision'; choose one of alignment"):
        UniPoseSFTConfig("x", stage="vision", use_cpu=True)


@pytest.mark.parametrize("stage", ["alignment", "projector", "instruction"])
def test_each_stage_trains_its_own_part(stage):
    model, _ = text_model_and_processor()
    set_trainable(model, stage)
    trainable = {name.split(".")[1] for name, p in model.named_parameters() if p.requires_grad}
    everything = {"language_model", "pose_query_embeddings", "weight", "multi_modal_projector"}
    expected = {
        "alignment": everything - {"multi_modal_projector"},
        "projector": {"multi_modal_projector"},
        "instruction": everything,
    }
    assert trainable == expected[stage]
    assert not model.model.pose_vision_tower.training and not model.model.pose_tokenizer.training


def test_lora_trains_adapters_and_new_rows_alone_and_the_next_stage_goes_on_from_all_of_it(tmp_path):
    trainer = trainer_of(tmp_path / "one", use_lora=True, lora_r=2)
    before = weights(trainer.model.get_base_model())
    trainer.train()
    tuned = trainer.model
    batch = next(iter(trainer.get_train_dataloader()))
    inputs = {name: batch[name] for name in ("input_ids", "attention_mask")}
    with torch.no_grad():
        expected = tuned.eval()(**inputs).logits
    save_whole_model(trainer, "unused")
    model = UniPoseForConditionalGeneration.from_pretrained(tmp_path / "one").eval()
    with torch.no_grad():
        assert torch.allclose(model(**inputs).logits, expected, atol=1e-4)
    after = {name: tensor for name, tensor in model.state_dict().items()}
    changed = {
        n for n, t in after.items() if n in before and t.shape == before[n].shape and not torch.equal(t, before[n])
    }
    assert not any("tower" in name or "pose_tokenizer" in name or "projector" in name for name in changed)
    rows = after["model.language_model.embed_tokens.weight"]
    first = min(model.config.pose_code_offset, model.config.pose_start_token_id)
    start, _ = text_model_and_processor()
    moved = (rows != start.get_input_embeddings().weight).any(1)
    assert moved[first:].any() and not moved[:first].any()
    assert not torch.equal(model.model.pose_query_embeddings.weight, start.model.pose_query_embeddings.weight)
    assert not torch.equal(model.lm_head.weight, start.lm_head.weight)


@pytest.mark.versions
def test_a_run_that_is_stopped_and_resumed_ends_as_an_unbroken_one(tmp_path):
    for name, changes in (("adamw", {}), ("muon", dict(use_muon=True, **ALL_LOSSES))):
        whole = trained(tmp_path / name, **changes)
        first = trainer_of(tmp_path / f"{name} broken", **changes)
        first.add_callback(StopAfter(2))
        first.train()
        second = trainer_of(tmp_path / f"{name} broken", **changes)
        second.train(resume_from_checkpoint=True)
        assert second.state.global_step == 4
        ended = weights(second.model)
        assert all(torch.equal(whole[key], ended[key]) for key in whole)


class StopAfter(TrainerCallback):
    def __init__(self, step):
        self.step = step

    def on_step_end(self, args, state, control, **kwargs):
        control.should_training_stop = state.global_step >= self.step


def run_to_the_end(folder):
    trainer = trainer_of(folder, max_steps=12, save_steps=1)
    trainer.train(resume_from_checkpoint=True)
    torch.save(weights(trainer.model), folder / "end.pt")


def test_a_run_killed_at_any_moment_goes_on(tmp_path):
    """The run is killed while it works, once a checkpoint is there, and started again."""
    folder = tmp_path / "killed"
    process = start_process(run_to_the_end, folder)
    while process.is_alive() and not list(folder.glob("checkpoint-*")):
        process.join(0.02)
    process.kill()
    process.join()
    assert not (folder / "end.pt").exists()
    for again in (folder, tmp_path / "whole"):
        process = start_process(run_to_the_end, again)
        process.join()
        assert process.exitcode == 0
    whole, ended = (torch.load(f / "end.pt", weights_only=True) for f in (tmp_path / "whole", folder))
    assert all(torch.equal(whole[key], ended[key]) for key in whole)


def test_the_order_is_known_without_making_samples(tmp_path):
    model, processor = text_model_and_processor()
    samples = some_samples(model)
    made = []
    dataset = samples.with_format(None).add_column("length", [5] * 8)
    dataset = dataset.with_transform(lambda rows: made.append(rows) or samples[: len(rows["number"])])
    trainer = UniPoseTrainer(model, arguments(tmp_path), dataset, processor)
    made.clear()
    assert sorted(trainer._get_train_sampler()) == list(range(8)) and not made


def test_a_loss_that_is_not_finite_names_the_samples(tmp_path):
    trainer = trainer_of(tmp_path)
    with torch.no_grad():
        trainer.model.lm_head.weight.fill_(math.nan)
    with pytest.raises(FloatingPointError, match=r"step 1 is not finite, for the samples .*-to-.* 0-0-0, .* 0-0-1"):
        trainer.train()


def test_a_full_disk_leaves_the_last_checkpoint(tmp_path, monkeypatch):
    trainer = trainer_of(tmp_path)
    keep = trainer._save_optimizer_and_scheduler

    def full(folder):
        if folder.endswith("checkpoint-4"):
            raise OSError(errno.ENOSPC, "No space left on device")
        keep(folder)

    monkeypatch.setattr(trainer, "_save_optimizer_and_scheduler", full)
    with pytest.raises(OSError, match="checkpoint-4 was not written .*No space left.*free some disk space"):
        trainer.train()
    assert last_complete_checkpoint(tmp_path) == str(tmp_path / "checkpoint-2")
    assert not (tmp_path / "checkpoint-4").exists()


def test_half_written_checkpoints_are_passed_over(tmp_path):
    trained(tmp_path)
    (tmp_path / "checkpoint-9").mkdir()
    (tmp_path / "checkpoint-9" / "trainer_state.json").write_text('{"step": ')
    assert last_complete_checkpoint(tmp_path) == str(tmp_path / "checkpoint-4")
    assert last_complete_checkpoint(tmp_path / "nowhere") is None


def test_ctrl_c_saves_after_the_step(tmp_path):
    trainer = trainer_of(tmp_path, save_steps=100)
    before = signal.getsignal(signal.SIGINT)

    class Press(TrainerCallback):
        def on_step_begin(self, args, state, control, **kwargs):
            if state.global_step == 2:
                os.kill(os.getpid(), signal.SIGINT)

    trainer.add_callback(Press())
    trainer.train()
    assert trainer.state.global_step == 3 and last_complete_checkpoint(tmp_path) == str(tmp_path / "checkpoint-3")
    assert signal.getsignal(signal.SIGINT) is before


def test_batches_mix_pictures_and_texts(tmp_path):
    model, processor = text_model_and_processor()
    collator = UniPoseCollator(processor, model.model.pose_tokenizer, pose_targets=True)
    picture = Image.new("RGB", tuple(reversed(VITPOSE["image_size"])))
    tasks = ("image-to-pose", "pose-to-text", "image-diff", "pose-editing")
    trainer = trainer_of(tmp_path, stage="instruction", **ALL_LOSSES)
    loss = trainer.compute_loss(trainer.model, collator([sample(task, n, picture) for n, task in enumerate(tasks)]))
    loss.backward()
    assert trainer.model.model.multi_modal_projector.linear_1.weight.grad.abs().sum() > 0
