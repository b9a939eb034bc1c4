# SPDX-License-Identifier: Apache-2.0
"""Generated texts beside human ones: BLEU-4, ROUGE-L and METEOR as the package `evaluate` defines them, in per cent.

The field reports the figures of `evaluate`'s metrics `bleu`, `rouge` and `meteor` with their defaults (PoseScript,
PoseFix, UniPose). Those load their definitions from the network; these are the same ones over the same libraries.
"""

import math

from .wordnet import find_wordnet

MISSING = "{} needs {}: pip install unipose-hf[evaluate]"


def bleu4(predictions: list[str], references: list[list[str]]) -> float:
    """Corpus BLEU-4 of texts with one or more references each: 13a tokens, no smoothing.

    Unlike sacrebleu's own score with several references, the brevity penalty counts the shortest one.

    Raises:
        ValueError: the lists do not fit.
        ImportError: sacrebleu is missing.
    """
    _check(predictions, references)
    try:
        from sacrebleu.metrics import BLEU
        from sacrebleu.tokenizers.tokenizer_13a import Tokenizer13a
    except ImportError as error:
        raise ImportError(MISSING.format("BLEU", "sacrebleu")) from error
    # sacrebleu wants as many references of every text; giving one twice changes no count
    most = max(len(texts) for texts in references)
    columns = zip(*(texts + texts[:1] * (most - len(texts)) for texts in references), strict=True)
    score = BLEU(smooth_method="none").corpus_score(predictions, [list(column) for column in columns])
    tokens = Tokenizer13a()
    shortest = sum(min(len(tokens(text).split()) for text in texts) for texts in references)
    return BLEU.compute_bleu(score.counts, score.totals, score.sys_len, shortest, smooth_method="none").score


def rouge_l_each(predictions: list[str], references: list[list[str]]) -> list[float]:
    """ROUGE-L of each text: F1 with its best reference, no stemming.

    Raises:
        ValueError: the lists do not fit.
        ImportError: rouge-score is missing.
    """
    _check(predictions, references)
    try:
        from rouge_score.rouge_scorer import RougeScorer
    except ImportError as error:
        raise ImportError(MISSING.format("ROUGE-L", "rouge-score")) from error
    scorer = RougeScorer(["rougeL"], use_stemmer=False)
    return [
        100 * scorer.score_multi(texts, prediction)["rougeL"].fmeasure
        for prediction, texts in zip(predictions, references, strict=True)
    ]


def rouge_l(predictions: list[str], references: list[list[str]]) -> float:
    """Mean of `rouge_l_each`. (`evaluate` prints the median mean of random resamples of it, which differs in the
    second decimal from run to run.)"""
    return _mean(rouge_l_each(predictions, references))


def meteor_each(predictions: list[str], references: list[list[str]], wordnet=None) -> list[float]:
    """METEOR of each text with its best reference: stems and WordNet synonyms, alpha 0.9, beta 3, gamma 0.5.

    nltk looks for synonyms of the stems of words, so that it misses those of "raised". The field's figures share this.

    Sentences are told apart by Punkt without its list of English abbreviations, so that no download beyond WordNet is
    needed; only texts with abbreviations could tell the difference.

    Args:
        wordnet: a WordNet reader of nltk; the one that `find_wordnet` finds by default.

    Raises:
        ValueError: the lists do not fit.
        ImportError: nltk is missing.
        FileNotFoundError: WordNet is missing.
    """
    _check(predictions, references)
    try:
        from nltk.tokenize import NLTKWordTokenizer, PunktSentenceTokenizer
        from nltk.translate.meteor_score import meteor_score
    except ImportError as error:
        raise ImportError(MISSING.format("METEOR", "nltk")) from error
    wordnet = find_wordnet() if wordnet is None else wordnet
    sentences, words = PunktSentenceTokenizer(), NLTKWordTokenizer()

    def split(text):
        return [word for sentence in sentences.tokenize(text) for word in words.tokenize(sentence)]

    return [
        100 * meteor_score([split(text) for text in texts], split(prediction), wordnet=wordnet)
        for prediction, texts in zip(predictions, references, strict=True)
    ]


def meteor(predictions: list[str], references: list[list[str]], wordnet=None) -> float:
    """Mean of `meteor_each`."""
    return _mean(meteor_each(predictions, references, wordnet))


def posecode_truth(stated, poses) -> float:
    """Percentage of the stated codes that are true of their poses, mean over the poses that have any.

    Args:
        stated: n lists of (code name, category name), as `unipose_hf.captions.caption_poses` returns them.
        poses: `(n, 22, 3)` axis-angle in our frame.

    Raises:
        ValueError: lengths that differ, an unknown code, or no code at all.
    """
    from unipose_hf.captions import codes_satisfied, pose_geometry

    shares = codes_satisfied(stated, *pose_geometry(poses))
    shares = shares[~shares.isnan()]
    if not len(shares):
        raise ValueError("No pose has a stated code that can be measured; give the codes that captions state.")
    return 100 * float(shares.mean())


def _mean(values):
    return math.fsum(values) / len(values)


def _check(predictions, references):
    if not predictions or len(predictions) != len(references):
        raise ValueError(
            f"There are {len(predictions)} texts and references for {len(references)}; expected as many, at least one."
        )
    for row, texts in enumerate(references):
        if isinstance(texts, str) or not len(texts):
            raise ValueError(f"The references of text {row} are {texts!r}; expected a list of one or more texts.")
