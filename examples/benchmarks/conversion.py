# SPDX-License-Identifier: Apache-2.0
"""Memory and time that the conversion of a published checkpoint takes, as a markdown table.

    python examples/benchmarks/conversion.py                  # random tensors, 700 MB on the disk, twice
    python examples/benchmarks/conversion.py --layers 2       # less

The checkpoint is laid out as the published one is: a base in bfloat16 shards, the pose encoder in one float32 file.
Memory is what the process holds at its peak beyond what it held before, when a conversion in miniature had loaded
the libraries.
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

# The files to convert are made as the tests make theirs.
sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))
from published import Sizes, parts, write_published  # noqa: E402

MB = 1e6


def memory(line):
    """Bytes that Linux says under `VmRSS` (held now) or `VmHWM` (at the peak of this process).

    `getrusage` will not do: a new process begins with the peak of the one that started it.
    """
    [kilobytes] = re.findall(rf"{line}:\s*(\d+) kB", Path("/proc/self/status").read_text())
    return int(kilobytes) * 1024


def measure(folder):
    """Converts a checkpoint; run in a process of its own, whose peak is the conversion's."""
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
    """`measure` in a process of its own."""
    command = [sys.executable, __file__, "--measure", str(folder)]
    return json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True).stdout)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--layers", type=int, default=16, help="of the language model and of the pose encoder")
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
