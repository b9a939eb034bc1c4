# SPDX-License-Identifier: Apache-2.0
"""BLEU, ROUGE-L and METEOR against independent implementations, hand-computed values and `evaluate`."""

import math
from collections import Counter

import pytest

from unipose_hf.captions import caption_poses
from unipose_hf.data.open_poses import load_open_poses
from unipose_hf.evaluation.metrics.text_metrics import (
    bleu4,
    meteor,
    meteor_each,
    posecode_truth,
    rouge_l,
    rouge_l_each,
)

pytest.importorskip("sacrebleu")
pytest.importorskip("rouge_score")
pytest.importorskip("nltk")

PREDICTIONS = [
    "The left knee is bent, and the right arm is raised above the head.",
    "Someone stands upright. Both arms hang down.",
    "The torso leans forward",
]
REFERENCES = [
    ["The left knee is bent at a right angle; the right arm is raised.", "The left knee is bent."],
    ["The person stands upright with both arms hanging down.", "Someone stands upright. Both arms hang."],
    ["The torso leans forward a little while the hands are in front of the torso."],
]
# the example in the documentation of `evaluate`'s metric "meteor"
GUIDE = "It is a guide to action which ensures that the military always obeys the commands of the party"
GUIDE_REFERENCE = "It is a guide to action that ensures that the military will forever heed Party commands"


def ngrams(words, n):
    return Counter(tuple(words[i : i + n]) for i in range(len(words) - n + 1))


def second_bleu(predictions, references):
    """Papineni et al. 2002 as `evaluate` computes it: clipped counts, shortest reference, no smoothing."""

    def split(text):
        for mark in ".,;":
            text = text.replace(mark, f" {mark} ")
        return text.split()

    hits, totals, length, wanted = [0] * 4, [0] * 4, 0, 0
    for prediction, texts in zip(predictions, references, strict=True):
        words, others = split(prediction), [split(text) for text in texts]
        length, wanted = length + len(words), wanted + min(map(len, others))
        for n in range(1, 5):
            allowed = Counter()
            for other in others:
                allowed |= ngrams(other, n)
            hits[n - 1] += (ngrams(words, n) & allowed).total()
            totals[n - 1] += max(0, len(words) - n + 1)
    if min(hits) == 0:
        return 0.0
    penalty = math.exp(min(0, 1 - wanted / length))
    return 100 * penalty * math.exp(sum(math.log(h / t) for h, t in zip(hits, totals, strict=True)) / 4)


def test_bleu_equals_a_second_writing():
    expected = second_bleu(PREDICTIONS, REFERENCES)
    assert 5 < expected < 95
    assert bleu4(PREDICTIONS, REFERENCES) == pytest.approx(expected)
    for row in range(3):
        one = [PREDICTIONS[row]], [REFERENCES[row]]
        assert bleu4(*one) == pytest.approx(second_bleu(*one))
    short = ["The torso leans"], [[PREDICTIONS[2] * 2, "The torso leans forward a little"]]
    assert bleu4(*short) == second_bleu(*short) == 0
    many = [caption_poses(load_open_poses("test").axis_angle[::40], seed=seed) for seed in range(3)]
    references = [list(texts) for texts in zip(many[1], many[2], strict=True)]
    assert bleu4(many[0], references) == pytest.approx(second_bleu(many[0], references))


def test_bleu_of_evaluates_example():
    hello = ["hello there general kenobi", "foo bar foobar"]
    assert bleu4(hello, [["hello there general kenobi", "hello there!"], ["foo bar foobar"]]) == pytest.approx(100)


def test_bleu_of_one_reference_is_sacrebleus():
    from sacrebleu import corpus_bleu

    firsts = [texts[0] for texts in REFERENCES]
    expected = corpus_bleu(PREDICTIONS, [firsts], smooth_method="none").score
    assert bleu4(PREDICTIONS, [[text] for text in firsts]) == pytest.approx(expected)
    # with several the shortest reference counts there the nearest one here: longer texts are never punished
    short = ["one two three four five"], [["one two three four five six seven", "one two three four"]]
    assert bleu4(*short) == pytest.approx(second_bleu(*short)) and bleu4(*short) == pytest.approx(100)


def test_rouge_l_by_hand_and_as_evaluate_aggregates():
    from rouge_score.scoring import BootstrapAggregator, Score

    # 4 of 4 words found in order, of 15 wanted: precision 1, recall 4/15
    assert rouge_l_each(PREDICTIONS[2:], REFERENCES[2:])[0] == pytest.approx(100 * 2 * (4 / 15) / (1 + 4 / 15))
    each = rouge_l_each(PREDICTIONS, REFERENCES)
    for row in range(3):
        assert each[row] == max(rouge_l_each([PREDICTIONS[row]], [[text]])[0] for text in REFERENCES[row])
    assert rouge_l(PREDICTIONS, REFERENCES) == pytest.approx(sum(each) / 3)
    aggregator = BootstrapAggregator()
    for value in each * 100:
        aggregator.add_scores({"rougeL": Score(value, value, value)})
    middle = aggregator.aggregate()["rougeL"].mid.fmeasure
    assert rouge_l(PREDICTIONS * 100, REFERENCES * 100) == pytest.approx(middle, abs=0.5)
    assert rouge_l(["bending knees"], [["bend the knee"]]) == 0  # no stemming


class WordNet:
    """A dictionary of one pair of synonyms, where nltk has WordNet's reader."""

    def __init__(self, *synonyms):
        self.synonyms = synonyms

    def synsets(self, word):
        return [self] if word in self.synonyms else []

    def lemmas(self):
        return [type("Lemma", (), {"name": lambda self, name=name: name})() for name in self.synonyms]


def test_meteor_by_hand():
    def score(prediction, reference, wordnet=None):
        return meteor([prediction], [[reference]], wordnet or WordNet())

    # four of four words in one chunk: F 1, penalty 0.5 (1/4)^3
    assert score("the left knee bends", "the left knee bends") == pytest.approx(100 * (1 - 0.5 / 64))
    assert score("the left knee bends", "the left knee bending") == pytest.approx(100 * (1 - 0.5 / 64))  # stems
    # three of four words in two chunks: F 3/4, penalty 0.5 (2/3)^3
    mistaken = 100 * 0.75 * (1 - 0.5 * 8 / 27)
    assert score("raise your arm up", "raise your limb up") == pytest.approx(mistaken)
    assert score("raise your arm up", "raise your limb up", WordNet("arm", "limb")) == pytest.approx(99.21875)
    # precision 1, recall 2/4: F = PR / (0.9 P + 0.1 R)
    f = 0.5 / (0.9 + 0.1 * 0.5)
    assert score("left knee", "the left knee bends") == pytest.approx(100 * f * (1 - 0.5 / 8))
    best = meteor_each(["left knee"], [["nothing else", "the left knee bends"]], WordNet())
    assert best == pytest.approx([100 * f * (1 - 0.5 / 8)])


def test_meteor_of_evaluates_example():
    assert meteor([GUIDE], [[GUIDE_REFERENCE]], WordNet()) == pytest.approx(69.44, abs=0.005)


def test_words_are_split_as_by_nltks_word_tokenize():
    """A full stop inside a text is a token of its own, as it is behind the last word."""
    pair = "Bend the knee. Raise the arm.", "Bend the knee . Raise the arm ."
    assert meteor([pair[0]], [[pair[1]]], WordNet()) == pytest.approx(100 * (1 - 0.5 / 8**3))


def test_wrong_lists_are_one_sentence():
    for metric in (bleu4, rouge_l, meteor):
        with pytest.raises(ValueError, match="2 texts and references for 1"):
            metric(["a", "b"], [["a"]])
        with pytest.raises(ValueError, match="expected a list"):
            metric(["a"], ["a"])
        with pytest.raises(ValueError, match="at least one"):
            metric([], [])


def test_posecode_truth():
    poses = load_open_poses("test").axis_angle[::60]
    stated = caption_poses(poses, return_codes=True)[1]
    assert posecode_truth(stated, poses) == pytest.approx(100)
    assert posecode_truth(stated, poses.roll(1, 0)) < 80
    assert posecode_truth([[], *stated[1:]], poses) == pytest.approx(100)  # empty text, no errors
    with pytest.raises(ValueError, match="stated code"):
        posecode_truth([[]], poses[:1])
