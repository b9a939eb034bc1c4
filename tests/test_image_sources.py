# SPDX-License-Identifier: Apache-2.0
"""Sets of pictures, with poses or boxes or neither, on miniatures of their files."""

from pathlib import Path

import numpy as np
import pytest
import roma
import torch
from miniatures import (
    HALF_TURN,
    assert_upright,
    standing,
    take_few_open_poses,
    write_fits,
    write_json,
    write_picture,
    write_sequence,
)
from PIL import Image

from unipose_hf.data.sources import keypoints, lsp, posest_open, smpl_npz, threedpw


@pytest.mark.parametrize("name", smpl_npz.SETS)
def test_fits(tmp_path, name):
    write_fits(tmp_path)
    np.savez(tmp_path / "x_train_mean_stats.npz", pose=np.zeros(72))  # lies beside them and is none
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
    with pytest.raises(ValueError, match="not laid out as COCO's"):
        keypoints.read_coco_people(tmp_path, "train")


def test_mpii_people(tmp_path):
    row = {"image": "1.jpg", "center": [101.0, 201.0], "scale": 0.4, "joints": [[0, 0]] * 16, "joints_vis": [1] * 16}
    write_json(tmp_path / "annot/train.json", [row, row | {"image": "2.jpg"}])
    write_json(tmp_path / "annot/valid.json", [{"image": "1.jpg"}])
    write_picture(tmp_path / "images/1.jpg")
    with pytest.warns(UserWarning, match=r"^1 of MPII skipped"):
        [record] = keypoints.read_mpii_people(tmp_path, "train")
    assert record.box == (50, 156, 150, 256)
    with pytest.raises(ValueError, match=r"valid\.json has a row without image, center and scale"):
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


def test_posest_open(tmp_path, monkeypatch):
    take_few_open_poses(monkeypatch)
    with pytest.raises(FileNotFoundError, match="train.npz: render it from the bundled poses"):
        posest_open.read_posest_open(tmp_path, "train")
    for split in posest_open.SPLITS:
        posest_open.render_posest_open(tmp_path, split, size=64)
    train, test = (list(posest_open.read_posest_open(tmp_path, split)) for split in posest_open.SPLITS)
    assert len(train) == len(test) == 4 and not {r.sequence for r in train} & {r.sequence for r in test}
    assert [r.frame for r in train] == [0, 1, 0, 1] and train[0].set == "PoseEst-Open"
    poses = posest_open.load_open_poses("train").axis_angle.numpy()
    for record, pose in zip(train, poses, strict=True):
        np.testing.assert_array_equal(record.pose[1:], pose[1:])  # only the turn of the whole body is new
        up, was = (roma.rotvec_to_rotmat(torch.tensor(p[0]))[:, 1] for p in (record.pose, pose))
        assert up @ was > 0.4  # tilted by at most 20 degrees about x and z, and by the camera
        assert Image.open(record.image).size == (64, 64) and len(record.box) == 4
        assert record.licence and record.betas.shape == (10,)
    before = train[0].image.read_bytes()
    posest_open.render_posest_open(tmp_path, "train", size=64)
    assert train[0].image.read_bytes() == before
    train[1].image.unlink()
    with pytest.warns(UserWarning, match=r"^1 of PoseEst-Open skipped"):
        assert len(list(posest_open.read_posest_open(tmp_path, "train"))) == 3
