# SPDX-License-Identifier: Apache-2.0
"""Reads tensors of foreign checkpoints, one at a time, without ever creating other objects from the file.

Pages read from a mapped file count as memory while the mapping exists. So `.safetensors` files are read without
mapping, and the mapping of a pickled file is kept only until `ForeignTensors.release`.
"""

import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open

from .plain import read_json


class ForeignTensors:
    """The tensors of one checkpoint file, or of a folder of shards.

    Attributes:
        path (`Path`): the file or folder.
        shapes (`dict[str, tuple[int, ...]]`): shape of every tensor, known without reading it.
    """

    def __init__(self, path: Path):
        self.path = path
        self.shapes: dict[str, tuple[int, ...]] = {}
        self._readers: dict[str, Callable[[], torch.Tensor]] = {}
        self._mapped: dict[Path, dict[str, torch.Tensor]] = {}

    def __contains__(self, name: str) -> bool:
        return name in self.shapes

    def read(self, name: str) -> torch.Tensor:
        """Reads a tensor from disk."""
        return self._readers[name]()

    def release(self) -> None:
        """Frees the memory of everything read so far; further reads open the files again."""
        self._mapped.clear()

    def add(self, file: Path) -> "ForeignTensors":
        """Adds the tensors of one more file (`.safetensors`, or anything that `torch.save` has written)."""
        if not file.is_file():
            raise FileNotFoundError(f"{file} does not exist; download the checkpoint again.")
        if file.suffix == ".safetensors":
            self._add_safetensors(file)
        else:
            self._add_pickled(file)
        return self

    def _add_safetensors(self, file):
        try:
            handle = safe_open(file, "pt", backend="pread")
        except SafetensorError as error:
            raise ValueError(
                f"{file} is not a safetensors file or is damaged ({error}); download it again."
            ) from error
        for name in handle.keys():
            self.shapes[name] = tuple(handle.get_slice(name).get_shape())
            self._readers[name] = lambda name=name: handle.get_tensor(name)

    def _add_pickled(self, file):
        tensors = self._map(file)
        if not tensors:
            raise ValueError(f"{file} has no named tensors; expected a PyTorch checkpoint.")
        for name, tensor in tensors.items():
            self.shapes[name] = tuple(tensor.shape)
            self._readers[name] = lambda name=name: self._map(file)[name]

    def _map(self, file):
        if file not in self._mapped:
            content = load_tensors_only(file)
            if isinstance(content, dict) and isinstance(content.get("state_dict"), dict):
                content = content["state_dict"]
            self._mapped[file] = {
                name: tensor
                for name, tensor in (content.items() if isinstance(content, dict) else ())
                if isinstance(name, str) and isinstance(tensor, torch.Tensor)
            }
        return self._mapped[file]


def open_file(path: str | Path) -> ForeignTensors:
    """Opens the tensors of one file; those under `state_dict` if it has such a key.

    Raises:
        FileNotFoundError: no such file.
        ValueError: it is damaged or holds no tensors.
    """
    path = Path(path)
    return ForeignTensors(path).add(path)


def open_folder(folder: str | Path, *stems: str) -> ForeignTensors:
    """Opens the tensors of a folder: `STEM.safetensors` or `STEM.bin` for the first existing stem, whole or sharded.

    Raises:
        FileNotFoundError: no such folder, or it has none of these files, or a shard is missing.
        ValueError: a file is damaged or holds no tensors.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"There is no folder {folder}.")
    tensors = ForeignTensors(folder)
    names = [f"{stem}.{suffix}" for stem in stems for suffix in ("safetensors", "bin")]
    for name in names:
        if (folder / name).is_file():
            return tensors.add(folder / name)
        if (folder / f"{name}.index.json").is_file():
            shards = read_json(folder / f"{name}.index.json").get("weight_map", {}).values()
            for shard in dict.fromkeys(shards):
                tensors.add(folder / Path(shard).name)
            return tensors
    raise FileNotFoundError(f"{folder} has no weights; expected one of {', '.join(names)} there.")


class _Nothing:
    """Replaces every class and function that a checkpoint names besides tensors; its instances are dicts."""

    def __new__(cls, *args, **kwargs):
        return OrderedDict()


def _begins_as_archive(file):
    with file.open("rb") as stream:
        return stream.read(4) == b"PK\x03\x04"


def load_tensors_only(file):
    """`torch.load(weights_only=True)`, also for training checkpoints with settings besides the weights.

    Their settings are objects of libraries that are not needed here. They become empty dicts: their classes are never
    looked up, so a file cannot run code.
    """
    is_archive = zipfile.is_zipfile(file)
    if not is_archive and _begins_as_archive(file):
        raise ValueError(f"{file} is incomplete: the end of the archive is missing; download it again.")
    try:
        if not is_archive:
            return torch.load(file, weights_only=True, map_location="cpu")
        unknown = torch.serialization.get_unsafe_globals_in_checkpoint(file)
        with torch.serialization.safe_globals([(_Nothing, name) for name in unknown]):
            # mapped: a tensor is read from disk when it is used
            return torch.load(file, weights_only=True, map_location="cpu", mmap=True)
    except Exception as error:  # the loader raises many kinds of errors for other files
        reason = " ".join(str(error).split("WeightsUnpickler error:")[-1].split()).split("Check the documentation")[0]
        raise ValueError(
            f"{file} cannot be read as tensors only ({reason.strip()}); expected a PyTorch checkpoint."
        ) from error
