# SPDX-License-Identifier: Apache-2.0
"""Rendered people with their poses, seen once by the frozen pose encoder: training then costs no rendering and no
vision.

The bank grows chunk by chunk; every chunk is a file of its own that depends only on the seed and its number, so a
killed build goes on where it stopped and gives the same bank.
"""

import functools
import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from unipose_hf.data.open_poses import OpenPoses, load_open_poses
from unipose_hf.data.rendering import render_training_images
from unipose_hf.data.sampling import PoseSampler, random_global_turn
from unipose_hf.modeling.blazepose_unipose import BlazePoseBackbone

CHUNK = 256


@torch.no_grad()
def encode_images(backbone: BlazePoseBackbone, images: torch.Tensor, batch_size: int = 16) -> torch.Tensor:
    """Pictures `(n, S, S, 3)` uint8 with S = `backbone.config.image_size` -> features `(n, channels)` float32."""
    backbone = backbone.to(memory_format=torch.channels_last)  # a third faster on processors
    features = []
    for batch in images.split(batch_size):
        pixels = batch.permute(0, 3, 1, 2).float() / 255
        features.append(backbone(pixels).feature_maps[-1].flatten(1))
    return torch.cat(features)


def render_and_encode(backbone: BlazePoseBackbone, poses: torch.Tensor, seed: int) -> dict[str, torch.Tensor]:
    """Renders poses `(n, 22, 3)` once each: `features` `(n, channels)` and the `poses` as the camera sees them."""
    rendered = render_training_images(poses, seed=seed, size=backbone.config.image_size)
    images = torch.from_numpy(rendered.images)
    return {"features": encode_images(backbone, images), "poses": torch.from_numpy(rendered.axis_angle)}


def build_image_bank(
    backbone: BlazePoseBackbone,
    folder: str | Path,
    count: int,
    seed: int = 0,
    poses: OpenPoses | None = None,
    processes: int = 1,
) -> None:
    """Fills `folder` with chunks of 256 pictures until there are `count`; prints a line for each chunk.

    The pictures of the open training poses, unless other `poses` are given. The processes share the chunks.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    poses = poses or load_open_poses("train")
    missing = [n for n in range(-(-count // CHUNK)) if not (folder / f"{n:05d}.safetensors").exists()]
    work = functools.partial(_build_chunk, backbone, folder, seed, poses)
    if processes == 1:
        _report(map(work, missing), len(missing))
    else:
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(processes, context, torch.set_num_threads, (1,)) as pool:
            _report(pool.map(work, missing), len(missing))


def _report(chunks, total):
    for done, number in enumerate(chunks, start=1):
        print(f"images: chunk {number:05d} of {CHUNK} pictures ({done}/{total} to be made)", flush=True)


def _build_chunk(backbone, folder, seed, poses, number):
    seed = seed * 1_000_003 + number
    generator = torch.Generator().manual_seed(seed)
    sampled = PoseSampler(poses.axis_angle, poses.clip_id).sample(CHUNK, generator)
    chunk = render_and_encode(backbone, random_global_turn(sampled, generator, full_yaw=True), seed=seed)
    path = folder / f"{number:05d}.safetensors"
    temporary = path.with_suffix(".part")
    save_file(chunk, temporary)
    os.replace(temporary, path)
    return number


def load_image_bank(folder: str | Path) -> dict[str, torch.Tensor]:
    """`features` `(n, channels)` and `poses` `(n, 22, 3)` of all chunks.

    Raises:
        FileNotFoundError: the folder holds no chunk.
    """
    chunks = [load_file(path) for path in sorted(Path(folder).glob("*.safetensors"))]
    if not chunks:
        raise FileNotFoundError(f"{folder} holds no pictures; run build_image_bank first.")
    return {key: torch.cat([chunk[key] for chunk in chunks]) for key in ("features", "poses")}
