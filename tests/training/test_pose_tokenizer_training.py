# SPDX-License-Identifier: Apache-2.0
"""The pose tokenizer trainer: losses and noise as published, and exact resumption after a kill."""

import json
import os
import random
import signal

import numpy as np
import pytest
import roma
import torch
from datasets import Array2D, Dataset, Features, List, Value
from safetensors.torch import load_file

from forked import run_distributed, start_process
from tiny import random_rotations, tiny_pose_config
from unipose_hf.body import JOINT_NAMES, load_body
from unipose_hf.data.open_poses import load_open_poses
from unipose_hf.evaluation.metrics.pose_errors import mpjpe, pa_mpjpe
from unipose_hf.modeling.modeling_pose_tokenizer import PoseTokenizerModel
from unipose_hf.modeling.rotation_unipose import axis_angle_to_matrix
from unipose_hf.training.pose_rows import PoseRows
from unipose_hf.training.pose_tokenizer import (
    PoseTokenizerTrainer,
    PoseTokenizerTrainingArguments,
    codebook_metrics,
    limb_noise,
    reconstruction_losses,
)
from unipose_hf.training.resuming import last_complete_checkpoint

FSQ = dict(quantizer="fsq", fsq_levels=[4, 4], code_dim=2)
QUIET = dict(orientation_noise=False, joint_noise=[0.0])


def make_trainer(folder, pose_config=None, trainer_class=PoseTokenizerTrainer, rows=40, **changes):
    """A trainer of a tiny tokenizer on a few open poses, 5 steps an epoch."""
    settings = dict(
        per_device_train_batch_size=8, num_train_epochs=4, warmup_steps=2, learning_rate=1e-2, logging_steps=2
    )
    settings |= dict(
        use_cpu=True, disable_tqdm=True, eval_strategy="no", save_strategy="no", metric_for_best_model=None
    )
    args = PoseTokenizerTrainingArguments(output_dir=str(folder), **settings | changes)
    torch.manual_seed(0)
    poses = load_open_poses("test").axis_angle
    return trainer_class(PoseTokenizerModel(tiny_pose_config(**pose_config or {})), args, poses[:rows], poses[:12])


def weights(trainer):
    return {name: tensor.clone() for name, tensor in trainer.model.state_dict().items()}


def same(first, second):
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


# A run with all kinds of noise (increasing over time), an EMA codebook, evaluations and checkpoints.
RUN = dict(save_strategy="steps", save_steps=3, eval_strategy="epoch", joint_noise=[0.01, 0.1], joint_noise_every=7)


def killed_run(folder, step):
    """Run by a process of its own, which kill -9 ends at a step."""

    class Killed(PoseTokenizerTrainer):
        def training_step(self, *args, **kwargs):
            if self.state.global_step == step:
                signal.raise_signal(signal.SIGKILL)
            return super().training_step(*args, **kwargs)

    make_trainer(folder, trainer_class=Killed, **RUN).train()


def test_a_run_killed_anywhere_ends_as_an_unbroken_one(tmp_path):
    whole = make_trainer(tmp_path / "whole", **RUN)
    whole.train()
    step = random.randrange(1, 20)
    killed = start_process(killed_run, tmp_path / "killed", step)
    killed.join()
    assert killed.exitcode == -signal.SIGKILL
    half = tmp_path / "killed" / "checkpoint-1000"  # as if killed again while writing a checkpoint
    half.mkdir(parents=True)
    (half / "model.safetensors").write_bytes(b"half")
    resumed = make_trainer(tmp_path / "killed", **RUN)
    resumed.train(resume_from_checkpoint=True)
    assert same(weights(whole), weights(resumed)), f"killed at step {step}"
    assert resumed._initial_global_step == step // 3 * 3
    figures = [[line.get("eval_mpjpe_mm") for line in t.state.log_history] for t in (whole, resumed)]
    assert figures[0] == figures[1] and any(figures[0])


def test_checkpoints_hold_the_averages_behind_the_codebook(tmp_path):
    trainer = make_trainer(tmp_path, max_steps=4, save_strategy="steps", save_steps=4)
    trainer.train()
    saved = load_file(tmp_path / "checkpoint-4/model.safetensors")
    quantizer = trainer.model.quantizer
    assert torch.equal(saved["quantizer.running_sum"], quantizer.running_sum) and saved["quantizer.initialized"]
    assert not torch.equal(quantizer.running_count, torch.ones_like(quantizer.running_count))


def test_the_loss_is_the_weighted_sum_of_the_published_ones(tmp_path):
    trainer = make_trainer(tmp_path)
    trainer.model.quantizer.codebook.normal_()
    trainer.model.eval()
    rotations = random_rotations(6)
    loss, output = trainer.compute_loss(trainer.model, {"rotations": rotations}, return_outputs=True)
    body = load_body(size="small")
    joints, vertices = body(rotations)
    decoded_joints, decoded_vertices = body(output.rotations)
    expected = 20 * (output.rotations - rotations).square().mean() + output.commitment_loss
    expected += 100 * (decoded_vertices - vertices).square().mean() + 100 * (decoded_joints - joints).square().mean()
    assert output.commitment_loss > 0 and torch.allclose(loss, expected, rtol=1e-5)
    trainer.args.vertex_weight = 0
    assert trainer.compute_loss(trainer.model, {"rotations": rotations}) < loss


def test_reconstruction_losses_are_zero_for_the_truth_alone():
    body = load_body(size="small")
    truth, other = random_rotations(2), random_rotations(2, seed=1)
    assert all(value == 0 for value in reconstruction_losses(truth, truth, body).values())
    losses = reconstruction_losses(other, truth, body)
    assert all(value > 0.01 for value in losses.values()) and losses["mpjpe_mm"] > 50
    twist = truth.clone()
    twist[:, 15] = other[:, 15]  # the head: no joint follows it, but vertices do
    losses = reconstruction_losses(twist, truth, body)
    assert losses["joint"] == 0 and losses["vertex"] > 0
    assert "vertex" not in reconstruction_losses(twist, truth, body, with_vertices=False)


def test_bodies_are_turned_as_published(tmp_path):
    trainer = make_trainer(tmp_path)
    rotations = random_rotations(400)
    torch.manual_seed(0)
    turned = trainer._rotate_randomly(rotations)
    assert torch.equal(turned[:, 1:], rotations[:, 1:])
    angles = roma.rotmat_to_euler("YZX", turned[:, 0] @ rotations[:, 0].mT, degrees=True)
    most = torch.tensor([45.0, 20, 20])
    assert (angles.abs() < most + 0.01).all() and (angles.amax(0) > 0.9 * most).all()
    assert (angles.amin(0) < -0.9 * most).all()
    trainer.args.full_yaw_share = 0.25
    turned = trainer._rotate_randomly(rotations)
    y = roma.rotmat_to_euler("YZX", turned[:, 0] @ rotations[:, 0].mT, degrees=True)[:, 0].abs()
    assert y[:100].max() > 150 and y[100:].max() < 45.01
    trainer.args.orientation_noise = False
    assert torch.equal(trainer._rotate_randomly(rotations), rotations)


def test_noise_on_joints_grows_and_reaches_the_model(tmp_path):
    trainer = make_trainer(tmp_path, joint_noise=[0.01, 0.05, 0.1], joint_noise_every=5000)
    sizes = {}
    for step in (0, 4999, 5000, 14_999, 10**6):
        trainer.state.global_step = step
        sizes[step] = trainer._noise_scale()
    assert list(sizes.values()) == [0.01, 0.01, 0.05, 0.1, 0.1]
    seen = []
    trainer.model.encoder.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    trainer.args.orientation_noise = False
    rotations = random_rotations(64)
    batch = {"rotations": rotations, "rows": torch.arange(64)}
    trainer.compute_loss(trainer.model.train(), batch)
    trainer.compute_loss(trainer.model.eval(), batch)
    difference = (seen[0] - rotations[..., :2, :].flatten(-2)).abs()
    assert 0.09 < difference.max() <= 0.1001 and torch.equal(seen[1], rotations[..., :2, :].flatten(-2))


def test_noise_reaches_one_whole_limb_of_some_poses():
    torch.manual_seed(0)
    noise = limb_noise(400, 0.1)
    moved = noise.abs().amax(-1) > 0  # (400, 22)
    assert 0.4 < moved.any(1).float().mean() < 0.6 and 0.099 < noise.abs().max() <= 0.1
    found = {frozenset(JOINT_NAMES[joint] for joint in row.nonzero()[:, 0].tolist()) for row in moved if row.any()}
    arm, leg = ("collar", "shoulder", "elbow", "wrist"), ("hip", "knee", "ankle", "foot")
    limbs = {frozenset(f"{side}_{part}" for part in limb) for side in ("left", "right") for limb in (arm, leg)}
    assert found == limbs | {frozenset({"neck", "head"})}


def test_batches_in_parts_are_whole_batches(tmp_path):
    whole = make_trainer(tmp_path, FSQ, max_steps=3, per_device_train_batch_size=8, **QUIET)
    parts = make_trainer(
        tmp_path, FSQ, max_steps=3, per_device_train_batch_size=4, gradient_accumulation_steps=2, **QUIET
    )
    for trainer in (whole, parts):
        trainer.train()
    losses = [[line["loss"] for line in t.state.log_history if "loss" in line] for t in (whole, parts)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


def train_as(rank, folder, port):
    """What each of two processes does: a run whose codes need no codebook, and one whose codebook is averaged."""
    torch.set_num_threads(1)
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2"}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    for name, pose_config in (("fsq", FSQ), ("ema", None)):
        trainer = make_trainer(folder, pose_config, max_steps=4, per_device_train_batch_size=4, **QUIET)
        trainer.train()
        torch.save((trainer.state.log_history, weights(trainer)), folder / f"{name}{rank}.pt")
    torch.distributed.destroy_process_group()


def test_two_processes_learn_what_one_does_and_keep_one_codebook(tmp_path):
    run_distributed(train_as, tmp_path, 2)
    one = make_trainer(tmp_path, FSQ, max_steps=4, **QUIET)
    one.train()
    lines = torch.load(tmp_path / "fsq0.pt")[0]
    for name in ("loss", "mpjpe_mm", "codebook_use", "perplexity"):
        figures = [line[name] for line in one.state.log_history if name in line]
        assert [line[name] for line in lines if name in line] == pytest.approx(figures, rel=1e-4)
    first, second = (torch.load(tmp_path / f"ema{rank}.pt")[1] for rank in (0, 1))
    assert same(first, second) and "quantizer.running_sum" in first


def test_a_tokenizer_learns_and_its_codes_are_counted(tmp_path):
    trainer = make_trainer(tmp_path, dict(hidden_size=32), max_steps=60, logging_steps=20, **QUIET)
    trainer.train()
    lines = [line for line in trainer.state.log_history if "loss" in line]
    assert lines[-1]["loss"] < 0.65 * lines[0]["loss"] and lines[-1]["mpjpe_mm"] < 0.75 * lines[0]["mpjpe_mm"]
    parts = [20 * line["rotation_loss"] + 100 * (line["vertex_loss"] + line["joint_loss"]) for line in lines]
    parts = [part + line["commitment_loss"] for part, line in zip(parts, lines, strict=True)]
    assert parts == pytest.approx([line["loss"] for line in lines], rel=1e-4)
    assert all(0 < line["codebook_use"] <= 1 and 1 < line["perplexity"] <= 16 for line in lines)


def test_evaluation_gives_the_errors_of_decoded_codes(tmp_path):
    trainer = make_trainer(tmp_path, per_device_eval_batch_size=5)
    trainer.model.quantizer.codebook.normal_()
    figures = trainer.evaluate()
    model, body = trainer.model.eval(), load_body(size="small")
    rotations = axis_angle_to_matrix(load_open_poses("test").axis_angle[:12])
    codes = model.encode(rotations).codes
    decoded, truth = body.joints(model.decode(codes).rotations), body.joints(rotations)
    assert figures["eval_mpjpe_mm"] == pytest.approx(1000 * mpjpe(decoded, truth).mean().item(), rel=1e-3)
    assert figures["eval_pa_mpjpe_mm"] == pytest.approx(1000 * pa_mpjpe(decoded, truth).mean().item(), rel=1e-3)
    assert figures["eval_codebook_use"] == len(codes.unique()) / 16


def test_codebook_metrics():
    assert codebook_metrics(torch.tensor([5, 5, 5, 5])) == pytest.approx({"codebook_use": 1, "perplexity": 4})
    assert codebook_metrics(torch.tensor([0, 9, 0, 0])) == pytest.approx({"codebook_use": 0.25, "perplexity": 1})


def test_the_learning_rate_warms_up_and_falls_twice(tmp_path):
    trainer = make_trainer(tmp_path, learning_rate=1.0, warmup_steps=10)
    trainer.create_optimizer()
    trainer.create_scheduler(240)
    rates = []
    for _ in range(240):
        rates.append(trainer.optimizer.param_groups[0]["lr"])
        trainer.optimizer.step()
        trainer.lr_scheduler.step()
    assert rates[:2] == pytest.approx([0.1, 0.2])
    assert [rates[step] for step in (9, 159, 160, 219, 220, 239)] == pytest.approx([1, 1, 0.1, 0.1, 0.01, 0.01])


def test_defaults_are_the_papers():
    args = PoseTokenizerTrainingArguments(output_dir="nowhere", use_cpu=True)
    assert (args.learning_rate, args.train_batch_size, args.num_train_epochs) == (2e-4, 256, 240)
    assert (args.rotation_weight, args.vertex_weight, args.joint_weight) == (20, 100, 100)
    assert args.orientation_noise and args.joint_noise_every == 5000 and args.joint_noise[0] == 0.01
    assert "adamw" in args.optim


def test_what_is_not_finite_names_the_poses(tmp_path):
    trainer = make_trainer(tmp_path)
    trainer.model.decoder.output_layer.weight.data.fill_(float("nan"))
    batch = PoseRows(trainer.train_dataset.poses).__getitems__([7, 3])
    with pytest.raises(FloatingPointError, match=r"\[7, 3\]"):
        trainer.training_step(trainer.model, batch)


def test_a_full_disk_leaves_the_last_checkpoint(tmp_path, monkeypatch):
    trainer = make_trainer(tmp_path, max_steps=6, save_strategy="steps", save_steps=2, save_total_limit=1)
    write = trainer._save_optimizer_and_scheduler

    def full(folder):
        if folder.endswith("-4"):
            raise OSError("No space left on device")
        write(folder)

    monkeypatch.setattr(trainer, "_save_optimizer_and_scheduler", full)
    with pytest.raises(OSError, match="checkpoint-4 was not written .*free some disk space"):
        trainer.train()
    assert [path.name for path in tmp_path.glob("checkpoint-*")] == ["checkpoint-2"]
    assert last_complete_checkpoint(tmp_path) == str(tmp_path / "checkpoint-2")


def test_the_last_whole_checkpoint_is_the_one_with_the_most_steps(tmp_path):
    assert last_complete_checkpoint(tmp_path / "nothing") is None
    for step, state in ((9, {"global_step": 9}), (10, {"global_step": 10}), (11, None)):
        (tmp_path / f"checkpoint-{step}").mkdir()
        text = json.dumps(state) if state else '{"global_st'
        (tmp_path / f"checkpoint-{step}" / "trainer_state.json").write_text(text)
    assert last_complete_checkpoint(tmp_path) == str(tmp_path / "checkpoint-10")


@pytest.mark.parametrize(
    "feature", [Array2D((22, 3), "float32"), List(List(Value("float32"))), List(Value("float64"))]
)
def test_rows_of_a_data_set_are_its_poses(feature):
    poses = np.random.default_rng(0).normal(size=(6, 22, 3)).astype(np.float32)
    column = poses.reshape(6, 66) if feature == List(Value("float64")) else poses
    columns = {"text": list("abcdef"), "pose": list(column)}
    dataset = Dataset.from_dict(columns, Features(text=Value("string"), pose=feature)).select([4, 1, 2])
    rows = PoseRows(dataset)
    assert np.array_equal(rows.poses.numpy(), poses[[4, 1, 2]])
    batch = rows.__getitems__([2, 0])
    assert torch.equal(batch["rotations"], axis_angle_to_matrix(torch.from_numpy(poses[[2, 4]])))
    assert torch.equal(rows[2]["rotations"], batch["rotations"][0])


def test_poses_that_are_none_are_refused():
    with pytest.raises(ValueError, match="column 'pose'.*'poses'"):
        PoseRows(Dataset.from_dict({"poses": [[0.0]]}))
    with pytest.raises(ValueError, match="22 x 3 numbers; 2 poses have 4"):
        PoseRows(Dataset.from_dict({"pose": [[0.0], [0.0, 1.0, 2.0]]}))
    with pytest.raises(ValueError, match=r"\(4, 24, 3\)"):
        PoseRows(torch.zeros(4, 24, 3))
    with pytest.raises(ValueError, match=r"rows \[1, 3\]"):
        PoseRows(torch.zeros(4, 22, 3).index_fill_(0, torch.tensor([1, 3]), float("nan")))


def test_training_starts_near_rest_and_loading_keeps_what_was_learnt(tmp_path):
    torch.manual_seed(0)
    model = PoseTokenizerModel(tiny_pose_config()).eval()
    rest = torch.eye(3).expand(1, 22, 3, 3)
    angle = torch.rad2deg(roma.rotmat_geodesic_distance(model.decode(torch.zeros(1, 8).long()).rotations, rest))
    assert angle.max() < 45
    assert PoseTokenizerModel(tiny_pose_config()).decoder.output_layer.bias.tolist() == [1, 0, 0, 0, 1, 0]
    model.decoder.output_layer.bias.data.fill_(0.3)
    model.save_pretrained(tmp_path)
    assert (PoseTokenizerModel.from_pretrained(tmp_path).decoder.output_layer.bias == 0.3).all()
