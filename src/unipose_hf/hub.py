# SPDX-License-Identifier: Apache-2.0
"""Folders for the Hub: weights, processor and the code they need, which works there without this package."""

import json
import os
import shutil
import tempfile
from pathlib import Path

_MODELING = Path(__file__).parent / "modeling"

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


def export(model, processor, folder):
    """
    Write a folder that can be uploaded to the Hub as it is: safetensors, configuration, processor, and the files of
    `unipose_hf.modeling`, so that `trust_remote_code=True` gives the models and their pipelines with no package
    installed.

    Args:
        model: a `UniPoseForConditionalGeneration`, `PoseTokenizerModel`, `BlazePoseBackbone`, `PoseTextRetrievalModel`
            or `PosePairTextRetrievalModel`.
        processor: the `UniPoseProcessor` of the model, the tokenizer of a retrieval model, or `None`.
        folder (`str` or `Path`): made if missing; files of the same names are replaced.

    Returns:
        `Path`: the folder.

    Raises:
        ValueError: another kind of model.
    """
    name = type(model).__name__
    if name not in _AUTO_MAPS:
        raise ValueError(f"A {name} cannot be exported; the models that can are {', '.join(_AUTO_MAPS)}.")
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    # Everything is made beside the folder and moved in at the end: no reader finds half a file.
    with tempfile.TemporaryDirectory(dir=folder.parent) as making:
        making = Path(making)
        model.save_pretrained(making)
        additions = {"auto_map": _AUTO_MAPS[name]}
        if name == "UniPoseForConditionalGeneration":
            additions["custom_pipelines"] = _custom_pipelines()
        if "Retrieval" in name:
            additions["custom_pipelines"] = _RETRIEVAL_PIPELINE
        _add_to_json(making / "config.json", additions)
        if processor is not None:
            processor.save_pretrained(making)
        if (making / "processor_config.json").exists():
            _add_to_json(
                making / "processor_config.json",
                {"auto_map": {"AutoProcessor": "processing_unipose.UniPoseProcessor"}},
            )
        for source in _MODELING.glob("*.py"):
            if source.name != "__init__.py":
                shutil.copyfile(source, making / source.name)
        for made in making.iterdir():
            os.replace(made, folder / made.name)
    return folder


def _custom_pipelines():
    from .modeling.pipeline_unipose import PIPELINES

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
