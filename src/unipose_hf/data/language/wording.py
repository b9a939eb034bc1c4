# SPDX-License-Identifier: Apache-2.0
"""The wording of plain English: sides, sentences, joined phrases, typing."""

import random
import re

SAME = (
    "Nothing changes.",
    "There is no difference.",
    "Both poses are the same.",
    "Stay exactly as you are.",
    "No change: the poses are the same.",
)


_KEEP_ONE = (
    "the {} stays where it is",
    "{} stays as it is",
    "the {} stays",
    "keep the {} where it is",
    "keep your {} still",
    "leave the {} alone",
    "leave your {} as it is",
    "don't move the {}",
    "without moving the {}",
    "the {} doesn't move",
    "same {} as before",
)
_KEEP_BOTH = (
    "the {} stay where they are",
    "{} stay as they are",
    "{} stay",
    "keep the {} where they are",
    "keep your {} still",
    "leave the {} alone",
    "leave your {} as they are",
    "don't move the {}",
    "without moving the {}",
    "the {} don't move",
    "same {} as before",
)
_KEEP_REST = (
    "nothing else",
    "nothing else moves",
    "the rest stays",
    "leave the rest as it is",
    "everything else as before",
)


def swap_sides(text: str) -> str:
    """Swaps left and right (the bank uses these words only for sides)."""
    return re.sub(
        r"(?<![A-Za-z])(left|right)",
        lambda found: _like({"left": "right", "right": "left"}[found[0].lower()], found[0]),
        text,
        flags=re.I,
    )


def as_sentence(text: str, style: str) -> str:
    """A text of the style `"full"` with a capital and a full stop; of `"short"`, as it is."""
    if style == "short":
        return text.strip()
    text = text.strip()
    text = text[:1].upper() + text[1:]
    return text if text.endswith((".", "!", "?")) else text + "."


def join_texts(texts: list[str], rng: random.Random, *, sentences: bool) -> str:
    """Joins phrases or commands into one text: as sentences, or as people type them."""
    if sentences:
        return " ".join(as_sentence(text, "full") for text in texts)
    if len(texts) == 1:
        text = texts[0]
        if (
            rng.random() < 0.25
            and len(text.split()) <= 7
            and re.match(r"(?:left|right|both|arms?|hands?|legs?|knees?|feet)\b", text)
        ):
            return rng.choice(("a person with ", "standing with ", "someone, ", "a figure with ", "pose with ")) + text
        return text
    parts = [text.rstrip(". ") for text in texts]
    parts[1:] = [text if re.match(r"I\b|[A-Z]{2}|T-|A-", text) else text[:1].lower() + text[1:] for text in parts[1:]]
    comma = rng.choice((", ", ", ", "; ", " with ", " and ", ". "))
    last = rng.choice((comma, " and ", ", and "))
    return comma.join(parts[:-1]) + last + parts[-1]


def keep_limbs(text: str, limbs: list[str], rng: random.Random) -> str:
    """An instruction that also says what stays: one of some limbs, such as `"left arm"` or `"legs"`, or the rest."""
    text = text.rstrip(". ")
    if not limbs:
        return text
    if len(limbs) > 1 and rng.random() < 0.2:
        return text + rng.choice((", ", "; ", ". ")) + rng.choice(_KEEP_REST)
    limb = rng.choice(limbs)
    clause = rng.choice(_KEEP_BOTH if limb.endswith("s") else _KEEP_ONE).format(limb)
    if limb.endswith((" arm", " leg")) and rng.random() < 0.2:
        clause = re.sub(r"(?:your |the )?(?:left|right) ", "the other ", clause)
        if sum(other.endswith(limb[-4:]) for other in limbs) > 1:
            clause = rng.choice(_KEEP_REST)  # neither of the two moves, so there is no other
    if rng.random() < 0.15:
        return f"{clause}, {text[:1].lower()}{text[1:]}"
    return text + rng.choice((", ", ", ", "; ", ", but ", " and ", ". ")) + clause


def name_as_typed(name: str, rng: random.Random) -> str:
    """The name of a pose, a third of the time with words around it that people type: "a person in tree pose"."""
    if rng.random() < 0.67:
        return name
    if re.match(r"[a-z]+ing\b", name):
        return rng.choice(("a person ", "someone ", "a man ", "a woman ", "person ", "he is ", "she's ")) + name
    name = re.sub(r",? pose$", "", name)
    return rng.choice(("{} pose", "do a {}", "a person doing a {}", "a person in {} position", "in a {}")).format(name)


def typing_noise(text: str, rng: random.Random) -> str:
    """Imitates typing: often lower case and without a full stop or hyphens ("t pose"), sometimes with a typo."""
    if rng.random() < 0.5:
        text = text.lower()
    if rng.random() < 0.4:
        text = re.sub(r"(?<=\w)-(?=\w)", rng.choice((" ", " ", "")), text)
    if rng.random() < 0.5:
        text = text.rstrip(".")
    if rng.random() < 0.08 and len(text) > 6:
        at = rng.randrange(1, len(text) - 2)
        if text[at : at + 2].isalpha() and not re.search(r"left|right", text[max(0, at - 5) : at + 6], re.I):
            text = text[:at] + rng.choice((text[at + 1], text[at + 1] + text[at])) + text[at + 2 :]
    return text


def _like(word, model):
    return word.upper() if model.isupper() else word.capitalize() if model[0].isupper() else word
