# SPDX-License-Identifier: Apache-2.0
"""The retrieval models, their training data and their pipeline."""

import functools
import inspect
import json
import math
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from transformers import AutoModel, pipeline

from tiny import random_rotations, tiny_pose_config
from tiny_chat import tiny_tokenizer
from unipose_hf import (
    Pose,
    PosePairTextRetrievalConfig,
    PosePairTextRetrievalModel,
    PoseTextRetrievalConfig,
    PoseTextRetrievalModel,
)
from unipose_hf.body import JOINT_NAMES, mirror_pose
from unipose_hf.data.language.composer import Composer
from unipose_hf.data.language.wording import swap_sides
from unipose_hf.evaluation.protocols.held_out_retrieval import evaluate_described, evaluate_retrieval
from unipose_hf.hub.folder import export
from unipose_hf.modeling.modeling_pose_retrieval import batch_classification_loss, sigmoid_loss
from unipose_hf.modeling.pipeline_pose_retrieval import PoseRetrievalPipeline
from unipose_hf.modeling.rotation_unipose import axis_angle_to_matrix
from unipose_hf.training.generated_rows import (
    SIBLINGS,
    PlainTable,
    draw_captions,
    draw_instructions,
    draw_plain,
    draw_siblings,
)
from unipose_hf.training.open_samples import share_limbs
from unipose_hf.visualization import draw_results

KINDS = {1: (PoseTextRetrievalConfig, PoseTextRetrievalModel)}
KINDS[2] = (PosePairTextRetrievalConfig, PosePairTextRetrievalModel)
TEXTS = ["Raise the left arm.", "The right knee is bent.", "The torso leans forward.", "Bend the left arm."]


def tiny_retrieval(num_poses=1, **changes):
    config_class, model_class = KINDS[num_poses]
    sizes = dict(
        pose_config=tiny_pose_config(),
        conv_channels=[16, 16],
        pose_hidden_size=16,
        word_embedding_size=8,
        embed_dim=12,
    )
    torch.manual_seed(0)
    config = config_class(vocab_size=len(tiny_tokenizer()), **sizes | changes)
    return model_class(config).eval()


def some_rotations(count=4, num_poses=1, seed=0):
    rotations = random_rotations(count * num_poses, seed)
    return rotations if num_poses == 1 else rotations.unflatten(0, (count, num_poses))


def words(texts=TEXTS, side="right"):
    return dict(tiny_tokenizer()(texts, padding=True, padding_side=side, return_tensors="pt"))


# -- the models ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("num_poses", KINDS)
@pytest.mark.parametrize("gated", [False, True])
def test_shapes_and_lengths(num_poses, gated):
    model = tiny_retrieval(num_poses, gated_head=gated)
    output = model(some_rotations(3, num_poses), **words())
    assert output.logits.shape == (4, 3) and output.loss is None  # which text would belong to which pose?
    assert output.text_embeds.shape == (4, 12) and output.pose_embeds.shape == (3, 12)
    for embeds in (output.text_embeds, output.pose_embeds):
        torch.testing.assert_close(embeds.norm(dim=1), torch.ones(len(embeds)))
    torch.testing.assert_close(output.logits, model.temperature * output.text_embeds @ output.pose_embeds.T)
    assert model(some_rotations(3, num_poses)).text_embeds is None and model(**words()).pose_embeds is None


def test_published_sizes_by_default():
    config = PoseTextRetrievalConfig()
    assert (config.embed_dim, config.vocab_size, config.word_embedding_size) == (512, 30522, 768)
    assert (config.pose_config.num_codes, config.pose_config.code_dim) == (80, 256)
    with torch.device("meta"):
        model = PoseTextRetrievalModel(config)
    assert model.get_input_embeddings().weight.shape == (30522, 768)
    assert model.text_encoder.forward_gru.hidden_size == 256 and model.pose_encoder.output_layer.out_features == 512


@pytest.mark.parametrize("start", [10.0, 3.0])
def test_temperature_starts_as_told_and_is_learnt(start):
    model = tiny_retrieval(initial_temperature=start)
    assert model.temperature.item() == pytest.approx(start)
    model(some_rotations(), **words()).loss.backward()
    assert float(model.log_temperature.grad) != 0
    assert tiny_retrieval().temperature.item() == pytest.approx(10)


def test_losses_by_hand():
    logits = torch.tensor([[2.0, -1.0], [0.5, 1.0]])
    rows = [math.log(1 + math.exp(-3)), math.log(1 + math.exp(-0.5))]  # own column against the other
    columns = [math.log(1 + math.exp(-1.5)), math.log(1 + math.exp(-2))]
    assert float(batch_classification_loss(logits)) == pytest.approx(sum(rows) / 2)
    assert float(batch_classification_loss(logits.T)) == pytest.approx(sum(columns) / 2)
    own, others = [2.0, 1.0], [-1.0, 0.5]
    by_hand = sum(math.log(1 + math.exp(-x)) for x in own) + sum(math.log(1 + math.exp(x)) for x in others)
    assert float(sigmoid_loss(logits)) == pytest.approx(by_hand / 2)


def test_each_loss_is_the_one_named():
    rotations, texts = some_rotations(), words()
    expected = {}
    for loss in ("one-way", "symmetric", "siglip"):
        output = tiny_retrieval(loss=loss)(rotations, **texts)
        logits, target = output.logits, torch.arange(4)
        expected["one-way"] = F.cross_entropy(logits, target)  # from a text to the poses
        expected["symmetric"] = (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2
        expected["siglip"] = -F.logsigmoid(logits * (2 * torch.eye(4) - 1)).sum() / 4
        torch.testing.assert_close(output.loss, expected[loss])
        cosines = output.text_embeds @ output.pose_embeds.T
        torch.testing.assert_close(logits, 10 * cosines - (10 if loss == "siglip" else 0))


def test_a_large_batch_is_read_like_its_texts_one_by_one():
    model, texts = tiny_retrieval(), [("word " * (1 + 7 * number % 19)).strip() for number in range(20)]
    together = model.get_text_features(**words(texts)).pooler_output
    for number, text in enumerate(texts):
        alone = model.get_text_features(**words([text])).pooler_output[0]
        torch.testing.assert_close(together[number], alone, atol=1e-5, rtol=0)


def test_padding_changes_no_text():
    model, texts = tiny_retrieval(), ["Raise.", "The torso leans forward and the right knee is bent."]
    right, left = (model.get_text_features(**words(texts, side)).pooler_output for side in ("right", "left"))
    torch.testing.assert_close(right, left)
    for i, text in enumerate(texts):
        torch.testing.assert_close(model.get_text_features(**words([text])).pooler_output[0], right[i])
    padded = words(texts)
    padded["input_ids"][padded["attention_mask"] == 0] = 7  # regardless of the content
    torch.testing.assert_close(model.get_text_features(**padded).pooler_output, right)
    without_mask = model.get_text_features(words(texts)["input_ids"])  # which the pad id gives
    torch.testing.assert_close(without_mask.pooler_output, right)


def test_every_word_and_its_place_count():
    model = tiny_retrieval()
    ids = words(["The right knee is bent."])["input_ids"]
    features = model.get_text_features(ids).pooler_output
    for changed in (ids.flip(1), ids[:, 1:], ids[:, :-1]):
        assert (model.get_text_features(changed).pooler_output - features).norm() > 1e-3


@pytest.mark.parametrize("num_poses", KINDS)
@pytest.mark.parametrize("loss", ["symmetric", "siglip"])
def test_saved_is_loaded(num_poses, loss, tmp_path):
    model = tiny_retrieval(num_poses, loss=loss, gated_head=True)
    with torch.no_grad():
        for parameter in model.parameters():  # nothing as it starts
            parameter.add_(0.1 * torch.randn_like(parameter))
    model.save_pretrained(tmp_path)
    again, report = AutoModel.from_pretrained(tmp_path, output_loading_info=True)
    assert type(again) is type(model) and not report["missing_keys"] and not report["unexpected_keys"]
    inputs = {"rotations": some_rotations(4, num_poses), **words()}
    torch.testing.assert_close(again(**inputs).logits, model(**inputs).logits, rtol=0, atol=0)
    assert again.config.loss == loss and again.config.pose_config.hidden_size == tiny_pose_config().hidden_size


def test_outputs_are_those_of_other_two_tower_models():
    model = tiny_retrieval()
    output = model(some_rotations(), **words())
    assert model.get_text_features(**words()).pooler_output.equal(output.text_embeds)
    [poses] = model.get_pose_features(some_rotations(), return_dict=False)
    assert poses.equal(output.pose_embeds)
    loss, logits, *embeds = model(some_rotations(), **words(), return_dict=False)
    assert loss.equal(output.loss) and logits.equal(output.logits) and len(embeds) == 2
    first = next(iter(inspect.signature(model.forward).parameters))
    assert model.main_input_name == first == "rotations"
    model.config.return_dict = False
    assert type(model(some_rotations(), **words())) is tuple


def test_pairs_have_a_direction():
    model = tiny_retrieval(2)
    pairs = some_rotations(4, 2)
    forwards, backwards = (model.get_pose_features(given).pooler_output for given in (pairs, pairs.flip(1)))
    assert (forwards - backwards).norm(dim=1).min() > 1e-3
    changed = pairs.clone()
    changed[:, 0] = changed[:, 0].roll(1, 0)  # the first pose counts, too
    assert (model.get_pose_features(changed).pooler_output - forwards).norm(dim=1).min() > 1e-3


@pytest.mark.parametrize(
    "sizes",
    [
        dict(encoder_lengths=[40], num_downsamples=1, decoder_lengths=[22], kernel_size=3),
        dict(encoder_lengths=[], num_downsamples=0, decoder_lengths=[], kernel_size=1, codes_per_position=1),
    ],
)
def test_every_joint_counts(sizes):
    model = tiny_retrieval(pose_config=tiny_pose_config(**sizes))
    rotations = torch.eye(3).expand(23, 22, 3, 3).clone()
    for joint in range(22):
        rotations[joint, joint] = random_rotations(1)[0, 0]
    features = model.get_pose_features(rotations).pooler_output
    assert torch.pdist(features).min() > 1e-5  # every joint matters, and joints are not interchangeable


def test_mistakes_in_inputs_are_told():
    model, pairs = tiny_retrieval(), tiny_retrieval(2)
    with pytest.raises(ValueError, match=r"shape \(batch, 22, 3, 3\), found \(4, 2, 22, 3, 3\)"):
        model.get_pose_features(some_rotations(4, 2))
    with pytest.raises(ValueError, match=r"shape \(batch, 2, 22, 3, 3\), found \(4, 22, 3, 3\)"):
        pairs.get_pose_features(some_rotations())
    with pytest.raises(ValueError, match="finite"):
        model.get_pose_features(some_rotations() * torch.nan)
    with pytest.raises(ValueError, match="Text 1 of the batch has no token"):
        model.get_text_features(torch.tensor([[5, 6], [0, 0]]))
    with pytest.raises(ValueError, match="nothing to embed"):
        model()
    with pytest.raises(ValueError, match="embed_dim is 7"):
        PoseTextRetrievalConfig(embed_dim=7)
    with pytest.raises(ValueError, match="initial_temperature is 0"):
        PoseTextRetrievalConfig(initial_temperature=0.0)


# -- automatic texts -----------------------------------------------------------------------------------------------


def some_poses(count, seed=0):
    return 0.4 * torch.randn(count, 22, 3, generator=torch.Generator().manual_seed(seed))


def test_draws_repeat_and_differ():
    pool = some_poses(20)
    before = pool.clone()
    draws = (draw_captions, (6, 22, 3)), (draw_siblings, (6, 22, 3)), (draw_instructions, (6, 2, 22, 3))
    for draw, shape in draws:
        first, again, other = (draw(pool, 6, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
        assert first[0].shape == shape and len(first[1]) == 6
        assert torch.equal(first[0], again[0]) and first[1] == again[1]
        assert first[1] != other[1]
    assert torch.equal(pool, before)


def test_drawn_pairs_share_limbs_or_nothing():
    pairs, _ = draw_instructions(some_poses(500), 64, torch.Generator().manual_seed(0))
    shared = (pairs[:, 0] == pairs[:, 1]).all(-1).float().mean(1)
    assert 8 < (shared == 0).sum() < 56 and ((shared > 0) & (shared < 1)).sum() > 8


def test_the_joints_of_a_limb_are_shared_together():
    generator = torch.Generator().manual_seed(0)
    first, second = torch.zeros(200, 22, 3), torch.ones(200, 22, 3)
    shared = share_limbs(first, second, torch.ones(200, dtype=torch.bool), 0.5, generator)[..., 0] == 0  # (200, 22)
    together = (shared[:, :, None] == shared[:, None]).all(0)  # (22, 22)
    found = {frozenset(JOINT_NAMES[joint] for joint in row.nonzero()[:, 0].tolist()) for row in together}
    arm, leg = ("collar", "shoulder", "elbow", "wrist"), ("hip", "knee", "ankle", "foot")
    limbs = {frozenset(f"{side}_{part}" for part in limb) for side in ("left", "right") for limb in (arm, leg)}
    assert found == limbs | {frozenset({"pelvis", "spine1", "spine2", "spine3", "neck", "head"})}


def test_siblings_are_alike_but_not_the_same():
    pool = some_poses(500)
    before = pool.clone()
    poses, texts = draw_siblings(pool, 32, torch.Generator().manual_seed(0))
    assert torch.equal(pool, before) and len(set(texts)) > 16
    alike = (poses[:, None] == poses).all(-1).float().mean(-1)  # (32, 32), share of equal joints
    family = torch.arange(32) // SIBLINGS
    same = family[:, None] == family
    assert alike[same].mean() > 0.5 and alike[~same].mean() < 0.05


@pytest.mark.parametrize("num_poses", KINDS)
def test_held_out_figures_of_a_model_that_learnt_nothing(num_poses):
    figures = evaluate_retrieval(tiny_retrieval(num_poses), tiny_tokenizer(), count=24)
    assert 12 < figures["rows"] <= 24
    assert 0 <= figures["mrecall"] < 60 and figures["t2p_r@1"] <= figures["t2p_r@5"] <= figures["t2p_r@10"]


@pytest.mark.parametrize(("engine", "shape"), [(draw_siblings, (24, 22, 3)), (draw_instructions, (24, 2, 22, 3))])
def test_plain_english_is_drawn_with_the_engine_now_and_then(engine, shape):
    pool, drawn = some_poses(40), []

    def draw_engine(*arguments):
        drawn.append(len(drawn))
        return engine(*arguments)

    table = PlainTable(Composer(pool), 60, pairs=len(shape) == 4, seed=1)
    assert len(table.texts) == 60 and table.poses.shape == (60, *shape[1:]) and table.poses.isfinite().all()
    draw = functools.partial(draw_plain, table=table, engine=draw_engine)
    blocks, of_engine = [], []
    for seed in range(6):
        before = len(drawn)
        blocks.append(draw(pool, 24, torch.Generator().manual_seed(seed)))
        of_engine.append(len(drawn) > before)
    assert any(of_engine) and not all(of_engine)
    again = draw(pool, 24, torch.Generator().manual_seed(4))
    assert again[1] == blocks[4][1] and torch.equal(again[0], blocks[4][0])
    mirrored = 0
    for (poses, texts), engines in zip(blocks, of_engine, strict=True):
        assert poses.shape == shape and len(texts) == 24 and poses.isfinite().all()
        said = [text.lower().rstrip(".") for text in texts if text]
        if engines:
            continue
        assert len(set(said)) == len(said) > 8
        for first, last in zip(range(6), range(18, 24), strict=True):  # mirror images of the first rows
            if texts[last] and texts[last] == swap_sides(texts[first]):
                assert torch.equal(poses[last], mirror_pose(poses[first]))
                mirrored += 1
    assert mirrored > 2


@pytest.mark.parametrize("num_poses", KINDS)
def test_described_poses_that_were_kept_back_are_measured_in_both_voices(num_poses, tmp_path):
    kind, names = ("poses", ["axis_angle"]) if num_poses == 1 else ("pairs", ["a", "b"])
    source = {"licence": "CC0-1.0", "clip": "made_up"}
    rows = [{"id": i, "short": f"pose {i}", "full": f"This is pose {i}."} for i in range(600)]
    rows = [row | (source if num_poses == 1 else {"from": source, "to": source}) for row in rows]
    (tmp_path / f"described_{kind}.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    poses = some_poses(600).numpy()
    np.savez(tmp_path / f"described_{kind}.npz", **{name: poses for name in names})
    figures = evaluate_described(tiny_retrieval(num_poses), tiny_tokenizer(), tmp_path)
    assert set(figures) == {"short", "full"}
    for own in figures.values():
        assert 32 < own["rows"] < 100 and 0 <= own["top1"] < 20 and own["t2p_r@1"] <= own["t2p_r@10"] < 50
    with pytest.raises(FileNotFoundError):
        evaluate_described(tiny_retrieval(num_poses), tiny_tokenizer(), tmp_path / "none")


# -- the pipeline --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def learnt():
    """Both models after they learnt four texts and their poses by heart."""
    models = {}
    for num_poses in KINDS:
        model = tiny_retrieval(num_poses, initial_temperature=20.0)
        rotations, texts = facing(num_poses), words()
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
        for _ in range(60):
            optimizer.zero_grad()
            loss = model(rotations, **texts).loss
            loss.backward()
            optimizer.step()
        assert loss < 0.1
        models[num_poses] = model.eval()
    return models


def known_poses(num_poses=1):
    """Four poses, or pairs, that face the viewer."""
    poses = some_poses(4 * num_poses, seed=5)
    poses[:, 0] = 0
    return poses if num_poses == 1 else poses.unflatten(0, (4, 2))


def facing(num_poses):
    return axis_angle_to_matrix(known_poses(num_poses))


def search(model, gallery, **options):
    return pipeline(
        "pose-retrieval", model=model, tokenizer=tiny_tokenizer(), gallery=gallery, device="cpu", **options
    )


@pytest.mark.parametrize("num_poses", KINDS)
def test_pipeline_ranks_the_right_row_first(learnt, num_poses):
    poses, key = known_poses(num_poses), "pose" if num_poses == 1 else "poses"
    by_text, by_pose = search(learnt[num_poses], poses), search(learnt[num_poses], TEXTS)
    assert type(by_text) is PoseRetrievalPipeline
    for i, text in enumerate(TEXTS):
        found = by_text(text, top_k=3)
        assert [row["index"] for row in found][0] == i and len(found) == 3
        scores = [row["score"] for row in found]
        assert scores == sorted(scores, reverse=True) and -1.001 <= scores[-1] <= scores[0] <= 1.001
        back = found[0][key] if num_poses == 2 else [found[0][key]]
        np.testing.assert_allclose([pose.axis_angle for pose in back], poses[i].reshape(-1, 22, 3), atol=1e-6)
        assert by_pose(poses[i])[0]["text"] == text and by_pose({key: poses[i].numpy()})[0]["index"] == i
    assert [rows[0]["index"] for rows in by_text(TEXTS)] == [0, 1, 2, 3] and by_text([]) == []


def test_pipeline_scores_are_cosines_and_heading_does_not_matter(learnt):
    pipe = search(learnt[1], known_poses())
    output = learnt[1](facing(1), **words())
    cosines = output.text_embeds @ output.pose_embeds.T
    found = {row["index"]: row["score"] for row in pipe(TEXTS[0])}
    np.testing.assert_allclose([found[i] for i in range(4)], cosines[0].tolist(), atol=1e-5)
    turned = known_poses()
    turned[:, 0] = torch.tensor([0, 1.0, 0])
    found = {row["index"]: row["score"] for row in pipe(TEXTS[0], gallery=turned)}
    np.testing.assert_allclose([found[i] for i in range(4)], cosines[0].tolist(), atol=1e-5)


def test_pipeline_takes_what_users_have(learnt):
    poses = known_poses()
    best = {row["index"]: row["score"] for row in search(learnt[1], poses)(TEXTS[1])}
    galleries = [list(poses), [Pose(pose) for pose in poses], poses.numpy(), facing(1), _Table(pose=poses.tolist())]
    for gallery in galleries:
        found = {row["index"]: row["score"] for row in search(learnt[1], gallery)(TEXTS[1])}
        assert found == pytest.approx(best, abs=1e-5)
    both = search(learnt[1], _Table(pose=poses.tolist(), text=TEXTS, other=[0] * 4))
    assert both(TEXTS[2])[0] == {**both(TEXTS[2])[0], "index": 2, "text": TEXTS[2]}
    assert both(Pose(poses[3]))[0]["text"] == TEXTS[3]
    nearest = search(learnt[1], poses)(poses[2])[0]  # a pose query searches poses if there is nothing else
    assert nearest["index"] == 2 and nearest["score"] == pytest.approx(1, abs=1e-5)
    [a, b] = search(learnt[2], TEXTS)([tuple(pair) for pair in known_poses(2)[:2]], top_k=1)
    assert (a[0]["index"], b[0]["index"]) == (0, 1)


class _Table:
    """What the pipeline asks of a data set."""

    def __init__(self, **columns):
        self.columns, self.column_names = columns, list(columns)

    def __getitem__(self, name):
        return self.columns[name]


def test_pipeline_reads_datasets(learnt):
    datasets = pytest.importorskip("datasets")
    table = datasets.Dataset.from_dict({"pose": known_poses().tolist(), "text": TEXTS})
    pipe = search(learnt[1], table)
    assert [pipe(text)[0]["text"] for text in TEXTS] == TEXTS
    assert [pipe(np.asarray(pose))[0]["text"] for pose in table["pose"]] == TEXTS


def test_pipeline_from_an_exported_folder(learnt, tmp_path):
    folder = export(learnt[1], tiny_tokenizer(), tmp_path / "hub")
    assert {"modeling_pose_retrieval.py", "tokenizer.json"} <= {path.name for path in folder.iterdir()}
    pipe = pipeline("pose-retrieval", model=str(folder), gallery=TEXTS, device="cpu")
    assert type(pipe) is PoseRetrievalPipeline and pipe(known_poses()[3], top_k=1)[0]["text"] == TEXTS[3]


def test_exported_folder_needs_no_package(learnt, tmp_path):
    folder = export(learnt[2], tiny_tokenizer(), tmp_path / "hub")
    np.save(tmp_path / "pairs.npy", known_poses(2).numpy())
    code = f"""if True:
        import sys
        sys.modules["unipose_hf"] = None
        import numpy as np
        from transformers import pipeline
        pairs = np.load({str(tmp_path / "pairs.npy")!r})
        pipe = pipeline("pose-retrieval", model={str(folder)!r}, gallery=pairs, device="cpu", trust_remote_code=True)
        print([pipe(text)[0]["index"] for text in {TEXTS}])
    """
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "cache")}
    result = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=600)
    assert result.returncode == 0 and result.stdout.strip() == "[0, 1, 2, 3]", result.stderr


def test_mistakes_in_a_search_are_told(learnt):
    pipe, pairs = search(learnt[1], known_poses()), search(learnt[2], TEXTS)
    for call, message in (
        (lambda: search(learnt[1], None)("x"), "no gallery to search"),
        (lambda: search(learnt[1], []), "gallery is empty"),
        (lambda: search(learnt[1], ["a", ""]), "Text 1 is an empty text"),
        (lambda: search(learnt[1], ["a", 3]), "Text 1 is int"),
        (lambda: search(learnt[1], _Table(caption=["a"])), "columns caption; expected 'text', 'pose' or both"),
        (lambda: search(learnt[1], np.zeros((2, 21, 3))), r"shape \(21, 3\)"),
        (lambda: pipe(""), "empty text"),
        (lambda: pipe("x", top_k=0), "top_k is 0"),
        (lambda: pipe(np.zeros((2, 22, 3))), r"shape \(2, 22, 3\)"),
        (lambda: pipe({"image": 1}), "one of 'text', 'pose' and 'poses'"),
        (lambda: pairs(known_poses()[:1].numpy()), "1 poses were given instead of two"),
        (lambda: pairs(Pose(known_poses()[0])), "1 poses were given instead of two"),
    ):
        with pytest.raises(ValueError, match=message):
            call()


@pytest.mark.parametrize("num_poses", KINDS)
def test_results_are_drawn(learnt, num_poses):
    found = search(learnt[num_poses], known_poses(num_poses))(TEXTS[0], top_k=2)
    sheet = draw_results(found, cell=48)
    assert sheet.width > 2 * 48 and np.asarray(sheet).std() > 5
    texts = search(learnt[num_poses], TEXTS)(known_poses(num_poses)[0], top_k=2)
    with pytest.raises(ValueError, match="have no poses"):
        draw_results(texts)
