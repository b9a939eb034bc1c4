# SPDX-License-Identifier: Apache-2.0
"""PoseScript and PoseFix, on tiny copies of their files."""

import pytest

from miniatures import QUARTER_TURN, assert_upright, standing, write_amass, write_json, write_motion, write_texts
from unipose_hf.data.sources import amass, posefix, posescript


@pytest.fixture
def amass_root(tmp_path):
    return write_amass(tmp_path / "amass")


@pytest.fixture
def text_root(tmp_path):
    return write_texts(tmp_path / "texts")


def test_posescript(text_root, amass_root):
    records = list(posescript.read_posescript(text_root, amass_root, "train"))
    # pose 3 has no human text; the rest are ordered by file, so that each is opened once
    assert [(r.sequence[-15:], r.frame, r.texts) for r in records] == [
        ("01_01_poses.npz", 5, ("Arm up.", "An arm.")),
        ("01_02_poses.npz", 3, ("One stands.",)),
    ]
    for record in records:
        assert_upright(record, lifted=0.1 * record.frame)
        assert record.set == "PoseScript" and "CC BY-NC-SA" in record.licence and record.frame_rate == 120
    automatic = list(posescript.read_posescript(text_root, amass_root, "train", "auto"))
    assert [r.texts for r in automatic] == [("3a", "3b", "3c"), ("1a", "1b", "1c"), ("0a", "0b", "0c")]
    assert list(posescript.read_posescript(text_root, amass_root, "val")) == []


def test_posefix(text_root, amass_root):
    across, within = sorted(posefix.read_posefix(text_root, amass_root, "train"), key=lambda pair: pair.in_sequence)
    assert within.texts == ("Lift it more.", "Up.") and (within.first.frame, within.second.frame) == (1, 5)
    assert across.texts == ("Lift it.",) and across.first.sequence != across.second.sequence
    for record in (*across[2:4], *within[2:4]):
        assert_upright(record, lifted=0.1 * record.frame)
    [pair] = posefix.read_posefix(text_root, amass_root, "train", "paraphrases")
    assert pair.texts == ("Raise it.",) and pair.set == "PoseFix"
    [pair] = posefix.read_posefix(text_root, amass_root, "test")
    assert pair.first.sequence.startswith("SSM")


def test_texts_that_are_missing_or_damaged(text_root, amass_root):
    with pytest.raises(FileNotFoundError, match=r"train_ids\*\.json in .*posescript_release_v2\.zip"):
        posescript.read_posescript(amass_root, amass_root, "train")
    with pytest.raises(FileNotFoundError, match=r"_in_sequence_pair_ids.*posefix_dataset_release\.zip"):
        posefix.read_posefix(amass_root, amass_root, "train")
    with pytest.raises(FileNotFoundError, match=r"no folder .* with AMASS: register at"):
        posescript.read_posescript(text_root, text_root / "nowhere", "train")
    with pytest.raises(ValueError, match="no kind of texts 'machine'; pass one of human, auto"):
        posescript.read_posescript(text_root, amass_root, "train", "machine")

    (amass_root / "CMU/01/01_02_poses.npz").unlink()
    with pytest.warns(UserWarning, match=r"^1 of PoseScript skipped; the first: There is no file .*01_02_poses"):
        [record] = posescript.read_posescript(text_root, amass_root, "train")
    assert record.frame == 5
    write_motion(amass_root / "CMU/01/01_01_poses.npz", standing(5, 156, QUARTER_TURN))
    with pytest.warns(UserWarning, match=r"^2 of PoseFix skipped; the first: .*"):
        assert list(posefix.read_posefix(text_root, amass_root, "train")) == []

    write_json(text_root / "pair_id_2_pose_ids.json", [[0, 1]])
    with pytest.raises(ValueError, match="names pair 1 but not its two poses"):
        posefix.list_posefix(text_root, "train")
    (text_root / "train_ids_100k.json").write_text('{"a": ')
    with pytest.raises(ValueError, match="train_ids_100k.json is not JSON"):
        posescript.list_posescript(text_root, "train")


def test_texts_open_a_motion_when_it_is_asked_for_and_once(text_root, amass_root, monkeypatch):
    opened = []
    load = amass.load_motion
    monkeypatch.setattr(amass, "load_motion", lambda path: opened.append(path.name) or load(path))
    records = posescript.read_posescript(text_root, amass_root, "train", "auto")
    assert opened == []
    next(records), next(records)
    assert opened == ["01_01_poses.npz"]
    next(records)
    assert opened == ["01_01_poses.npz", "01_02_poses.npz"]
