# SPDX-License-Identifier: Apache-2.0
"""AMASS, MOYO and BVH folders, on tiny copies of their files: frames, damaged files, amount of data read."""

import itertools

import numpy as np
import pytest

from miniatures import QUARTER_TURN, assert_upright, standing, write_amass, write_motion
from unipose_hf.data.licences import LICENCES
from unipose_hf.data.sources import amass, bvh_folder, moyo
from unipose_hf.modeling.pose_unipose import Pose


@pytest.fixture
def amass_root(tmp_path):
    return write_amass(tmp_path / "amass")


def test_amass(amass_root):
    train = list(amass.read_amass(amass_root, "train"))
    assert [(r.sequence, r.frame) for r in train] == [("CMU/01/01_01_poses.npz", f) for f in range(6)] + [
        ("CMU/01/01_02_poses.npz", f) for f in range(4)
    ]
    for record in train:
        assert_upright(record, lifted=0.1 * record.frame)
    first = train[0]
    assert first.set == "AMASS" and first.licence == LICENCES["AMASS"].terms and first.image is None
    assert (first.gender, first.frame_rate, first.betas.shape) == ("female", 120.0, (16,))
    [val, _] = amass.read_amass(amass_root, "val")  # SMPL-X; its objects are left alone
    assert_upright(val)
    assert (val.gender, val.frame_rate) == ("neutral", 60.0)
    assert [r.frame for r in amass.read_amass(amass_root, "train", every=4)] == [0, 4, 0]


def test_amass_agrees_with_the_readers_of_single_files(amass_root):
    path = amass_root / "CMU/01/01_01_poses.npz"
    poses = np.random.default_rng(0).normal(0, 1, (5, 156))
    np.savez(path, poses=poses, gender=np.array(b"male"))
    for record in itertools.islice(amass.read_amass(amass_root, "train"), 5):
        np.testing.assert_allclose(record.pose, Pose.from_npz(path, record.frame).axis_angle, atol=2e-5)
        assert record.gender == "male" and record.betas is None and record.frame_rate is None


def test_amass_splits_share_nothing():
    splits = {split: {amass._letters(name) for name in names.split()} for split, names in amass.SPLITS.items()}
    for one, other in itertools.combinations(splits.values(), 2):
        assert not one & other
    assert {"ssm", "transitions"} <= splits["test"] and {"humaneva", "sfu"} <= splits["val"]


def test_amass_of_either_release(tmp_path):
    for names in (("Eyes_Japan_Dataset", "MPI_HDM05", "SSM_synced"), ("EyesJapanDataset", "HDM05", "SSM")):
        for name, split in zip(names, ("train", "val", "test"), strict=True):
            write_motion(tmp_path / names[0] / name / "s/a_poses.npz", standing(1, 156, QUARTER_TURN))
            assert len(amass.list_amass(tmp_path / names[0], split)) == 1


def test_amass_that_is_missing_or_damaged(amass_root):
    with pytest.raises(FileNotFoundError, match=r"nowhere has no motions.*amass\.is\.tue\.mpg\.de"):
        amass.read_amass(amass_root / "nowhere", "train")
    with pytest.raises(ValueError, match="no split 'dev'; pass one of train, val, test"):
        amass.read_amass(amass_root, "dev")
    first, second = amass.list_amass(amass_root, "train")
    first.write_bytes(first.read_bytes()[:2000])
    poses = standing(4, 156, QUARTER_TURN)
    poses[2, 7] = np.nan
    write_motion(second, poses)
    write_motion(second.with_name("01_03_poses.npz"), np.zeros((2, 30)))
    with pytest.warns(UserWarning, match=r"^3 of AMASS skipped; the first: .*01_01_poses\.npz cannot be read") as told:
        frames = [record.frame for record in amass.read_amass(amass_root, "train")]
    assert frames == [0, 1, 3] and len(told) == 1, [str(w.message) for w in told]


def test_amass_reads_no_more_than_it_is_asked_for(amass_root, monkeypatch):
    opened = []
    load = amass.load_motion
    monkeypatch.setattr(amass, "load_motion", lambda path: opened.append(path.name) or load(path))
    records = amass.read_amass(amass_root, "train")
    assert opened == []
    for _ in range(6):
        next(records)
    assert opened == ["01_01_poses.npz"]
    next(records)
    assert opened == ["01_01_poses.npz", "01_02_poses.npz"]


def test_kept_records_do_not_keep_their_motion(amass_root):
    record = next(amass.read_amass(amass_root, "train"))
    assert record.pose.base is None


def test_moyo(tmp_path):
    for split, frames in (("train", 3), ("val", 2)):
        path = tmp_path / split / "220923_yogi_body_hands_03596_Tree_Pose-a_stageii.npz"
        write_motion(path, standing(frames, 165, QUARTER_TURN), gender=np.array("neutral"), mocap_frame_rate=60)
    train, val = list(moyo.read_moyo(tmp_path, "train")), list(moyo.read_moyo(tmp_path, "val", every=2))
    assert len(train) == 3 and len(val) == 1 and not {r.sequence for r in train} & {r.sequence for r in val}
    for record in train:
        assert_upright(record, lifted=0.1 * record.frame)
    assert train[0].set == "MOYO" and train[0].frame_rate == 60
    with pytest.raises(ValueError, match="no split 'test'"):
        moyo.read_moyo(tmp_path, "test")
    with pytest.raises(FileNotFoundError, match=r"moyo\.is\.tue\.mpg\.de"):
        moyo.read_moyo(tmp_path / "train", "val")


def test_bvh_folder(tmp_path, monkeypatch):
    upright = Pose(standing(1, 66, (0, 0, 0)).reshape(22, 3))
    (tmp_path / "sub").mkdir()
    upright.save(tmp_path / "a.bvh")
    upright.save(tmp_path / "sub/b.BVH".replace("BVH", "bvh"))
    (tmp_path / "c.bvh").write_text("HIERARCHY nonsense")
    with pytest.warns(UserWarning, match=r"^1 of BVH skipped; the first: .*c\.bvh"):
        records = list(bvh_folder.read_bvh_folder(tmp_path, "CC0"))
    assert [r.sequence for r in records] == ["a.bvh", "sub/b.bvh"] and records[0].licence == "CC0"
    for record in records:
        assert_upright(record)
        assert record.frame_rate > 0
    opened = []
    load = bvh_folder.read_poses
    monkeypatch.setattr(bvh_folder, "read_poses", lambda path: opened.append(path.name) or load(path))
    next(bvh_folder.read_bvh_folder(tmp_path, "CC0"))
    assert opened == ["a.bvh"]
    with pytest.raises(FileNotFoundError, match=r"has no \.bvh files"):
        bvh_folder.read_bvh_folder(tmp_path / "none", "CC0")
