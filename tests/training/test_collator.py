# SPDX-License-Identifier: Apache-2.0
"""The collator builds batches with the correct labels, and names unreadable samples."""

import logging

import numpy as np
import pytest
import torch
from datasets import Dataset
from PIL import Image

from tiny import VITPOSE
from tiny_chat import tiny_model_and_processor
from tiny_training import WORDS, sample
from unipose_hf.captions import caption_poses
from unipose_hf.data.open_poses import load_open_poses
from unipose_hf.modeling.processing_unipose import TASKS
from unipose_hf.training.collator import UniPoseCollator, add_pose_codes, pose_codes, sample_id

PICTURE = Image.new("RGB", (40, 50), "red")


@pytest.fixture(scope="module")
def model_and_collator():
    model, processor = tiny_model_and_processor()
    return model, UniPoseCollator(processor, model.model.pose_tokenizer, pose_targets=True)


@pytest.mark.parametrize("task", list(TASKS))
def test_labels_are_the_answer_and_its_end(model_and_collator, task):
    model, collator = model_and_collator
    batch = collator([sample(task, seed, PICTURE) for seed in range(3)])
    labelled = batch["labels"] != -100
    assert labelled.any(1).all() and not labelled[:, :2].any()
    queries = batch["input_ids"] == model.config.pose_query_token_id
    others = labelled & ~queries
    assert torch.equal(batch["labels"][others], batch["input_ids"][others])
    last = batch["attention_mask"].sum(1) - 1
    ends = batch["labels"].gather(1, last[:, None])[:, 0]
    assert (ends == collator.processor.tokenizer.eos_token_id).all()
    if TASKS[task].answer == "pose":
        codes = batch["labels"][queries].reshape(3, -1) - model.config.pose_code_offset
        assert torch.equal(codes, model.get_pose_codes(batch["answer_pose_values"]))
    else:
        texts = [
            collator.processor.tokenizer.decode(row[mark]) for row, mark in zip(batch["labels"], labelled, strict=True)
        ]
        assert [text.removesuffix("</s>") for text in texts] == list(WORDS)
    assert ("pose_pixel_values" in batch) == bool(TASKS[task].images)
    assert batch["tasks"] == [task]


def test_the_loss_is_the_same_with_labels_and_with_shift_labels(model_and_collator):
    model, collator = model_and_collator
    batch = collator([sample(task, seed) for seed, task in enumerate(("text-to-pose", "pose-diff", "pose-editing"))])
    inputs = {name: batch[name] for name in ("input_ids", "attention_mask")}
    with torch.no_grad():
        shifted = model(**inputs, shift_labels=batch["shift_labels"]).loss
        plain = model(**inputs, labels=batch["labels"]).loss
        wrong = model(**inputs, labels=batch["labels"], shift_labels=_by_one(batch["labels"])).loss
    assert torch.equal(shifted, plain) and not torch.isclose(shifted, wrong)


def _by_one(labels):
    return torch.nn.functional.pad(labels[:, 1:], (0, 1), value=-100)


def test_cached_codes_give_the_same_batch(model_and_collator):
    _, collator = model_and_collator
    samples = [sample("pose-editing", seed) for seed in range(3)]
    rows = [{**row, "poses": [pose.tolist() for pose in row["poses"]], "images": []} for row in samples]
    cached = list(add_pose_codes(Dataset.from_list(rows), collator.pose_tokenizer))
    assert len(cached[0]["pose_codes"]) == 2
    plain, faster = collator(samples), collator(cached)
    for name in ("input_ids", "labels", "shift_labels", "answer_pose_values"):
        assert torch.equal(plain[name], faster[name])


def test_no_poses_have_no_codes(model_and_collator):
    assert pose_codes(model_and_collator[1].pose_tokenizer, []) == []


def test_vision_features_stand_for_pictures(model_and_collator):
    model, collator = model_and_collator
    pictures = collator([sample("image-diff", 0, PICTURE)])
    cells = model.get_image_features(pose_pixel_values=pictures["pose_pixel_values"]).last_hidden_state
    features = collator([{**sample("image-diff", 0, PICTURE), "vision_features": list(cells.detach())}])
    assert "pose_pixel_values" not in features and torch.equal(features["input_ids"], pictures["input_ids"])
    with torch.no_grad():
        views = (
            dict(pose_pixel_values=pictures["pose_pixel_values"]),
            dict(vision_features=features["vision_features"]),
        )
        first, second = (model(input_ids=pictures["input_ids"], **view).logits for view in views)
    assert torch.allclose(first, second, atol=1e-6)


def test_features_and_pictures_are_not_mixed(model_and_collator):
    _, collator = model_and_collator
    channels = VITPOSE["hidden_size"]
    with_features = {**sample("image-to-pose-text", 0), "vision_features": [np.zeros((12, channels), np.float32)]}
    with pytest.raises(ValueError, match="all of them in the same form"):
        collator._collate([with_features, sample("image-to-pose-text", 1, PICTURE)])


def test_a_text_only_batch_holds_no_pictures_and_no_padding_for_them(model_and_collator):
    _, collator = model_and_collator
    batch = collator([sample("pose-to-text", 0)])
    assert not {"pixel_values", "pose_pixel_values", "vision_features"} & set(batch)
    assert batch["attention_mask"].all()


def test_an_unreadable_sample_is_named_and_left_out(model_and_collator, tmp_path, caplog):
    _, collator = model_and_collator
    (tmp_path / "broken.jpg").write_bytes(b"no picture")
    broken = {**sample("image-to-pose-text", 1, str(tmp_path / "broken.jpg")), "id": "set 7"}
    good = sample("image-to-pose-text", 0, PICTURE)
    with caplog.at_level(logging.WARNING):
        batch = collator([good, broken])
    assert len(batch["input_ids"]) == 1 and "set 7" in caplog.text and batch["sample_ids"] == [sample_id(good)]
    with pytest.raises(ValueError, match="set 7.*see the log for the reasons"):
        collator([broken])


def test_what_the_text_states_becomes_bounds_of_the_right_pose(model_and_collator):
    _, collator = model_and_collator
    poses = load_open_poses("test").axis_angle[:2]
    _, stated = caption_poses(poses, seed=0, max_clauses=4, return_codes=True)
    samples = [{**sample("text-to-pose", n), "poses": [poses[n]], "stated": stated[n]} for n in range(2)]
    batch = collator([samples[0], sample("pose-to-text", 0), samples[1]])
    assert len(batch["answer_pose_values"]) == 2
    assert set(batch["stated_bounds"][:, 0].tolist()) == {0.0, 1.0}
    assert (batch["stated_bounds"][:, 2] < batch["stated_bounds"][:, 3]).all()


def test_a_sample_without_a_name_is_called_by_its_task_and_words():
    assert sample_id(sample("text-to-pose", 0)).startswith("text-to-pose: 'Make a pose")
