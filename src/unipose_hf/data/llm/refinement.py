# SPDX-License-Identifier: Apache-2.0
"""Refines automatic texts with a language model into short, natural ones, as in ImageScript-R and ImageDiff-R
(UniPose, supplement A.1, A.2 and figures 2, 3). The prompts are our own and ask for the same.

Every answer is checked for length, vague limbs, lists and swapped sides.
"""

import functools
import os
import re
from collections.abc import Callable, Iterable
from typing import NamedTuple

from .asking import Question, ask_all
from .side_claims import mentions_turn, swapped_sides, turn_of

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
_PERSON = re.compile(
    r"(?:(?:the|this|that|a|an) (?:[a-z]+ )?(?:person|individual|figure|subject|man|woman|human|someone)"
    r"|someone|somebody|he|she|they)\b",
    re.IGNORECASE,
)
VAGUE_LIMB = re.compile(
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
        texts: the automatic texts, all about the same pose or pair.
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
    """How an answer breaks the rules, as a sentence for the model, or None."""
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
    if vague := VAGUE_LIMB.search(answer):
        return f'"{vague[0]}" does not say whether the left or the right one is meant.'
    if wrong := swapped_sides(answer, request.codes):
        return f'"{wrong}" is not what the program says; check left and right.'
    turn = turn_of(request.codes) if request.kind == "instruction" else None
    if turn and not mentions_turn(answer, turn):
        return "it leaves out, or changes, that the whole body turns " + (
            "around." if turn == "around" else f"to the {turn}."
        )
    return None


def refine_texts(
    requests: Iterable[Request], ask: Callable[[list[dict]], str], journal: str | os.PathLike, **options
) -> list[str | None]:
    """The refined texts in the order of the requests; None if no answer met the rules.

    Arguments, errors: as for `ask_all`.
    """
    questions = (Question(refinement_prompt(r), functools.partial(find_fault, request=r)) for r in requests)
    return ask_all(questions, ask, journal, **options)
