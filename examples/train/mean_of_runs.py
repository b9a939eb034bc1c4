# SPDX-License-Identifier: Apache-2.0
"""Averages the weights of runs that continue each other.

    python examples/train/mean_of_runs.py runs/plain/first runs/plain/second --output_dir runs/plain/mean

The noise of their last steps cancels: the mean of runs whose learning rate fell to zero was better than each of them
(examples/RESULTS.md). Everything but the weights is that of the last run.
"""

import argparse
import os
import shutil
from pathlib import Path

from safetensors.torch import load_file, save_file

WEIGHTS = "model.safetensors"


def main(runs: list[Path], output_dir: Path) -> None:
    ignored = shutil.ignore_patterns("checkpoint-*", "optimizer*", WEIGHTS)
    shutil.copytree(runs[-1], output_dir, ignore=ignored, dirs_exist_ok=True)
    weights = [load_file(run / WEIGHTS) for run in runs]
    means = {
        name: sum(each[name].double() for each in weights).div(len(runs)).to(last.dtype)
        for name, last in weights[-1].items()
    }
    unfinished = output_dir / f"{WEIGHTS}.tmp"
    save_file(means, unfinished, metadata={"format": "pt"})
    os.replace(unfinished, output_dir / WEIGHTS)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+", help="output folders of train_stage3.py")
    parser.add_argument("--output_dir", type=Path, required=True)
    main(**vars(parser.parse_args()))
