# SPDX-License-Identifier: Apache-2.0
"""The training loop survives being killed, batches are the processor's chats, and the losses teach the right thing."""

import json
import math

import pytest
import torch
from tiny import BLAZEPOSE, random_rotations, tiny_config
from torch import nn

from unipose_hf.body import JOINT_NAMES, forward_kinematics, load_body, remove_yaw
from unipose_hf.captions import caption_poses, codes_satisfied, pose_geometry
from unipose_hf.captions.joint_sets import POSECODES, SUPER_POSECODES
from unipose_hf.data.open_poses import load_open_poses
from unipose_hf.modeling.image_processing_unipose import UniPoseImageProcessor
from unipose_hf.modeling.modeling_unipose import UniPoseForConditionalGeneration, make_shift_labels
from unipose_hf.modeling.processing_unipose import TASKS, UniPoseProcessor, task_messages
from unipose_hf.modeling.rotation_unipose import axis_angle_to_matrix, matrix_to_axis_angle
from unipose_hf.training import code_loss
from unipose_hf.training.batches import task_batch
from unipose_hf.training.code_loss import stated_code_loss
from unipose_hf.training.image_bank import load_image_bank
from unipose_hf.training.loop import LoopArguments, learning_rate_at, make_optimizers, train_loop
from unipose_hf.training.pose_tokenizer import reconstruction_losses
from unipose_hf.training.stages import (
    PoseLossWeights,
    TaskStream,
    batch_losses,
    seed_embeddings,
    set_trainable,
    train_stage,
)
from unipose_hf.training.text_tokenizer import train_text_tokenizer

ARGUMENTS = LoopArguments(steps=6, learning_rate=1e-2, warmup_steps=2, checkpoint_seconds=0, log_every=2, seed=3)


class Line(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(4, 4))
        self.bias = nn.Parameter(torch.zeros(4))


def line_losses(model):
    def step_losses(step, generator):
        x = torch.randn(8, 4, generator=generator)
        noise = 0.1 * torch.randn(8, 4)  # of the global generator, which a resumed run must find as it was
        return {"loss": (x @ model.weight + model.bias - x.flip(1) + noise).square().mean()}

    return step_losses


def run(folder, stop_at=None):
    model = Line()
    train_loop("line", model, line_losses(model), ARGUMENTS, folder, stop_at=stop_at)
    return model


def test_a_run_that_is_stopped_and_resumed_ends_as_an_unbroken_one(tmp_path):
    whole = run(tmp_path / "whole")
    for stop_at in (2, 4, None):
        broken = run(tmp_path / "broken", stop_at)
    assert torch.equal(whole.weight, broken.weight) and torch.equal(whole.bias, broken.bias)
    steps = [json.loads(line)["step"] for line in (tmp_path / "broken/line.jsonl").read_text().splitlines()]
    assert steps == [2, 4, 6]


def test_a_run_killed_between_checkpoints_repeats_the_lost_steps(tmp_path):
    whole = run(tmp_path / "whole")
    model = Line()
    losses = line_losses(model)

    def killed(step, generator):
        if step == 5:
            raise KeyboardInterrupt
        return losses(step, generator)

    with pytest.raises(KeyboardInterrupt):
        train_loop("line", model, killed, ARGUMENTS, tmp_path / "broken")
    assert torch.load(tmp_path / "broken/line.pt", weights_only=True)["step"] == 4
    assert not list((tmp_path / "broken").glob("*.part"))
    assert torch.equal(run(tmp_path / "broken").weight, whole.weight)


def test_a_finished_run_is_left_as_it_is(tmp_path):
    first = run(tmp_path)
    assert torch.equal(run(tmp_path).weight, first.weight)


def test_a_loss_that_is_not_finite_stops_the_run_and_keeps_the_checkpoint(tmp_path):
    model = Line()
    train_loop("line", model, line_losses(model), ARGUMENTS, tmp_path, stop_at=2)
    with pytest.raises(FloatingPointError, match="step 2 of line"):
        train_loop("line", model, lambda *_: {"loss": model.weight.sum() * math.nan}, ARGUMENTS, tmp_path)
    assert torch.load(tmp_path / "line.pt", weights_only=True)["step"] == 2


def test_learning_rate_warms_up_and_decays():
    arguments = LoopArguments(steps=100, learning_rate=1.0, warmup_steps=10)
    rates = [learning_rate_at(step, arguments) for step in range(100)]
    assert rates[0] == pytest.approx(0.1) and max(rates) == pytest.approx(rates[9], abs=0.05)
    assert rates[-1] == pytest.approx(0.05, abs=0.01) and rates[10:] == sorted(rates[10:], reverse=True)


def test_reconstruction_losses_are_zero_for_the_truth_alone():
    rest = load_body(size="small").rest_joints
    truth, other = random_rotations(2), random_rotations(2, seed=1)
    assert reconstruction_losses(truth, truth, rest)["loss"] == 0
    losses = reconstruction_losses(other, truth, rest)
    assert losses["loss"] > 1 and losses["mpjpe_mm"] > 50


@pytest.fixture(scope="module")
def small():
    """A random model with the bundled layout, its processor, and a bank of random picture features."""
    tokenizer = train_text_tokenizer([task.prompt for task in TASKS.values()], vocab_size=320, codebook_size=16)
    processor = UniPoseProcessor(
        UniPoseImageProcessor(pose_size=BLAZEPOSE["image_size"]), tokenizer, num_codes=8, num_image_tokens=2
    )
    torch.manual_seed(0)
    config = tiny_config(
        pose_vision=BLAZEPOSE,
        text={"vocab_size": len(tokenizer), "max_position_embeddings": 512},
        image_tokens_per_cell=2,
        **processor.token_ids(),
    )
    model = UniPoseForConditionalGeneration(config)
    model.model.pose_tokenizer.quantizer.codebook.normal_()
    generator = torch.Generator().manual_seed(0)
    poses = matrix_to_axis_angle(random_rotations(16))
    images = {"features": torch.randn(16, config.pose_vision_config.hidden_size, generator=generator), "poses": poses}
    return model, processor, images


@pytest.mark.parametrize("task", list(TASKS))
def test_batches_are_what_the_processor_makes_of_the_chats(small, task):
    model, processor, _ = small
    rule = TASKS[task]
    rotations = random_rotations(6).unflatten(0, (2, 3))
    codes = model.get_pose_codes(rotations)  # (2, 3, 8)
    texts = ["Bend the left knee.", "Both arms are straight, and more is said here."]
    batch = task_batch(processor, model.config, task, texts, codes[:, : rule.poses], codes[:, 2])
    messages = [
        task_messages(
            task,
            text=text if rule.text else None,
            images=[torch.zeros(3, 64, 64)] * rule.images,
            poses=[row[k].tolist() for k in range(rule.poses)],
            answer=row[2].tolist() if rule.answer == "pose" else text,
        )
        for text, row in zip(texts, codes, strict=True)
    ]
    expected = processor.apply_chat_template(
        messages,
        tokenize=True,
        return_dict=True,
        answer_queries=True,
        return_assistant_tokens_mask=True,
        processor_kwargs={"padding": True, "padding_side": "right", "return_tensors": "pt"},
    )
    assert torch.equal(batch["input_ids"], expected["input_ids"])
    assert torch.equal(batch["attention_mask"], expected["attention_mask"])
    is_answer = torch.as_tensor(expected["assistant_masks"]).bool()
    labels = expected["input_ids"].masked_fill(~is_answer, -100)
    if rule.answer == "pose":
        queries = expected["input_ids"] == model.config.pose_query_token_id
        labels[queries] = codes[:, 2].flatten() + model.config.pose_code_offset
    assert torch.equal(batch["shift_labels"], make_shift_labels(labels, expected["input_ids"], model.config))


def test_streams_repeat_themselves_for_the_same_generator(small):
    model, processor, images = small
    stream = TaskStream(processor, model, seed=0, images=images)
    for task in TASKS:
        first, second = (stream.batch(task, 3, torch.Generator().manual_seed(5)) for _ in range(2))
        other = stream.batch(task, 3, torch.Generator().manual_seed(6))
        assert torch.equal(first["input_ids"], second["input_ids"])
        assert not torch.equal(first["input_ids"], other["input_ids"]) or TASKS[task].answer == "pose"
        assert (first["features"] is not None) == (TASKS[task].images > 0)
        assert (first["target"] is not None) == (TASKS[task].answer == "pose")


def test_a_batch_can_be_learnt_by_heart(small):
    model, processor, images = small
    batch = TaskStream(processor, model, seed=0, images=images).batch(
        "text-to-pose", 4, torch.Generator().manual_seed(0)
    )
    rest = load_body(size="small").rest_joints
    set_trainable(model, "alignment")
    model.train()
    before = batch_losses(model, batch, rest, PoseLossWeights())
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=3e-3)
    for _ in range(15):
        optimizer.zero_grad()
        batch_losses(model, batch, rest, PoseLossWeights())["loss"].backward()
        optimizer.step()
    after = batch_losses(model, batch, rest, PoseLossWeights())
    assert after["ce"] < 0.5 * before["ce"] and after["loss"] < before["loss"]


def test_each_stage_trains_its_own_part(small):
    model, _, _ = small
    set_trainable(model, "vision")
    trained = {name for name, p in model.named_parameters() if p.requires_grad}
    assert trained and all(name.startswith("model.multi_modal_projector.") for name in trained)
    set_trainable(model, "all-tasks")
    frozen = {name for name, p in model.named_parameters() if not p.requires_grad}
    assert frozen == {
        name for name, _ in model.named_parameters() if "pose_tokenizer" in name or "pose_vision_tower" in name
    }


def test_a_stage_runs_and_resumes(small, tmp_path, monkeypatch):
    model, processor, images = small
    for name in ("ROWS", "ROWS_OF_PICTURES"):
        monkeypatch.setattr(f"unipose_hf.training.stages.{name}", 2)
    start = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    arguments = LoopArguments(steps=6, learning_rate=1e-3, log_every=1, checkpoint_seconds=0)
    ends = []
    for folder, stops in (("whole", [None]), ("broken", [2, 5, None])):
        for stop_at in stops:
            model.load_state_dict(start)
            train_stage("all-tasks", model, processor, arguments, tmp_path / folder, images, stop_at=stop_at)
        ends.append({name: tensor.clone() for name, tensor in model.state_dict().items()})
    model.load_state_dict(start)
    assert all(torch.equal(ends[0][name], ends[1][name]) for name in start)
    assert not torch.equal(ends[0]["lm_head.weight"], start["lm_head.weight"])


def test_every_task_of_a_stage_is_trained_as_often_as_it_should(small, tmp_path, monkeypatch):
    model, processor, images = small
    for name in ("ROWS", "ROWS_OF_PICTURES"):
        monkeypatch.setattr(f"unipose_hf.training.stages.{name}", 1)
    start = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    drawn = []

    class Recorder(TaskStream):
        def batch(self, task, rows, generator):
            drawn.append(task)
            return super().batch(task, rows, generator)

    monkeypatch.setattr("unipose_hf.training.stages.TaskStream", Recorder)
    arguments = LoopArguments(steps=60, learning_rate=1e-3, log_every=60)
    train_stage("all-tasks", model, processor, arguments, tmp_path, images)
    model.load_state_dict(start)
    assert set(drawn) == set(TASKS) and len(drawn) == 60
    assert drawn.count("text-to-pose") > drawn.count("image-diff")


def test_the_optimisers_share_out_every_trained_parameter(small):
    model, _, _ = small
    set_trainable(model, "all-tasks")
    muon, adamw = make_optimizers(model, ARGUMENTS)
    parts = [{id(p) for group in optimizer.param_groups for p in group["params"]} for optimizer in (muon, adamw)]
    assert parts[0].isdisjoint(parts[1])
    assert parts[0] | parts[1] == {id(p) for p in model.parameters() if p.requires_grad}
    assert id(model.lm_head.weight) in parts[1] and id(model.get_input_embeddings().weight) in parts[1]
    assert id(model.model.language_model.layers[0].self_attn.q_proj.weight) in parts[0]


def stated_loss(poses, stated):
    joints, rotations = pose_geometry(poses)
    return stated_code_loss(axis_angle_to_matrix(rotations), joints, stated)


def test_the_loss_on_stated_codes_is_small_for_poses_that_do_what_is_said():
    poses = load_open_poses("test").axis_angle[::20]
    stated = caption_poses(poses, return_codes=True)[1]
    assert stated_loss(poses, stated) < 0.3 * stated_loss(poses.roll(1, 0), stated)


def test_the_loss_on_stated_codes_bends_a_knee_that_should_be_bent():
    pose = torch.zeros(1, 22, 3, requires_grad=True)  # the T-pose
    stated = [[("angle/left_hip|left_knee|left_ankle", "right angle"), ("kneeling/body", "true")]]
    optimizer = torch.optim.Adam([pose], lr=0.05)
    rest = load_body(size="small").rest_joints

    def loss():
        rotations = axis_angle_to_matrix(pose)
        return stated_code_loss(rotations, forward_kinematics(rotations, rest)[0], stated)

    with torch.no_grad():
        pose[0, JOINT_NAMES.index("left_knee"), 0] = 0.3  # away from straight, where no direction is the better one
    before = loss()
    for _ in range(60):
        optimizer.zero_grad()
        loss().backward()
        assert pose.grad.isfinite().all()
        optimizer.step()
    assert loss() < 0.5 * before
    codes = [[("angle/left_hip|left_knee|left_ankle", "right angle")]]
    assert codes_satisfied(codes, *pose_geometry(pose.detach())).item() == 1


def test_every_code_that_can_be_stated_has_bounds():
    for code in (*POSECODES, *SUPER_POSECODES):
        for category in getattr(code, "ok", ["true"]):
            bounds = code_loss._BOUNDS[code.name, category]
            assert bounds and all(low < high and unit > 0 for _, low, high, unit in bounds)


def test_nothing_stated_costs_nothing():
    assert stated_loss(torch.zeros(2, 22, 3), [[], []]) == 0


def test_similar_codes_start_with_similar_rows(small):
    model, _, _ = small
    torch.manual_seed(0)
    codebook = model.model.pose_tokenizer.quantizer.codebook
    codebook.copy_(torch.linspace(-1, 1, len(codebook))[:, None])  # codes along a line
    seed_embeddings(model)
    first = model.config.pose_code_offset
    rows = model.get_input_embeddings().weight[first : first + len(codebook)]
    near = torch.cdist(codebook, codebook) + 1e9 * torch.eye(len(codebook))
    alike = torch.nn.functional.cosine_similarity(rows, rows[near.argmin(1)]).mean()
    apart = torch.nn.functional.cosine_similarity(rows, rows[near.masked_fill(near > 1e8, -1).argmax(1)]).mean()
    assert alike > apart + 0.2


def test_a_missing_image_bank_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="build_image_bank"):
        load_image_bank(tmp_path)


def test_poses_of_the_text_tasks_have_no_yaw(small):
    model, processor, images = small
    target = TaskStream(processor, model, seed=0, images=images).batch("pose-editing", 4, torch.Generator())["target"]
    assert torch.allclose(axis_angle_to_matrix(remove_yaw(matrix_to_axis_angle(target))), target, atol=1e-4)
