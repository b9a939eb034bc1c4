# SPDX-License-Identifier: Apache-2.0
"""Models by their folders, for commands: what is wrong with one is said in a sentence."""

from pathlib import Path


def load(folder: Path | None):
    """The model and processor of a folder, the bundled ones by default."""
    from .. import auto
    from ..hub import check_fit, edited_code
    from ..modeling.modeling_unipose import UniPoseForConditionalGeneration
    from ..modeling.processing_unipose import UniPoseProcessor

    if folder is None:
        folder, mend = auto.BUNDLED_CHECKPOINT, "reinstall unipose-hf, or give another model by --model FOLDER"
    else:
        mend = "give --model a folder that save_pretrained or `hf download NAME --local-dir FOLDER` made"
    _check_model_folder(folder, mend)
    if edited := edited_code(folder):
        raise ValueError(
            f"{edited[0]} in {folder} was edited by hand, but this command runs the code of the installed package; "
            "take the edit back, or load the folder by trust_remote_code=True where the package is not installed."
        )
    model = _load_weights(UniPoseForConditionalGeneration, folder, mend)
    try:
        processor = UniPoseProcessor.from_pretrained(folder)
    except Exception as error:  # among them the bare Exception of the tokenizers library
        raise ValueError(f"The tokenizer or processor in {folder} is damaged ({error}); {mend}.") from error
    check_fit(model.config, processor)
    return model, processor


def _load_weights(model_class, folder: Path, mend: str):
    from safetensors import SafetensorError
    from transformers.utils import logging

    logging.disable_progress_bar()
    told = logging.get_verbosity()
    logging.set_verbosity_error()  # the library's report on weights would stand before the sentence
    try:
        return model_class.from_pretrained(folder).eval()
    except SafetensorError as error:
        raise ValueError(f"The weights in {folder} are damaged ({error}); {mend}.") from error
    except RuntimeError as error:  # tensors of other shapes
        raise ValueError(f"The weights in {folder} do not fit its config.json ({error}); {mend}.") from error
    finally:
        logging.set_verbosity(told)


def load_any(folder: Path | None):
    """Like `_load`, for every model that the package has; where there is no processor, `None` or a tokenizer."""
    if folder is None or (folder / "processor_config.json").is_file():
        return load(folder)
    from transformers import AutoModel, AutoTokenizer

    if not (folder / "config.json").is_file():
        raise FileNotFoundError(f"There is no config.json in the folder {folder}; give the folder of a model.")
    model = _load_weights(AutoModel, folder, "download or save it again")
    return model, AutoTokenizer.from_pretrained(folder) if (folder / "tokenizer.json").is_file() else None


def _check_model_folder(folder: Path, mend: str) -> None:
    import json

    for needed in ("config.json", "*.safetensors", "processor_config.json", "tokenizer.json"):
        if not any(folder.glob(needed)):
            raise FileNotFoundError(f"There is no {needed} in the folder {folder}; {mend}.")
        if needed == "config.json":
            try:
                kind = json.loads((folder / needed).read_text(encoding="utf-8"))["model_type"]
            except (ValueError, KeyError, TypeError):
                raise ValueError(f"{folder / needed} is not the configuration of a model; {mend}.") from None
            if kind != "unipose":
                raise ValueError(f"The model in {folder} is of the type {kind!r}, but 'unipose' is needed; {mend}.")


def open_pipeline(task: str, folder: Path | None):
    model, processor = load(folder)
    from transformers import pipeline

    return pipeline(task, model=model, processor=processor)
