# SPDX-License-Identifier: Apache-2.0
"""Flipping texts: sides are swapped, adverbs stay, and two flips restore the original."""

import pytest

from unipose_hf.captions.flip import flip_text

FLIPS = [
    ("The left arm is raised.", "The right arm is raised."),
    ("Left hand, RIGHT foot; to the right", "Right hand, LEFT foot; to the left"),
    ("Step leftwards, then rightward.", "Step rightwards, then leftward."),
    ("a left-handed, right-facing, lefthand grip", "a right-handed, left-facing, righthand grip"),
    ("the rightmost one, the front-left corner, top-right", "the leftmost one, the front-right corner, top-left"),
    ("The hand is rightmost and the body is left-facing.", "The hand is leftmost and the body is right-facing."),
    ("left_hand and left's", "right_hand and right's"),
    ("The left knee forms a right angle.", "The right knee forms a right angle."),
    ("Bend both right-angled elbows to right angles.", None),
    ("The left hand is right behind the head.", "The right hand is right behind the head."),
    ("The left arm hangs right next to the body.", "The right arm hangs right next to the body."),
    ("Put their right behind their left.", "Put their left behind their right."),
    ("Place your\nright above your head", "Place your\nleft above your head"),
    ("Turn right. In this pose", "Turn left. In this pose"),
    ("it’s right, the left one", "it’s right, the right one"),
    ("bright, upright, outright, leftover, cleft, copyright", None),
    ("Turn clockwise, then COUNTERCLOCKWISE. Clockwise!", "Turn counterclockwise, then CLOCKWISE. Counterclockwise!"),
    ("Raise both arms.", None),
    ("", None),
]


@pytest.mark.parametrize("text, flipped", FLIPS)
def test_sides_change_places_and_back(text, flipped):
    flipped = text if flipped is None else flipped
    assert flip_text(text) == flipped
    assert flip_text(flipped) == text


@pytest.mark.parametrize(
    "word", "about before after off between behind in under next below above across away near by at".split()
)
def test_right_before_a_preposition_is_a_side_only_after_a_determiner(word):
    assert flip_text(f"put it right {word} there, left arm up") == f"put it right {word} there, right arm up"
    assert flip_text(f"put his right {word} there") == f"put his left {word} there"
    assert flip_text(f"go right, {word} there") == f"go left, {word} there"


@pytest.mark.parametrize("word", ["is", "are", "it's", "isn't", "aren't", "not", "be"])
def test_right_may_mean_correct(word):
    assert flip_text(f"that {word} right, left arm") == f"that {word} right, right arm"


@pytest.mark.parametrize(
    "text",
    [
        "left hand at 3 o'clock",
        "left hand at three o’clock",
        "left hand like a Clock",
        "left of the x-axis",
        "The hand is left of the hip.",  # would become "is right of", where right may mean correct
        "Lean left behind the chair.",
        "the left angle of the room",
        "lEft",  # no word in this case could be restored
    ],
)
def test_unsafe_texts_are_refused(text):
    assert flip_text(text) is None


@pytest.mark.parametrize("spelling", ["counterclockwise", "counter-clockwise", "anticlockwise", "anti-clockwise"])
def test_counterclockwise_is_written_as_asked(spelling):
    text = f"Turn {spelling}, then clockwise."
    flipped = flip_text(text, spelling)
    assert flipped == f"Turn clockwise, then {spelling}."
    assert flip_text(flipped, spelling) == text
    assert flip_text("Anti-clockwise left", spelling) == "Clockwise right"


def test_wrong_arguments_are_said_in_one_sentence():
    with pytest.raises(ValueError, match="text is of type list; expected a string"):
        flip_text(["left"])
    with pytest.raises(ValueError, match="counterclockwise is 'clockwise'; expected a spelling"):
        flip_text("left", "clockwise")
