# SPDX-License-Identifier: Apache-2.0
"""Measures time and peak memory of pose errors, R-precision, recall and FID on one thread; prints a markdown table.

    python examples/benchmarks/evaluation.py                # three minutes
    python examples/benchmarks/evaluation.py --sizes 2000   # seconds

Reports CPU time. Each row is measured in a separate process; the peak includes Python, torch and the creation of the
inputs.
"""

import argparse
import multiprocessing
import resource
import sys
import time

import torch
from captions import header  # next to this file

from unipose_hf.evaluation import pa_mpjpe, r_precision, retrieval_recall
from unipose_hf.evaluation.metrics import fid

WIDTH = 512  # embedding size of the published retrieval models
POSES = 20_000
UNIT = 2**20 if sys.platform == "darwin" else 2**10  # units of the kernel's peak memory per MB


def embeddings(count):
    generator = torch.Generator().manual_seed(0)
    texts, poses = torch.nn.functional.normalize(torch.randn(2, count, WIDTH, generator=generator), dim=-1)
    return texts, poses


def measurements(sizes):
    """Name -> (inputs, function to measure)."""
    found = {f"PA-MPJPE of {POSES:,} poses": (lambda: torch.randn(2, POSES, 22, 3), pa_mpjpe)}
    for size in sizes:

        def made(size=size):
            return embeddings(size)

        found[f"R-precision of {size:,} texts, 10 pools of 32"] = made, r_precision
        found[f"recall of {size:,} texts and poses, both ways"] = made, retrieval_recall
        found[f"FID of {size:,} and {size:,} features"] = made, fid
    return found


def measure(what, sizes, answers):
    """Puts the seconds and MB of one measurement into a queue."""
    torch.set_num_threads(1)
    make, work = measurements(sizes)[what]
    given = make()
    start = time.process_time()
    work(*given)
    spent = time.process_time() - start
    answers.put((spent, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / UNIT))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="*", default=[2_000, 50_000], help="texts and poses")
    sizes = parser.parse_args().sizes
    print(*header(), "", "| what | seconds | peak MB |", "| --- | --- | --- |", sep="\n")
    fresh = multiprocessing.get_context("spawn")
    for what in measurements(sizes):
        answers = fresh.SimpleQueue()
        process = fresh.Process(target=measure, args=(what, sizes, answers))
        process.start()
        process.join()
        if process.exitcode:
            raise SystemExit(f"Measuring {what} failed; see the error above.")
        spent, peak = answers.get()
        print(f"| {what} | {spent:.2f} | {peak:.0f} |", flush=True)


if __name__ == "__main__":
    main()
