# SPDX-License-Identifier: Apache-2.0
"""Common behaviour of data sources: terms, a single warning, the inventory."""

import warnings

import pytest
from typer.testing import CliRunner

from miniatures import (
    write_amass,
    write_archive,
    write_emdb,
    write_fits,
    write_human36m,
    write_moyo_pictures,
    write_rendered,
    write_sequence,
    write_texts,
)
from unipose_hf.cli import app
from unipose_hf.cli.doctor import list_data
from unipose_hf.data.inventory import list_data_sets
from unipose_hf.data.licences import LICENCES
from unipose_hf.data.sources import amass, smpl_npz


def test_one_warning_also_when_the_reader_stops_early(tmp_path):
    amass_root = write_amass(tmp_path)
    first, _ = amass.list_amass(amass_root, "train")
    first.write_bytes(b"PK")
    records = amass.read_amass(amass_root, "train")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        next(records)
    with pytest.warns(UserWarning, match="^1 of AMASS skipped"):
        records.close()


def test_every_set_has_its_terms():
    others = {"AMASS", "MOYO", "PoseScript", "PoseFix", "3DPW", "EMDB", "LSP", "PoseEst-Open"}
    assert others | set(smpl_npz.SETS) == set(LICENCES)
    free = {name for name, licence in LICENCES.items() if licence.redistribution}
    assert free == {"PoseScript", "PoseFix", "PoseEst-Open"}


def test_list_data_sets(tmp_path):
    pytest.importorskip("datasets")
    root = tmp_path
    write_amass(root / "amass")
    write_texts(root / "posescript")
    write_fits(root / "coco")
    write_sequence(root / "3dpw")
    write_emdb(root / "emdb")
    (root / "moyo").mkdir()
    write_moyo_pictures(root / "moyo")
    (root / "human36m").mkdir()
    write_human36m(root / "human36m")
    write_rendered(root / "posest_open", 3)
    write_archive(root / "mpii/mpii-train/0.tar")
    stock = {row.name: row for row in list_data_sets(root)}
    found = {name: row.found for name, row in stock.items() if row.found}
    assert found == {
        "AMASS": "train 2, val 1, test 1 motions",
        "PoseScript (human)": "train 2, val 0, test 1 poses",
        "PoseScript (auto)": "train 3, val 0, test 1 poses",
        "COCO": "train 3 fits",
        "3DPW": "test 1 sequences",
        "EMDB": "emdb1 1, emdb2 0 sequences",
        "MOYO (pictures)": "listed 2 pictures",
        "Human3.6M (joints)": "test 2 pictures",
        "MPII (archives)": "train 1 pictures with fits",
        "PoseEst-Open": "train 2, test 1 pictures",
    }
    assert "moyo.is.tue.mpg.de" in stock["MOYO"].missing and "sam.johnson.io" in stock["LSP"].missing
    assert {"PoseFix (human)", "Human3.6M", "MPI-INF-3DHP", "MPII", "COCO (boxes)", "BVH"} <= stock.keys()
    lines = []
    list_data(root, lines.append)
    assert len(lines) == len(stock) and sum(line.startswith("ok") for line in lines) == len(found)
    assert lines[0].startswith("ok  AMASS ") and lines[0].endswith("research (Max Planck)")
    with pytest.raises(FileNotFoundError, match="give the folder that contains the data sets"):
        list_data_sets(root / "nowhere")


def test_the_command_refuses_a_folder_that_is_not_there(tmp_path):
    result = CliRunner().invoke(app, ["doctor", "--data", str(tmp_path / "nowhere")])
    assert result.exit_code == 2 and "There is no folder" in result.stderr
