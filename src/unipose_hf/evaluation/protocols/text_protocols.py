# SPDX-License-Identifier: Apache-2.0
"""The tasks that answer with a text (UniPose, Table 2): R-precision, BLEU-4, ROUGE-L, METEOR, and truth.

Each function takes samples (see `samples.py`) and a `Setting`, and returns a `Result`. The text is the model's answer
to the sample's chat, by greedy decoding, so only the pools of the R-precision depend on the seeds. For comparison
there are the values of the next sample's references ("shifted"), which describe another pose, and the R-precision of
the first human references.
"""

import torch

from unipose_hf.evaluation.metrics.retrieval_metrics import r_precision
from unipose_hf.evaluation.metrics.text_metrics import bleu4, meteor, rouge_l, rouge_l_each
from unipose_hf.evaluation.metrics.text_truth import caption_truth, instruction_truth
from unipose_hf.evaluation.reporting.results import Result, Setting, fixed, over_seeds

from .answers import answer_texts
from .samples import checked, described_poses, question, references

POOL = 32
TEXT_PROTOCOL = "all references"
TRUTH = "stated codes"
NO_EMBEDDER = "It needs a retrieval model: give one with --{} FOLDER, or as an Embedder in the Setting."


def pool_protocol(pool: int) -> str:
    return f"R-precision, pools of {pool}"


def pose_to_text(samples: list[dict], setting: Setting) -> Result:
    """A pose -> its description."""
    return _text_task("pose-to-text", samples, setting)


def pose_diff(samples: list[dict], setting: Setting) -> Result:
    """Two poses -> how the first becomes the second."""
    return _text_task("pose-diff", samples, setting)


def image_to_pose_text(samples: list[dict], setting: Setting) -> Result:
    """An image -> the description of the person's pose."""
    return _text_task("image-to-pose-text", samples, setting)


def image_diff(samples: list[dict], setting: Setting) -> Result:
    """Two images -> how the pose in the first becomes that in the second."""
    return _text_task("image-diff", samples, setting)


def _text_task(task, samples, setting):
    checked(samples, task)
    pairs = task in ("pose-diff", "image-diff")
    embedder = setting.pair_retrieval if pairs else setting.retrieval
    answers = answer_texts(setting, [question(sample) for sample in samples])
    human = [references(sample) for sample in samples]
    shifted = human[1:] + human[:1]
    figures, missing = {}, {}
    metrics = {"BLEU-4": ("bleu4", bleu4), "ROUGE-L": ("rouge_l", rouge_l), "METEOR": ("meteor", meteor)}
    for label, (name, metric) in metrics.items():
        try:
            figures |= {name: metric(answers, human), f"{name}_of_shifted": metric(answers, shifted)}
        except (ImportError, FileNotFoundError) as error:  # a library, or WordNet
            missing[label] = str(error)
    results, shown = {TEXT_PROTOCOL: fixed(figures)}, described_poses(samples)
    if len(samples) < 2:
        missing["Pools and shuffled texts"] = "They need two samples or more."
    else:
        results[TRUTH] = over_seeds(lambda seed: _truth(answers, shown, seed), setting.seeds)
    if embedder is None:
        missing["R-precision"] = NO_EMBEDDER.format("pair-retrieval" if pairs else "retrieval")
        errors, error_name = 100 - torch.tensor(rouge_l_each(answers, human)), "100 - ROUGE-L"
    else:
        poses = embedder.poses(*shown)
        answer_features, reference_features = embedder.texts(answers), embedder.texts([texts[0] for texts in human])
        # Of two true texts, each may omit what the other states, so ROUGE does not separate good answers from bad
        # ones.
        errors, error_name = 1 - (answer_features * poses).sum(1), "distance from the pose (1 - cosine)"
        if len(samples) > 1:
            pool = min(POOL, len(samples))
            results[pool_protocol(pool)] = over_seeds(
                lambda seed: _precision(answer_features, reference_features, poses, pool, seed), setting.seeds
            )
    return Result(task, setting.data, setting.body_name, len(samples), results, missing, answers, errors, error_name)


def _truth(answers, shown, seed):
    """How much of the answers is true, as far as they use the wording of the caption engine."""
    results = (caption_truth if len(shown) == 1 else instruction_truth)(answers, *shown, seed=seed)
    return {name: value if name == "codes_per_text" else 100 * value for name, value in results.items()}


def _precision(answer_features, reference_features, poses, pool, seed):
    results = r_precision(answer_features, poses, pool=pool, seed=seed)
    controls = r_precision(reference_features, poses, pool=pool, seed=seed)
    return results | {f"{name}_of_references": controls[name] for name in ("top1", "top2", "top3")}
