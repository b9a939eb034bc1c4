# SPDX-License-Identifier: Apache-2.0
"""Models whose weights are read without a bar where a pipeline asks for them; the bar of a download stays."""

from huggingface_hub.utils import are_progress_bars_disabled, enable_progress_bars
from transformers.utils import logging


class QuietInPipelines:
    """Put before `PreTrainedModel` among the bases of a model."""

    @classmethod
    def from_pretrained(cls, *args, **kwargs):
        if "_from_pipeline" not in kwargs or not logging.is_progress_bar_enabled():
            return super().from_pretrained(*args, **kwargs)
        of_hub = not are_progress_bars_disabled()
        logging.disable_progress_bar()
        try:
            if of_hub:
                enable_progress_bars()
            return super().from_pretrained(*args, **kwargs)
        finally:
            logging.enable_progress_bar()
