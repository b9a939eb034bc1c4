# SPDX-License-Identifier: Apache-2.0
"""Automatic texts refined by a language model into short, natural ones, as ImageScript-R and ImageDiff-R have them
(UniPose, supplement A.1, A.2 and figures 2, 3). The prompts are our own and ask for the same.

Every answer is checked. Where it fails, the model is told why and asked again, a few times. Every answer goes to a
journal on disk at once, so that a killed run goes on without asking, or paying, twice.
"""

import hashlib
import json
import os
import random
import re
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, CancelledError, ThreadPoolExecutor, wait
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from tqdm.auto import tqdm

from .language_models import TryLaterError
from .side_claims import swapped_sides, tells_turn, turn_of

MAX_WORDS = 45

_SYSTEM = {
    "caption": (
        "You help to annotate human poses. A program has described one posture in words, at great length and with "
        "repetitions. You say the same as a person would who sees the posture: briefly, fluently and truthfully, the "
        "important features only, in fewer than 45 words."
    ),
    "instruction": (
        "You help to annotate changes of human pose. A program has described how a person gets from one posture to "
        "another, at great length and with repetitions. You say the same as a trainer would: briefly, fluently and "
        "truthfully, the important changes only, in 45 words at the most."
    ),
}
_USER = {
    "caption": (
        "Below stand descriptions of one and the same posture, written by a program.\n\n{texts}\n\n"
        "Think before you write, but do not write it down:\n"
        "- Which details can be merged? Two straight knees under an upright trunk are simply a person who stands "
        "upright.\n"
        "- Is this a known action, such as running, jumping or kneeling on the right knee?\n"
        "- Does the name of a definite action replace several details, such as a kick to the side or sitting "
        "cross-legged? A loose label such as doing sports, warming up or doing yoga does not.\n\n"
        "Then write one description that meets all of this:\n"
        "- It is accurate and says nothing that the program does not say.\n"
        "- It names the side of every single limb, left or right: never a vague limb such as one leg, one hand, an "
        "arm or the other foot.\n"
        "- It begins with the person, for instance with: The person, This person, Someone.\n"
        "- It has fewer than 45 words, in plain sentences without lists.\n"
        "- It stands alone: no heading, no comment, no quotation marks."
    ),
    "instruction": (
        "Below stand instructions, written by a program, that all lead from one posture to the same other one.\n\n"
        "{texts}\n\n"
        "Think before you write, but do not write it down:\n"
        "- Which details can be merged? Moving the right foot up, the right knee up and the right foot forward is "
        "simply lifting the right leg high in front.\n"
        "- What is the trend of the movement: straightening the back, reaching out, crouching down?\n\n"
        "Then write one instruction that meets all of this:\n"
        "- It is accurate and asks for nothing that the program does not ask for.\n"
        "- It keeps every turn of the whole body, such as turning to the left.\n"
        "- It names the side of every single limb, left or right: never a vague limb such as one leg, one hand, an "
        "arm or the other foot.\n"
        "- It has 45 words at the most, in plain sentences without lists.\n"
        "- It stands alone: no heading, no comment, no quotation marks."
    ),
}
_AGAIN = "That will not do: {fault} Write it again and obey all the rules. Answer with the text alone."

_PERSON = re.compile(
    r"(?:(?:the|this|that|a|an) (?:[a-z]+ )?(?:person|individual|figure|subject|man|woman|human|someone)"
    r"|someone|somebody|he|she|they)\b",
    re.IGNORECASE,
)
_VAGUE = re.compile(
    r"\b(?:one|a|an|either|some|another|the other)(?: (?:of|the|their|his|her|your|[a-z]+ed|bent|straight))* "
    r"(?:leg|arm|hand|foot|knee|elbow|thigh|shin|wrist|ankle|shoulder|hip|forearm)s?\b"
    r"(?!['’-]| (?:width|length|height))",  # at an arm's length, a shoulder width apart
    re.IGNORECASE,
)
_LIST = re.compile(r"\n|(?:^|\s)(?:[-*•]|\(?\d+[.)])\s")
_CHATTER = re.compile(
    r"(?:here(?:'s| is)|sure|certainly|okay|ok|description|instruction|answer|output)\b", re.IGNORECASE
)


class Request(NamedTuple):
    """Something to refine.

    Attributes:
        kind: "caption" or "instruction".
        texts: the automatic texts, all about the same.
        codes: pairs (code name, category) that these texts state.
    """

    kind: str
    texts: tuple[str, ...]
    codes: tuple[tuple[str, str], ...]


def refinement_prompt(request: Request) -> list[dict]:
    """The chat that asks for one refined text."""
    texts = "\n".join(f"({number}) {text}" for number, text in enumerate(request.texts, start=1))
    return [
        {"role": "system", "content": _SYSTEM[request.kind]},
        {"role": "user", "content": _USER[request.kind].format(texts=texts)},
    ]


def find_fault(answer: str, request: Request) -> str | None:
    """What an answer does against the rules, as a sentence for the model, or None."""
    words = len(answer.split())
    most = MAX_WORDS - (request.kind == "caption")  # fewer than 45, and 45 at the most
    if not words:
        return "it is empty."
    if _LIST.search(answer):
        return "it is a list or has several lines."
    if words > most:
        return f"it has {words} words, and {most} are allowed."
    if _CHATTER.match(answer):
        return "it begins with a comment or a heading."
    if request.kind == "caption" and not _PERSON.match(answer):
        return "it does not begin with the person."
    if vague := _VAGUE.search(answer):
        return f'"{vague[0]}" does not say whether the left or the right one is meant.'
    if wrong := swapped_sides(answer, request.codes):
        return f'"{wrong}" is not what the program says; check left and right.'
    turn = turn_of(request.codes) if request.kind == "instruction" else None
    if turn and not tells_turn(answer, turn):
        return "it leaves out, or changes, that the whole body turns " + (
            "around." if turn == "around" else f"to the {turn}."
        )
    return None


def refine_texts(
    requests: Iterable[Request],
    ask: Callable[[list[dict]], str],
    journal: str | os.PathLike,
    *,
    attempts: int = 3,
    concurrency: int = 4,
    patience: int = 8,
    pause: float = 1.0,
    progress: bool = True,
) -> list[str | None]:
    """Refine texts, several at a time.

    Args:
        requests: what to refine.
        ask: [`~unipose_hf.data.language_models.Endpoint`] or [`~unipose_hf.data.language_models.LocalModel`].
        journal: a JSON Lines file that gets each answer the moment it comes. What stands there is not asked again.
        attempts: answers of one request at the most, faulty ones included.
        concurrency: requests under way at once.
        patience: how often an overloaded or silent server is asked before the run ends; between the calls pass
            `pause` seconds, then twice as many and so on up to a minute, or as many as the server asks for.
        progress: show a progress bar.

    Returns:
        the refined texts in the order of the requests; None where no answer met the rules.

    Raises:
        ConnectionError: the server stays overloaded, silent or away. The journal is kept: run again to go on.
        ValueError: the server refuses the request, or the journal is damaged.
    """

    stop = threading.Event()

    def refine(request):
        return _refine(
            request, ask.name, kept, attempts, lambda chat: _ask_patiently(ask, chat, patience, pause, stop)
        )

    with _Journal(journal) as kept, ThreadPoolExecutor(concurrency) as pool:
        requests, results, running = enumerate(requests), {}, {}
        with tqdm(desc="refining", unit="text", disable=not progress) as bar:
            try:
                while True:
                    for number, request in islice(requests, 2 * concurrency - len(running)):
                        running[pool.submit(refine, request)] = number
                    if not running:
                        return [results[number] for number in sorted(results)]
                    done, _ = wait(running, return_when=FIRST_COMPLETED)
                    for future in done:
                        results[running.pop(future)] = future.result()
                        bar.update()
            except BaseException:
                stop.set()  # calls under way may end, and are kept; nothing new begins
                raise


def _refine(request, name, journal, attempts, answer_of):
    messages = refinement_prompt(request)
    key = hashlib.blake2b(json.dumps([name, messages]).encode(), digest_size=16).hexdigest()
    past = journal.answers(key)
    for attempt in range(attempts):
        if attempt < len(past):
            answer = past[attempt]
        else:
            answer = answer_of(messages)
            journal.append(key, answer)
        answer = answer.strip().strip('"“”').strip()
        fault = find_fault(answer, request)
        if fault is None:
            return answer
        messages = [
            *messages,
            {"role": "assistant", "content": answer},
            {"role": "user", "content": _AGAIN.format(fault=fault)},
        ]
    return None


def _ask_patiently(ask, messages, patience, pause, stop):
    for attempt in range(1, patience + 1):
        if stop.is_set():
            raise CancelledError
        try:
            return ask(messages)
        except TryLaterError as error:
            if attempt == patience:
                raise ConnectionError(
                    f"{ask.name!r} did not answer {patience} times in a row (the last time: {error}); run the same "
                    "again later, and what was answered is not asked again."
                ) from None
            # spread out, or all callers would come back in the same moment
            spread = pause * 2 ** (attempt - 1) * random.uniform(0.5, 1.0)
            stop.wait(min(60.0, spread) if error.wait is None else error.wait + pause * random.random())
    raise ValueError(f"patience is {patience}; allow at least 1 call.")


class _Journal:
    """Answers by key, in the order in which they came; an answer is on the disk before anything is done with it."""

    def __init__(self, path):
        self.path, self._answers, self._lock = Path(path), {}, threading.Lock()

    def __enter__(self):
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._file = open(self.path, "a+b")
        self._file.seek(0)
        whole = 0
        for number, line in enumerate(self._file, start=1):
            if not line.endswith(b"\n"):
                break  # the run was killed while it wrote this line
            try:
                entry = json.loads(line)
                self._answers.setdefault(entry["key"], []).append(entry["answer"])
            except (ValueError, KeyError, TypeError):
                self._file.close()
                raise ValueError(
                    f"Line {number} of {self.path} is no entry of a journal; remove that line, or give another file."
                ) from None
            whole += len(line)
        self._file.truncate(whole)
        return self

    def __exit__(self, *_):
        self._file.close()

    def answers(self, key):
        with self._lock:
            return list(self._answers.get(key, ()))

    def append(self, key, answer):
        line = json.dumps({"key": key, "answer": answer}, ensure_ascii=False) + "\n"
        with self._lock:
            self._answers.setdefault(key, []).append(answer)
            self._file.write(line.encode())
            self._file.flush()
            os.fsync(self._file.fileno())
