# SPDX-License-Identifier: Apache-2.0
"""WordNet is found in each of its locations, tested with a two-word dictionary."""

from types import SimpleNamespace

import pytest

from unipose_hf.evaluation.metrics import wordnet
from unipose_hf.evaluation.metrics.text_metrics import meteor
from unipose_hf.evaluation.metrics.wordnet import FILES, PARTS, find_wordnet

pytest.importorskip("nltk")

GUIDE = "It is a guide to action which ensures that the military always obeys the commands of the party"
GUIDE_REFERENCE = "It is a guide to action that ensures that the military will forever heed Party commands"


def write_wordnet(folder):
    """Nouns: "arm" and "limb" are synonyms, and the plural of "arm" is irregular. No other words."""
    folder.mkdir(parents=True)
    for name in FILES:
        (folder / name).write_text("")
    (folder / "data.noun").write_text("00000000 08 n 02 arm 0 limb 0 000 | what a hand hangs on\n")
    (folder / "index.noun").write_text("arm n 1 0 1 0 00000000\nlimb n 1 0 1 0 00000000\n")
    (folder / "noun.exc").write_text("armen arm\n")


@pytest.fixture
def nowhere(tmp_path, monkeypatch):
    """A machine on which no WordNet is in any of its places."""

    def ensure_loaded():
        raise LookupError("a page of text")

    monkeypatch.setattr("nltk.corpus.wordnet", SimpleNamespace(ensure_loaded=ensure_loaded))
    monkeypatch.setattr("nltk.data.path", [str(tmp_path / "nltk_data")])
    monkeypatch.setattr(wordnet, "OF_DEBIAN", tmp_path / "usr/share/wordnet")
    return tmp_path


@pytest.mark.parametrize("place", ["nltk_data/corpora/wordnet", "usr/share/wordnet"])
def test_found_without_nltks_downloader(nowhere, place):
    write_wordnet(nowhere / place)
    found = find_wordnet()
    [synset] = found.synsets("armen")
    assert [lemma.name() for lemma in synset.lemmas()] == ["arm", "limb"] and not found.synsets("leg")
    assert find_wordnet() is found  # loaded only once, as it takes seconds
    # all four words in one chunk, because a limb is an arm; a leg is not, so three words in two chunks
    assert meteor(["raise your arm up"], [["raise your limb up"]]) == pytest.approx(100 * (1 - 0.5 / 64))
    assert meteor(["raise your leg up"], [["raise your limb up"]]) == pytest.approx(100 * 0.75 * (1 - 0.5 * 8 / 27))


def test_nltks_own_comes_first(nowhere, monkeypatch):
    write_wordnet(nowhere / "usr/share/wordnet")
    whole = SimpleNamespace(ensure_loaded=lambda: None)
    monkeypatch.setattr("nltk.corpus.wordnet", whole)
    assert find_wordnet() is whole


@pytest.mark.parametrize("part", PARTS)
def test_missing_or_in_parts_is_one_sentence(nowhere, part):
    folder = nowhere / "nltk_data/corpora/wordnet"
    write_wordnet(folder)
    (folder / f"data.{part}").unlink()
    with pytest.raises(FileNotFoundError, match=r"^METEOR needs WordNet[^.]*nltk.downloader wordnet, or apt install"):
        meteor(["a"], [["a"]])


def test_the_real_one():
    try:
        real = find_wordnet()
    except FileNotFoundError as error:
        pytest.skip(str(error))
    names = {lemma.name() for synset in real.synsets("arms") for lemma in synset.lemmas()}
    assert {"arm", "weapon"} <= names
    assert meteor([GUIDE], [[GUIDE_REFERENCE]]) == pytest.approx(69.44, abs=0.005)  # as `evaluate` documents it
    assert meteor(["a car"], [["a auto"]]) > 90 > meteor(["a car"], [["a table"]])
