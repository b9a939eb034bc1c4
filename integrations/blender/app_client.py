# SPDX-License-Identifier: Apache-2.0
"""A client of the running app (`unipose app`) that only needs urllib: Blender's Python has no torch."""

import json
import urllib.error
import urllib.parse
import urllib.request

ADDRESS = "http://127.0.0.1:7860"
TIMEOUT = 120  # seconds per request: the first one loads the weights
_LOCAL = ("127.0.0.1", "localhost", "::1")


def is_local(address):
    """Whether the address is on this machine."""
    return urllib.parse.urlsplit(address).hostname in _LOCAL


def generate(address, text, seed=0):
    """The pose that a sentence describes, as the dictionary of `Pose.to_dict`; with a seed, a variation of it."""
    return call(address, "generate", text, 1 if seed == 0 else 2, seed)[-1]["pose"]


def edit(address, pose, text):
    """The pose changed by a sentence."""
    every_limb = None  # all may change
    return call(address, "edit", pose, text, every_limb)["pose"]


def describe(address, pose):
    """The pose in words."""
    return call(address, "describe", pose, "full")


def call(address, function, *values):
    """The result of one of the app's functions.

    Raises:
        ConnectionError: the app does not answer.
        ValueError: it returns an error, or has no such function.
    """
    url = f"{address.rstrip('/')}/gradio_api/call/{function}"
    if urllib.parse.urlsplit(url).scheme not in ("http", "https"):
        raise ValueError(f"The address of the app is {address!r}; expected one like {ADDRESS}.")
    # no proxy between programs on one machine
    proxies = [urllib.request.ProxyHandler({})] if is_local(address) else []
    web = urllib.request.build_opener(*proxies)
    body = json.dumps({"data": values}).encode()
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
    try:
        with web.open(request, timeout=TIMEOUT) as answer:
            event = json.load(answer)["event_id"]
        with web.open(f"{url}/{event}", timeout=TIMEOUT) as answer:
            return _result(answer)
    except urllib.error.HTTPError as error:
        raise ValueError(
            f"{address} returns status {error.code} for {function}; check that it is `unipose app`, and up to date."
        ) from None
    except (OSError, KeyError, json.JSONDecodeError) as error:
        raise ConnectionError(
            f"The UniPose app does not answer at {address} ({error}); start it with `unipose app`, or set its address "
            "in the add-on's preferences."
        ) from None


def _result(stream):
    """What server-sent events end with."""
    event = ""
    for line in stream:
        field, _, value = line.decode().rstrip("\n").partition(": ")
        if field == "event":
            event = value
        elif field == "data" and event == "complete":
            return json.loads(value)[0]
        elif field == "data" and event == "error":
            message = json.loads(value)
            message = message.get("error") if isinstance(message, dict) else message
            raise ValueError(message or "The app could not do that; see the terminal it runs in.")
    raise OSError("the answer ended early")
