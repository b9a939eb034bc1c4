# SPDX-License-Identifier: Apache-2.0
"""Rendered people and their poses, encoded once by the frozen pose encoder, so that training needs neither.

The bank grows in chunks. Every chunk is a separate file that depends only on the seed and its index, so an interrupted
build resumes where it stopped and gives the same bank.
"""

import functools
import hashlib
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from unipose_hf.body import mirror_pose
from unipose_hf.data.open_poses import OpenPoses, load_open_poses
from unipose_hf.data.synthesis.photo_like import render_photo_like_images
from unipose_hf.data.synthesis.photo_poses import PhotoPoses
from unipose_hf.data.synthesis.rendering import render_training_images
from unipose_hf.data.synthesis.sampling import PoseSampler, random_global_turn
from unipose_hf.files.write import replacing
from unipose_hf.modeling.blazepose_unipose import NUM_FEATURES, BlazePoseBackbone, mirror_square

CHUNK = 256
BATCH_SIZE = 32  # images: the maps of more do not fit in a CPU's cache
HIDDEN_FACES = (
    0.2  # share of people facing the camera: so that blurred faces in photographs are not taken for backs of heads
)


@torch.no_grad()
def encode_images(
    backbone: BlazePoseBackbone, images: torch.Tensor, batch_size: int = 16, boxes: torch.Tensor | None = None
) -> dict[str, torch.Tensor]:
    """Encodes images `(n, S, S, 3)` uint8 with S = `backbone.config.image_size`, and `boxes` `(n, 4)` if known.

    Returns `landmarks` `(n, 318)`, the landmark features; `maps` `(n, 2, C, s, s)` float16 of the square and its
    mirror image; and `squares` `(n, 4)`. The pose head computes its features from the last two.
    """
    backbone = backbone.to(memory_format=torch.channels_last)  # a third faster on a CPU
    encoded = []
    batches = images.split(batch_size)
    known = (None,) * len(batches) if boxes is None else boxes.split(batch_size)
    for batch, box in zip(batches, known, strict=True):
        output = backbone(batch.permute(0, 3, 1, 2).float() / 255, box)
        landmarks = output.feature_maps[-1].flatten(1)[:, :NUM_FEATURES]
        encoded.append((landmarks, output.maps.half().contiguous(), output.square))
    return dict(zip(("landmarks", "maps", "squares"), map(torch.cat, zip(*encoded, strict=True)), strict=True))


def render_and_encode(backbone: BlazePoseBackbone, poses: torch.Tensor, seed: int) -> dict[str, torch.Tensor]:
    """Renders and encodes poses `(n, 22, 3)`: the result of [`encode_images`] and the `poses` in the camera frame."""
    size = backbone.config.image_size
    rendered = render_training_images(poses, seed=seed, size=size, hidden_faces=HIDDEN_FACES)
    images = torch.from_numpy(rendered.images)
    return encode_images(backbone, images) | {"poses": torch.from_numpy(rendered.axis_angle)}


def render_and_encode_photo_like(backbone: BlazePoseBackbone, poses: torch.Tensor, seed: int) -> dict:
    """The same as [`render_and_encode`] for pictures like photographs, each with the box of who is meant."""
    rendered = render_photo_like_images(poses, seed=seed, size=backbone.config.image_size)
    images, boxes = torch.from_numpy(rendered.images), torch.from_numpy(rendered.boxes)
    return encode_images(backbone, images, boxes=boxes) | {"poses": torch.from_numpy(rendered.axis_angle)}


def build_image_bank(
    backbone: BlazePoseBackbone,
    folder: str | Path,
    count: int,
    seed: int = 0,
    poses: OpenPoses | None = None,
    processes: int = 1,
    photo_like: float = 0.0,
    captured: torch.Tensor | None = None,
) -> None:
    """Fills `folder` with chunks of 256 images until there are `count`; prints a line for each chunk.

    Shows the open training poses unless other `poses` are given. The processes share the chunks.

    Args:
        photo_like: share of pictures like photographs (`data.synthesis.photo_like`), in each chunk.
        captured: `(n, 22, 3)` more captured poses for these.

    Raises:
        ValueError: the share is not between 0 and 1.
    """
    if not 0 <= photo_like <= 1:
        raise ValueError(f"The share of photo-like pictures is {photo_like:g}; it must be between 0 and 1.")
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    poses = poses or load_open_poses("train")
    missing = [n for n in range(-(-count // CHUNK)) if not (folder / f"{n:05d}.safetensors").exists()]
    options = {"photo_like": round(photo_like * CHUNK), "captured": captured}
    work = functools.partial(_build_chunk, backbone, folder, seed, poses, **options)
    if processes == 1:
        _report(map(work, missing), len(missing))
    else:
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(processes, context, torch.set_num_threads, (1,)) as pool:
            _report(pool.map(work, missing), len(missing))


def _report(chunks, total):
    for done, number in enumerate(chunks, start=1):
        print(f"images: chunk {number:05d} of {CHUNK} images ({done}/{total})", flush=True)


def _build_chunk(backbone, folder, seed, poses, number, photo_like=0, captured=None):
    seed = seed * 1_000_003 + number
    generator = torch.Generator().manual_seed(seed)
    parts = []
    if photo_like < CHUNK:
        sampled = PoseSampler(poses.axis_angle, poses.clip_id).sample(CHUNK, generator)
        turned = random_global_turn(sampled, generator, full_yaw=True)
        parts.append(render_and_encode(backbone, turned[: CHUNK - photo_like], seed=seed))
    if photo_like:
        sampled = PhotoPoses(poses, captured).sample(photo_like, generator)
        parts.append(render_and_encode_photo_like(backbone, sampled, seed=seed))
    chunk = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
    _save(chunk, folder / f"{number:05d}.safetensors")
    return number


@torch.no_grad()
def load_image_bank(folder: str | Path, backbone: BlazePoseBackbone) -> dict[str, torch.Tensor]:
    """`features` `(n, channels)` of the images by `backbone`, and `poses` `(n, 22, 3)`, of all chunks.

    The features of a pose head are computed once and cached in the bank's folder `pose_heads`.

    Args:
        folder: filled by [`build_image_bank`].
        backbone: the pose encoder of the model in training, with or without a pose head; everything below the heads
            must be the same as when the bank was built.

    Raises:
        FileNotFoundError: the folder has no chunks.
        ValueError: the encoder is a different one.
    """
    if not isinstance(backbone, BlazePoseBackbone):
        raise ValueError(
            f"The images in {folder} were encoded by BlazePose, but this model's pose encoder is "
            f"{type(backbone).__name__}; make images for it with unipose build-data and pass them as --data."
        )
    chunks, config = bank_chunks(folder), backbone.config
    with safe_open(chunks[0], "pt") as first:
        found = first.get_slice("maps").get_shape()[1:3]
    expected = [2, config.stage_channels[-config.pose_head_stages - 1]]
    if found != expected:
        raise ValueError(
            f"The maps in {folder} have shape {found}, ..., but this model's pose encoder makes {expected}, ...; "
            "build the images again with examples/data/build_image_bank.py."
        )
    bank = _columns(chunks, "landmarks", "poses")
    features = [bank["landmarks"]]
    if backbone.pose_head is not None:
        cache_file = Path(folder) / "pose_heads" / _digest(backbone.pose_head, chunks)
        if not cache_file.exists():
            cache_file.parent.mkdir(exist_ok=True)
            head_features = []
            for path in chunks:
                maps, squares = _columns([path], "maps", "squares").values()
                head_features += map(backbone.pose_head.features, maps.split(BATCH_SIZE), squares.split(BATCH_SIZE))
            _save({"features": torch.cat(head_features)}, cache_file)
        features.append(load_file(cache_file)["features"])
    return {"features": torch.cat(features, dim=1), "poses": bank["poses"]}


def _columns(chunks, *names):
    """Columns of some chunks, in float32."""
    loaded = [load_file(path) for path in chunks]
    return {name: torch.cat([chunk[name] for chunk in loaded]).float() for name in names}


def _digest(head, chunks):
    digest = hashlib.sha256(" ".join(path.name for path in chunks).encode())
    for name, tensor in head.state_dict().items():
        digest.update(name.encode() + tensor.contiguous().numpy().tobytes())
    return f"{digest.hexdigest()[:16]}.safetensors"


def _save(tensors, path):
    with replacing(path) as part:
        save_file(tensors, part)


class ImageBankRows(torch.utils.data.Dataset):
    """The `maps`, `squares` and `poses` of a bank, to train the pose head: an image, its mirror image, ...

    Raises:
        FileNotFoundError: the folder has no chunks.
    """

    def __init__(self, folder: str | Path):
        chunks = [load_file(path) for path in bank_chunks(folder)]
        self.columns = {name: torch.cat([chunk[name] for chunk in chunks]) for name in ("maps", "squares", "poses")}

    def __len__(self):
        return 2 * len(self.columns["poses"])

    def __getitem__(self, number):
        number, view = divmod(number, 2)
        maps, square, pose = (column[number] for column in self.columns.values())
        if view:
            square, pose = mirror_square(square), mirror_pose(pose)
        return {"maps": maps[view], "squares": square, "poses": pose}


def bank_chunks(folder: str | Path) -> list[Path]:
    """The files of a bank, in order.

    Raises:
        FileNotFoundError: there are none.
    """
    chunks = sorted(Path(folder).glob("*.safetensors"))
    if not chunks:
        raise FileNotFoundError(f"{folder} has no images; run build_image_bank first.")
    return chunks
