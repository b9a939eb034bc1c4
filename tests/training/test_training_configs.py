# SPDX-License-Identifier: Apache-2.0
"""The configurations in examples/configs have the expected values and valid option names."""

import os
import shlex
import subprocess
from pathlib import Path

import pytest
from accelerate.commands.config.config_args import ClusterConfig
from accelerate.commands.launch import launch_command_parser
from trl import TrlParser

from unipose_hf.training.arguments import UniPoseSFTConfig
from unipose_hf.training.stages import StageArguments

EXAMPLES = Path(__file__).parents[2] / "examples"
CONFIGS = EXAMPLES / "configs"
STAGES = {"stage1": "alignment", "stage2": "projector", "stage3": "instruction", "reasoning": "reasoning"}
PAPERS = ("per_device_train_batch_size", "learning_rate", "num_train_epochs", "warmup_steps", "lr_scheduler_type")
PAPERS += ("lora_r", "lora_alpha", "use_lora")


def parsed(stage, *arguments):
    parser = TrlParser((StageArguments, UniPoseSFTConfig))
    parser.set_defaults(stage=stage)
    return parser.parse_args_and_config([*arguments, "--use_cpu", "true"])


@pytest.mark.parametrize("name", STAGES)
def test_stages_are_the_papers(tmp_path, name):
    _, found = parsed(STAGES[name], "--config", str(CONFIGS / f"{name}.yaml"), "--output_dir", str(tmp_path))
    paper = UniPoseSFTConfig(str(tmp_path), stage=STAGES[name], use_cpu=True)
    assert [getattr(found, key) for key in PAPERS] == [getattr(paper, key) for key in PAPERS]
    assert found.bf16 and found.gradient_checkpointing and found.stage == STAGES[name]


@pytest.mark.parametrize("stage", ["instruction", "reasoning"])
def test_4_bits_keep_the_papers_batch(tmp_path, stage):
    script, found = parsed(stage, "--config", str(CONFIGS / "qlora.yaml"), "--output_dir", str(tmp_path))
    paper = UniPoseSFTConfig(str(tmp_path), stage=stage, use_cpu=True)
    assert script.load_in_4bit and found.use_lora and found.learning_rate == paper.learning_rate
    batch = found.per_device_train_batch_size * found.gradient_accumulation_steps
    assert batch == paper.per_device_train_batch_size


@pytest.mark.parametrize("name", ["one_gpu", "eight_gpus_fsdp2", "eight_gpus_zero2"])
def test_accelerate_knows_every_word(name):
    config = ClusterConfig.from_yaml_file(str(CONFIGS / f"{name}.yaml"))
    assert config.num_processes == (1 if name == "one_gpu" else 8) and config.mixed_precision == "bf16"
    known = {action.dest for action in launch_command_parser()._actions}
    assert known.issuperset(config.fsdp_config) and known.issuperset(config.deepspeed_config)
    assert bool(config.fsdp_config) == (name == "eight_gpus_fsdp2")
    assert bool(config.deepspeed_config) == (name == "eight_gpus_zero2")


def test_every_configuration_is_tested():
    names = {path.stem for path in CONFIGS.glob("*.yaml")}
    assert names == {*STAGES, "qlora", "one_gpu", "eight_gpus_fsdp2", "eight_gpus_zero2", "pose_tokenizer_tiny"}


def test_all_stages_run_one_after_the_other(tmp_path):
    """With programs that only note how they were called and leave what a finished step leaves."""
    log, programs = tmp_path / "calls", tmp_path / "programs"
    programs.mkdir()
    for name in ("accelerate", "python", "unipose"):
        note = f'#!/usr/bin/env bash\nprintf "%q " {name} "$@" >> {log}\necho >> {log}\n'
        leave = 'while [ $# -gt 1 ]; do [ "$1" = --output_dir ] && mkdir -p "$2" && touch "$2"/model.safetensors '
        (programs / name).write_text(note + leave + '"$2"/config.json; shift; done\nexit 0\n')
        (programs / name).chmod(0o755)
    command = ["bash", str(EXAMPLES / "train" / "run_all_stages.sh"), str(tmp_path / "run")]
    environment = os.environ | {"PATH": f"{programs}:{os.environ['PATH']}", "GPUS": "4", "LAUNCH": "eight_gpus_zero2"}
    for _ in range(2):  # finished steps are skipped
        subprocess.run(command, env=environment, check=True)
    calls = [shlex.split(line) for line in log.read_text().splitlines()]
    trained = [call for call in calls if call[0] == "accelerate"]
    assert [Path(next(word for word in call if word.endswith(".py"))).stem for call in trained] == [
        "train_pose_tokenizer",
        "train_stage1",
        "train_stage2",
        "train_stage3",
        "train_reasoning",
    ]
    before = tmp_path / "run" / "new_model"
    for call, (name, stage) in zip(trained[1:], STAGES.items(), strict=True):
        script, args = parsed(stage, *call[call.index("--config") :])
        assert script.model == str(before) and call[call.index("--config_file") + 1].endswith("zero2.yaml")
        paper = UniPoseSFTConfig(args.output_dir, stage=stage, use_cpu=True)
        assert args.per_device_train_batch_size * 4 == paper.per_device_train_batch_size
        assert Path(args.output_dir).name == name
        before = Path(args.output_dir)
