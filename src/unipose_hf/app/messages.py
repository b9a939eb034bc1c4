# SPDX-License-Identifier: Apache-2.0
"""Shows errors and warnings of the functions on the page."""

import functools
import warnings
from collections.abc import Callable
from typing import Any

import gradio as gr


def shown_on_page(function: Callable[..., Any]) -> Callable[..., Any]:
    """`function`, whose expected errors and whose warnings appear on the page."""

    @functools.wraps(function)
    def run(*given: Any, **named: Any) -> Any:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("ignore")
            warnings.simplefilter("always", UserWarning)
            try:
                return function(*given, **named)
            except (ValueError, OSError, ImportError) as error:
                raise gr.Error(str(error), title="That did not work", print_exception=False) from error
            finally:
                for warning in caught:
                    if "unipose_hf" in warning.filename or "The model was not trained" in str(warning.message):
                        gr.Warning(str(warning.message), title="Please note")

    return run
