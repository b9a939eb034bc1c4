# SPDX-License-Identifier: Apache-2.0
"""Finds WordNet for METEOR offline: in nltk's folders, or in those of Debian's and Ubuntu's package."""

import functools
import io
import warnings
from pathlib import Path

PARTS = ("noun", "verb", "adj", "adv")
FILES = [pattern.format(part) for part in PARTS for pattern in ("index.{}", "data.{}", "{}.exc")]
OF_DEBIAN = Path("/usr/share/wordnet")
NO_WORDNET = (
    "METEOR needs WordNet, which was not found or is incomplete on this machine: python -m nltk.downloader wordnet, "
    "or apt "
    f"install wordnet-base, or put WordNet's files {FILES[0]}, {FILES[1]} and so on into ~/nltk_data/corpora/wordnet"
)
TOPICS = 45  # of WordNet 3


def find_wordnet():
    """A WordNet reader of nltk.

    Raises:
        ImportError: nltk is missing.
        FileNotFoundError: WordNet is missing.
    """
    import nltk.corpus
    import nltk.data

    found = nltk.corpus.wordnet
    try:
        found.ensure_loaded()
        return found
    except (LookupError, OSError):  # missing or incomplete
        pass
    for folder in (*(Path(path, "corpora", "wordnet") for path in nltk.data.path), OF_DEBIAN):
        if all((folder / name).is_file() for name in FILES):
            return _read(str(folder))
    raise FileNotFoundError(NO_WORDNET)


@functools.cache
def _read(folder):
    """Reads WordNet from a folder without the files that nltk's reader requires but METEOR does not need: topic names,
    and links to other languages. Debian omits them."""
    import nltk.data
    from nltk.corpus.reader.wordnet import WordNetCorpusReader

    class Reader(WordNetCorpusReader):
        def open(self, file):
            if file == "lexnames":
                return io.StringIO("".join(f"{number:02} unnamed 0\n" for number in range(TOPICS)))
            return super().open(file)

        def map_wn(self, version="wordnet"):
            return None

    if folder == str(OF_DEBIAN):
        nltk.data.path.append(folder)  # nltk refuses to read elsewhere
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that there are no other languages
        return Reader(folder, None)
