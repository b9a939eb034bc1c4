# SPDX-License-Identifier: Apache-2.0
"""Loads models for commands, from folders or by Hub name; every error is one sentence."""

import re
from pathlib import Path

_OTHER_WEIGHTS = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.h5", "*.msgpack", "*.onnx", "*.gguf")


def find_folder(model: str | Path | None, wanted: str | None = None) -> Path:
    """The folder of a model: the bundled one for None; USER/NAME comes from the Hub unless such a folder exists.

    Args:
        wanted: file pattern; only matching files are downloaded.
    """
    if model is None:
        from .. import auto

        return auto.BUNDLED_CHECKPOINT
    if Path(model).exists() or not re.fullmatch(r"[\w-][\w.-]*/[\w-][\w.-]*", str(model)):
        return Path(model)
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(str(model), allow_patterns=wanted, ignore_patterns=_OTHER_WEIGHTS))
    except Exception as error:  # network errors of many kinds, with long messages
        reason = str(error).strip().split("\n")[0].rstrip(".")
        raise FileNotFoundError(
            f"There is no folder {model}, and no model of that name could be loaded from the Hub "
            f"({type(error).__name__}: {reason}); set --model to a folder or USER/NAME."
        ) from None


def load(model: str | Path | None, task: str | None = None):
    """The model and processor of a folder or Hub name; by default the bundled ones, for a task if one is given."""
    from unipose_hf.hub.folder import check_fit, edited_code

    from .. import auto
    from ..modeling.modeling_unipose import UniPoseForConditionalGeneration
    from ..modeling.processing_unipose import UniPoseProcessor

    folder = auto.bundled_checkpoint(task) if model is None and task else find_folder(model)
    if model is None:
        remedy = "reinstall unipose-hf, or set another model with --model FOLDER"
    else:
        remedy = "set --model to a folder written by save_pretrained or `hf download NAME --local-dir FOLDER`"
    _check_model_folder(folder, remedy)
    if edited := edited_code(folder):
        raise ValueError(
            f"{edited[0]} in {folder} was edited by hand, but this command runs the code of the installed package; "
            "undo the edit, or load the folder with trust_remote_code=True where the package is not installed."
        )
    loaded = _load_weights(UniPoseForConditionalGeneration, folder, remedy)
    try:
        processor = UniPoseProcessor.from_pretrained(folder)
    except Exception as error:  # including the bare Exception of the tokenizers library
        raise ValueError(f"The tokenizer or processor in {folder} is damaged ({error}); {remedy}.") from error
    check_fit(loaded.config, processor)
    return loaded, processor


def _load_weights(model_class, folder: Path, remedy: str):
    from safetensors import SafetensorError
    from transformers.utils import logging

    logging.disable_progress_bar()
    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()  # otherwise transformers' report on weights would precede the message
    try:
        return model_class.from_pretrained(folder).eval()
    except SafetensorError as error:
        raise ValueError(f"The weights in {folder} are damaged ({error}); {remedy}.") from error
    except RuntimeError as error:  # tensors with other shapes
        raise ValueError(f"The weights in {folder} do not fit its config.json ({error}); {remedy}.") from error
    finally:
        logging.set_verbosity(verbosity)


def load_any(model: str | Path | None):
    """Like `load`, for every model of the package; instead of a processor it may return a tokenizer or `None`."""
    folder = find_folder(model)
    if model is None or (folder / "processor_config.json").is_file():
        return load(model)
    from transformers import AutoModel, AutoTokenizer

    if not (folder / "config.json").is_file():
        raise FileNotFoundError(f"There is no config.json in the folder {folder}; give the folder of a model.")
    loaded = _load_weights(AutoModel, folder, "download or save it again")
    return loaded, AutoTokenizer.from_pretrained(folder) if (folder / "tokenizer.json").is_file() else None


def _check_model_folder(folder: Path, remedy: str) -> None:
    import json

    for needed in ("config.json", "*.safetensors", "processor_config.json", "tokenizer.json"):
        if not any(folder.glob(needed)):
            raise FileNotFoundError(f"There is no {needed} in the folder {folder}; {remedy}.")
        if needed == "config.json":
            try:
                kind = json.loads((folder / needed).read_text(encoding="utf-8"))["model_type"]
            except (ValueError, KeyError, TypeError):
                raise ValueError(f"{folder / needed} is not the configuration of a model; {remedy}.") from None
            if kind != "unipose":
                raise ValueError(f"The model in {folder} is of the type {kind!r}, but 'unipose' is needed; {remedy}.")


def open_pipeline(task: str, model: str | Path | None):
    """The pipeline of a task, with a model as for `load`."""
    loaded, processor = load(model, task)
    from transformers import pipeline

    return pipeline(task, model=loaded, processor=processor)
