# SPDX-License-Identifier: Apache-2.0
"""WordNet for METEOR, found offline: where nltk keeps it, or where Debian's and Ubuntu's package puts it."""

import functools
import io
import warnings
from pathlib import Path

PARTS = ("noun", "verb", "adj", "adv")
FILES = [pattern.format(part) for part in PARTS for pattern in ("index.{}", "data.{}", "{}.exc")]
OF_DEBIAN = Path("/usr/share/wordnet")
NO_WORDNET = (
    "METEOR needs WordNet, which is not found whole on this machine: python -m nltk.downloader wordnet, or apt "
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
    except (LookupError, OSError):  # not there, or only parts of it
        pass
    for folder in (*(Path(path, "corpora", "wordnet") for path in nltk.data.path), OF_DEBIAN):
        if all((folder / name).is_file() for name in FILES):
            return _read(str(folder))
    raise FileNotFoundError(NO_WORDNET)


@functools.cache
def _read(folder):
    """WordNet from a folder without the files that METEOR has no use for but nltk's reader insists on: the names of
    topics, and the senses by which other languages are tied to it. Debian leaves them out."""
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
