# SPDX-License-Identifier: Apache-2.0
"""Asks the running app (`unipose app`), by urllib alone: Blender's Python has no torch."""

import json
import urllib.error
import urllib.parse
import urllib.request

ADDRESS = "http://127.0.0.1:7860"
LONGEST = 120  # seconds for an answer: the first one loads the weights
_LOCAL = ("127.0.0.1", "localhost", "::1")


def is_local(address):
    """Whether the address is this machine's own."""
    return urllib.parse.urlsplit(address).hostname in _LOCAL


def say(address, text, seed=0):
    """The pose that a sentence describes, as the dictionary of `Pose.to_dict`; with a seed, a variation of it."""
    return ask(address, "say", text, 1 if seed == 0 else 2, seed)[-1]["pose"]


def edit(address, pose, text):
    """The pose changed by a sentence."""
    every_limb = None  # all may change
    return ask(address, "edit", pose, text, every_limb)["pose"]


def describe(address, pose):
    """The pose in words."""
    return ask(address, "describe", pose, "full")


def ask(address, function, *values):
    """The result of one of the app's functions.

    Raises:
        ConnectionError: the app does not answer.
        ValueError: its answer is an error, in its words, or it has no such function.
    """
    url = f"{address.rstrip('/')}/gradio_api/call/{function}"
    if urllib.parse.urlsplit(url).scheme not in ("http", "https"):
        raise ValueError(f"The address of the app is {address!r}; expected one like {ADDRESS}.")
    # no proxy stands between programs of one machine
    proxies = [urllib.request.ProxyHandler({})] if is_local(address) else []
    web = urllib.request.build_opener(*proxies)
    body = json.dumps({"data": values}).encode()
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
    try:
        with web.open(request, timeout=LONGEST) as answer:
            event = json.load(answer)["event_id"]
        with web.open(f"{url}/{event}", timeout=LONGEST) as answer:
            return _result(answer)
    except urllib.error.HTTPError as error:
        raise ValueError(
            f"{address} answers {error.code} to {function}; is it `unipose app`, and up to date?"
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
            said = json.loads(value)
            said = said.get("error") if isinstance(said, dict) else said
            raise ValueError(said or "The app could not do that; its window says why.")
    raise OSError("the answer ended early")
