# SPDX-License-Identifier: Apache-2.0
"""Language models to refine texts with: one behind any OpenAI-compatible server, or one that transformers runs here.

Either is called with chat messages and returns the answer; its `name` tells whose answer it is.
"""

import threading


class TryLaterError(Exception):
    """The server could not answer now; `wait` are the seconds it asks for, or None."""

    def __init__(self, reason: str, wait: float | None = None):
        super().__init__(reason)
        self.wait = wait


class Endpoint:
    """A model behind an OpenAI-compatible server: vLLM, TGI, llama.cpp, a hosted one. Calls may run side by side.

    Args:
        base_url: of the server, with or without `/v1`.
        model: the model's name there.
        token: what the server wants as a bearer token, if anything.
        timeout: seconds without a sign of life after which a call is given up.
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

        # a token of the Hub, which the client would send by itself, is nobody else's business
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
                f"{self.base_url} refuses to answer as {self.name!r} (status {status}: "
                f"{error.server_message or error}); check the address, the model's name and the token."
            ) from None
        except (HTTPError, OSError) as error:  # time-outs and lost connections
            raise TryLaterError(_short(error)) from None
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise TryLaterError(f"an answer that is no chat completion ({_short(error)})") from None
        return answer or ""


class LocalModel:
    """A chat model of transformers, run on this machine, one answer at a time and without chance.

    Args:
        model: a folder or a name on the Hub, of a causal language model with a chat template.
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
            raise ValueError(f"{self.name} is run here on texts alone; for pictures give a server that has a model.")
        with self._one_at_a_time:
            return self._generate(messages, **self._options)[0]["generated_text"]


def _seconds(value):
    try:
        return max(0.0, float(value))
    except (TypeError, ValueError):
        return None


def _short(error):
    return f"{type(error).__name__}: {error}".split("\n")[0][:200]
