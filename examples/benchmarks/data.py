# SPDX-License-Identifier: Apache-2.0
"""Times building data sets, by part and as a whole; prints a markdown table.

    python examples/benchmarks/data.py                      # a few minutes
    python examples/benchmarks/data.py --size 50            # smaller

Each row has CPU time, which is less affected by other processes, and wall time. Builds run in one process. The
language model is a local mock server that answers immediately, or with the delay given in the row.
"""

import argparse
import json
import tempfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import torch
from captions import header, varied_poses

from unipose_hf.auto import BUNDLED_CHECKPOINT
from unipose_hf.captions import caption_poses, instruct_pairs
from unipose_hf.data.builders.build import build_data
from unipose_hf.data.builders.imagediff import joint_features
from unipose_hf.data.builders.imagescript import VERSIONS
from unipose_hf.data.llm.language_models import Endpoint
from unipose_hf.data.llm.refinement import Request, refine_texts
from unipose_hf.data.mining.pair_mining import low_level_properties, mine_image_pairs
from unipose_hf.data.mining.pose_pool import gather_pool
from unipose_hf.data.records import PoseRecord
from unipose_hf.data.synthesis.rendering import render_training_images


def timed(work):
    """(CPU seconds, wall seconds)."""
    began = time.process_time(), time.perf_counter()
    work()
    return time.process_time() - began[0], time.perf_counter() - began[1]


def serve(delay):
    """Address of a mock language model that answers with a fixed sentence after `delay` seconds."""
    message = {"role": "assistant", "content": "The person stands and waits."}
    choice = {"index": 0, "finish_reason": "stop", "message": message}
    body = json.dumps(
        {"id": "1", "created": 0, "model": "m", "object": "chat.completion", "choices": [choice]}
    ).encode()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            self.rfile.read(int(self.headers["content-length"]))
            time.sleep(delay)
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_port}/v1"


def refine(count, delay, concurrency, folder):
    requests = [Request("caption", (f"Text {number}.",), ()) for number in range(count)]
    ask = Endpoint(serve(delay), "benchmark")
    journal = folder / f"{delay} {concurrency}.jsonl"
    refined = refine_texts(requests, ask, journal, concurrency=concurrency, progress=False)
    assert None not in refined


class Memory:
    """Peak memory of the process, excluding file pages, above the level at the start, in megabytes."""

    def __enter__(self):
        self._start, self._ended, self.most = self._now(), threading.Event(), 0
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._ended.set()
        self._thread.join()

    def _watch(self):
        while not self._ended.wait(0.01):
            self.most = max(self.most, self._now() - self._start)

    @staticmethod
    def _now():
        [line] = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("RssAnon"))
        return int(line.split()[1]) / 1000


def mine(count, targets, folder):
    """Gathers `count` poses, measures them and mines pairs, as ImageDiff does."""
    poses = varied_poses(4096).numpy()
    records = (PoseRecord("BVH", "many", n, "free", poses[n % 4096] + np.float32(1e-7 * n)) for n in range(count))
    pool = gather_pool(records, folder)
    codes = pool.measured("codes", "i1", lambda rows: low_level_properties(pool.joints[rows]))
    mine_image_pairs(joint_features(pool), codes, torch.arange(targets), search="torch")


def rows(size, folder):
    """Yields (name, speed by CPU time, speed by wall time) for each measurement."""
    poses = varied_poses(size)
    for picture_size in (256, 512):
        spent = timed(lambda picture_size=picture_size: render_training_images(poses, size=picture_size))
        yield f"pictures of {picture_size} pixels", *(f"{size / seconds:.1f}/s" for seconds in spent)
    many = varied_poses(4 * size)
    for what, work in (
        ("captions, three a pose", lambda: [caption_poses(many, version=name) for name in VERSIONS]),
        ("instructions, three a pair", lambda: [instruct_pairs(many, many.flip(0), seed=seed) for seed in range(3)]),
    ):
        yield what, *(f"{12 * size / seconds:,.0f}/s" for seconds in timed(work))
    for delay, concurrency in ((0.0, 8), (0.5, 64)):
        count = 2 * size
        spent = timed(lambda c=count, d=delay, n=concurrency: refine(c, d, n, folder))
        what = f"refined texts, answers after {delay} s, {concurrency} at once"
        yield what, *(f"{count / seconds:,.0f}/s" for seconds in spent)
    for kind, options in (
        ("imagescript", {}),
        ("imagediff", {"retrieval": BUNDLED_CHECKPOINT.with_name("pose-text-retrieval")}),
        ("posest-open", {}),
        ("multi-person", {}),
    ):
        spent = timed(lambda k=kind, o=options: build_data(k, folder / k, size=size, progress=False, **o))
        yield f"build-data {kind} --size {size}", *(f"{seconds:.0f} s" for seconds in spent)
    for count in (20 * size, 200 * size):
        with Memory() as memory:
            spent = timed(lambda c=count: mine(c, 20, folder / str(c)))
        what = f"gathering {count:,} poses and mining 20 pairs, {memory.most:.0f} MB"
        yield what, *(f"{seconds:.0f} s" for seconds in spent)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--size", type=int, default=500, help="number of pictures per build; the other counts scale with it"
    )
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(*header(), "", "| what | by processor time | by the clock |", "| --- | --- | --- |", sep="\n")
    with tempfile.TemporaryDirectory() as folder:
        for what, *speeds in rows(options.size, Path(folder)):
            print(f"| {what} | {' | '.join(speeds)} |", flush=True)


if __name__ == "__main__":
    main()
