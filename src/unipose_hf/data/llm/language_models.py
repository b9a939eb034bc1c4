# SPDX-License-Identifier: Apache-2.0
"""Language models for refining texts: behind an OpenAI-compatible server, or run locally with transformers.

Both are called with chat messages and return the answer; `name` identifies the model.
"""

import threading


class TryLaterError(Exception):
    """The server cannot answer now; `wait` is the number of seconds it asks for, or None."""

    def __init__(self, reason: str, wait: float | None = None):
        super().__init__(reason)
        self.wait = wait


class Endpoint:
    """A model behind an OpenAI-compatible server: vLLM, TGI, llama.cpp, a hosted one. Calls may run concurrently.

    Args:
        base_url: URL of the server, with or without `/v1`.
        model: name of the model on the server.
        token: bearer token, if the server needs one.
        timeout: seconds without a response after which a call is abandoned.
        max_tokens, temperature: of each answer.
    """

    def __init__(
        self,
        base_url: str,
        model: str,
        *,
        token: str | None = None,
        timeout: float = 60.0,
        max_tokens: int = 200,
        temperature: float = 0.3,
    ):
        from huggingface_hub import InferenceClient

        # the client would otherwise send the user's Hub token to the server
        self._client = InferenceClient(base_url=base_url, api_key=token or "none", timeout=timeout)
        self.base_url, self.name = base_url, model
        self._options = {"model": model, "max_tokens": max_tokens, "temperature": temperature}

    def __call__(self, messages: list[dict]) -> str:
        """The answer to a chat.

        Raises:
            TryLaterError: too many requests, a time-out, no connection, a fault of the server.
            ValueError: the server refuses the request.
        """
        from huggingface_hub.errors import HfHubHTTPError, HTTPError

        try:
            answer = self._client.chat_completion(messages, **self._options).choices[0].message.content
        except HfHubHTTPError as error:
            status = error.response.status_code
            if status in (408, 409, 425, 429) or status >= 500:
                raise TryLaterError(f"status {status}", _seconds(error.response.headers.get("retry-after"))) from None
            raise ValueError(
                f"{self.base_url} refuses requests for {self.name!r} (status {status}: "
                f"{error.server_message or error}); check the URL, the model name and the token."
            ) from None
        except (HTTPError, OSError) as error:  # time-outs and lost connections
            raise TryLaterError(_short(error)) from None
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise TryLaterError(f"the answer is not a chat completion ({_short(error)})") from None
        return answer or ""


class LocalModel:
    """A chat model of transformers, run locally, one answer at a time, with greedy decoding.

    Args:
        model: folder or Hub name of a causal language model with a chat template.
        max_new_tokens: of each answer.
        device: as for `transformers.pipeline`.
    """

    def __init__(self, model: str, *, max_new_tokens: int = 200, device=None):
        from transformers import pipeline

        self.name = str(model)
        self._generate = pipeline("text-generation", model=self.name, device=device)
        self._options = {"max_new_tokens": max_new_tokens, "do_sample": False, "return_full_text": False}
        self._one_at_a_time = threading.Lock()

    def __call__(self, messages: list[dict]) -> str:
        """The answer to a chat.

        Raises:
            ValueError: the chat has a picture.
        """
        if not all(isinstance(message["content"], str) for message in messages):
            raise ValueError(f"{self.name} runs locally on text only; use a model behind a server for images.")
        with self._one_at_a_time:
            return self._generate(messages, **self._options)[0]["generated_text"]


def _seconds(value):
    try:
        return max(0.0, float(value))
    except (TypeError, ValueError):
        return None


def _short(error):
    return f"{type(error).__name__}: {error}".split("\n")[0][:200]
