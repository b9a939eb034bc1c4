# SPDX-License-Identifier: Apache-2.0
"""Text metrics: BLEU-4, ROUGE-L and METEOR as defined in the package `evaluate`, in per cent.

Papers report `evaluate`'s metrics `bleu`, `rouge` and `meteor` with their defaults (PoseScript, PoseFix, UniPose).
Those download their definitions; these are the same metrics with the same libraries.
"""

import math

from .wordnet import find_wordnet

MISSING = "{} needs {}: pip install unipose-hf[evaluate]"


def bleu4(predictions: list[str], references: list[list[str]]) -> float:
    """Corpus BLEU-4 of texts with one or more references each: 13a tokens, no smoothing.

    Unlike sacrebleu's own score with several references, the brevity penalty uses the shortest one.

    Raises:
        ValueError: the lists are inconsistent.
        ImportError: sacrebleu is missing.
    """
    _check(predictions, references)
    try:
        from sacrebleu.metrics import BLEU
        from sacrebleu.tokenizers.tokenizer_13a import Tokenizer13a
    except ImportError as error:
        raise ImportError(MISSING.format("BLEU", "sacrebleu")) from error
    # sacrebleu needs the same number of references for every text; repeating one changes no counts
    longest = max(len(texts) for texts in references)
    columns = zip(*(texts + texts[:1] * (longest - len(texts)) for texts in references), strict=True)
    score = BLEU(smooth_method="none").corpus_score(predictions, [list(column) for column in columns])
    tokens = Tokenizer13a()
    shortest = sum(min(len(tokens(text).split()) for text in texts) for texts in references)
    return BLEU.compute_bleu(score.counts, score.totals, score.sys_len, shortest, smooth_method="none").score


def rouge_l_each(predictions: list[str], references: list[list[str]]) -> list[float]:
    """ROUGE-L of each text: F1 with its best reference, no stemming.

    Raises:
        ValueError: the lists are inconsistent.
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

    nltk looks up synonyms of stems, so it misses those of "raised". Published values share this.

    Sentences are split by Punkt without its list of English abbreviations, so only WordNet has to be downloaded; this
    only matters for texts with abbreviations.

    Args:
        wordnet: a WordNet reader of nltk; by default the result of `find_wordnet`.

    Raises:
        ValueError: the lists are inconsistent.
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
    """Percentage of the stated codes that are true of their poses, averaged over the poses that have any.

    Args:
        stated: n lists of (code name, category name), as `unipose_hf.captions.caption_poses` returns them.
        poses: `(n, 22, 3)` axis-angle in our frame.

    Raises:
        ValueError: lengths that differ, an unknown code, or no codes at all.
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
            f"There are {len(predictions)} texts and references for {len(references)}; expected the same number, at "
            "least one."
        )
    for row, texts in enumerate(references):
        if isinstance(texts, str) or not len(texts):
            raise ValueError(f"The references of text {row} are {texts!r}; expected a list of one or more texts.")
