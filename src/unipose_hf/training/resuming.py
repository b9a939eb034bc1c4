# SPDX-License-Identifier: Apache-2.0
"""Checkpoints of a `transformers.Trainer` that survive kills and full disks."""

import json
import shutil
from pathlib import Path


class SafeCheckpoints:
    """
    To be put before a `transformers.Trainer` in the bases of a class.

    Raises:
        OSError: a checkpoint cannot be written; what there is of it is removed, the ones before stay as they are.
    """

    def _save_checkpoint(self, model, trial):
        folder = Path(self.args.output_dir) / f"checkpoint-{self.state.global_step}"
        try:
            super()._save_checkpoint(model, trial)
        except Exception as error:  # torch and safetensors have their own names for a full disk
            if _step(folder) is None:
                shutil.rmtree(folder, ignore_errors=True)
            raise OSError(f"Checkpoint {folder} was not written ({error}); free some space and resume.") from error

    def train(self, resume_from_checkpoint=None, **kwargs):
        """As `transformers.Trainer.train`; `True` resumes from the last whole checkpoint, or begins without one."""
        if resume_from_checkpoint is True:
            resume_from_checkpoint = last_whole_checkpoint(self.args.output_dir)
        return super().train(resume_from_checkpoint=resume_from_checkpoint, **kwargs)


def last_whole_checkpoint(output_dir: str | Path) -> str | None:
    """The newest checkpoint in a run's folder that was written to its end; None where there is none."""
    found = [(step, str(folder)) for folder in Path(output_dir).glob("checkpoint-*") if (step := _step(folder))]
    return max(found, default=(0, None))[1]


def _step(checkpoint: Path) -> int | None:
    """The step at which a checkpoint was written, None for one that was cut short: its state is written last."""
    try:
        return json.loads((checkpoint / "trainer_state.json").read_text(encoding="utf-8"))["global_step"]
    except (ValueError, OSError):
        return None
