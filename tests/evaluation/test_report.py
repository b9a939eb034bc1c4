# SPDX-License-Identifier: Apache-2.0
"""Evaluation protocols on a few open samples, the published figures, and the report that compares ours to them."""

import re
from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from miniatures import (
    write_amass,
    write_emdb,
    write_human36m,
    write_moyo_pictures,
    write_sequence,
    write_texts,
)
from tiny_chat import tiny_model_and_processor
from unipose_hf.body import JOINT_NAMES, PARENTS, load_body, remove_yaw
from unipose_hf.cli.evaluating import _gendered
from unipose_hf.data.open_poses import load_open_poses
from unipose_hf.data.records import PairRecord, PoseRecord
from unipose_hf.evaluation import mpjpe, pa_mpjpe, r_precision, run
from unipose_hf.evaluation.protocols.held_out import _HeldOut, choose_poses
from unipose_hf.evaluation.protocols.open_set import OPEN_DATA, REASONING, OpenSet
from unipose_hf.evaluation.protocols.paper_sets import _pair, _sample_records, paper_sets, read_samples
from unipose_hf.evaluation.protocols.pose_protocols import (
    FULL_SET,
    ONE_ANSWER,
    image_to_pose,
    pose_editing,
    random_sampling,
    reasoning_image_to_pose,
    retrieval,
    text_to_pose,
    tokenizer,
)
from unipose_hf.evaluation.protocols.protocol_joints import (
    body_joints,
    fourteen_body_joints,
    fourteen_mesh_joints,
    twenty_four_joints,
)
from unipose_hf.evaluation.protocols.samples import question, references, words
from unipose_hf.evaluation.protocols.text_protocols import TEXT_PROTOCOL, pool_protocol, pose_diff, pose_to_text
from unipose_hf.evaluation.reporting import cases
from unipose_hf.evaluation.reporting.ablations import ABLATIONS, ablation_rows
from unipose_hf.evaluation.reporting.published import PUBLISHED, UNIPOSE_SPREAD, WHERE
from unipose_hf.evaluation.reporting.report import OURS, report_text, tables
from unipose_hf.evaluation.reporting.results import Embedder, Figure, Result, Setting, over_seeds
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
    with pytest.raises(ValueError, match="more pose placeholders"):
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
    assert set(found) == {
        *("one answer", "7 samples a text", "one at a time"),
        *("full-set", "full-set, true poses", pools),
    }
    assert found["one at a time"]["seconds"] > 0
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


def test_the_clock_runs_only_while_the_model_answers(tiny, open_set):
    chosen = setting(tiny)
    tokenizer(open_set.samples("text-to-pose"), chosen)
    assert chosen.generation_seconds == 0
    image_to_pose(open_set.samples("image-to-pose"), chosen)
    assert chosen.generation_seconds > 0


def test_tokenizer_also_of_turned_poses(tiny, open_set):
    """A turn of the whole body changes what the tokenizer sees, but no error after alignment if it bears it."""
    found = means(tokenizer(open_set.samples("text-to-pose"), setting(tiny)))
    assert set(found) == {"reconstruction", "reconstruction, turned"}
    assert found["reconstruction"]["mpjpe_mm"] != found["reconstruction, turned"]["mpjpe_mm"]


def test_reasoning_finds_the_person_meant(tiny, open_set, monkeypatch):
    samples = open_set.samples(REASONING)
    again = OpenSet(5).samples(REASONING)
    for sample, same in zip(samples, again, strict=True):
        assert 1 <= len(sample["others"]) <= 3 and sample["text"] in question(sample)[0]["content"][-1]["text"]
        assert sample["text"] == same["text"] and torch.equal(
            torch.tensor(sample["poses"][0]), torch.tensor(same["poses"][0])
        )

    def answer(who):
        def stand_in(setting, chats, **options):
            said = chats[0][0]["content"][-1]["text"]
            poses = [sample["poses"][0] if "Estimate the pose." != said else sample["others"][0] for sample in samples]
            return axis_angle_to_matrix(torch.tensor(np.stack(poses if who else poses[::-1])))

        return stand_in

    monkeypatch.setattr("unipose_hf.evaluation.protocols.pose_protocols.answer_poses", answer(True))
    result = reasoning_image_to_pose(samples, setting(tiny))
    [figures] = means(result).values()
    assert result.task == REASONING and figures["person_found"] == 100 and figures["mpjpe_mm"] < 0.01
    assert figures["mpjpe_mm_without_words"] > 10 and 25 <= figures["person_found_by_chance"] <= 50
    monkeypatch.setattr("unipose_hf.evaluation.protocols.pose_protocols.answer_poses", answer(False))
    [figures] = means(reasoning_image_to_pose(samples, setting(tiny))).values()
    assert figures["person_found"] < 100


class Parrot:
    """Answers with the first reference of each sample, as a perfect model would."""

    def __init__(self, monkeypatch, samples):
        said = iter([references(sample)[0] for sample in samples])
        monkeypatch.setattr(
            "unipose_hf.evaluation.protocols.text_protocols.answer_texts",
            lambda setting, chats: [next(said) for _ in chats],
        )


def test_text_tasks_of_a_perfect_model(tiny, open_set, monkeypatch):
    samples = open_set.samples("pose-to-text")
    Parrot(monkeypatch, samples)
    no_words = SimpleNamespace(synsets=lambda word: [])
    monkeypatch.setattr("unipose_hf.evaluation.metrics.text_metrics.find_wordnet", lambda: no_words)
    result = pose_to_text(samples, setting(tiny))
    found = means(result)
    assert found["all references"]["bleu4"] == pytest.approx(100) == found["all references"]["rouge_l"]
    assert found["all references"]["meteor"] > 99 and "METEOR" not in result.missing
    for name in ("bleu4", "rouge_l", "meteor"):
        assert found["all references"][f"{name}_of_shifted"] < 80
    assert found["stated codes"]["codes_true"] > 95 > found["stated codes"]["codes_true_of_shuffled_texts"]
    precision = found[f"R-precision, pools of {len(samples)}"]
    expected = r_precision(vectors(len(samples), 0), vectors(len(samples), 1), pool=len(samples))
    assert precision["top1"] == pytest.approx(expected["top1"]) == precision["top1_of_references"]
    expected = 1 - (vectors(len(samples), 0) * vectors(len(samples), 1)).sum(1)
    torch.testing.assert_close(result.errors, expected)
    Parrot(monkeypatch, samples)
    assert pose_to_text(samples, setting(tiny, retrieval=None)).errors.max() < 1e-4  # from text only


def test_what_is_missing_is_named(tiny, open_set, monkeypatch):
    samples = open_set.samples("pose-diff")
    Parrot(monkeypatch, samples)

    def no_wordnet(*_):
        raise FileNotFoundError("METEOR needs WordNet")

    monkeypatch.setattr("unipose_hf.evaluation.protocols.text_protocols.meteor", no_wordnet)
    result = pose_diff(samples, setting(tiny, pair_retrieval=None))
    assert result.missing["METEOR"] == "METEOR needs WordNet"
    assert "--pair-retrieval" in result.missing["R-precision"] and list(result.figures) == [
        "all references",
        "stated codes",
    ]
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


def write_smpl(path, seed=0):
    """A body of 40 vertices and SMPL's 24 joints; its arrays."""
    random, parents = np.random.default_rng(seed), [-1, *PARENTS[1:], 20, 21]
    arrays = dict(
        v_template=random.normal(size=(40, 3)),
        shapedirs=random.normal(size=(40, 3, 10)) * 0.1,
        posedirs=np.zeros((40, 3, 207)),
        J_regressor=random.dirichlet(np.ones(40), 24),
        weights=random.dirichlet(np.ones(24), 40),
        f=random.integers(0, 40, (20, 3)),
        kintree_table=np.array([parents, range(24)]),
    )
    np.savez(path, **arrays)
    return arrays


def test_twenty_four_joints_are_smpls(tmp_path):
    """Against the rigid transforms of the `smplx` package, hands not turned."""
    lbs = pytest.importorskip("smplx.lbs")
    arrays = write_smpl(tmp_path / "smpl.npz")
    body, chosen, parents = load_body(tmp_path / "smpl.npz"), twenty_four_joints(), arrays["kintree_table"][0]
    generator = torch.Generator().manual_seed(0)
    rotations = axis_angle_to_matrix(torch.randn(2, 22, 3, generator=generator))
    betas = torch.randn(2, 10, generator=generator)
    for shape in (betas, None):
        given = torch.zeros(2, 10) if shape is None else shape
        vertices = arrays["v_template"] + np.einsum("nk,vck->nvc", given.numpy(), arrays["shapedirs"])
        rest = torch.from_numpy(arrays["J_regressor"] @ vertices).float()
        whole = torch.cat((rotations, torch.eye(3).expand(2, 2, 3, 3)), 1)
        expected, _ = lbs.batch_rigid_transform(whole, rest, torch.from_numpy(parents))
        found = chosen.joints(body, rotations, shape)
        torch.testing.assert_close(found, expected - expected[:, :1], atol=1e-4, rtol=0)
    with pytest.raises(ValueError, match="give an SMPL file to load_body"):
        chosen.joints(load_body(size="small"), rotations)


# -- pictures on which pose estimation is measured -------------------------------------------------------------------


def answered_by_the_truth(monkeypatch):
    def answer(setting, chats, **options):
        return axis_angle_to_matrix(torch.stack([torch.as_tensor(pose).float() for pose in truths]))

    truths = []
    monkeypatch.setattr("unipose_hf.evaluation.protocols.pose_protocols.answer_poses", answer)
    return truths


def test_true_bodies_have_their_own_shape_and_gender(tiny, tmp_path, monkeypatch):
    """The true poses are answered, so that all errors are those of the bodies."""
    pytest.importorskip("smplx")
    for seed, name in enumerate(("neutral", "female", "male")):
        write_smpl(tmp_path / f"SMPL_{name.upper()}.npz", seed)
    body, female, male = (load_body(tmp_path / f"SMPL_{name}.npz") for name in ("NEUTRAL", "FEMALE", "MALE"))
    write_sequence(tmp_path / "3dpw")
    [three] = [one for one in paper_sets(tmp_path) if one.data == "3DPW test"]
    samples = read_samples(three, "image-to-pose")  # three frames of a man with a shape, one of a woman with none
    truths = answered_by_the_truth(monkeypatch)
    truths.extend(sample["poses"][0] for sample in samples)
    poses = axis_angle_to_matrix(torch.stack(truths))
    joints = body.joints(poses)

    [figures] = means(image_to_pose(samples, setting(tiny))).values()  # the bundled body has other shapes
    assert figures["mpjpe_mm"] < 1e-3 and figures["pve_mm"] < 1e-3 and figures["rotation_deg"] < 0.1

    result = image_to_pose(samples, setting(tiny, body=body, gendered={"female": female, "male": male}))
    theirs = torch.cat([male.joints(poses[:3], torch.arange(10.0).expand(3, 10)), female.joints(poses[3:])])
    assert list(result.figures) == ["root-aligned, 22 body joints"] and not result.missing
    torch.testing.assert_close(result.errors, 1000 * mpjpe(joints, theirs))

    result = image_to_pose(samples, setting(tiny, body=body))  # not reported as the published metric
    assert list(result.figures) == ["root-aligned, 22 body joints, true poses on a neutral body"]
    assert "SMPL_FEMALE" in result.missing["Bodies of women and men"]
    theirs = torch.cat([body.joints(poses[:3], torch.arange(10.0).expand(3, 10)), joints[3:]])
    torch.testing.assert_close(result.errors, 1000 * mpjpe(joints, theirs))
    assert set(_gendered(tmp_path / "SMPL_NEUTRAL.npz")) == {"female", "male"}
    assert _gendered(tmp_path / "SMPL_FEMALE.npz") == _gendered(None) == {}


def test_measured_joints_need_no_pose(tiny, tmp_path, monkeypatch):
    (tmp_path / "human36m").mkdir()
    write_human36m(tmp_path / "human36m")
    [one] = run.paper_measurements(["image-to-pose"], tmp_path)[1:2]
    samples = one.samples()
    answered_by_the_truth(monkeypatch).extend(torch.zeros(2, 22, 3))
    result = one.protocol(samples, setting(tiny))
    [(protocol, figures)] = means(result).items()
    assert protocol == "root-aligned, 14 of the body joints" and not {"pve_mm", "rotation_deg"} & figures.keys()
    # joints without rotations form an upright body with level arms, so each joint is mapped correctly
    upright = fourteen_body_joints().joints(setting(tiny).body, torch.eye(3).expand(2, 22, 3, 3))
    found = mpjpe(upright, torch.stack([sample["joints"] for sample in samples]), root=None)
    torch.testing.assert_close(result.errors, 1000 * found)
    assert found.max() < 0.15
    for sample in samples:
        Image.new("RGB", (64, 64), "red").save(sample["images"][0]["image"])
    assert (255, 0, 0) in {colour for _, colour in cases.draw_cases(result, samples).getcolors(2**24)}


@pytest.mark.parametrize("place, data", [(0, "3DPW test"), (1, "Human3.6M test"), (2, "EMDB 1"), (3, "MOYO, HSMR")])
def test_each_set_is_measured_on_its_joints(tiny, tmp_path, monkeypatch, place, data):
    pytest.importorskip("smplx")
    write_smpl(tmp_path / "SMPL_NEUTRAL.npz")
    np.save(tmp_path / "regressor.npy", np.random.default_rng(0).dirichlet(np.ones(40), 17))
    (tmp_path / "human36m").mkdir()
    (tmp_path / "moyo").mkdir()
    write_sequence(tmp_path / "3dpw"), write_human36m(tmp_path / "human36m")
    write_emdb(tmp_path / "emdb"), write_moyo_pictures(tmp_path / "moyo")
    one = run.paper_measurements(["image-to-pose"], tmp_path, regressor=tmp_path / "regressor.npy")[place]
    samples = one.samples()
    body = load_body(tmp_path / "SMPL_NEUTRAL.npz")
    answered_by_the_truth(monkeypatch).extend(torch.zeros(len(samples), 22, 3))
    result = one.protocol(samples, setting(tiny, body=body, gendered={"female": body, "male": body}))
    [protocol] = result.figures
    published = {row.protocol for row in PUBLISHED if row.task == "image-to-pose" and row.data == one.data}
    assert one.data.startswith(data) and {protocol} == published and result.body == "SMPL"


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
    for (task, name), (mean, _) in UNIPOSE_SPREAD.items():  # the same metric from other runs
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
    assert random_sampling(32) not in {row.protocol for row in PUBLISHED}  # the size is not stated anywhere


def result_on(data, body, protocol="one answer"):
    figures = {protocol: {"mpjpe_mm": Figure.of([123.4]), "fid": Figure.of([0.1, 0.3])}}
    return Result("pose-editing", data, body, 4, figures, {"METEOR": "No WordNet."}).to_dict()


def test_only_the_same_data_protocol_and_body_share_a_table():
    same = tables([result_on("PoseFix-H test", "SMPL")])
    assert list(same) == [("PoseFix-H test", "one answer", "SMPL")]
    assert list(same["PoseFix-H test", "one answer", "SMPL"])[0] == OURS
    assert same["PoseFix-H test", "one answer", "SMPL"][OURS] == {"mpjpe_mm": "123.4", "fid": "0.200 (0.01)"}
    for changed in (
        result_on("PoseFix-H test", "bundled body"),
        result_on(OPEN_DATA, "SMPL"),
        result_on("PoseFix-H test", "SMPL", "30 samples a text"),
    ):
        found = tables([changed])
        assert len(found) == 2
        assert all((OURS in methods) != ("UniPose" in methods) for methods in found.values())


def test_report_names_everything():
    text = report_text([result_on(OPEN_DATA, "bundled body") | {"picture": "pictures/p.jpg"}])
    assert f"Data: {OPEN_DATA}. Protocol: one answer. Body: bundled body." in text
    assert "| UniPose | 270.3 | 138.9 | 0.015 |" in text and "* METEOR: No WordNet." in text
    assert f"![best, median and worst answer, {OPEN_DATA}](pictures/p.jpg)" in text
    assert "* PoseFix-H test: human instructions: https://" in text and "smpl.is.tue.mpg.de" in text
    assert "mpjpe_mm 271.1 (0.61)" in text
    for block in re.findall(r"(?:^\|.*\n)+", text, re.M):  # every row has as many columns as the header
        assert len({line.count("|") for line in block.splitlines()}) == 1
    assert "Data that is not here" not in report_text([result_on("PoseFix-H test", "SMPL")])
    reasons = {"EMDB 1": "There is no folder.", "my set": "It is damaged."}
    absent = report_text([result_on("PoseFix-H test", "SMPL")], absent=reasons)
    assert "\n* my set: It is damaged.\n" in absent
    assert "* EMDB 1: https://eth-ait.github.io/emdb, after registering. There is no folder." in absent


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
        texts = told or TASKS[task].text
        assert (page.width == cases.PAGE_WIDTH) == texts and len(page.getcolors(2**24)) > 20
        expected = 3 * (TASKS[task].poses + 2 * (not told))  # what is given; the answer and the truth
        assert len(drawn) == expected, task
        drawn.clear()
    with pytest.raises(ValueError, match="gave no answers"):
        cases.draw_cases(Result("retrieval", OPEN_DATA, "b", 4, {}), [])


def test_a_finished_measurement_is_not_made_again(tiny, tmp_path, monkeypatch, open_set):
    told, asked = [], []
    monkeypatch.setattr(run, "draw_cases", lambda result, samples: Image.new("RGB", (90, 60), "red"))

    def evaluate(*tasks, key="a", more=()):
        def samples(task):
            asked.append(task)
            return open_set.samples(task)

        plan = run.open_measurements(tasks, SimpleNamespace(samples=samples), OPEN_DATA)
        return run.evaluate_into(tmp_path, setting(tiny), [*plan, *more], {"model": key}, told.append, "Of it")

    report = evaluate("tokenizer")
    assert asked == ["text-to-pose"] and told == [f"tokenizer, {OPEN_DATA}: 1 of 1, done"]
    [kept] = run.read_results(tmp_path)
    evaluate("retrieval", "tokenizer")
    assert asked == ["text-to-pose", "pose-to-text"]  # only the new one
    assert [one["task"] for one in run.read_results(tmp_path)] == ["tokenizer", "retrieval"]
    assert run.read_results(tmp_path)[0] == kept
    text = report.read_text()
    assert text.startswith("# Of it\n") and "## tokenizer" in text and "## retrieval" in text
    assert f"]({kept['picture']})" in text and Image.open(tmp_path / kept["picture"]).size == (90, 60)
    evaluate("tokenizer", key="b")  # another model
    assert asked[2:] == ["text-to-pose"] and "## retrieval" not in report.read_text()
    (tmp_path / "figures.json").write_text("{")
    evaluate("tokenizer", key="b")
    assert len(asked) == 4

    for trouble in (FileNotFoundError("There is no folder amass."), ValueError("This is no motion.")):

        def none_there(trouble=trouble):
            raise trouble

        evaluate("tokenizer", key="b", more=[run.Measurement("tokenizer", "AMASS test", none_there, None)])
        assert told[-1].endswith(f"2 of 2, {trouble}")
        assert f"after registering. {trouble}" in report.read_text()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["figures.json", "pictures", "report.md"]


def test_tasks_and_folders_that_are_not_there(tmp_path):
    for tasks, found in ((["dance"], "'dance'"), ([], "''")):
        with pytest.raises(ValueError, match=f"no task {found} to evaluate"):
            run.check_tasks(tasks)
    with pytest.raises(FileNotFoundError, match="unipose evaluate --output"):
        run.read_results(tmp_path)


def test_a_model_is_told_by_its_contents(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "model.safetensors").write_bytes(b"weights")
        (tmp_path / name / "config.json").write_text("{}")
    kept = run.fingerprint(tmp_path / "a")
    (tmp_path / "a" / "README.md").write_text("a card")
    assert kept == run.fingerprint(tmp_path / "a") == run.fingerprint(tmp_path / "b")
    (tmp_path / "b" / "model.safetensors").write_bytes(b"others")
    assert run.fingerprint(tmp_path / "b") != kept


# -- ablations -------------------------------------------------------------------------------------------------------


def test_ablations_compare_models():
    def result(task, protocol, **figures):
        return Result(task, OPEN_DATA, "b", 4, {protocol: {k: Figure.of([v]) for k, v in figures.items()}}).to_dict()

    causal = [result("text-to-pose", "full-set", **{"t2p_r@5": 1.5}), result("pose-to-text", TEXT_PROTOCOL, bleu4=30)]
    mixed = [result("text-to-pose", "one at a time", seconds=0.25)]
    text = report_text(mixed, other_models={"causal": causal})
    [head, _, ours, other] = re.search(rf"Attention .*Data: {OPEN_DATA}\.\n\n((?:\|.*\n)+)", text)[1].splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in (head, ours, other)]
    found = {row[0]: dict(zip(cells[0][1:], row[1:], strict=True)) for row in cells[1:]}
    assert found[OURS]["text-to-pose, one at a time: seconds"] == "0.250"
    assert found["causal"] == {
        "text-to-pose, one at a time: seconds": "",
        "text-to-pose, full-set: t2p_r@5": "1.50",
        "pose-to-text, all references: bleu4": "30.00",
    }
    assert "| UniPose, mixed | 13.80 |" in text and "## Ablations" not in report_text(mixed)


def test_ablations_ask_for_figures_that_there_are(tiny, open_set):
    """Their columns are names of protocols and figures that the tasks give."""
    results = [
        protocol(open_set.samples(task), setting(tiny, samples_per_text=6, seeds=(0,))).to_dict()
        for task, protocol in (("text-to-pose", tokenizer), ("image-to-pose", image_to_pose))
    ]
    for ablation, task in ((ABLATIONS[0], "tokenizer"), (ABLATIONS[1], "image-to-pose")):
        [rows] = ablation_rows(ablation, {"m": results}).values()
        assert len(rows["m"]) == sum(column[0] == task for column in ablation.columns)
    for ablation in ABLATIONS:
        assert all(len(values) == len(ablation.printed) for values in ablation.published.values())


# -- published sets --------------------------------------------------------------------------------------------------


def test_samples_of_the_published_sets(tmp_path, monkeypatch):
    write_amass(tmp_path / "amass")
    write_texts(tmp_path / "posescript")
    write_texts(tmp_path / "posefix")
    write_sequence(tmp_path / "3dpw")
    write_emdb(tmp_path / "emdb")
    sets = {one.data: one for one in paper_sets(tmp_path)}
    assert set(sets) < set(WHERE)
    for task, data, count in (
        ("tokenizer", "AMASS test", 3),
        ("text-to-pose", "PoseScript-H2 test", 1),
        ("pose-to-text", "PoseScript-H2 test", 1),
        ("pose-editing", "PoseFix-H test", 1),
        ("pose-diff", "PoseFix-H test", 1),
        ("image-to-pose", "3DPW test", 4),
        ("image-to-pose", "EMDB 1", 3),
    ):
        samples = read_samples(sets[data], task)
        assert len(samples) == count and len(read_samples(sets[data], task, 1)) == 1
        for sample in samples:
            assert task == "tokenizer" or sample["task"] == task
            assert len(question(sample)) == 1 and all(pose.shape == (22, 3) for pose in sample["poses"])
    assert words(read_samples(sets["PoseScript-H2 test"], "text-to-pose")[0]) == "Waits."
    assert references(read_samples(sets["PoseFix-H test"], "pose-diff")[0]) == ["Turn."]
    sample = read_samples(sets["3DPW test"], "image-to-pose")[0]
    assert sample["betas"].shape == (10,) and Image.open(sample["images"][0]["image"]).size == (8, 8)
    with pytest.raises(FileNotFoundError, match="MOYO"):
        read_samples(sets["MOYO validation"], "tokenizer")
    plan = run.paper_measurements(["image-to-pose", "retrieval"], tmp_path)
    assert [(one.name, one.data) for one in plan] == [
        ("retrieval", "PoseScript-H2 test"),
        ("image-to-pose", "3DPW test"),
        ("image-to-pose", "Human3.6M test"),
        ("image-to-pose", "EMDB 1"),
        ("image-to-pose", "MOYO, HSMR's list of pictures"),
    ]


def test_draws_from_a_stream_are_even():
    counts = Counter(number for seed in range(400) for number in _sample_records(range(10), 4, seed))
    assert set(counts) == set(range(10)) and max(counts.values()) - min(counts.values()) < 70
    assert _sample_records(range(3), 4, 0) == [0, 1, 2]
    assert _sample_records(range(9), 4, 1) == sorted(_sample_records(range(9), 4, 1))


def test_pairs_of_one_motion_keep_the_turn_between_them():
    poses = 0.4 * torch.randn(2, 22, 3, generator=torch.Generator().manual_seed(3))
    sides = [PoseRecord("s", "m", i, "l", pose.numpy()) for i, pose in enumerate(poses)]
    for in_sequence in (True, False):
        first, second = _pair(PairRecord("s", "l", *sides, ("t",), in_sequence))
        torch.testing.assert_close(first, remove_yaw(poses[0]))
        before, after = ((b[0].T @ a[0]) for a, b in (roots(poses), roots(torch.stack([first, second]))))
        # the relative turn about the viewer's vertical axis is kept or removed
        assert torch.allclose(before, after, atol=1e-5) == in_sequence
        assert torch.allclose(second, remove_yaw(poses[1]), atol=1e-5) != in_sequence


def roots(poses):
    return axis_angle_to_matrix(poses[:, :1])
