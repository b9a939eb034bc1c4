# SPDX-License-Identifier: Apache-2.0
"""Metrics against hand-computed or brute-force values, the model card, and a run on a few held-out poses."""

import json
import math

import numpy as np
import pytest
import roma
import torch
from huggingface_hub import ModelCard

from tiny_chat import tiny_model_and_processor
from unipose_hf.data.language.composer import load_described
from unipose_hf.data.open_poses import load_open_poses
from unipose_hf.evaluation import mpjpe, pa_mpjpe
from unipose_hf.evaluation.protocols.described import evaluate_described_prompts
from unipose_hf.evaluation.protocols.held_out import choose_poses, evaluate_held_out, other_of_clip
from unipose_hf.evaluation.protocols.plain_texts import evaluate_plain_texts
from unipose_hf.evaluation.reporting.card import (
    ROWS,
    described_table,
    eval_results,
    figures_table,
    plain_texts_table,
    write_card,
)
from unipose_hf.evaluation.reporting.model_index import OPEN_POSES, result, retrieval_results, with_model_index


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


# -- metrics ---------------------------------------------------------------------------------------------------------


def test_mpjpe_by_hand():
    target = torch.tensor([[0.0, 0, 0], [1, 0, 0], [0, 2, 0]])
    predicted = target + torch.tensor([[0.0, 0, 0], [0.3, 0.4, 0], [0, 0, 1.0]])
    assert mpjpe(predicted, target).item() == pytest.approx((0 + 0.5 + 1) / 3)
    assert mpjpe(predicted + torch.tensor([5.0, -2, 1]), target).item() == pytest.approx(0.5, abs=1e-5)
    moved_root = target.clone()
    moved_root[0, 0] = 0.3  # the pelvis is moved to the origin, so the others are off
    assert mpjpe(moved_root, target).item() == pytest.approx(0.2)


def similar(points, seed=0, reflected=False):
    """The points turned, scaled and moved at random, each pose by itself."""
    rotation = roma.random_rotmat(points.shape[:-2], generator=generator(seed))
    if reflected:
        rotation = rotation * torch.tensor([-1.0, 1, 1])
    scale = 0.5 + torch.rand(*points.shape[:-2], 1, 1, generator=generator(seed + 1))
    return scale * points @ rotation.mT + torch.randn(*points.shape[:-2], 1, 3, generator=generator(seed + 2))


def test_pa_mpjpe_forgives_a_similarity_but_no_reflection():
    points = torch.randn(2, 5, 22, 3, generator=generator())
    assert pa_mpjpe(similar(points), points).max() < 1e-5
    assert pa_mpjpe(similar(points, reflected=True), points).min() > 0.1
    flat = points * torch.tensor([1.0, 1, 0])  # the reflection of a flat shape is also a rotation
    assert pa_mpjpe(similar(flat, reflected=True), flat).max() < 1e-5


def test_pa_mpjpe_is_the_least_squares_optimum():
    """No other similarity near the one found, nor a random one, has a smaller sum of squares."""
    predicted, target = torch.randn(2, 6, 3, generator=generator(4))
    centred, goal = predicted - predicted.mean(0), target - target.mean(0)
    squares = []
    for reach in (math.pi, 0.3, 0.03):
        turns = roma.rotvec_to_rotmat(reach * torch.randn(4000, 3, generator=generator(5)))
        start = turns if not squares else turns @ best  # noqa: F821
        scales = torch.linspace(0.05, 1.5, 60)[:, None, None, None]
        errors = (scales * (centred @ start.mT) - goal).square().sum((-1, -2))  # (60, 4000)
        squares.append(errors.min())
        best = start[errors.min(0).values.argmin()]
    # the mean distance is taken at the least-squares optimum, where both agree
    scale = scales.flatten()[((scales[:, 0] * (centred @ best.T) - goal).square().sum((-1, -2))).argmin()]
    searched = (scale * centred @ best.T - goal).norm(dim=-1).mean()
    assert pa_mpjpe(predicted, target).item() == pytest.approx(searched.item(), rel=0.02)
    assert squares[2] <= squares[0]


def test_batches_and_wrong_shapes():
    predicted, target = torch.randn(2, 4, 3, 22, 3, generator=generator())
    for metric in (mpjpe, pa_mpjpe):
        assert metric(predicted, target).shape == (4, 3)
        torch.testing.assert_close(metric(predicted, target)[1, 2], metric(predicted[1, 2], target[1, 2]))
        assert metric(predicted.numpy().astype("float64"), target).dtype == torch.float32
        for wrong in (target[0], target[..., :2], target[..., :21, :]):
            with pytest.raises(ValueError, match="one shape"):
                metric(predicted, wrong)
        with pytest.raises(ValueError, match=r"\(\.\.\., joints, 3\)"):
            metric(target[0, 0, 0], target[0, 0, 0])


# -- figures and cards -----------------------------------------------------------------------------------------------


def made_up_figures():
    """Every figure that the table asks for, all different."""
    names = {
        "tokenizer": ("mpjpe_mm", "pa_mpjpe_mm"),
        "pose-editing": ("mpjpe_mm", "mpjpe_of_copied_source_mm"),
        "image-to-pose": ("mpjpe_mm", "pa_mpjpe_mm", "mpjpe_of_mean_pose_mm", "pa_mpjpe_of_mean_pose_mm"),
    }
    for task in ("pose-to-text", "pose-diff", "image-to-pose-text", "image-diff"):
        names[task] = ("bleu4", "bleu4_of_shuffled_references", "codes_true", "codes_true_of_shuffled_texts")
        names[task] += ("codes_per_text",)
    numbers = iter(range(100, 1000))
    figures = {task: {name: next(numbers) for name in keys} for task, keys in names.items()}
    satisfied = ("codes_satisfied", "codes_of_shuffled_captions_satisfied", "mpjpe_mm")
    figures["text-to-pose"] = {way: {name: next(numbers) for name in satisfied} for way in ("expected", "argmax")}
    return figures | {"poses": 7, "clips": ["kick", "walk"], "seconds": 3}


def test_the_table_puts_each_figure_beside_its_baseline():
    figures = made_up_figures()
    lines = figures_table(figures).splitlines()
    assert lines[0] == "| task | figure | model | baseline |" and len(lines) == len(ROWS) + 2
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]
    assert all(len(row) == 4 for row in rows)
    found = {(task, label): (value, baseline) for task, label, value, baseline in rows}
    pictures, texts = figures["image-to-pose"], figures["text-to-pose"]
    assert found["image-to-pose", "PA-MPJPE, mm, rendered people"] == (
        str(pictures["pa_mpjpe_mm"]),
        f"{pictures['pa_mpjpe_of_mean_pose_mm']} (mean pose)",
    )
    assert found["text-to-pose", "stated codes satisfied, likeliest codes"] == (
        str(texts["argmax"]["codes_satisfied"]),
        f"{texts['argmax']['codes_of_shuffled_captions_satisfied']} (shuffled captions)",
    )
    assert found["pose-editing", "MPJPE, mm"][1].endswith("(source pose copied)")
    assert found["image-diff", "BLEU-4, rendered people"][1].endswith("(shuffled references)")
    assert found["tokenizer", "MPJPE, mm"] == (str(figures["tokenizer"]["mpjpe_mm"]), "")


def test_runs_of_the_last_stage_give_mean_and_variance():
    figures = made_up_figures()
    first, second = (figures | {"tokenizer": {"mpjpe_mm": error, "pa_mpjpe_mm": 6.0}} for error in (8.0, 4.0))
    lines = figures_table(first | {"runs": [first, second]}).splitlines()
    assert lines[0] == "| task | figure | model | mean / variance of 2 runs | baseline |"
    assert lines[2] == "| tokenizer | MPJPE, mm | 8.0 | 6 / 8 |  |"
    assert all(line.count("|") == 6 for line in lines)


def test_cards_are_filled_and_unknown_placeholders_refused(tmp_path):
    figures = made_up_figures()
    template, folder = tmp_path / "card.md", tmp_path / "model"
    folder.mkdir()
    template.write_text("---\nlicense: mit\n---\n# Card\n{{poses}} poses of {{clips}}.\n\n{{figures}}\n")
    write_card(template, figures, folder)
    text = (folder / "README.md").read_text()
    assert text.startswith("---\nlicense: mit\nmodel-index:\n- name: model\n")
    assert text.endswith(f"\n---\n# Card\n7 poses of kick, walk.\n\n{figures_table(figures)}\n")
    assert json.loads((folder / "figures.json").read_text()) == figures
    assert sorted(path.name for path in folder.iterdir()) == ["README.md", "figures.json"]
    template.write_text("{{accuracy}}")
    with pytest.raises(ValueError, match=r"card.md has a placeholder that no figure fills: '\{\{accuracy\}\}'"):
        write_card(template, figures, folder)
    assert (folder / "README.md").read_text() == text
    with pytest.raises(FileNotFoundError, match="none.md"):
        write_card(tmp_path / "none.md", figures, folder)


def test_the_metadata_holds_every_figure_of_the_tables():
    figures = made_up_figures()
    counts = {"right": 3, "asked": 4, "right_not_in_bank": 0, "asked_not_in_bank": 1}
    counts["right_by_name"] = 4
    figures["plain-english"] = {"command": counts, "edit": counts | {"right": 1}, "kept_limbs_turned_degrees": 2.0}
    figures["described"] = {"short": {"rows": 5, "mpjpe_mm": 9.5, "mpjpe_of_mean_pose_mm": 20.0}}
    results = eval_results(figures)
    found = {(each.task_name, each.dataset_config, each.metric_name): each.metric_value for each in results}
    assert len(found) == len(results) == len(ROWS) + 3
    assert (
        found["text-to-pose", "text-to-pose", "MPJPE, mm, expected pose"]
        == (figures["text-to-pose"]["expected"]["mpjpe_mm"])
    )
    assert found["text-to-pose", "command", "right of 4 prompts"] == 0.75
    assert found["pose-editing", "edit", "right of 4 prompts"] == 0.25
    assert found["text-to-pose", "short", "MPJPE, mm"] == 9.5

    once = with_model_index("---\nlicense: mit\n---\n# Card\n", "model", results[:2])
    again = with_model_index(
        once.replace("license: mit\n", "").replace("---\n#", "tags: [x]\n---\n#"), "model", results
    )
    read = ModelCard(again)
    assert read.data.tags == ["x"] and again.count("model-index:") == 1 and again.endswith("\n---\n# Card\n")
    assert sorted(map(repr, read.data.eval_results)) == sorted(map(repr, results))


def test_the_metadata_holds_recalls():
    recall = {"rows": 9, "t2p_r@1": 54.07, "p2t_r@10": 96.6, "mrecall": 80.01}
    results = retrieval_results(recall | {"described": {"short": {"rows": 2, "top1": 12.34}}})
    assert [(each.dataset_config, each.metric_type, each.metric_name, each.metric_value) for each in results] == [
        ("pose-retrieval", "r@1", "r@1, text to pose, %", 54.1),
        ("pose-retrieval", "r@10", "r@10, pose to text, %", 96.6),
        ("pose-retrieval", "mrecall", "mrecall, %", 80.0),
        ("short", "top1", "top1, %", 12.3),
    ]


def test_cards_whose_figures_would_be_misread_are_refused():
    same = [result(task, OPEN_POSES, "all", "mpjpe", "MPJPE, mm", 1.0) for task in ("text-to-pose", "pose-editing")]
    with pytest.raises(ValueError, match="two tasks share a part of the same data"):
        with_model_index("---\nlicense: mit\n---\n# Card\n", "model", same)
    with pytest.raises(
        ValueError, match="begins with its metadata between two lines '---', but this one with '# Card"
    ):
        with_model_index("# Card\n", "model", same)


# -- held-out poses --------------------------------------------------------------------------------------------------


def test_no_pose_is_its_own_partner():
    clips = torch.tensor([5, 3, 3, 5, 5, 7, 7, 3, 5])
    for seed in range(50):
        others = other_of_clip(clips, generator(seed))
        assert (others != torch.arange(9)).all() and clips[others].equal(clips)
        assert sorted(others.tolist()) == list(range(9))


def test_chosen_poses_have_a_partner():
    clip_id = load_open_poses("test").clip_id
    assert choose_poses(clip_id, None).equal(torch.arange(len(clip_id)))
    assert choose_poses(clip_id, 10**6).equal(torch.arange(len(clip_id)))
    for count in range(3, 60):
        chosen = choose_poses(clip_id, count)
        assert 2 <= len(chosen) <= count and len(chosen) >= count - len(clip_id.unique())
        assert clip_id[chosen].unique(return_counts=True)[1].min() > 1
    with pytest.raises(ValueError, match="With 2 poses spread over 4 clips no two share a clip"):
        choose_poses(clip_id, 2)


def test_a_few_poses_give_every_figure():
    model, processor = tiny_model_and_processor(text={"max_position_embeddings": 512})
    model.generation_config.max_length = None
    figures = evaluate_held_out(model, processor, count=4, batch_size=2)
    assert figures["poses"] == 3 and len(figures["clips"]) == 1
    assert len(figures_table(figures).splitlines()) == len(ROWS) + 2
    assert figures["image-to-pose"]["pa_mpjpe_mm"] <= figures["image-to-pose"]["mpjpe_mm"]
    assert 0 < figures["image-to-pose"]["mpjpe_of_mean_pose_mm"] < 1000
    assert figures["pose-editing"]["mpjpe_of_copied_source_mm"] > 0
    again = evaluate_held_out(model, processor, count=4, batch_size=3)
    assert {**again, "seconds": 0} == {**figures, "seconds": 0}


def test_described_poses_that_were_held_out_are_measured_in_both_styles(tmp_path):
    poses = load_open_poses("test").axis_angle[200:240]
    rows = [
        {"id": n, "licence": "CC0", "clip": "walk", "short": "a person", "full": "A person stands."} for n in range(40)
    ]
    (tmp_path / "described_poses.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    np.savez(tmp_path / "described_poses.npz", axis_angle=poses.numpy())
    held_out = len(load_described(tmp_path, "poses", kept_back=True).texts)
    assert 0 < held_out < 40
    figures = evaluate_described_prompts(*tiny_model_and_processor(), tmp_path)
    assert {voice: row["rows"] for voice, row in figures.items()} == {"short": held_out, "full": held_out}
    # an untrained model knows nothing, the mean pose something
    assert 0 < figures["short"]["mpjpe_of_mean_pose_mm"] < figures["short"]["mpjpe_mm"]
    assert described_table(figures).count("\n") == 3


def test_plain_texts_are_judged_beside_measured_ones():
    figures = evaluate_plain_texts(*tiny_model_and_processor(), 40)
    measured, own = figures["measured pose-to-text"], figures["pose-to-text"]
    assert measured["true"] > 0.97 > 0.7 > measured["true_of_other_texts"] and measured["statements"] > 4
    assert own["true"] < 0.3 and own["found"] < 25  # an untrained model writes nonsense
    assert figures["measured pose-diff"]["true"] > 0.97 and figures["measured pose-diff"]["found"] > 50
    assert measured["top1"] > 25
    assert plain_texts_table(figures).count("\n") == 5
