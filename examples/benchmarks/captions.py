# SPDX-License-Identifier: Apache-2.0
"""Times posecodes, captions, instructions and farthest point sampling on one thread; prints a markdown table.

    python examples/benchmarks/captions.py                  # half a minute, 1 GB of memory
    python examples/benchmarks/captions.py --sizes 2000     # sample from fewer poses

Reports CPU time, which is less affected by other processes; the header shows the load of the machine.
"""

import argparse
import os
import platform
import shlex
import subprocess
import sys
import time
from datetime import date
from pathlib import Path

import torch

from unipose_hf.captions import caption_poses, instruct_pairs, measure_posecodes, pose_geometry, turn_between
from unipose_hf.data import farthest_points
from unipose_hf.data.open_poses import load_open_poses


def varied_poses(count, seed=0):
    """(count, 22, 3) real poses with small random rotations, so that no two are equal."""
    generator = torch.Generator().manual_seed(seed)
    poses = load_open_poses("all").axis_angle
    chosen = torch.randint(len(poses), (count,), generator=generator)
    return poses[chosen] + 0.1 * torch.randn(count, 22, 3, generator=generator)


def seconds(work, rounds=3):
    """Minimum time over several rounds."""
    times = []
    for _ in range(rounds):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return min(times)


def processor():
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def commit():
    def git(*arguments):
        done = subprocess.run(["git", *arguments], capture_output=True, text=True, cwd=Path(__file__).parent)
        return done.stdout.strip()

    changed = " with changes" if git("status", "--porcelain", "--untracked-files=no") else ""
    return (git("rev-parse", "--short", "HEAD") or "unknown") + changed


def header():
    busy = f", load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    yield f"{date.today()}, commit {commit()}, one thread of {processor()}{busy}, torch {torch.__version__}:"
    yield f"`python {shlex.join(sys.argv)}`"


def rows(count, sizes, selected):
    """Yields (name, figure) for each measurement."""
    poses = varied_poses(count)
    joints, rotations = pose_geometry(poses)
    others = varied_poses(count, seed=1)
    turns = turn_between(poses, others)
    for what, unit, work in (
        ("poses to joints", "poses", lambda: pose_geometry(poses)),
        ("joints to posecodes", "poses", lambda: measure_posecodes(joints, rotations)),
        ("poses to captions", "poses", lambda: caption_poses(poses)),
        ("pairs to instructions", "pairs", lambda: instruct_pairs(poses, others, rotation_change=turns)),
    ):
        yield what, f"{count / seconds(work):,.0f} {unit}/s"
    for size in sizes:
        joints = torch.cat([pose_geometry(chunk)[0] for chunk in varied_poses(size).split(4096)])
        number = min(selected, size)
        spent = seconds(lambda joints=joints, number=number: farthest_points(joints, number, progress=False), rounds=1)
        yield f"{number} farthest of {size:,} poses", f"{spent:.2f} s"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--poses", type=int, default=4096, help="number of poses, and of pairs, to describe")
    parser.add_argument(
        "--sizes", type=int, nargs="*", default=[2_000, 20_000, 200_000], help="numbers of poses to sample from"
    )
    parser.add_argument("--selected", type=int, default=500, help="poses to sample")
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(*header(), "", "| what | speed |", "| --- | --- |", sep="\n")
    for what, speed in rows(options.poses, options.sizes, options.selected):
        print(f"| {what} | {speed} |", flush=True)


if __name__ == "__main__":
    main()
