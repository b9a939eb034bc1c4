# SPDX-License-Identifier: Apache-2.0
"""The left-right flip of a text: the text half of PoseScript's augmentation (Delmas et al., 2022).

The pose half is `unipose_hf.body.mirror_pose`. Flip a text and its pose, or an instruction and both of its poses,
together or not at all:

    flipped = flip_text(text)
    if flipped is not None:
        text, pose = flipped, mirror_pose(pose)
"""

import re

_ENDING = r"(?:wards?|hand(?:ed)?|facing|sided?|most)(?![a-z])"  # of leftward, left-handed, lefthand ...
_SIDE = re.compile(rf"(?<![a-z])(?:left|right)(?:(?![a-z])|(?={_ENDING}))", re.IGNORECASE)
_DERIVED = re.compile(f"-?{_ENDING}", re.IGNORECASE)
_TURN = re.compile(r"(?<![a-z])((?:counter|anti)[ -]?)?clockwise(?![a-z])", re.IGNORECASE)
# A clock face and the x axis have sides that no word names.
_UNFLIPPABLE = re.compile(r"(?<![a-z])(?:o['’]?\s?clock|clock|x[ -]ax[ei]s)(?![a-z])", re.IGNORECASE)

# "right" next to these is not a side: "right behind", "is right", "right angle"; but in "their right behind" it is.
_AFTER_ADVERB = frozenset(
    "about before after off between behind in under next below above across away near by at".split()
)
_DETERMINERS = frozenset("your their his her the a an this these those".split())
_BEFORE_CORRECT = frozenset("is are it's isn't aren't not be".split())
_AFTER_SQUARE = frozenset("angle angles angled".split())
_WORD_BEFORE = re.compile(r"([a-z']+)[\s-]+$", re.IGNORECASE)
_WORD_AFTER = re.compile(r"[\s-]+([a-z']+)", re.IGNORECASE)


def flip_text(text: str, counterclockwise: str = "counterclockwise") -> str | None:
    """Swap left and right in an English text, so that it fits the mirrored pose.

    Swaps "left" and "right", their derived words, and clockwise and counterclockwise, preserving case. "right" is kept
    where it is not a side: before words such as "behind" without a determiner, after "is" and similar words, and in
    "right angle". Flipping the result gives the text back.

    Args:
        text: a caption or an instruction.
        counterclockwise: spelling of the opposite of "clockwise" in the result, with "counter" or "anti" joined by
            nothing, a hyphen or a space. After two flips, other spellings in the text are replaced by this one.

    Returns:
        The flipped text (unchanged if it names no side), or None if a flip is not safe: the text mentions o'clock, a
        clock or the x axis, or a second flip would not give it back ("is left of" would become "is right of", which
        may mean "correct").

    Raises:
        ValueError: `text` is not a string, or `counterclockwise` is not a spelling of that word.
    """
    if not isinstance(text, str):
        raise ValueError(f"text is of type {type(text).__name__}; expected a string, one text at a time.")
    turn = _TURN.fullmatch(str(counterclockwise))
    if not (turn and turn[1]):
        raise ValueError(
            f'counterclockwise is {counterclockwise!r}; expected a spelling such as "counterclockwise" or '
            '"anti-clockwise".'
        )
    counterclockwise = counterclockwise.lower()
    if _UNFLIPPABLE.search(text):
        return None
    respelled = _TURN.sub(lambda found: _in_case(found[0], counterclockwise) if found[1] else found[0], text)
    flipped = _exchange(respelled, counterclockwise)
    return flipped if _exchange(flipped, counterclockwise) == respelled else None


def _exchange(text, counterclockwise):
    def other_side(found):
        if found[0].lower() == "left":
            return _in_case(found[0], "right")
        return _in_case(found[0], "left") if _is_side(text, found) else found[0]

    def other_turn(found):
        return _in_case(found[0], "clockwise" if found[1] else counterclockwise)

    return _TURN.sub(other_turn, _SIDE.sub(other_side, text))


def _is_side(text, found):
    """Whether this "right" is the opposite of left."""
    if _DERIVED.match(text, found.end()):
        return True
    before = _WORD_BEFORE.search(text[max(0, found.start() - 20) : found.start()].replace("’", "'"))
    after = _WORD_AFTER.match(text[found.end() : found.end() + 20])
    before, after = (word[1].lower() if word else "" for word in (before, after))
    if before in _BEFORE_CORRECT or after in _AFTER_SQUARE:
        return False
    return after not in _AFTER_ADVERB or before in _DETERMINERS


def _in_case(model, word):
    """The word in upper case, capitalised or in lower case, like the model."""
    if model.isupper():
        return word.upper()
    return word[:1].upper() + word[1:] if model[:1].isupper() else word
