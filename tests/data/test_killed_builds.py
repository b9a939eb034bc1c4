# SPDX-License-Identifier: Apache-2.0
"""Builds killed repeatedly at random moments produce the same bytes as an uninterrupted build."""

import random
import time

import pytest

pytest.importorskip("datasets")

from forked import start_process
from unipose_hf.data.builders import imagescript, shards
from unipose_hf.data.builders.build import build_data

SIZE, KILLS = 40, 5
OPTIONS = dict(size=SIZE, picture_size=64, progress=False)


class SlowWriter:
    """A language model that takes its time and notes every call in a file."""

    name = "writer"

    def __init__(self, notes):
        self.notes = notes

    def __call__(self, messages):
        time.sleep(0.05)
        with self.notes.open("a") as file:
            file.write("call\n")
        return "The person keeps still."


def build(out, processes):
    for module in (shards, imagescript):
        module.ROWS = 5  # so that there are many shards
    build_data("imagescript", out, ask=SlowWriter(out.with_suffix(".calls")), processes=processes, **OPTIONS)


def contents(out):
    """The files of a data set; what a killed process was writing begins with a dot."""
    return {
        path.relative_to(out).as_posix(): path.read_bytes()
        for path in sorted(out.rglob("[!.]*"))
        if path.is_file() and "work" not in path.relative_to(out).parts
    }


def test_kills_at_random_moments_lose_nothing(tmp_path):
    def run(out, processes, seconds=None):
        child = start_process(build, out, processes)
        child.join(seconds)
        child.kill()
        child.join()
        return child.exitcode

    run(tmp_path / "first", 1, 0.1)  # starts the server
    began = time.monotonic()
    assert run(tmp_path / "whole", 1) == 0
    lasted = time.monotonic() - began
    whole = contents(tmp_path / "whole")
    requests = len((tmp_path / "whole.calls").read_text().split())
    assert len(whole) >= SIZE // 5 + 4 and requests >= 5
    out, moments = tmp_path / "killed", random.Random()
    killed = sum(run(out, 1, moments.uniform(0.1, 0.5) * lasted) != 0 for _ in range(KILLS))
    assert killed and contents(out).items() <= whole.items()  # whole files only
    assert run(out, 2) == 0  # and finally with two processes
    assert contents(out) == whole and not list(out.rglob(".*.part"))
    # an answer is lost only if the kill came before it was written to the journal
    assert len((tmp_path / "killed.calls").read_text().split()) <= requests + 4 * killed
