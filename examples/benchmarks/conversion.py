# SPDX-License-Identifier: Apache-2.0
"""Measures memory and time of converting a published checkpoint; prints a markdown table.

    python examples/benchmarks/conversion.py                  # random tensors, 2 x 700 MB on disk
    python examples/benchmarks/conversion.py --layers 2       # smaller

The checkpoint has the layout of the published one: a base model in bfloat16 shards, the pose encoder in a float32
file. Memory is the peak above the level before the conversion, after a tiny conversion has loaded the libraries.
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
from captions import header

from unipose_hf.hub.conversion import convert

# The files to convert are created with the helpers of the tests.
sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))
from published import Sizes, parts, write_published  # noqa: E402

MB = 1e6


def memory(line):
    """`VmRSS` (current) or `VmHWM` (peak) of this process from /proc, in bytes.

    `getrusage` does not work here: a new process inherits the peak of its parent.
    """
    [kilobytes] = re.findall(rf"{line}:\s*(\d+) kB", Path("/proc/self/status").read_text())
    return int(kilobytes) * 1024


def measure(folder):
    """Converts a checkpoint; run in a separate process, so that its peak is that of the conversion."""
    write_published(folder / "miniature")
    convert(**parts(folder / "miniature"), out=folder / "miniature-out")
    shard = max(path.stat().st_size for path in (folder / "llava").iterdir())
    before, start = memory("VmRSS"), time.perf_counter()
    out = convert(**parts(folder, clip_heads=1, pose_vit_heads=2), out=folder / "out", max_shard_size=shard)
    spent, peak = time.perf_counter() - start, memory("VmHWM") - before
    read = [
        path.stat().st_size
        for part in (folder, folder / "llava", folder / "unipose")
        for path in part.iterdir()
        if path.suffix in (".safetensors", ".bin", ".ckpt")
    ]
    written = [path.stat().st_size for path in out.glob("*.safetensors")]
    return {
        "read": sum(read),
        "largest": max(read),
        "written": sum(written),
        "files": len(written),
        "limit": 1.3 * max(read) + max(written),
        "peak": peak,
        "seconds": spent,
    }


def measure_apart(folder):
    """Runs `measure` in a separate process."""
    command = [sys.executable, __file__, "--measure", str(folder)]
    return json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True).stdout)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--layers", type=int, default=16, help="layers of the language model and the pose encoder")
    parser.add_argument("--width", type=int, default=1024, help="of the language model; the pose encoder has half")
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.measure:
        print(json.dumps(measure(options.measure)))
        return
    width = options.width
    sizes = Sizes(width=width, inner=3 * width, heads=8, kv_width=width // 4, layers=options.layers)
    sizes = Sizes(**vars(sizes) | dict(rank=16, vit=width // 2, vit_layers=options.layers, codebook=2048))
    with tempfile.TemporaryDirectory() as folder:
        write_published(Path(folder) / "published", sizes, torch.bfloat16, shards=8)
        found = measure_apart(Path(folder) / "published")
    print(*header(), "", "| what | how much |", "| --- | --- |", sep="\n")
    print(f"| files that are read | {found['read'] / MB:,.0f} MB |")
    print(f"| the largest of them | {found['largest'] / MB:,.0f} MB |")
    print(f"| files that are written | {found['files']} of {found['written'] / MB:,.0f} MB together |")
    print(f"| memory allowed: 1.3 times the largest file read and one file written | {found['limit'] / MB:,.0f} MB |")
    print(f"| memory taken at the peak | {found['peak'] / MB:,.0f} MB |")
    print(f"| time | {found['seconds']:.1f} s |")


if __name__ == "__main__":
    main()
