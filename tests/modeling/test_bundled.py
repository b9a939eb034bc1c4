# SPDX-License-Identifier: Apache-2.0
"""End-to-end quality of the bundled checkpoint, through the pipelines, on held-out poses."""

import json

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps
from transformers import AutoModel, AutoTokenizer, pipeline

import unipose_hf
from unipose_hf.auto import BUNDLED_CHECKPOINT
from unipose_hf.captions import caption_poses, codes_satisfied, instruct_pairs, pose_geometry
from unipose_hf.cli.demo import PHOTO
from unipose_hf.data.open_poses import load_open_poses
from unipose_hf.data.synthesis.rendering import render_training_images
from unipose_hf.evaluation import mpjpe, pa_mpjpe
from unipose_hf.evaluation.protocols.held_out import CLAUSES
from unipose_hf.evaluation.protocols.held_out_retrieval import evaluate_retrieval
from unipose_hf.modeling.pipeline_base_unipose import NO_DIFFERENCE

LEFT_WRIST, RIGHT_WRIST = 20, 21


@pytest.fixture(scope="module")
def poses():
    """Every 28th held-out pose, (16, 22, 3)."""
    return load_open_poses("test").axis_angle[::28]


@pytest.fixture(scope="module")
def pipelines():
    made = {"image-to-pose": pipeline("image-to-pose")}
    shared = {"model": made["image-to-pose"].model, "processor": made["image-to-pose"].processor}
    for task in unipose_hf.TASKS:
        made.setdefault(task, pipeline(task, **shared))
    return made


def joints_of(results):
    return torch.from_numpy(np.stack([result["pose"].joints for result in results]))


def joints(poses):
    return torch.from_numpy(np.stack([unipose_hf.Pose(pose).joints for pose in poses]))


def test_it_is_small():
    size = sum(file.stat().st_size for file in BUNDLED_CHECKPOINT.rglob("*") if file.is_file())
    assert size <= 40e6
    assert not list(BUNDLED_CHECKPOINT.rglob("*.bin")) and not list(BUNDLED_CHECKPOINT.rglob("*.pt"))


def test_it_is_an_ordinary_model_of_transformers():
    """How it decodes poses is in its generation configuration, and it takes any attention implementation."""
    eager = pipeline("text-to-pose", model_kwargs={"attn_implementation": "eager"})
    assert eager.model.generation_config.pose_decoding == "expected"
    assert eager.model.config.text_config._attn_implementation == "eager"
    usual = eager("The left knee is bent.")
    eager.model.set_attn_implementation("sdpa")
    changed = eager("The left knee is bent.")
    np.testing.assert_allclose(changed["pose"].joints, usual["pose"].joints, atol=1e-3)


@pytest.mark.versions
def test_a_photograph_gives_a_pose_that_raises_the_hand_that_is_raised(pipelines):
    [person] = pipelines["image-to-pose"](str(PHOTO))
    assert person["pose"].joints[RIGHT_WRIST, 1] > person["pose"].joints[LEFT_WRIST, 1] + 0.2


def test_rendered_people_are_estimated_better_than_by_the_mean_pose(pipelines, poses):
    rendered = render_training_images(poses, seed=5, size=512, occlusion=0)
    model, processor = pipelines["image-to-pose"].model, pipelines["image-to-pose"].processor
    whole = pipeline("image-to-pose", model=model, processor=processor, detector=None)
    people = [person for [person] in whole(list(rendered.images), batch_size=8)]
    truth = joints(rendered.axis_angle)
    assert pa_mpjpe(joints_of(people), truth).mean() < 0.105
    assert mpjpe(joints_of(people), truth).mean() < 0.180


@pytest.mark.versions
def test_texts_give_poses_that_do_what_they_state_and_not_what_others_state(pipelines, poses):
    captions, stated = caption_poses(poses, seed=9, max_clauses=CLAUSES, return_codes=True)
    made = np.stack([answer["pose"].axis_angle for answer in pipelines["text-to-pose"](captions, batch_size=8)])
    geometry = pose_geometry(torch.from_numpy(made))
    own = np.nanmean(codes_satisfied(stated, *geometry))
    others = np.nanmean(codes_satisfied(stated[1:] + stated[:1], *geometry))
    assert own > 0.7 and own > others + 0.35


def test_edits_come_nearer_to_the_target_than_the_source(pipelines, poses):
    sources, targets = poses.roll(1, 0), poses
    texts = instruct_pairs(sources, targets, seed=9, max_clauses=CLAUSES)
    items = [{"pose": pose, "text": text} for pose, text in zip(sources, texts, strict=True)]
    edited = joints_of(pipelines["pose-editing"](items, batch_size=8))
    assert mpjpe(edited, joints(targets)).mean() < 0.7 * mpjpe(joints(sources), joints(targets)).mean()


@pytest.mark.versions
def test_every_task_answers_in_words_or_poses_and_batches_change_nothing(pipelines, poses):
    pairs = [{"poses": [poses[i], poses[i + 1]]} for i in range(3)]
    for task, items in (("pose-to-text", [{"pose": pose} for pose in poses[:3]]), ("pose-diff", pairs)):
        together = pipelines[task](items, batch_size=3)
        alone = [pipelines[task](item) for item in items]
        assert [answer["text"] for answer in together] == [answer["text"] for answer in alone]
        assert all(len(answer["text"].split()) > 5 and answer["text"].endswith(".") for answer in alone)
    picture = Image.open(PHOTO)
    for from_poses in (None, True, False):
        pair = {"images": [picture, ImageOps.mirror(picture)]}
        for task, item in (("image-to-pose-text", {"image": picture}), ("image-diff", pair)):
            assert len(pipelines[task](item, from_poses=from_poses)["text"].split()) > 5


def test_equal_poses_and_pictures_have_no_difference(pipelines, poses):
    turned = unipose_hf.Pose(poses[0]).matrix
    turned[0] = np.array([[0, 0, 1], [0, 1, 0], [-1, 0, 0]]) @ turned[0]
    same = [pipelines["pose-diff"]({"poses": pair})["text"] for pair in ((poses[0], poses[0]), (poses[0], turned))]
    same.append(pipelines["image-diff"]({"images": [str(PHOTO), str(PHOTO)]})["text"])
    assert same == [NO_DIFFERENCE] * 3
    knee = poses[0].clone()
    knee[4, 0] += 0.2
    assert pipelines["pose-diff"]({"poses": (poses[0], knee)})["text"] != NO_DIFFERENCE


def test_nobody_in_a_picture_is_an_error_that_says_which(pipelines):
    with pytest.warns(UserWarning), pytest.raises(ValueError, match="Nobody was found in picture 2; give a box"):
        pipelines["image-diff"]({"images": [str(PHOTO), Image.new("RGB", (200, 200))]})


@pytest.mark.versions
def test_an_instruction_in_plain_words_moves_the_hand_it_names(pipelines, poses):
    before = joints(poses)
    for text, hand, other in (("left", LEFT_WRIST, RIGHT_WRIST), ("right", RIGHT_WRIST, LEFT_WRIST)):
        items = [{"pose": pose, "text": f"Raise your {text} hand above your head."} for pose in poses]
        rise = (joints_of(pipelines["pose-editing"](items, batch_size=8)) - before)[..., 1].mean(0)
        assert rise[hand] > 0.15 and rise[hand] > rise[other] + 0.1


def test_captions_say_more_of_their_own_pose_than_of_another(pipelines, poses):
    sacrebleu = pytest.importorskip("sacrebleu")
    answers = [
        answer["text"] for answer in pipelines["pose-to-text"]([{"pose": pose} for pose in poses], batch_size=8)
    ]
    references = [caption_poses(poses, seed=seed, max_clauses=CLAUSES) for seed in range(3)]
    others = [texts[1:] + texts[:1] for texts in references]
    assert sacrebleu.corpus_bleu(answers, references).score > sacrebleu.corpus_bleu(answers, others).score + 2


@pytest.mark.parametrize(
    ("name", "least"),
    [("pose-text-retrieval", 78), ("pose-text-retrieval-plain", 78), ("pose-pair-text-retrieval", 70)],
)
def test_the_retrieval_models_find_held_out_poses(name, least):
    folder = BUNDLED_CHECKPOINT.with_name(name)
    assert sum(file.stat().st_size for file in folder.iterdir()) < 5e6
    model, tokenizer = AutoModel.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    figures = evaluate_retrieval(model, tokenizer)
    assert figures["mrecall"] > least
    measured = json.loads((folder / "figures.json").read_text())
    assert abs(figures["mrecall"] - measured["mrecall"]) < 1.5
    assert f"| {measured['mrecall']:.1f} |" in (folder / "README.md").read_text(encoding="utf-8")
