# SPDX-License-Identifier: Apache-2.0
"""Many questions to a language model: several at a time, patiently, each answer checked, and none asked twice.

Where an answer fails its check, the model is told why and asked again, a few times. Every answer goes to a journal on
disk at once, so that a killed run goes on without asking, or paying, twice.
"""

import hashlib
import json
import os
import random
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, CancelledError, ThreadPoolExecutor, wait
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from tqdm.auto import tqdm

from .language_models import TryLaterError

_AGAIN = "That will not do: {fault} Write it again and obey all the rules. Answer with nothing else."


class Question(NamedTuple):
    """A chat that ends with a question, and a function that says in a sentence what an answer lacks, or None."""

    messages: list[dict]
    find_fault: Callable[[str], str | None]


def ask_all(
    questions: Iterable[Question],
    ask: Callable[[list[dict]], str],
    journal: str | os.PathLike,
    *,
    attempts: int = 3,
    concurrency: int = 4,
    patience: int = 8,
    pause: float = 1.0,
    progress: bool = True,
) -> list[str | None]:
    """Ask a language model, several questions at a time.

    Args:
        questions: taken one by one, as there is room for them.
        ask: [`~unipose_hf.data.llm.language_models.Endpoint`] or [`~unipose_hf.data.llm.language_models.LocalModel`].
        journal: a JSON Lines file that gets each answer the moment it comes. What stands there is not asked again.
        attempts: answers to one question at the most, faulty ones included.
        concurrency: questions under way at once.
        patience: how often an overloaded or silent server is asked before the run ends; between the calls pass
            `pause` seconds, then twice as many and so on up to a minute, or as many as the server asks for.
        progress: show a progress bar.

    Returns:
        the answers in the order of the questions, quotation marks around them taken off; None where all had a fault.

    Raises:
        ConnectionError: the server stays overloaded, silent or away. The journal is kept: run again to go on.
        ValueError: the server refuses the question, or the journal is damaged.
    """

    stop = threading.Event()

    def settle(question):
        return _settle(
            question, ask.name, kept, attempts, lambda chat: _ask_patiently(ask, chat, patience, pause, stop)
        )

    with _Journal(journal) as kept, ThreadPoolExecutor(concurrency) as pool:
        questions, results, running = enumerate(questions), {}, {}
        with tqdm(desc="asking", unit="text", disable=not progress) as bar:
            try:
                while True:
                    for number, question in islice(questions, 2 * concurrency - len(running)):
                        running[pool.submit(settle, question)] = number
                    if not running:
                        return [results[number] for number in sorted(results)]
                    done, _ = wait(running, return_when=FIRST_COMPLETED)
                    for future in done:
                        results[running.pop(future)] = future.result()
                        bar.update()
            except BaseException:
                stop.set()  # calls under way may end, and are kept; nothing new begins
                raise


def _settle(question, name, journal, attempts, answer_of):
    key = hashlib.blake2b(json.dumps([name, question.messages]).encode(), digest_size=16).hexdigest()
    with journal.turn(key):
        return _converse(question, key, journal, attempts, answer_of)


def _converse(question, key, journal, attempts, answer_of):
    messages = question.messages
    past = journal.answers(key)
    for attempt in range(attempts):
        if attempt < len(past):
            answer = past[attempt]
        else:
            answer = answer_of(messages)
            journal.append(key, answer)
        answer = answer.strip().strip('"“”').strip()
        fault = question.find_fault(answer)
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
        self._turns = {}

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

    def turn(self, key):
        """A lock: of two equal questions the second waits, and takes what the first was answered."""
        with self._lock:
            return self._turns.setdefault(key, threading.Lock())

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
