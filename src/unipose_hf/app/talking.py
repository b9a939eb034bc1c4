# SPDX-License-Identifier: Apache-2.0
"""Errors and warnings of the functions as sentences on the page."""

import functools
import warnings
from collections.abc import Callable
from typing import Any

import gradio as gr


def as_sentences(do: Callable[..., Any]) -> Callable[..., Any]:
    """`do`, whose expected errors and whose warnings appear on the page."""

    @functools.wraps(do)
    def run(*given: Any, **named: Any) -> Any:
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("ignore")
            warnings.simplefilter("always", UserWarning)
            try:
                return do(*given, **named)
            except (ValueError, OSError, ImportError) as error:
                raise gr.Error(str(error), title="That did not work", print_exception=False) from error
            finally:
                for one in said:
                    if "unipose_hf" in one.filename or "The model was not trained" in str(one.message):
                        gr.Warning(str(one.message), title="Please note")

    return run
