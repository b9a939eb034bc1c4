# SPDX-License-Identifier: Apache-2.0
"""Writes Hub folders: weights, processor and the code they need to work without this package."""

import hashlib
import json
import os
import re
import shutil
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from unipose_hf.files.write import open_to_umask, temporary_folder_next_to

from .card import card_text, with_remote_use

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from unipose_hf.modeling.processing_unipose import UniPoseProcessor

_MODELING = Path(__file__).parents[1] / "modeling"
_CHECKPOINTS = _MODELING.with_name("checkpoints")

_AUTO_MAPS = {
    "UniPoseForConditionalGeneration": {
        "AutoConfig": "configuration_unipose.UniPoseConfig",
        "AutoModel": "modeling_unipose.UniPoseModel",
        "AutoModelForMultimodalLM": "modeling_unipose.UniPoseForConditionalGeneration",
        "AutoModelForImageTextToText": "modeling_unipose.UniPoseForConditionalGeneration",
    },
    "PoseTokenizerModel": {
        "AutoConfig": "configuration_unipose.PoseTokenizerConfig",
        "AutoModel": "modeling_pose_tokenizer.PoseTokenizerModel",
    },
    "BlazePoseBackbone": {
        "AutoConfig": "blazepose_unipose.BlazePoseConfig",
        "AutoModel": "blazepose_unipose.BlazePoseBackbone",
    },
    "MoveNetMultiPose": {
        "AutoConfig": "movenet_unipose.MoveNetConfig",
        "AutoModel": "movenet_unipose.MoveNetMultiPose",
    },
    "PoseTextRetrievalModel": {
        "AutoConfig": "configuration_pose_retrieval.PoseTextRetrievalConfig",
        "AutoModel": "modeling_pose_retrieval.PoseTextRetrievalModel",
    },
    "PosePairTextRetrievalModel": {
        "AutoConfig": "configuration_pose_retrieval.PosePairTextRetrievalConfig",
        "AutoModel": "modeling_pose_retrieval.PosePairTextRetrievalModel",
    },
}

_RETRIEVAL_PIPELINE = {
    "pose-retrieval": {
        "impl": "pipeline_pose_retrieval.PoseRetrievalPipeline",
        "pt": ["AutoModel"],
        "type": "multimodal",
    }
}

# Checksums of the exported code for `sha256sum -c`, to detect manual edits.
_SUMS = "SHA256SUMS"
_PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")
_WEIGHTS = re.compile(r"model(-\d+-of-\d+)?\.safetensors(\.index\.json)?")


def export(
    model: "PreTrainedModel",
    processor: "UniPoseProcessor | PreTrainedTokenizerBase | None",
    folder: str | os.PathLike,
    card: str | os.PathLike | None = None,
) -> Path:
    """
    Write a folder that can be uploaded to the Hub: safetensors, configuration, processor, card, licence, and the files
    of `unipose_hf.modeling`, so that `trust_remote_code=True` loads the models and their pipelines without this
    package.

    Args:
        model: a `UniPoseForConditionalGeneration`, `PoseTokenizerModel`, `BlazePoseBackbone`, `MoveNetMultiPose`,
            `PoseTextRetrievalModel` or `PosePairTextRetrievalModel`.
        processor: the `UniPoseProcessor` of the model, the tokenizer of a retrieval model, or `None`.
        folder (`str` or `Path`): created if missing; files with the same names and existing weights are replaced.
        card (`str` or `Path`, *optional*): a file that becomes the folder's `README.md`. By default an existing
            `README.md` is kept, or a short one is written.

    Returns:
        `Path`: the folder.

    Raises:
        ValueError: unsupported model, a processor that does not fit it, or a folder with pickled weights or manually
            edited code. Nothing is written in that case.
        FileNotFoundError: the card does not exist.
    """
    name = type(model).__name__
    if name not in _AUTO_MAPS:
        raise ValueError(f"A {name} cannot be exported; the models that can are {', '.join(_AUTO_MAPS)}.")
    if processor is not None and name == "UniPoseForConditionalGeneration":
        check_fit(model.config, processor)
    folder = Path(folder)
    _check_folder(folder)
    if card is None:
        card = folder / "README.md"
        text = card.read_text(encoding="utf-8") if card.is_file() else card_text(folder.name, name)
    else:
        text = Path(card).read_text(encoding="utf-8")
    # Everything is written to a temporary folder and moved at the end, so readers never see partial files.
    with temporary_folder_next_to(folder) as temporary:
        model.save_pretrained(temporary)
        if processor is not None:
            processor.save_pretrained(temporary)
        add_code(temporary, text)
        _move(temporary, folder)
    return folder


def export_bundled(output: str | os.PathLike, checkpoints: str | os.PathLike = _CHECKPOINTS) -> list[Path]:
    """
    Write a folder for the Hub, as [`export`] does, for each of the package's models. The weights are those of the
    package, byte for byte; measured figures and training curves are included. Cards that do not say how to use the
    model without the package get a section about it.

    Args:
        output (`str` or `Path`): gets one folder for each model, of the same name. Those of an earlier export are
            replaced.
        checkpoints (`str` or `Path`, *optional*): a folder of model folders with cards; the package's by default.

    Returns:
        `list[Path]`: the folders, sorted by name.

    Raises:
        FileNotFoundError: there is no model in `checkpoints`, or one has no card.
        ValueError: a folder with pickled weights or manually edited code is in the way. Nothing is written in either
            case.
    """
    output = Path(output)
    sources = sorted(config.parent for config in Path(checkpoints).glob("*/config.json"))
    if not sources:
        raise FileNotFoundError(f"There is no folder of a model in {checkpoints}; reinstall unipose-hf.")
    cards = [(source / "README.md").read_text(encoding="utf-8") for source in sources]
    for source in sources:
        _check_folder(output / source.name)
    for source, card in zip(sources, cards, strict=True):
        [model] = json.loads((source / "config.json").read_text(encoding="utf-8"))["architectures"]
        with temporary_folder_next_to(output / source.name) as temporary:
            shutil.copytree(source, temporary, copy_function=shutil.copyfile, dirs_exist_ok=True)
            add_code(temporary, with_remote_use(card, source.name, model))
            _move(temporary, output / source.name)
    return [output / source.name for source in sources]


def _move(temporary, folder):
    """Moves everything to the folder, and removes older weights there."""
    open_to_umask(temporary)
    folder.mkdir(exist_ok=True)
    for old in folder.iterdir():
        # if there are both a single file and shards, transformers would load the single file, even an old one
        if _WEIGHTS.fullmatch(old.name) and not (temporary / old.name).exists():
            old.unlink()
    for new in temporary.iterdir():
        if new.is_dir():
            shutil.rmtree(folder / new.name, ignore_errors=True)
        os.replace(new, folder / new.name)


def add_code(folder, card):
    """
    Add to a folder of `save_pretrained` what it needs without this package: the code, the entries of its
    configuration that name it, the licence of the code, and the card.

    Args:
        folder (`Path`): its `config.json` says by `architectures` which model it holds.
        card (`str`): the text of `README.md`.
    """
    [name] = json.loads((folder / "config.json").read_text(encoding="utf-8"))["architectures"]
    additions = {"auto_map": _AUTO_MAPS[name]}
    if name == "UniPoseForConditionalGeneration":
        additions["custom_pipelines"] = _custom_pipelines()
    if "Retrieval" in name:
        additions["custom_pipelines"] = _RETRIEVAL_PIPELINE
    _add_to_json(folder / "config.json", additions)
    if (folder / "processor_config.json").exists():
        _add_to_json(
            folder / "processor_config.json", {"auto_map": {"AutoProcessor": "processing_unipose.UniPoseProcessor"}}
        )
    sums = []
    for source in sorted(_MODELING.glob("*.py")):
        if source.name != "__init__.py":
            shutil.copyfile(source, folder / source.name)
            sums.append(f"{_sha256(source)}  {source.name}\n")
    (folder / _SUMS).write_text("".join(sums), encoding="utf-8")
    (folder / "LICENSE").write_text(_licence(), encoding="utf-8")
    (folder / "README.md").write_text(card, encoding="utf-8")


def push(folder: str | os.PathLike, name: str) -> str:
    """
    Upload a folder written by [`export`] to the Hub, in one commit. Older weights in the repository are deleted.

    Args:
        folder (`str` or `Path`): the folder.
        name (`str`): the repository, `USER/NAME`; created if missing. Uses the credentials of `hf auth login`.

    Returns:
        `str`: the URL of the commit.

    Raises:
        ValueError: no exported folder, or one with pickled weights or code that was edited by hand.
    """
    from huggingface_hub import HfApi

    folder = Path(folder)
    if not (folder / _SUMS).is_file():
        raise ValueError(f"{folder} was not written by unipose_hf.hub.export; export the model first.")
    _check_folder(folder)
    api = HfApi()
    api.create_repo(name, exist_ok=True)
    stale = ["model*.safetensors", "model*.safetensors.index.json"]
    return api.upload_folder(repo_id=name, folder_path=folder, delete_patterns=stale).commit_url


def edited_code(folder):
    """
    The code files of an exported folder that have been modified since the export.

    Args:
        folder (`str` or `Path`): any folder; without the checksums of [`export`], the result is empty.

    Returns:
        `list[str]`: their names.
    """
    folder = Path(folder)
    if not (folder / _SUMS).is_file():
        return []
    lines = (folder / _SUMS).read_text(encoding="utf-8").splitlines()
    sums = {name: digest for digest, name in (line.split("  ", 1) for line in lines if "  " in line)}
    return [name for name, sum in sums.items() if (folder / name).is_file() and _sha256(folder / name) != sum]


def _check_folder(folder):
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"{folder} is a file; name a folder for the export.")
    held = sorted(path.name for path in folder.glob("*") if path.suffix in _PICKLES)
    if held:
        raise ValueError(f"{folder} holds {held[0]}, but a Hub folder has safetensors only; move that file away.")
    edited = edited_code(folder)
    if edited:
        raise ValueError(f"{edited[0]} in {folder} was edited by hand and would be lost; move it away first.")


def check_fit(config, processor):
    """
    Checks that a processor fits a model.

    Args:
        config (`UniPoseConfig`): the model's configuration.
        processor (`UniPoseProcessor`): the processor.

    Raises:
        ValueError: token ids, codes or image tokens differ.
    """
    of_model = {name: getattr(config, name) for name in processor.token_ids()}
    of_model |= {"num_codes": config.pose_config.num_codes, "codebook_size": config.pose_config.codebook_size}
    of_processor = processor.token_ids()
    of_processor |= {"num_codes": processor.num_codes, "codebook_size": processor.codebook_size}
    if config.image_seq_length is not None:
        of_model["image tokens"] = config.image_seq_length
        of_processor["image tokens"] = processor.num_image_tokens
    for name, value in of_model.items():
        if of_processor[name] != value:
            raise ValueError(
                f"The processor does not fit the model: its {name} is {of_processor[name]}, the model's is {value}; "
                "load both from the same folder."
            )


def _licence():
    try:
        text = metadata.distribution("unipose-hf").read_text("licenses/LICENSE")
    except metadata.PackageNotFoundError:
        text = None
    if text is None:
        raise FileNotFoundError("The licence of the code was not found; install unipose-hf with pip.")
    return text


def _sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _custom_pipelines():
    from unipose_hf.modeling.pipeline_unipose import PIPELINES

    return {
        task: {
            "impl": f"pipeline_unipose.{pipeline.__name__}",
            "pt": ["AutoModelForMultimodalLM"],
            "type": "multimodal",
        }
        for task, pipeline in PIPELINES.items()
    }


def _add_to_json(path, additions):
    content = json.loads(path.read_text(encoding="utf-8"))
    content.update(additions)
    if "image_processor" in content:
        content["image_processor"]["auto_map"] = {
            "AutoImageProcessor": "image_processing_unipose.UniPoseImageProcessor"
        }
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
