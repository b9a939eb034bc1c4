# SPDX-License-Identifier: Apache-2.0
"""Protocols on a few open samples, the table of published figures, and the report that sets ours beside them."""

import json
import re

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_chat import tiny_model_and_processor

from unipose_hf.body import JOINT_NAMES, PARENTS, load_body
from unipose_hf.data.open_poses import load_open_poses
from unipose_hf.evaluation import cases, mpjpe, pa_mpjpe, r_precision, run
from unipose_hf.evaluation.held_out import _HeldOut, choose_poses
from unipose_hf.evaluation.open_set import OPEN_DATA, OpenSet
from unipose_hf.evaluation.pose_protocols import (
    FULL_SET,
    ONE_ANSWER,
    image_to_pose,
    pose_editing,
    random_sampling,
    retrieval,
    text_to_pose,
    tokenizer,
)
from unipose_hf.evaluation.protocol_joints import (
    body_joints,
    fourteen_body_joints,
    fourteen_mesh_joints,
    twenty_four_joints,
)
from unipose_hf.evaluation.published import PUBLISHED, UNIPOSE_SPREAD, WHERE
from unipose_hf.evaluation.report import OURS, report_text, tables
from unipose_hf.evaluation.results import Embedder, Figure, Result, Setting, over_seeds
from unipose_hf.evaluation.samples import question, references, words
from unipose_hf.evaluation.text_protocols import TEXT_PROTOCOL, pool_protocol, pose_diff, pose_to_text
from unipose_hf.modeling.processing_unipose import TASKS, task_messages
from unipose_hf.modeling.rotation_unipose import axis_angle_to_matrix

pytest.importorskip("sacrebleu")
pytest.importorskip("rouge_score")
pytest.importorskip("nltk")


@pytest.fixture(scope="module")
def tiny():
    model, processor = tiny_model_and_processor(text={"max_position_embeddings": 512})
    model.generation_config.max_length = None
    return model, processor


@pytest.fixture(scope="module")
def open_set():
    return OpenSet(5)


def vectors(count, seed):
    drawn = torch.randn(count, 6, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.normalize(drawn, dim=-1)


EMBEDDER = Embedder(lambda texts: vectors(len(texts), 0), lambda *poses: vectors(len(poses[0]), len(poses)))


def setting(tiny, **changes):
    options = dict(retrieval=EMBEDDER, pair_retrieval=EMBEDDER, batch_size=3, samples_per_text=7, seeds=(0, 1))
    return Setting(*tiny, OPEN_DATA, **options | changes)


def means(result):
    return {protocol: {k: f.mean for k, f in figures.items()} for protocol, figures in result.figures.items()}


# -- samples ---------------------------------------------------------------------------------------------------------


def test_open_samples_of_every_task(open_set):
    for task, rule in TASKS.items():
        samples = open_set.samples(task)
        assert len(samples) == len(open_set.poses)
        for sample in samples:
            assert sample["task"] == task and sample["messages"][-1]["role"] == "assistant"
            kinds = [part["type"] for part in question(sample)[0]["content"]]
            assert (kinds.count("image"), kinds.count("pose")) == (rule.images, rule.poses)
            assert all(pose.shape == (22, 3) for pose in sample["poses"])
        if rule.answer == "text":
            assert len(references(samples[0])) == 3 and len(samples[0]["poses"]) == max(rule.images, rule.poses)
        elif rule.text:
            assert words(samples[0]) in question(samples[0])[0]["content"][-1]["text"]
    with pytest.raises(ValueError, match="no task 'dance'"):
        open_set.samples("dance")


def test_bare_places_are_filled_in_order():
    poses = torch.randn(2, 22, 3)
    messages = task_messages("pose-diff", poses=list(poses), answer="Bend.")
    bare = [{"type": "pose"}, {"type": "pose"}, {"type": "text", "text": "How?"}]
    sample = {"task": "pose-diff", "messages": [{"role": "user", "content": bare}, messages[1]], "poses": poses}
    filled = question(sample)[0]["content"]
    assert filled[0]["pose"].equal(poses[0]) and filled[1]["pose"].equal(poses[1])
    assert references(sample) == ["Bend."] and words(sample) == "How?"
    with pytest.raises(ValueError, match="more places for poses"):
        question(sample | {"poses": poses[:1]})
    with pytest.raises(ValueError, match="does not end with the assistant's answer"):
        question(sample | {"messages": messages[:1]})


# -- protocols -------------------------------------------------------------------------------------------------------


def test_figures_agree_with_those_of_the_held_out_table(tiny, open_set):
    """The same poses, pairs and pictures, so the same errors."""
    poses = load_open_poses("test")
    rows = choose_poses(poses.clip_id, 5)
    tasks = _HeldOut(*tiny, poses.axis_angle[rows], poses.clip_id[rows], 3, seed=0).tasks()
    held_out = {task: tasks[task]() for task in ("tokenizer", "pose-editing", "image-to-pose")}
    samples, chosen = open_set, setting(tiny, retrieval=None, samples_per_text=2, seeds=(0,))
    found = means(image_to_pose(samples.samples("image-to-pose"), chosen))["root-aligned, 22 body joints"]
    assert found["mpjpe_mm"] == pytest.approx(held_out["image-to-pose"]["mpjpe_mm"], abs=0.06)
    assert found["pa_mpjpe_mm"] == pytest.approx(held_out["image-to-pose"]["pa_mpjpe_mm"], abs=0.06)
    found = means(pose_editing(samples.samples("pose-editing"), chosen))["one answer"]
    assert found["mpjpe_mm"] == pytest.approx(held_out["pose-editing"]["mpjpe_mm"], abs=0.06)
    copied = held_out["pose-editing"]["mpjpe_of_copied_source_mm"]
    assert found["mpjpe_mm_of_copied_source"] == pytest.approx(copied, abs=0.06)
    found = means(tokenizer(samples.samples("text-to-pose"), chosen))["reconstruction"]
    assert found["mpjpe_mm"] == pytest.approx(held_out["tokenizer"]["mpjpe_mm"], abs=0.06)


def test_text_to_pose_gives_every_protocol(tiny, open_set):
    samples = open_set.samples("text-to-pose")
    result = text_to_pose(samples, setting(tiny))
    found = means(result)
    pools = f"random-sampling, pools of {len(samples)}"
    assert set(found) == {"one answer", "7 samples a text", "full-set", "full-set, true poses", pools}
    assert found["full-set"] == pytest.approx(found[pools])  # pools as large as the set
    drawn = found["7 samples a text"]
    assert drawn["best_mpjpe_mm"] <= drawn["best6_mpjpe_mm"] <= drawn["mpjpe_mm"]
    assert len(result.figures["7 samples a text"]["mpjpe_mm"].runs) == 2
    assert result.figures["7 samples a text"]["mpjpe_mm"].variance > 0
    assert {"fid", "codes_true", "mpjpe_mm_of_mean_pose"} < set(found["one answer"]) and not result.missing
    body = load_body(size="small")
    joints = [body.joints(axis_angle_to_matrix(torch.as_tensor(x))) for x in (result.answers, open_set.poses)]
    torch.testing.assert_close(result.errors, 1000 * mpjpe(*joints), atol=0.01, rtol=0)
    assert found["one answer"]["pa_mpjpe_mm"] == pytest.approx(1000 * pa_mpjpe(*joints).mean().item(), abs=0.01)


class Parrot:
    """Answers with the first reference of each sample, as a perfect model would."""

    def __init__(self, monkeypatch, samples):
        said = iter([references(sample)[0] for sample in samples])
        monkeypatch.setattr(
            "unipose_hf.evaluation.text_protocols.answer_texts", lambda m, p, chats, size: [next(said) for _ in chats]
        )


def test_text_tasks_of_a_perfect_model(tiny, open_set, monkeypatch):
    samples = open_set.samples("pose-to-text")
    Parrot(monkeypatch, samples)
    result = pose_to_text(samples, setting(tiny))
    found = means(result)
    assert found["all references"]["bleu4"] == pytest.approx(100) == found["all references"]["rouge_l"]
    assert found["all references"]["bleu4_of_shifted"] < 80
    precision = found[f"R-precision, pools of {len(samples)}"]
    expected = r_precision(vectors(len(samples), 0), vectors(len(samples), 1), pool=len(samples))
    assert precision["top1"] == pytest.approx(expected["top1"]) == precision["top1_of_references"]
    assert result.errors.max() < 1e-4


def test_what_is_missing_is_named(tiny, open_set, monkeypatch):
    samples = open_set.samples("pose-diff")
    Parrot(monkeypatch, samples)

    def no_wordnet(*_):
        raise FileNotFoundError("METEOR needs WordNet")

    monkeypatch.setattr("unipose_hf.evaluation.text_protocols.meteor", no_wordnet)
    result = pose_diff(samples, setting(tiny, pair_retrieval=None))
    assert result.missing["METEOR"] == "METEOR needs WordNet"
    assert "--pair-retrieval" in result.missing["R-precision"] and list(result.figures) == ["all references"]
    result = retrieval(samples, setting(tiny, pair_retrieval=None))
    assert result.task == "pair-retrieval" and not result.figures and "--pair-retrieval" in result.missing["Recall"]
    with pytest.raises(ValueError, match="pose-to-text cannot be measured on a sample of 'pose-diff'"):
        pose_to_text(samples, setting(tiny))
    with pytest.raises(ValueError, match="no samples"):
        pose_to_text([], setting(tiny))


def test_retrieval_averages_over_the_captions(tiny, open_set):
    samples = open_set.samples("pose-to-text")
    seen = []

    def texts(given):
        seen.append(given)
        return vectors(len(given), len(seen))

    result = retrieval(samples, setting(tiny, retrieval=Embedder(texts, EMBEDDER.poses)))
    assert [list(column) for column in zip(*map(references, samples), strict=True)] == seen
    poses = vectors(len(samples), 1)
    first = [
        float((vectors(len(samples), k) @ poses.T).argmax(1).eq(torch.arange(len(samples))).float().mean())
        for k in (1, 2, 3)
    ]
    assert means(result)["full-set"]["t2p_r@1"] == pytest.approx(100 * sum(first) / 3)


# -- joint sets ------------------------------------------------------------------------------------------------------


def test_fourteen_joints(tmp_path):
    body = load_body(size="small")
    rotations = axis_angle_to_matrix(0.3 * torch.randn(3, 22, 3, generator=torch.Generator().manual_seed(0)))
    joints = body_joints().joints(body, rotations)
    near = fourteen_body_joints().joints(body, rotations)
    names = [JOINT_NAMES[int((joints == point).all(-1)[0].nonzero())] for point in near[:1].mT[0].T]
    assert len(set(names)) == 14 and not {"pelvis", "spine1", "left_collar", "left_foot"} & set(names)
    regressor = np.random.default_rng(0).dirichlet(np.ones(body.num_vertices), 17)
    np.save(tmp_path / "regressor.npy", regressor)
    drawn = fourteen_mesh_joints(tmp_path / "regressor.npy")
    found = drawn.joints(body, rotations)
    points = torch.einsum("jv,nvc->njc", torch.from_numpy(regressor).float(), body(rotations).vertices)
    torch.testing.assert_close(found[:, 0], points[:, 1] - points[:, 0], atol=1e-5, rtol=0)
    assert found.shape == (3, 14, 3) and drawn.name != fourteen_body_joints().name
    with pytest.raises(FileNotFoundError, match="SPIN"):
        fourteen_mesh_joints(tmp_path / "none.npy")
    np.save(tmp_path / "short.npy", regressor[:, :9])
    with pytest.raises(ValueError, match="9 vertices"):
        fourteen_mesh_joints(tmp_path / "short.npy").joints(body, rotations)
    np.save(tmp_path / "wrong.npy", regressor[:3])
    with pytest.raises(ValueError, match=r"expected \(17, vertices\)"):
        fourteen_mesh_joints(tmp_path / "wrong.npy")


def test_twenty_four_joints_are_smpls(tmp_path):
    """Against the rigid transforms of the `smplx` package, hands not turned."""
    lbs = pytest.importorskip("smplx.lbs")
    random, parents = np.random.default_rng(0), [-1, *PARENTS[1:], 20, 21]
    weights = random.dirichlet(np.ones(24), 40)
    arrays = dict(
        v_template=random.normal(size=(40, 3)),
        shapedirs=random.normal(size=(40, 3, 10)) * 0.1,
        posedirs=np.zeros((40, 3, 207)),
        J_regressor=random.dirichlet(np.ones(40), 24),
        weights=weights,
        f=random.integers(0, 40, (20, 3)),
        kintree_table=np.array([parents, range(24)]),
    )
    np.savez(tmp_path / "smpl.npz", **arrays)
    body, chosen = load_body(tmp_path / "smpl.npz"), twenty_four_joints(tmp_path / "smpl.npz")
    generator = torch.Generator().manual_seed(0)
    rotations = axis_angle_to_matrix(torch.randn(2, 22, 3, generator=generator))
    betas = torch.randn(2, 10, generator=generator)
    for shape in (betas, None):
        given = torch.zeros(2, 10) if shape is None else shape
        vertices = arrays["v_template"] + np.einsum("nk,vck->nvc", given.numpy(), arrays["shapedirs"])
        rest = torch.from_numpy(arrays["J_regressor"] @ vertices).float()
        whole = torch.cat((rotations, torch.eye(3).expand(2, 2, 3, 3)), 1)
        expected, _ = lbs.batch_rigid_transform(whole, rest, torch.tensor(parents))
        found = chosen.joints(body, rotations, shape)
        torch.testing.assert_close(found, expected - expected[:, :1], atol=1e-4, rtol=0)
    np.savez(tmp_path / "other.npz", **arrays | {"J_regressor": arrays["J_regressor"][:20]})
    with pytest.raises(ValueError, match="20 joints"):
        twenty_four_joints(tmp_path / "other.npz")


# -- figures over runs -----------------------------------------------------------------------------------------------


def test_mean_and_variance_over_seeds():
    found = over_seeds(lambda seed: {"a": seed, "b": 1}, (1, 2, 6))
    assert found["a"] == Figure(3.0, 14 / 3, (1.0, 2.0, 6.0)) and found["b"].variance == 0


def test_best_median_and_worst():
    assert cases.chosen_cases(torch.tensor([3.0, 1.0, 9.0, 2.0, 5.0])) == {"best": 1, "median": 0, "worst": 2}
    assert cases.chosen_cases(torch.tensor([7.0])) == {"best": 0, "median": 0, "worst": 0}


# -- published figures and the report --------------------------------------------------------------------------------


def test_published_figures_are_whole():
    keys = [(row.task, row.data, row.protocol, row.body, row.method) for row in PUBLISHED]
    assert len(set(keys)) == len(keys) and {row.task for row in PUBLISHED} == set(run.MEASUREMENTS)
    assert all(row.figures and row.data in WHERE for row in PUBLISHED)
    found = {
        (row.task, row.data, name): value
        for row in PUBLISHED
        for name, value in row.figures.items()
        if row.method == "UniPose"
    }
    assert found["image-to-pose", "3DPW test", "pa_mpjpe_mm"] == 59.1
    assert found["pose-diff", "PoseFix-H test", "top3"] == 88.6
    for (task, name), (mean, _) in UNIPOSE_SPREAD.items():  # the same figure, of other runs
        printed = [value for (of, _, figure), value in found.items() if (of, figure) == (task, name)]
        assert min(abs(value - mean) for value in printed) <= max(0.01 * mean, 1.5)
    for row in PUBLISHED:
        if "mrecall" in row.figures and len(row.figures) == 7:
            cells = [value for name, value in row.figures.items() if name != "mrecall"]
            assert sum(cells) / 6 == pytest.approx(row.figures["mrecall"], abs=0.35)
        assert row.figures.get("pa_mpjpe_mm", 0) <= row.figures.get("mpjpe_mm", 1e9)


def test_published_protocols_are_those_of_ours(tmp_path):
    np.save(tmp_path / "regressor.npy", np.ones((17, 9)))
    joints = fourteen_mesh_joints(tmp_path / "regressor.npy").name
    ours = {TEXT_PROTOCOL, pool_protocol(32), ONE_ANSWER, FULL_SET, "reconstruction", f"root-aligned, {joints}"}
    assert ours < {row.protocol for row in PUBLISHED}
    assert random_sampling(32) not in {row.protocol for row in PUBLISHED}  # nobody states the size


def result_on(data, body, protocol="one answer"):
    figures = {protocol: {"mpjpe_mm": Figure.of([123.4]), "fid": Figure.of([0.1, 0.3])}}
    return Result("pose-editing", data, body, 4, figures, {"METEOR": "No WordNet."}).to_dict()


def test_only_the_same_data_protocol_and_body_share_a_table():
    same = tables(result_on("PoseFix-H test", "SMPL"))
    assert list(same) == [("PoseFix-H test", "one answer", "SMPL")]
    assert list(same["PoseFix-H test", "one answer", "SMPL"])[0] == OURS
    assert same["PoseFix-H test", "one answer", "SMPL"][OURS] == {"mpjpe_mm": "123.4", "fid": "0.200 (0.01)"}
    for changed in (
        result_on("PoseFix-H test", "bundled body"),
        result_on(OPEN_DATA, "SMPL"),
        result_on("PoseFix-H test", "SMPL", "30 samples a text"),
    ):
        found = tables(changed)
        assert len(found) == 2
        assert all((OURS in methods) != ("UniPose" in methods) for methods in found.values())


def test_report_names_everything():
    text = report_text([result_on(OPEN_DATA, "bundled body")], pictures={"pose-editing": "pictures/p.png"})
    assert f"Data: {OPEN_DATA}. Protocol: one answer. Body: bundled body." in text
    assert "| UniPose | 270.3 | 138.9 | 0.015 |" in text and "* METEOR: No WordNet." in text
    assert "![best, median and worst answer](pictures/p.png)" in text
    assert "* PoseFix-H test: human instructions: https://" in text and "smpl.is.tue.mpg.de" in text
    assert "mpjpe_mm 271.1 (0.61)" in text
    for block in re.findall(r"(?:^\|.*\n)+", text, re.M):  # every row as wide as its head
        assert len({line.count("|") for line in block.splitlines()}) == 1
    assert "Data that is not here" not in report_text([result_on("PoseFix-H test", "SMPL")])


def test_cases_are_drawn_with_poses_texts_and_pictures(monkeypatch, open_set):
    drawn = []

    def draw(pose, size):
        drawn.append(np.asarray(pose).sum().item())
        return Image.new("RGB", (size, size), "red")

    monkeypatch.setattr(cases, "draw_pose", draw)
    errors = torch.tensor([3.0, 1.0, 9.0, 2.0])
    answers = torch.zeros(4, 22, 3)
    for task in TASKS:
        samples, told = open_set.samples(task)[:4], TASKS[task].answer == "text"
        result = Result(
            task, OPEN_DATA, "b", 4, {}, {}, ["Bend.", "", "Kick.", "Sit."] if told else answers, errors, "MPJPE"
        )
        page = cases.draw_cases(result, samples)
        assert page.width == cases.PAGE_WIDTH and len(page.getcolors(2**24)) > 20
        expected = 3 * (TASKS[task].poses + 2 * (not told))  # what is given; the answer and the truth
        assert len(drawn) == expected, task
        drawn.clear()
    with pytest.raises(ValueError, match="gave no answers"):
        cases.draw_cases(Result("retrieval", OPEN_DATA, "b", 4, {}), [])


def test_a_finished_task_is_not_measured_again(tiny, tmp_path, monkeypatch, open_set):
    told, asked = [], []
    samples = open_set
    monkeypatch.setattr(run, "draw_cases", lambda result, samples: Image.new("RGB", (90, 60), "red"))

    def samples_of(task):
        asked.append(task)
        return samples.samples(task)

    def evaluate(*tasks, key="a"):
        return run.evaluate_into(tmp_path, setting(tiny), samples_of, tasks, {"model": key}, told.append)

    report = evaluate("tokenizer")
    assert asked == ["text-to-pose"] and told == ["tokenizer: 1 of 1 done"]
    kept = (tmp_path / "tasks" / "tokenizer.json").read_bytes()
    evaluate("tokenizer", "retrieval")
    assert asked == ["text-to-pose", "pose-to-text"]  # only the new one
    assert (tmp_path / "tasks" / "tokenizer.json").read_bytes() == kept
    assert [one["task"] for one in json.loads((tmp_path / "figures.json").read_text())] == ["tokenizer", "retrieval"]
    text = report.read_text()
    assert "## tokenizer" in text and "## retrieval" in text and "(pictures/tokenizer.png)" in text
    assert Image.open(tmp_path / "pictures" / "tokenizer.png").size == (90, 60)
    evaluate("tokenizer", key="b")  # another model
    assert asked[2:] == ["text-to-pose"] and "## retrieval" not in report.read_text()
    (tmp_path / "tasks" / "tokenizer.json").write_text("{")
    evaluate("tokenizer", key="b")
    assert len(asked) == 4
    assert sorted(path.name for path in tmp_path.iterdir()) == ["figures.json", "pictures", "report.md", "tasks"]
    with pytest.raises(ValueError, match="no task 'dance' to evaluate"):
        evaluate("dance")
    with pytest.raises(ValueError, match="no task ''"):
        evaluate()
