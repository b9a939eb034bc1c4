# SPDX-License-Identifier: Apache-2.0
"""Image data sets with poses, boxes or neither, on tiny copies of their files."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from miniatures import (
    HALF_TURN,
    assert_upright,
    standing,
    write_archive,
    write_emdb,
    write_fits,
    write_human36m,
    write_json,
    write_moyo_pictures,
    write_picture,
    write_rendered,
    write_sequence,
)
from unipose_hf.data import load_posest_open_slice
from unipose_hf.data.builders.image_sources import read_fits
from unipose_hf.data.licences import LICENCES
from unipose_hf.data.picture_files import read_picture
from unipose_hf.data.samples import make_sample
from unipose_hf.data.sources import emdb, human36m, keypoints, lsp, moyo, posest_open, smpl_npz, smpl_tar, threedpw


@pytest.mark.parametrize("name", smpl_npz.SETS)
def test_fits(tmp_path, name):
    write_fits(tmp_path)
    np.savez(tmp_path / "x_train_mean_stats.npz", pose=np.zeros(72))  # in the same folder, but not a label file
    records = list(smpl_npz.read_smpl_npz(tmp_path, "train", name))
    assert [(r.sequence, r.frame) for r in records] == [("a.jpg", 0), ("a.jpg", 1), ("deep/b.jpg", 2)]
    for record in records:
        assert_upright(record, lifted=0.1 * record.frame)
        assert record.set == name and record.image.is_file() and record.betas.shape == (10,)
    assert records[0].box == (30, 40, 70, 80)


def test_fits_by_the_names_of_spin(tmp_path):
    write_fits(
        tmp_path,
        body_pose=None,
        has_body_pose=None,
        betas=None,
        pose=standing(4, 72, HALF_TURN).astype(np.float32),
        shape=np.ones((4, 10)),
        has_smpl=np.array([1, 1, 1, 0], dtype=np.uint8),
        scale=np.array([0.2, 0.3, 0.4, 0.1]),
        imgname=np.array(["a.jpg", "a.jpg", "deep/b.jpg", "c.jpg"]),
    )
    records = list(smpl_npz.read_smpl_npz(tmp_path, "train", "COCO"))
    assert records[0].box == (30, 40, 70, 80) and len(records) == 3
    assert_upright(records[1], lifted=0.1)


def test_fits_that_are_missing_or_damaged(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"\*train\*\.npz of Human3\.6M: register at vision\.imar\.ro"):
        smpl_npz.read_smpl_npz(tmp_path, "train", "Human3.6M")
    with pytest.raises(ValueError, match="no set with SMPL fits 'LSP'"):
        smpl_npz.read_smpl_npz(tmp_path, "train", "LSP")
    poses = standing(4, 72, HALF_TURN)
    poses[1, 70] = np.inf  # a hand joint, which is not read
    poses[0, 4] = np.nan
    write_fits(tmp_path, body_pose=poses)
    (tmp_path / "images/deep/b.jpg").unlink()
    with pytest.warns(UserWarning, match=r"^2 of MPII skipped; the first: .*x_train\.npz holds NaN .* row 0"):
        [record] = smpl_npz.read_smpl_npz(tmp_path, "train", "MPII")
    assert record.frame == 1
    write_fits(tmp_path, center=None)
    with pytest.raises(ValueError, match=r"x_train\.npz lacks center; expected the layout"):
        list(smpl_npz.read_smpl_npz(tmp_path, "train", "MPII"))
    write_fits(tmp_path, scale=np.ones(3))
    with pytest.raises(ValueError, match="4 rows, but scale has another shape"):
        list(smpl_npz.read_smpl_npz(tmp_path, "train", "MPII"))


def test_fits_look_at_pictures_one_by_one(tmp_path, monkeypatch):
    write_fits(tmp_path)
    records = smpl_npz.read_smpl_npz(tmp_path, "train", "COCO")
    looked = []
    is_file = Path.is_file
    monkeypatch.setattr(Path, "is_file", lambda path: looked.append(path.name) or is_file(path))
    next(records)
    assert [name for name in looked if name.endswith("jpg")] == ["a.jpg"]


def test_coco_people(tmp_path):
    person = {"image_id": 7, "bbox": [10, 20, 30, 40], "num_keypoints": 9, "iscrowd": 0, "keypoints": [0] * 51}
    content = {
        "images": [{"id": 7, "file_name": "7.jpg"}, {"id": 8, "file_name": "8.jpg"}],
        "annotations": [
            person,
            person | {"num_keypoints": 0},
            person | {"iscrowd": 1},
            person | {"image_id": 8},
            person | {"bbox": [1, 2, 0, 4]},
        ],
    }
    write_json(tmp_path / "annotations/person_keypoints_val2017.json", content)
    write_picture(tmp_path / "val2017/7.jpg")
    with pytest.warns(UserWarning, match=r"^2 of COCO skipped; the first: There is no picture .*8\.jpg"):
        [record] = keypoints.read_coco_people(tmp_path, "val")
    assert record.box == (10, 20, 40, 60) and record.pose is None and record.image == tmp_path / "val2017/7.jpg"
    with pytest.raises(FileNotFoundError, match=r"person_keypoints_train\*\.json.*cocodataset\.org"):
        keypoints.read_coco_people(tmp_path, "train")
    write_json(tmp_path / "annotations/person_keypoints_train2017.json", {"images": []})
    with pytest.raises(ValueError, match="does not have the layout of COCO's"):
        keypoints.read_coco_people(tmp_path, "train")


def test_annotations_in_the_manner_of_coco(tmp_path):
    """Other tools say less than COCO does, and some of their rows are damaged."""
    whole = {"image_id": 7, "bbox": [10, 20, 30, 40], "keypoints": [1, 2, 2, 3, 4, 0]}
    annotations = [
        whole,
        {"image_id": 7, "bbox": [11, 20, 30, 40]},  # without keypoint annotations
        whole | {"keypoints": [1, 2, 0, 3, 4, 0]},  # none is visible: nobody to skip
        {"image_id": 7, "keypoints": [1, 2, 2]},
        whole | {"bbox": None},
        whole | {"bbox": [1, 2, float("nan"), 4]},
        whole | {"bbox": [1, 2, 3]},
        whole | {"image_id": 99},
        whole | {"keypoints": None},
        None,
        [],
    ]
    content = {"images": [{"id": 7, "file_name": "7.jpg"}, {"id": 8}, None], "annotations": annotations}
    write_json(tmp_path / "annotations/person_keypoints_val2017.json", content)
    write_picture(tmp_path / "val2017/7.jpg")
    told = r"^8 of COCO skipped; the first: Row 3 of .*val2017\.json is without a bbox .*listed picture"
    for read in (keypoints.read_coco_people, keypoints.list_coco_people):
        with pytest.warns(UserWarning, match=told):
            assert [person.box for person in read(tmp_path, "val")] == [(10, 20, 40, 60), (11, 20, 41, 60)]
    write_json(tmp_path / "annotations/person_keypoints_val2017.json", content | {"annotations": annotations[5:]})
    with pytest.raises(ValueError, match=r"val2017\.json does not have the layout of its data set: Row 0"):
        keypoints.list_coco_people(tmp_path, "val")


def test_mpii_people(tmp_path):
    row = {"image": "1.jpg", "center": [101.0, 201.0], "scale": 0.4, "joints": [[0, 0]] * 16, "joints_vis": [1] * 16}
    damaged = [row | {"scale": float("nan")}, row | {"center": [1]}, {"image": "1.jpg"}]
    write_json(tmp_path / "annot/train.json", [row, row | {"image": "2.jpg"}, *damaged])
    write_json(tmp_path / "annot/valid.json", [{"image": "1.jpg"}])
    write_picture(tmp_path / "images/1.jpg")
    with pytest.warns(UserWarning, match=r"^4 of MPII skipped"):
        [record] = keypoints.read_mpii_people(tmp_path, "train")
    assert record.box == (50, 156, 150, 256)
    with pytest.raises(ValueError, match=r"valid\.json .* Row 0 .* without image, center and scale"):
        keypoints.read_mpii_people(tmp_path, "val")


def test_lsp(tmp_path):
    for number in (1, 1000, 1001, 2000):
        write_picture(tmp_path / f"images/im{number:04d}.jpg")
    train, test = (list(lsp.read_lsp(tmp_path, split)) for split in ("train", "test"))
    assert [r.sequence for r in train] == ["im0001.jpg", "im1000.jpg"]
    assert [r.sequence for r in test] == ["im1001.jpg", "im2000.jpg"] and test[0].pose is None
    with pytest.raises(FileNotFoundError, match="of LSP: look for"):
        lsp.read_lsp(tmp_path / "images", "test")


@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
def test_threedpw(tmp_path, protocol):
    write_sequence(tmp_path, protocol=protocol)
    records = list(threedpw.read_threedpw(tmp_path, "test"))
    assert [(r.sequence, r.frame) for r in records] == [("walk_00/0", f) for f in range(3)] + [("walk_00/1", 0)]
    for record in records:
        assert_upright(record, lifted=0.1 * record.frame)
        assert record.image.name == f"image_{record.frame:05d}.jpg" and record.frame_rate == 30
    assert (records[0].gender, records[3].gender) == ("male", "female") and records[0].betas[9] == 9
    assert records[0].box == pytest.approx((90, 10, 210, 490)) and records[2].box is None


def test_threedpw_written_by_older_numpy(tmp_path):
    path = write_sequence(tmp_path)
    path.write_bytes(path.read_bytes().replace(b"numpy._core.", b"numpy.core."))
    assert len(list(threedpw.read_threedpw(tmp_path, "test"))) == 4


def test_threedpw_that_is_missing_or_damaged(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no sequences \(\*\.pkl\) of 3DPW: accept the terms"):
        threedpw.read_threedpw(tmp_path, "train")
    write_sequence(tmp_path, name="a")
    cut = write_sequence(tmp_path, name="b")
    cut.write_bytes(cut.read_bytes()[:-40])
    write_sequence(tmp_path, name="c", poses2d=[np.zeros((2, 3, 18))] * 2)
    (tmp_path / "imageFiles/a/image_00001.jpg").unlink()
    with pytest.warns(UserWarning, match=r"^3 of 3DPW skipped; the first: There is no picture .*image_00001\.jpg"):
        assert len(list(threedpw.read_threedpw(tmp_path, "test"))) == 3


def test_threedpw_splits_and_laziness(tmp_path, monkeypatch):
    for split, name in (("train", "a"), ("train", "b"), ("val", "c"), ("test", "d")):
        write_sequence(tmp_path, split=split, name=name)
    names = [{r.sequence for r in threedpw.read_threedpw(tmp_path, split)} for split in threedpw.SPLITS]
    assert all(names) and not names[0] & names[1] and not names[1] & names[2] and not names[0] & names[2]
    opened = []
    load = threedpw.read_pickle
    monkeypatch.setattr(threedpw, "read_pickle", lambda path: opened.append(path.stem) or load(path))
    next(threedpw.read_threedpw(tmp_path, "train"))
    assert opened == ["a"]


def test_emdb(tmp_path):
    write_emdb(tmp_path)
    write_emdb(tmp_path, "08_way", emdb1=False, emdb2=True)
    records = list(emdb.read_emdb(tmp_path, "emdb1"))
    assert [(r.sequence, r.frame) for r in records] == [("P3_07_walk", 0), ("P3_07_walk", 2), ("P3_07_walk", 3)]
    for record in records:
        assert_upright(record, lifted=0.1 * record.frame)
        assert record.image.name == f"{record.frame:05d}.jpg" and record.gender == "female" and record.betas[9] == 9
    assert records[0].box == (10, 20, 50, 90) and records[1].box is None
    [other] = emdb.list_emdb(tmp_path, "emdb2")
    assert other.parent.name == "08_way" and {r.sequence for r in emdb.read_emdb(tmp_path, "emdb2")} == {"P3_08_way"}


def test_emdb_that_is_missing_or_damaged(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no sequences \(P\*/\*/\*_data\.pkl\) of EMDB: fill in the form"):
        emdb.read_emdb(tmp_path, "emdb1")
    folder = write_emdb(tmp_path)
    (folder / "images/00003.jpg").unlink()
    cut = write_emdb(tmp_path, "b") / "P3_b_data.pkl"
    cut.write_bytes(cut.read_bytes()[:-40])
    write_emdb(tmp_path, "c", good_frames_mask=np.ones(2, bool))
    write_emdb(tmp_path, "d", smpl={})
    with pytest.warns(UserWarning, match=r"^4 of EMDB skipped; the first: There is no picture .*00003\.jpg"):
        assert len(list(emdb.read_emdb(tmp_path, "emdb1"))) == 2
    with pytest.warns(UserWarning, match=r"^1 of EMDB skipped; the first: .*P3_b_data\.pkl cannot be read"):
        assert len(emdb.list_emdb(tmp_path, "emdb1")) == 3


def test_moyo_pictures(tmp_path):
    write_moyo_pictures(tmp_path)
    records = list(moyo.read_moyo_pictures(tmp_path))
    assert moyo.count_moyo_pictures(tmp_path) == len(records) == 2
    for record in records:
        assert_upright(record, lifted=0.1 * record.frame)
        assert record.box == (30, 40, 70, 80) and record.gender == "neutral" and record.betas.shape == (10,)
    assert [r.image.parent.name for r in records] == ["YOGI_Cam_01", "YOGI_Cam_02"] and records[0].set == "MOYO"


def test_moyo_pictures_that_are_missing_or_damaged(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no list .*moyo_v2\.npz of MOYO's pictures: register at moyo"):
        moyo.read_moyo_pictures(tmp_path)
    poses = standing(2, 72, HALF_TURN)
    poses[0, 4] = np.nan
    smpl = {"global_orient": poses[:, :3], "body_pose": poses[:, 3:], "betas": np.ones((2, 10))}
    write_moyo_pictures(tmp_path, smpl=np.array(smpl, dtype=object))
    with pytest.warns(UserWarning, match=r"^1 of MOYO skipped; the first: .*NaN or infinite numbers in row 0"):
        assert [r.frame for r in moyo.read_moyo_pictures(tmp_path)] == [1]
    write_moyo_pictures(tmp_path, smpl=np.array({"betas": np.ones(10)}, dtype=object))
    with pytest.raises(ValueError, match="not laid out as HSMR's list"):
        moyo.read_moyo_pictures(tmp_path)
    write_moyo_pictures(tmp_path, smpl=np.ones(3))
    with pytest.raises(ValueError, match="has no object smpl of plain data"):
        moyo.read_moyo_pictures(tmp_path)


@pytest.mark.parametrize(
    "layout", [{}, {"file": "h36m_valid_protocol2.npz", "column": "S", "width": 24}], ids=["4D-Humans", "SPIN"]
)
def test_human36m(tmp_path, layout):
    write_human36m(tmp_path, **layout)
    records = list(human36m.read_human36m(tmp_path))
    assert human36m.count_human36m(tmp_path) == len(records) == 2 and records[1].sequence == "S11_b.jpg"
    assert records[0].box == (30, 40, 70, 80) and records[0].image.is_file()
    joints = records[0].joints
    assert joints.shape == (14, 3) and joints.dtype == np.float32
    right, left, (neck, head) = joints[[0, 1, 2, 11, 12, 13]], joints[[3, 4, 5, 8, 9, 10]], joints[[6, 7]]
    np.testing.assert_allclose(left, right * (-1, 1, 1), atol=1e-6)  # the left joints mirror the right ones
    assert left[0, 0] == pytest.approx(0.1) and left[3:, 0] == pytest.approx([0.2, 0.4, 0.6])
    assert left[:3, 1] == pytest.approx([0, -0.4, -0.8]) and (neck[1], head[1]) == pytest.approx((0.5, 0.7))


def test_human36m_that_is_missing_or_damaged(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no h36m_val\*2\.npz .*register at vision\.imar\.ro"):
        human36m.read_human36m(tmp_path)
    write_human36m(tmp_path)
    (tmp_path / "images/S9_a.jpg").unlink()
    with pytest.warns(UserWarning, match=r"^1 of Human3\.6M skipped; the first: There is no picture"):
        assert [r.frame for r in human36m.read_human36m(tmp_path)] == [1]
    for changes in (dict(extra_keypoints_3d=np.zeros((2, 9, 4))), dict(scale=np.ones(3)), dict(column="other")):
        write_human36m(tmp_path, **changes)
        with pytest.raises(ValueError, match="does not have the layout of Human3.6M's second protocol"):
            human36m.read_human36m(tmp_path)


def test_archives_of_fits(tmp_path):
    picture = write_archive(tmp_path / "coco-train-2014/000000.tar")
    write_archive(tmp_path / "coco-val/000000.tar", [{"betas": np.zeros(10)}])
    [record] = smpl_tar.read_smpl_tar(tmp_path, "train", "COCO")
    assert_upright(record)
    assert (record.sequence, record.frame, record.box) == ("deep/a.jpg", 0, (30, 40, 70, 80))
    assert record.licence == LICENCES["COCO"].terms and record.betas.shape == (10,)
    assert read_picture(record.image) == picture
    [val] = smpl_tar.read_smpl_tar(tmp_path, "val", "COCO")
    assert not val.betas.any()
    assert [r.image for r in read_fits(tmp_path, "train", "COCO")] == [record.image]


def test_archives_that_are_missing_or_damaged(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no archives \*train\*/\*\.tar of MPII: .*human-pose"):
        smpl_tar.read_smpl_tar(tmp_path, "train", "MPII")
    write_archive(tmp_path / "train/a.tar", [{"body_pose": np.zeros(5)}])
    write_archive(tmp_path / "train/b.tar", [{"scale": None}])
    write_archive(tmp_path / "train/c.tar", picture="other.jpg")
    write_archive(tmp_path / "train/d.tar", [{"body_pose": np.full(72, np.nan)}, {}])
    (tmp_path / "train/e.tar").write_bytes(b"no archive")
    write_archive(tmp_path / "train/f.tar", [])
    with pytest.warns(UserWarning, match=r"^5 of MPII skipped; the first: .*a\.tar/deep/a\.data\.pyd"):
        [record] = smpl_tar.read_smpl_tar(tmp_path, "train", "MPII")
    assert record.frame == 1


def test_a_picture_in_no_archive_is_named(tmp_path):
    write_archive(tmp_path / "a.tar")
    for place in ("a.tar/b.jpg", "nowhere.tar/b.jpg", "b.jpg"):
        with pytest.raises(FileNotFoundError, match=f"There is no picture .*{place}"):
            read_picture(tmp_path / place)


def test_posest_open(tmp_path):
    pytest.importorskip("datasets")
    with pytest.raises(FileNotFoundError, match="no train shards of PoseEst-Open: build it"):
        posest_open.read_posest_open(tmp_path, "train")
    write_rendered(tmp_path)
    train, test = (list(posest_open.read_posest_open(tmp_path, split)) for split in posest_open.SPLITS)
    assert len(train) == posest_open.count_posest_open(tmp_path, "train") == 4 and len(test) == 1
    assert {r.set for r in train} == {"PoseEst-Open"} and train[0].sequence != test[0].sequence
    for record in train:
        assert Image.open(io.BytesIO(read_picture(record.image))).size == (64, 64) and len(record.box) == 4
        assert record.pose.shape == (22, 3) and record.licence and record.betas.shape == (10,)
    with pytest.raises(FileNotFoundError, match="There is no picture"):
        read_picture(train[0].image.with_name("4"))
    [shard] = posest_open.list_posest_open(tmp_path, "train")
    shard.write_bytes(shard.read_bytes()[:-9])
    with pytest.warns(UserWarning, match=r"^1 of PoseEst-Open skipped"):
        assert not list(posest_open.read_posest_open(tmp_path, "train"))


def test_joints_of_rendered_people_lie_in_their_boxes():
    """On the bundled slice, which is what the package gives away."""
    rows = load_posest_open_slice("train")
    assert len(rows) + len(load_posest_open_slice("test")) == 200
    sample = make_sample("image-to-pose", rows[0], "0")
    assert np.array_equal(sample["poses"][0], rows[0]["pose"]) and sample["messages"][1]["content"] == [
        {"type": "pose"}
    ]
    with pytest.raises(ValueError, match="single pictures do not support 'pose-to-text'; choose one of image-to-pose"):
        make_sample("pose-to-text", rows[0], "0")
    for row in rows.select(range(0, len(rows), 20)):
        width, height = row["image"].size
        joints, (left, top, right, bottom) = np.array(row["keypoints"]), row["box"]
        assert width == height == 256 and left >= 0 and bottom <= height
        inside = (joints > (left - 5, top - 5)) & (joints < (right + 5, bottom + 5))
        assert inside.all()
