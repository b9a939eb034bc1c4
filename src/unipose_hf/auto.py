# SPDX-License-Identifier: Apache-2.0
"""Registers UniPose with the Auto classes and `pipeline()` of transformers. Importing `unipose_hf` does this once."""

import contextlib
from pathlib import Path

from huggingface_hub.utils import are_progress_bars_disabled, enable_progress_bars
from transformers import (
    AutoConfig,
    AutoImageProcessor,
    AutoModel,
    AutoModelForImageTextToText,
    AutoModelForMultimodalLM,
    AutoProcessor,
)
from transformers.pipelines import PIPELINE_REGISTRY
from transformers.utils import logging

from .modeling.blazepose_unipose import BlazePoseBackbone, BlazePoseConfig
from .modeling.configuration_pose_retrieval import PosePairTextRetrievalConfig, PoseTextRetrievalConfig
from .modeling.configuration_unipose import PoseTokenizerConfig, UniPoseConfig
from .modeling.image_processing_unipose import UniPoseImageProcessor
from .modeling.modeling_pose_retrieval import PosePairTextRetrievalModel, PoseTextRetrievalModel
from .modeling.modeling_pose_tokenizer import PoseTokenizerModel
from .modeling.modeling_unipose import UniPoseForConditionalGeneration, UniPoseModel
from .modeling.movenet_unipose import MoveNetConfig, MoveNetMultiPose
from .modeling.pipeline_pose_retrieval import PoseRetrievalPipeline
from .modeling.pipeline_unipose import PIPELINES
from .modeling.processing_unipose import TASKS, UniPoseProcessor
from .motion.pipeline_video import VideoToPosePipeline

BUNDLED_CHECKPOINT = Path(__file__).parent / "checkpoints" / "unipose-tiny"
RETRIEVAL_CHECKPOINT = BUNDLED_CHECKPOINT.with_name("pose-text-retrieval-plain")  # reads plain English
PLAIN_CHECKPOINT = BUNDLED_CHECKPOINT.with_name("unipose-plain")  # speaks plain English, and reads pictures worse


def bundled_checkpoint(task: str) -> Path:
    """The checkpoint of the package that is best at a task: `PLAIN_CHECKPOINT` for those of poses and texts alone."""
    rule = TASKS.get(task)  # none for videos
    return BUNDLED_CHECKPOINT if rule is None or rule.images else PLAIN_CHECKPOINT


@contextlib.contextmanager
def _no_weights_progress_bar():
    """Hides the progress bar of reading weights, but not that of a download."""
    was_shown, hub_shown = logging.is_progress_bar_enabled(), not are_progress_bars_disabled()
    logging.disable_progress_bar()
    if hub_shown:
        enable_progress_bars()
    try:
        yield
    finally:
        if was_shown:
            logging.enable_progress_bar()


class _QuietModelForMultimodalLM(AutoModelForMultimodalLM):
    """How pipelines load models."""

    @classmethod
    def from_pretrained(cls, *args, **kwargs):
        with _no_weights_progress_bar():
            return super().from_pretrained(*args, **kwargs)


class _QuietModel(AutoModel):
    """How the pipeline of retrieval models loads them."""

    @classmethod
    def from_pretrained(cls, *args, **kwargs):
        with _no_weights_progress_bar():
            return super().from_pretrained(*args, **kwargs)


def register() -> None:
    """Register configurations, models, processors and pipelines; calling it again changes nothing."""
    for config_class, model_class in (
        (PoseTokenizerConfig, PoseTokenizerModel),
        (BlazePoseConfig, BlazePoseBackbone),
        (MoveNetConfig, MoveNetMultiPose),
        (UniPoseConfig, UniPoseModel),
        (PoseTextRetrievalConfig, PoseTextRetrievalModel),
        (PosePairTextRetrievalConfig, PosePairTextRetrievalModel),
    ):
        AutoConfig.register(config_class.model_type, config_class, exist_ok=True)
        AutoModel.register(config_class, model_class, exist_ok=True)
    AutoModelForMultimodalLM.register(UniPoseConfig, UniPoseForConditionalGeneration, exist_ok=True)
    AutoModelForImageTextToText.register(UniPoseConfig, UniPoseForConditionalGeneration, exist_ok=True)
    AutoProcessor.register(UniPoseConfig, UniPoseProcessor, exist_ok=True)
    # One class for both back ends: where torchvision is installed, transformers would warn that a second is missing.
    AutoImageProcessor.register(
        UniPoseConfig,
        image_processor_classes={"pil": UniPoseImageProcessor, "torchvision": UniPoseImageProcessor},
        exist_ok=True,
    )
    for task, pipeline_class in {**PIPELINES, "video-to-pose": VideoToPosePipeline}.items():
        if PIPELINE_REGISTRY.supported_tasks.get(task, {}).get("impl") is not pipeline_class:
            PIPELINE_REGISTRY.register_pipeline(
                task,
                pipeline_class,
                pt_model=(_QuietModelForMultimodalLM,),
                default={"model": (str(bundled_checkpoint(task)), None)},
                type="multimodal",
            )
    if "pose-retrieval" not in PIPELINE_REGISTRY.supported_tasks:
        PIPELINE_REGISTRY.register_pipeline(
            "pose-retrieval",
            PoseRetrievalPipeline,
            pt_model=(_QuietModel,),
            default={"model": (str(RETRIEVAL_CHECKPOINT), None)},
            type="multimodal",
        )


register()
