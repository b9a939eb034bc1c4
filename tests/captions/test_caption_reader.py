# SPDX-License-Identifier: Apache-2.0
"""Parsing captions recovers exactly the facts they state."""

import itertools

import pytest
import torch

from unipose_hf.body import mirror_pose
from unipose_hf.captions import (
    caption_poses,
    codes_true,
    flip_text,
    instruct_pairs,
    paircodes_true,
    read_caption,
    read_instruction,
    turn_between,
)
from unipose_hf.captions.reading.read_lexicon import caption_states, commands, tokens
from unipose_hf.captions.writing.imperatives import INSTRUCTIONS
from unipose_hf.captions.writing.wording import ALONE, WITH_OBJECT
from unipose_hf.data.open_poses import load_open_poses
from unipose_hf.evaluation.metrics.text_truth import caption_truth, instruction_truth

GARBAGE = ("Quarterly revenue rose by four percent", "xq left left 7 ((", "The man stands on one leg", "Look at me")


@pytest.fixture(scope="module")
def poses():
    return load_open_poses("test").axis_angle[::2]


@pytest.fixture(scope="module")
def pairs(poses):
    return poses.roll(5, 0), poses


def assert_found_again(texts, stated, read):
    """Each text states just its codes, by one of the meanings of its words, and nothing stays unread."""
    for text, codes in zip(texts, stated, strict=True):
        reading, wanted = read(text), {tuple(code) for code in codes}
        assert reading.unread == 0, text
        found = [next((said for said in readings if wanted.issuperset(said)), None) for readings in reading.statements]
        assert None not in found and set(itertools.chain(*found)) == wanted, text


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("version, most", [("default", 9), ("default", None), ("N2", 9), ("N6", None)])
def test_captions_are_read_back(poses, version, most, seed):
    captions = caption_poses(poses, seed=seed, version=version, max_clauses=most, return_codes=True)
    assert_found_again(*captions, read_caption)


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("version, most", [("default", 9), ("default", None), ("PoseFix-A/3", None)])
def test_instructions_are_read_back(pairs, version, most, seed):
    options = {"version": version, "max_clauses": most, "rotation_change": turn_between(*pairs)}
    texts = instruct_pairs(*pairs, seed=seed, return_codes=True, **options)
    assert_found_again(*texts, read_instruction)


def test_wild_poses_are_read_back():
    wild = torch.randn(2, 200, 22, 3, generator=torch.Generator().manual_seed(0)) * 0.5
    for (texts, stated), read, truth in (
        (caption_poses(wild[1], return_codes=True), read_caption, codes_true),
        (instruct_pairs(*wild, return_codes=True), read_instruction, paircodes_true),
    ):
        of_text = truth(texts, *(wild if truth is paircodes_true else wild[1:]))
        assert all(read(text).unread == 0 for text in texts) and torch.equal(of_text.true, of_text.codes)
        # one word covers two codes here: level in front of a thigh and next to it
        assert 0.999 * sum(map(len, stated)) < of_text.codes.sum() <= sum(map(len, stated))


def test_the_first_meaning_is_mostly_the_one_that_was_meant(poses, pairs):
    for (texts, stated), read in (
        (caption_poses(poses, return_codes=True), read_caption),
        (instruct_pairs(*pairs, return_codes=True), read_instruction),
    ):
        right = sum(len({*read(text).codes} & {*codes}) for text, codes in zip(texts, stated, strict=True))
        assert right > 0.95 * sum(map(len, stated))


def test_texts_are_true_of_their_own_poses_and_less_so_of_others(poses, pairs):
    captions, changes = caption_poses(poses, max_clauses=9), instruct_pairs(*pairs, max_clauses=9)
    for figures, of_shuffled in (
        (caption_truth(captions, poses), 0.5),
        (instruction_truth(changes, *pairs), 0.3),
    ):
        assert figures["codes_true"] == figures["clauses_read"] == 1
        assert 0 < figures["codes_true_of_shuffled_texts"] < of_shuffled
        assert figures["codes_per_text"] > 5


def test_a_wrong_word_costs_what_it_states(poses):
    captions = caption_poses(poses, max_clauses=9)
    flipped = [flip_text(caption) for caption in captions]
    assert codes_true(flipped, poses).true.sum() < 0.7 * codes_true(captions, poses).true.sum()
    added = [f"{caption} The torso is upside down, and the left elbow wears a hat." for caption in captions]
    truth, before = codes_true(added, poses), codes_true(captions, poses)
    assert (truth.codes - before.codes).le(1).all() and (truth.clauses - before.clauses).eq(2).all()
    assert (truth.read - before.read).eq(1).all()


def test_turns_count_where_they_are_known(pairs):
    turn = torch.tensor([[0.0, 90.0, 0.0]]).expand(len(pairs[0]), 3)
    texts = instruct_pairs(*pairs, rotation_change=turn)
    with_turn, without = (paircodes_true(texts, *pairs, rotation_change=known) for known in (turn, None))
    wrong = paircodes_true(texts, *pairs, rotation_change=-turn)
    assert (with_turn.codes - without.codes).eq(1).all() and (with_turn.true - without.true).eq(1).all()
    assert torch.equal(wrong.true, without.true)


def test_flipped_texts_read_as_flipped_codes(poses, pairs):
    """A flipped text is true of the mirrored pose, and flipped codes are as many as before."""
    captions = [flip_text(text) for text in caption_poses(poses)]
    changes = [flip_text(text) for text in instruct_pairs(*pairs)]
    mirrored = mirror_pose(poses)
    for truth in (
        codes_true(captions, mirrored),
        paircodes_true(changes, mirror_pose(pairs[0]), mirror_pose(pairs[1])),
    ):
        assert torch.equal(truth.read, truth.clauses)
        assert truth.true.sum() > 0.995 * truth.codes.sum()  # but for values on a threshold


@pytest.mark.parametrize("read", [read_caption, read_instruction])
def test_what_states_nothing_says_so(read):
    for text in GARBAGE:
        assert read(text) == ([], 1, 1)
        assert read(f"{text}. {text}.").unread == 2
    assert read("") == read(" \n") == ([], 0, 0)
    assert read("The left knee.").unread == 1  # not mentioned in the text
    assert read("The head is kneeling, and they are below it.").statements == []
    with pytest.raises(ValueError, match="string"):
        read(None)


def test_garbage_has_no_truth(poses):
    figures = caption_truth(list(GARBAGE), poses[: len(GARBAGE)])
    assert set(figures.values()) == {0.0}
    with pytest.raises(ValueError, match="at least two"):
        caption_truth(["They lean forward."], poses[:1])
    with pytest.raises(ValueError, match="one list per pose"):
        codes_true(["They lean forward."], poses[:2])


def test_what_follows_garbage_is_read():
    reading = read_caption("They juggle, and the left hand holds a cup, with both knees straight.")
    knees = tuple((f"angle/{side}_hip|{side}_knee|{side}_ankle", "straight") for side in ("left", "right"))
    assert reading == ([(knees,)], 3, 2) and reading.codes == list(knees)
    reading = read_instruction("Smile, then raise your left hand and right away blink.")
    assert reading == ([((("pair_y/left_hand", "higher"),),)], 3, 2)


def test_pronouns_and_short_names():
    read = read_caption("The left hand is above the right one and behind it. It is near the left hip.")
    assert read.unread == 0 and read.codes == [
        ("rel_y/left_hand|right_hand", "above"),
        ("rel_z/left_hand|right_hand", "behind"),
        ("distance/left_hand|left_hip", "close"),
    ]
    read = read_caption("Both knees are straight while they lean far forward.")
    assert read.codes[-1] == ("body_pitch/body", "forward")
    read = read_instruction("Bend your left knee more and move it up and slightly forward.")
    assert read.unread == 0 and [name for name, _ in read.codes] == [
        "pair_angle/left_hip|left_knee|left_ankle",
        "pair_y/left_knee",
        "pair_z/left_knee",
    ]


def test_lists_of_objects_end_where_a_subject_begins():
    read = read_instruction(
        "The left hand should be close to the left knee and the right knee, and the right knee should be straight."
    )
    assert read.unread == 0 and read.codes == [
        ("distance/left_hand|left_knee", "close"),
        ("distance/left_hand|right_knee", "close"),
        ("angle/right_hip|right_knee|right_ankle", "straight"),
    ]


def test_words_of_several_meanings_give_all_of_them():
    (level,) = read_caption("The left hand is level with the right hip.").statements
    assert {codes[0][0].split("_")[0] for codes in level} == {"xy", "yz"} and len(level) == 2
    (raised,) = read_instruction("Raise the left arm.").statements
    assert all(("higher" in dict((code[1], 0) for code in codes)) for codes in raised) and len(raised) == 3


def test_joined_parts_may_go_less_far():
    """ "Raise the left arm": the hand high, the elbow a little."""
    down, up = torch.zeros(2, 1, 22, 3)
    down[0, 16] = torch.tensor([0.0, 0.0, -1.2])
    up[0, 16] = torch.tensor([0.0, 0.0, 0.3])
    assert paircodes_true(["Raise the left arm."], down, up).true.item() == 2
    assert paircodes_true(["Lower the left arm."], down, up).true.item() == 0


def test_another_wording_is_read_as_soon_as_it_is_written(monkeypatch):
    assert read_caption("The left leg is ramrod straight.").unread == 1
    monkeypatch.setitem(ALONE, ("angle", "straight"), ("is ramrod straight",))
    caption_states.cache_clear()
    try:
        assert read_caption("The left leg is ramrod straight.").codes == [
            ("angle/left_hip|left_knee|left_ankle", "straight")
        ]
        assert read_caption("The left leg is fully extended.").unread == 1
    finally:
        caption_states.cache_clear()


def test_every_wording_can_be_read():
    """No phrase is lost on the way from the tables to the reader."""
    phrases = caption_states().phrases
    for phrase in itertools.chain(*ALONE.values(), *WITH_OBJECT.values()):
        assert " ".join(tokens(phrase.removesuffix(" {o}").replace("{d}", "her"))) in phrases
    orders = commands()
    for phrase in itertools.chain(*INSTRUCTIONS.values()):
        words = phrase.rest.removeprefix(" {s}").strip().format(d="your")
        if phrase.names:
            assert words in orders.named[phrase.verb] and words in orders.named[phrase.gerund]
        else:
            assert " ".join(tokens(f"{phrase.verb} {words}")) in orders.whole
