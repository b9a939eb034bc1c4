# SPDX-License-Identifier: Apache-2.0
"""Processes forked from a server that has imported what takes seconds to import.

They start at once, without threads, and with no setting that other tests have changed.
"""

import multiprocessing
import socket

import torch.multiprocessing

_FORKED = multiprocessing.get_context("forkserver")
# What is not installed is passed over.
_FORKED.set_forkserver_preload(
    [
        "unipose_hf.training.trainer",
        "unipose_hf.training.pose_tokenizer",
        "unipose_hf.training.open_samples",
        "unipose_hf.data.builders.build",
        "unipose_hf.data.synthesis.rendering",
        "datasets",
    ]
)


def start_process(function, *arguments) -> multiprocessing.Process:
    """Runs a function of a test module in a process, which is started."""
    process = _FORKED.Process(target=function, args=arguments)
    process.start()
    return process


def run_distributed(function, folder, processes: int) -> None:
    """Calls `function(rank, folder, port)` in several processes, with a free port for their meeting, and waits."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    torch.multiprocessing.start_processes(function, (folder, port), nprocs=processes, start_method="forkserver")
