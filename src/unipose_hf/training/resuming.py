# SPDX-License-Identifier: Apache-2.0
"""Checkpoints of a `transformers.Trainer` that survive being killed and full disks."""

import json
import shutil
from pathlib import Path

from transformers import TrainingArguments


class SafeCheckpoints:
    """
    Mixin; put it before a `transformers.Trainer` in the bases of a class.

    Raises:
        OSError: a checkpoint cannot be written; its partial files are removed and earlier checkpoints are kept.
    """

    def _save_checkpoint(self, model, trial):
        folder = Path(self.args.output_dir) / f"checkpoint-{self.state.global_step}"
        try:
            super()._save_checkpoint(model, trial)
        except Exception as error:  # torch and safetensors raise their own errors for a full disk
            if _step(folder) is None:
                shutil.rmtree(folder, ignore_errors=True)
            raise OSError(
                f"Checkpoint {folder} was not written ({error}); free some disk space and resume."
            ) from error

    def train(self, resume_from_checkpoint=None, **kwargs):
        """As `transformers.Trainer.train`; `True` resumes from the last complete checkpoint, if there is one."""
        if resume_from_checkpoint is True:
            resume_from_checkpoint = last_complete_checkpoint(self.args.output_dir)
        return super().train(resume_from_checkpoint=resume_from_checkpoint, **kwargs)


def checkpoint_to_resume(args: TrainingArguments) -> bool | str:
    """The value of `--resume_from_checkpoint` for [`SafeCheckpoints`] and `Trainer.train`.

    Unset or `true` means the last complete checkpoint in `args.output_dir`, if there is one; a folder, the checkpoint
    in it; `false`, none.

    Raises:
        ValueError: `false`, but there are checkpoints of an earlier run.
        FileNotFoundError: the folder is not a checkpoint.
    """
    requested = args.resume_from_checkpoint
    if requested is None or str(requested).lower() == "true":
        return True
    if str(requested).lower() == "false":
        if (last := last_complete_checkpoint(args.output_dir)) is not None:
            raise ValueError(f"A new run was requested, but {last} exists; choose another output_dir or delete it.")
        return False
    if _step(Path(requested)) is None:
        raise FileNotFoundError(
            f"{requested} is not a complete checkpoint; give a folder checkpoint-N, true or false."
        )
    return requested


def last_complete_checkpoint(output_dir: str | Path) -> str | None:
    """The newest complete checkpoint in a run's folder, or None."""
    found = [(step, str(folder)) for folder in Path(output_dir).glob("checkpoint-*") if (step := _step(folder))]
    return max(found, default=(0, None))[1]


def _step(checkpoint: Path) -> int | None:
    """The step of a checkpoint, or None if it is incomplete: its state is written last."""
    try:
        return json.loads((checkpoint / "trainer_state.json").read_text(encoding="utf-8"))["global_step"]
    except (ValueError, OSError):
        return None
