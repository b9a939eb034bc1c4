# SPDX-License-Identifier: Apache-2.0
"""Training samples and their order: the open poses, built data sets, length grouping."""

import io

import numpy as np
import pytest
import torch
from datasets import Dataset, Features, Image, List, Value, load_dataset
from PIL import Image as Picture

from tiny_chat import tiny_model_and_processor
from tiny_training import sample
from unipose_hf.modeling.processing_unipose import TASKS
from unipose_hf.training.collator import UniPoseCollator, add_pose_codes
from unipose_hf.training.open_samples import TASK_SHARES, open_samples
from unipose_hf.training.row_samples import row_samples
from unipose_hf.training.sampler import LengthGroupedSampler, add_lengths


@pytest.fixture(scope="module")
def model_and_processor():
    return tiny_model_and_processor()


@pytest.fixture(scope="module")
def bank(model_and_processor):
    channels = model_and_processor[0].config.pose_vision_config.hidden_size
    return {"features": torch.randn(20, channels), "poses": 0.2 * torch.randn(20, 22, 3)}


def drawn(model, bank, **changes):
    settings = dict(images=bank, block=3, seed=1, poses=64) | changes
    return open_samples(90, TASK_SHARES["instruction"], model.model.pose_tokenizer, **settings)


def test_open_samples_depend_on_their_number_alone(model_and_processor, bank):
    model, _ = model_and_processor
    whole, again = drawn(model, bank)[0:12], drawn(model, bank)
    for number in (11, 4, 5):
        one = again[number]
        assert one["id"] == whole["id"][number] and one["messages"] == whole["messages"][number]
        assert one["pose_codes"] == whole["pose_codes"][number]
    assert drawn(model, bank, seed=2)[0:12]["messages"] != whole["messages"]


def test_open_samples_come_in_blocks_of_one_task_in_their_shares(model_and_processor, bank):
    samples = drawn(model_and_processor[0], bank)[0:90]
    blocks = [samples["task"][n : n + 3] for n in range(0, 90, 3)]
    assert all(len(set(block)) == 1 for block in blocks) and len(set(samples["task"])) >= 5
    assert samples["task"].count("pose-diff") > samples["task"].count("pose-editing")


def test_open_samples_answer_what_is_asked(model_and_processor, bank):
    model, processor = model_and_processor
    collator = UniPoseCollator(processor, model.model.pose_tokenizer, pose_targets=True)
    for task, rule in TASKS.items():
        samples = open_samples(2, {task: 1}, model.model.pose_tokenizer, images=bank, block=2, poses=64)
        first = samples[0]
        assert first["task"] == task and len(first["images"]) == rule.images
        assert len(first["pose_codes"]) == len(first["poses"]) == rule.poses + (rule.answer == "pose")
        asked = "".join(part.get("text", "") for part in first["messages"][0]["content"])
        fixed = rule.prompt.replace("{text}", "")
        assert asked.startswith(fixed) and (len(asked) > len(fixed)) == rule.text
        assert bool(first["stated"]) == (task == "text-to-pose")
        batch = collator([samples[0], samples[1]])
        assert ("answer_pose_values" in batch) == (rule.answer == "pose")
        assert ("vision_features" in batch) == bool(rule.images)


def test_a_share_of_open_samples_asks_in_other_words(model_and_processor, bank):
    model, _ = model_and_processor

    def questions(share):
        shares = {"pose-to-text": 1}
        samples = open_samples(30, shares, model.model.pose_tokenizer, block=30, templates=share, poses=64)
        return {str([part.get("text") for part in m[0]["content"]]) for m in samples[0:30]["messages"]}

    assert len(questions(0.0)) == 1 and 5 < len(questions(0.5)) < 25 and len(questions(1.0)) > 20


def test_pictures_are_asked_for(model_and_processor):
    with pytest.raises(ValueError, match="build_image_bank"):
        open_samples(2, {"image-diff": 1}, model_and_processor[0].model.pose_tokenizer)


def picture():
    data = io.BytesIO()
    Picture.new("RGB", (24, 32), "blue").save(data, "PNG")
    return {"bytes": data.getvalue(), "path": None}


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Folders of rows with a picture, of pairs without pictures, and of several people."""
    folder, pose = tmp_path_factory.mktemp("built"), np.zeros((22, 3), np.float32).tolist()
    number = List(List(Value("float32")))
    texts = {"texts": List(Value("string"))}
    sets = {
        "script": ({"image": Image(), "pose": number, **texts}, {"image": picture(), "pose": pose}),
        "pairs": ({"pose_a": number, "pose_b": number, **texts}, {"pose_a": pose, "pose_b": pose}),
        "people": (
            {"image": Image(), "pose": number, "hint": Value("string"), **texts},
            {"image": picture(), "pose": pose, "hint": "The leftmost person."},
        ),
    }
    for name, (features, row) in sets.items():
        (folder / name).mkdir()
        rows = [{**row, "texts": [f"Text {n}.", f"Other {n}."]} for n in range(3)]
        Dataset.from_list(rows, features=Features(features)).to_parquet(folder / name / "train-0.parquet")
    return folder


def test_each_row_teaches_what_its_columns_allow(built):
    sources = [str(built / name) for name in ("script", "pairs", "people")]
    samples = row_samples(sources, TASK_SHARES["instruction"])
    taught = [(row["id"].split()[0].split("/")[-1], row["task"]) for row in samples]
    assert {task for name, task in taught if name == "script"} == {
        "image-to-pose",
        "image-to-pose-text",
        "text-to-pose",
        "pose-to-text",
    }
    assert {task for name, task in taught if name == "pairs"} == {"pose-diff", "pose-editing"}
    assert not any(name == "people" for name, _ in taught) and len(taught) == 3 * 4 + 3 * 2
    reasoning = row_samples(sources, ("image-to-pose",), reasoning=True)
    assert len(reasoning) == 3 and "leftmost" in str(reasoning[0]["messages"])
    with pytest.raises(ValueError, match="support none of the tasks image-diff"):
        row_samples(sources, ("image-diff",))


def test_built_rows_become_batches(built, model_and_processor):
    model, processor = model_and_processor
    samples = add_lengths(row_samples([str(built / "script")], TASK_SHARES["instruction"]), processor)
    collator = UniPoseCollator(processor, model.model.pose_tokenizer)
    samples = add_pose_codes(samples, model.model.pose_tokenizer)
    for number, length in enumerate(samples["length"]):
        assert len(samples[number]["pose_codes"]) == len(samples[number]["poses"])
        batch = collator([samples[number]])
        assert abs(batch["attention_mask"].sum() - length) < 12, samples[number]["task"]
    fixed = row_samples([f"{built / 'script'}:default"], ("pose-to-text",), pretraining=True)
    assert {str(row["messages"][0]["content"][-1]["text"]) for row in fixed} == {TASKS["pose-to-text"].prompt}


def test_a_broken_picture_of_a_built_set_is_named_and_left_out(built, tmp_path, model_and_processor, caplog):
    model, processor = model_and_processor
    rows = load_dataset(str(built / "script"), split="train").cast_column("image", Image(decode=False)).to_list()
    rows[1]["image"] = {"bytes": b"no picture", "path": None}
    features = load_dataset(str(built / "script"), split="train").features
    Dataset.from_list(rows, features=features).to_parquet(tmp_path / "train-0.parquet")
    samples = add_lengths(row_samples([str(tmp_path)], ("image-to-pose",)), processor)  # decodes no picture
    batch = UniPoseCollator(processor, model.model.pose_tokenizer)([samples[n] for n in range(3)])
    assert len(batch["input_ids"]) == 2 and f"{tmp_path} 1 image-to-pose" in caplog.text


def test_lengths_are_counted_to_a_few_tokens(model_and_processor):
    model, processor = model_and_processor
    collator = UniPoseCollator(processor, model.model.pose_tokenizer)
    rows = [sample(task, 1) for task in ("pose-to-text", "pose-diff", "text-to-pose", "pose-editing")]
    rows = [{**row, "poses": [pose.tolist() for pose in row["poses"]], "images": []} for row in rows]
    counted = add_lengths(Dataset.from_list(rows), processor)["length"]
    found = [int(collator([row])["attention_mask"].sum()) for row in rows]
    assert all(abs(a - b) <= 6 for a, b in zip(counted, found, strict=True)), (counted, found)


def test_batches_are_of_like_length_and_every_sample_comes_once():
    lengths = torch.randint(10, 500, (1003,), generator=torch.Generator().manual_seed(0))
    sampler = LengthGroupedSampler(lengths.tolist(), 8, seed=3)
    first = list(sampler)
    assert sorted(first) == list(range(1003)) and first == list(sampler) and len(sampler) == 1003

    def waste(order):
        batches = lengths[torch.tensor(order)].split(8)
        return 1 - lengths.sum() / sum(batch.max() * len(batch) for batch in batches)

    assert waste(first) < 0.05 < 0.3 < waste(range(1003))
    sampler.set_epoch(1)
    assert list(sampler) != first
