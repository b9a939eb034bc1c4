# SPDX-License-Identifier: Apache-2.0
"""Asks a language model many questions concurrently, with retries, checks of the answers and a journal.

If an answer fails its check, the model is told why and asked again, a few times. Every answer is written to a journal
on disk immediately, so that an interrupted run resumes without asking, or paying, twice.
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
    """A chat that ends with a question, and a function that says in a sentence what is wrong with an answer, or
    None."""

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
    """Ask a language model several questions at a time.

    Args:
        questions: consumed lazily, one by one.
        ask: [`~unipose_hf.data.llm.language_models.Endpoint`] or [`~unipose_hf.data.llm.language_models.LocalModel`].
        journal: a JSON Lines file to which each answer is appended at once. Questions answered there are not asked
            again.
        attempts: maximum number of answers per question, including faulty ones.
        concurrency: number of questions asked at once.
        patience: how often an overloaded or silent server is tried before the run ends; the waiting time starts at
            `pause` seconds and doubles up to a minute, unless the server asks for another one.
        progress: show a progress bar.

    Returns:
        the answers in the order of the questions, without surrounding quotation marks; None if all had a fault.

    Raises:
        ConnectionError: the server stays overloaded, silent or unreachable. The journal is kept: run again to resume.
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
                stop.set()  # running calls may finish and are kept; no new ones start
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
                    "command again later: answered questions are not asked again."
                ) from None
            # with jitter, or all callers would retry at the same moment
            spread = pause * 2 ** (attempt - 1) * random.uniform(0.5, 1.0)
            stop.wait(min(60.0, spread) if error.wait is None else error.wait + pause * random.random())
    raise ValueError(f"patience is {patience}; allow at least 1 call.")


class _Journal:
    """Answers by key, in order of arrival; an answer is on disk before it is used."""

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
                break  # the run was killed while writing this line
            try:
                entry = json.loads(line)
                self._answers.setdefault(entry["key"], []).append(entry["answer"])
            except (ValueError, KeyError, TypeError):
                self._file.close()
                raise ValueError(
                    f"Line {number} of {self.path} is not a journal entry; remove that line, or give another file."
                ) from None
            whole += len(line)
        self._file.truncate(whole)
        return self

    def __exit__(self, *_):
        self._file.close()

    def turn(self, key):
        """A lock: the second of two equal questions waits and takes the answer to the first."""
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
