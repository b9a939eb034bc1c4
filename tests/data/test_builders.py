# SPDX-License-Identifier: Apache-2.0
"""ImageScript and ImageDiff in miniature: selection, texts, refinement, chats."""

from functools import partial

import numpy as np
import pytest
import roma
import torch
from PIL import Image

from tiny_chat import tiny_processor

pytest.importorskip("datasets")

from transformers import AutoModel

from unipose_hf.auto import BUNDLED_CHECKPOINT
from unipose_hf.captions import measure_posecodes
from unipose_hf.data.builders.build import build_data
from unipose_hf.data.builders.image_sources import OPEN, Source, open_sources, paper_sources, split_proportionally
from unipose_hf.data.builders.imagediff import build_imagediff
from unipose_hf.data.builders.imagescript import build_imagescript, refined_numbers
from unipose_hf.data.mining import pair_mining
from unipose_hf.data.mining.pair_mining import MIN_IMAGE_DIFFERENCES
from unipose_hf.data.mining.pose_pool import PosePool, gather_pool, normalised_joints
from unipose_hf.data.mining.selection import farthest_points
from unipose_hf.data.open_poses import load_open_poses
from unipose_hf.data.records import PoseRecord
from unipose_hf.data.samples import IMAGE_ROW_TASKS, PAIR_ROW_TASKS, filled_messages, make_sample, make_samples
from unipose_hf.modeling.processing_unipose import TASKS, task_messages

SIZE = 7
ZERO = np.zeros((22, 3), np.float32)
REFINED = "The person keeps still."


class Writer:
    """A language model of one sentence."""

    name = "writer"

    def __init__(self):
        self.calls = 0

    def __call__(self, messages):
        self.calls += 1
        return (
            REFINED if "posture, written" in messages[1]["content"] else "Turn around to the left. Turn to the right."
        )


def people(folder, split):
    """Records with pictures, facing anywhere, as a set of photographs has."""
    poses = load_open_poses(split).axis_angle[::40].numpy()
    for number, pose in enumerate(poses):
        path = folder / f"{split}{number}.png"
        if not path.exists():
            Image.new("RGB", (8, 6), (number, 0, 0)).save(path)
        yield PoseRecord("LSP", path.name, number, "ask", pose, image=path, box=(1.0, 2.0, 3.0, 4.0))


@pytest.fixture(scope="module")
def script(tmp_path_factory):
    out = tmp_path_factory.mktemp("script")
    counts = build_imagescript(open_sources(SIZE), out, size=SIZE, picture_size=64, ask=Writer(), progress=False)
    return out, counts


@pytest.fixture(scope="module")
def diff(tmp_path_factory):
    out = tmp_path_factory.mktemp("diff")
    sources = [Source("train", "LSP", partial(people, out, "train"))]
    return out, build_imagediff(sources, out, size=6, progress=False)


def rows(out, config, split="train"):
    from datasets import load_dataset

    return load_dataset(str(out), config, split=split, cache_dir=str(out / "cache"))


def test_shares_are_whole_fair_and_complete():
    assert split_proportionally(52_000, [15_000, 25_000, 5_000, 5_000, 2_000]) == [15_000, 25_000, 5_000, 5_000, 2_000]
    for total in (5, 12, 500):
        shares = split_proportionally(total, [15, 25, 5, 5, 2])
        assert sum(shares) == total and min(shares) >= 1 and shares[1] == max(shares)
    with pytest.raises(ValueError, match="size is 1, but there are 2 sets"):
        split_proportionally(1, [1, 1])


def test_paper_refines_6250_of_50000_and_every_test_row():
    numbers = refined_numbers(50_000, "train", 0)
    assert len(set(numbers)) == 6_250 and numbers == sorted(numbers)
    assert np.histogram(numbers, bins=5, range=(0, 50_000))[0].min() > 1_100  # uniformly
    assert refined_numbers(2_000, "test", 0) == list(range(2_000))


def test_pool_gives_back_its_records_and_forgets_shape_and_orientation(tmp_path):
    given = list(people(tmp_path, "test"))
    bare = PoseRecord("BVH", "walk", 3, "free", given[0].pose, np.ones(10, np.float32), texts=("Hello.",))
    pool = gather_pool(iter([*given, bare, bare._replace(pose=None)]), tmp_path / "pool")
    assert len(pool) == len(given) + 1
    for record, kept in zip([*given, bare], pool, strict=False):
        assert np.array_equal(record.pose, kept.pose)
        assert record._replace(pose=None, betas=None) == kept._replace(pose=None, betas=None)
    assert np.array_equal(pool[len(given)].betas, bare.betas)
    turned = given[0].pose.copy()
    turned[0] = (0.3, 2.0, -0.4)
    assert np.array_equal(pool.joints[0], normalised_joints(turned[None])[0])
    assert len(gather_pool(iter(()), tmp_path / "pool")) == len(pool)  # not read twice
    with pytest.raises(ValueError, match="no record with a pose"):
        gather_pool(iter(()), tmp_path / "empty")


def test_imagescript_selects_farthest_poses_and_describes_them(script):
    out, counts = script
    assert counts == {"A/test": 1, "A/train": 6, "R/test": 1, "R/train": 1}
    table = rows(out, "A")
    pool = PosePool(out / "work" / f"{OPEN} train")
    chosen = farthest_points(pool.joints, 6, start=table[0]["frame"], progress=False).tolist()
    assert table["frame"] == chosen and set(table["set"]) == {OPEN}
    for row in table:
        assert row["image"].size == (64, 64) and np.array(row["pose"]).shape == (22, 3)
        assert len(row["texts"]) == 3 and all(row["texts"]) and len(row["box"]) == 4
        # the poses in the pool and in the picture differ only by the camera's pitch and roll
        assert np.allclose(np.array(row["pose"])[1:], pool[row["frame"]].pose[1:], atol=1e-6)


def test_refined_rows_are_rows_of_a_with_one_text(script):
    out, _ = script
    table = {row["frame"]: row for row in rows(out, "A")}
    for row in rows(out, "R"):
        assert row["texts"] == [REFINED]
        original = table[row["frame"]]
        assert original["pose"] == row["pose"] and original["image"].tobytes() == row["image"].tobytes()


def test_building_again_asks_and_writes_nothing(script):
    out, counts = script
    before = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in out.glob("*/*.parquet")}
    writer = Writer()
    assert build_imagescript(open_sources(SIZE), out, size=SIZE, picture_size=64, ask=writer, progress=False) == counts
    assert writer.calls == 0
    assert before == {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in out.glob("*/*.parquet")}
    with pytest.raises(ValueError, match="other settings .seed"):
        build_imagescript(open_sources(SIZE), out, size=SIZE, picture_size=64, seed=1, progress=False)


def test_imagediff_pairs_differ_and_keep_their_pictures(diff):
    out, counts = diff
    table = rows(out, "A")
    assert 4 <= counts["A/train"] == len(table) <= 6
    assert "joint positions" in (out / "README.md").read_text()
    for row in table:
        assert row["frame_a"] != row["frame_b"] and len(row["texts"]) == 3
        joints = [torch.from_numpy(normalised_joints(np.array([row[f"pose_{x}"]], np.float32))) for x in "ab"]
        codes = [measure_posecodes(j) for j in joints]
        differing = (codes[0].categories != codes[1].categories).sum() + (codes[0].supers != codes[1].supers).sum()
        assert differing >= MIN_IMAGE_DIFFERENCES
        assert row["image_a"].getpixel((0, 0)) == (row["frame_a"], 0, 0) and row["box_b"] == [1, 2, 3, 4]


def test_pairs_are_mined_by_the_bundled_retrieval_model(tmp_path, monkeypatch):
    monkeypatch.setattr(pair_mining, "NEIGHBOURS", 20)
    folder = BUNDLED_CHECKPOINT.with_name("pose-text-retrieval")
    counts = build_data("imagediff", tmp_path, size=6, picture_size=64, retrieval=folder, progress=False)
    assert counts["A/train"] >= 3 and "the model pose-text-retrieval" in (tmp_path / "README.md").read_text()
    pool = PosePool(tmp_path / "work" / f"{OPEN} train")
    upright = torch.from_numpy(np.array(pool.poses))
    upright[:, 0] = 0
    with torch.no_grad():
        features = AutoModel.from_pretrained(folder).get_pose_features(roma.rotvec_to_rotmat(upright)).pooler_output
    cosines = torch.nn.functional.normalize(features) @ torch.nn.functional.normalize(features).T
    for row in rows(tmp_path, "A"):
        nearest = cosines[row["frame_b"]].argsort(descending=True)[:21].tolist()
        assert row["frame_a"] in nearest and row["frame_a"] != row["frame_b"]


def test_every_task_becomes_a_chat(script, diff):
    for out, tasks in ((script[0], IMAGE_ROW_TASKS), (diff[0], PAIR_ROW_TASKS)):
        row = rows(out, "A")[0]
        for task in tasks:
            rule = TASKS[task]
            sample = make_sample(task, row, "7")
            answer = sample["messages"][1]["content"]
            assert answer == ([{"type": "pose"}] if rule.answer == "pose" else answer) and len(answer) == 1
            assert len(sample["images"]) == rule.images
            assert len(sample["poses"]) == rule.poses + (rule.answer == "pose")
            assert all(pose.shape == (22, 3) and pose.dtype == np.float32 for pose in sample["poses"])
            if rule.answer == "text":
                assert answer[0]["text"] in row["texts"]
    with pytest.raises(ValueError, match="single pictures do not support 'image-diff'"):
        make_sample("image-diff", rows(script[0], "A")[0], "7")


def test_the_processor_reads_the_chats(script, diff):
    processor = tiny_processor()
    for out, tasks in ((script[0], IMAGE_ROW_TASKS), (diff[0], ("pose-diff", "pose-editing"))):
        row = rows(out, "A")[0] | {"texts": ["Raise the left arm."]}
        for task in tasks:
            sample = make_sample(task, row, "7")
            read = processor.apply_chat_template(
                filled_messages(sample), tokenize=True, return_dict=True, processor_kwargs={"return_tensors": "pt"}
            )
            assert len(read.get("pose_pixel_values", ())) == len(sample["images"])
            given = np.stack([roma.rotvec_to_rotmat(torch.from_numpy(pose)) for pose in sample["poses"] or [ZERO]])
            assert np.allclose(read.get("pose_values", given), given, atol=1e-5)


def test_pretraining_chats_are_those_of_the_pipelines(diff):
    row = rows(diff[0], "A")[0]
    pose_a, pose_b = (np.array(row[f"pose_{x}"], np.float32) for x in "ab")
    sample = make_sample("pose-editing", row, "7", pretraining=True)
    expected = task_messages(
        "pose-editing", poses=[pose_a], text=sample["messages"][0]["content"][-1]["text"][16:], answer=pose_b
    )
    filled = filled_messages(sample)
    assert [part["type"] for part in filled[0]["content"]] == [part["type"] for part in expected[0]["content"]]
    assert filled[0]["content"][1] == expected[0]["content"][1]
    assert np.array_equal(filled[0]["content"][0]["pose"], pose_a)
    assert np.array_equal(filled[1]["content"][0]["pose"], pose_b)


def test_samples_vary_and_repeat(script):
    table = list(rows(script[0], "A"))
    once, again = (list(make_samples(table, ["text-to-pose"], seed=2)) for _ in range(2))
    assert [s["messages"] for s in once] == [s["messages"] for s in again]
    assert len({s["messages"][0]["content"][0]["text"].split(":")[0] for s in once}) > 1


def test_missing_sets_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="human36m"):
        paper_sources(tmp_path)
    (tmp_path / "coco").mkdir()
    [source] = paper_sources(tmp_path)
    with pytest.raises(FileNotFoundError, match="COCO"):
        list(source.read())


def test_a_missing_picture_is_named(tmp_path):
    [lost, *others] = people(tmp_path, "test")
    source = Source("test", "LSP", lambda: iter([lost]))
    lost.image.unlink()
    with pytest.raises(FileNotFoundError, match="There is no picture .*test0.png"):
        build_imagescript([source], tmp_path / "out", size=1, progress=False)
    assert not list((tmp_path / "out").glob("*/*.parquet"))
