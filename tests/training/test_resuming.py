# SPDX-License-Identifier: Apache-2.0
"""Resuming a run from a chosen checkpoint, also with two processes and without a GPU."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from transformers import TrainingArguments

from unipose_hf.training.arguments import UniPoseSFTConfig
from unipose_hf.training.resuming import checkpoint_to_resume

COUNT = """
from accelerate import PartialState
state = PartialState(cpu=True)
state.wait_for_everyone()
open(f"{state.process_index} of {state.num_processes}", "w").close()
state.wait_for_everyone()
state.destroy_process_group()
"""


def asked(folder, wish):
    return checkpoint_to_resume(TrainingArguments(str(folder), use_cpu=True, resume_from_checkpoint=wish))


def test_a_run_goes_on_where_the_user_wants(tmp_path):
    assert [asked(tmp_path, wish) for wish in (None, "true", "True")] == [True] * 3
    assert asked(tmp_path, "false") is False
    for step in (2, 4):
        (tmp_path / f"checkpoint-{step}").mkdir()
        (tmp_path / f"checkpoint-{step}" / "trainer_state.json").write_text(json.dumps({"global_step": step}))
    assert asked(tmp_path, str(tmp_path / "checkpoint-2")) == str(tmp_path / "checkpoint-2")
    with pytest.raises(ValueError, match="checkpoint-4 exists; choose another output_dir"):
        asked(tmp_path, "false")
    with pytest.raises(FileNotFoundError, match="checkpoint-3 is not a complete checkpoint"):
        asked(tmp_path, str(tmp_path / "checkpoint-3"))


def test_without_a_gpu_the_processor_is_taken(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: False)
    args = UniPoseSFTConfig(str(tmp_path))  # bfloat16, the library's default, is rejected without `use_cpu`
    assert args.use_cpu and args.device.type == "cpu"


def test_the_command_for_two_processes_runs_two(tmp_path):
    readme = (Path(__file__).parents[2] / "examples" / "README.md").read_text(encoding="utf-8")
    [flags] = re.findall(r"^accelerate launch (--multi_gpu .*) \\\n", readme, re.MULTILINE)
    (tmp_path / "count.py").write_text(COUNT)
    command = [sys.executable, "-m", "accelerate.commands.launch", *shlex.split(flags)]
    command += ["--main_process_port", "0", "count.py"]  # any free one
    hidden = {"CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}
    subprocess.run(command, cwd=tmp_path, env=os.environ | hidden, check=True, timeout=300)
    assert {path.name for path in tmp_path.iterdir()} == {"count.py", "0 of 2", "1 of 2"}
