# SPDX-License-Identifier: Apache-2.0
"""The bank of picture features: the same whenever it is built, also in two goes, and nothing half-written."""

import pytest
import torch
from tiny import BLAZEPOSE

from unipose_hf.modeling.blazepose_unipose import BlazePoseBackbone, BlazePoseConfig
from unipose_hf.training import image_bank
from unipose_hf.training.image_bank import build_image_bank, load_image_bank


@pytest.fixture(scope="module")
def backbone():
    torch.manual_seed(0)
    settings = {key: value for key, value in BLAZEPOSE.items() if key != "model_type"}
    return BlazePoseBackbone(BlazePoseConfig(**settings)).eval()


def test_a_bank_is_the_same_when_built_again_and_goes_on_where_it_stopped(backbone, tmp_path, monkeypatch):
    monkeypatch.setattr(image_bank, "CHUNK", 4)
    build_image_bank(backbone, tmp_path / "whole", count=8)
    build_image_bank(backbone, tmp_path / "broken", count=3)  # chunks are whole: four pictures
    first = tmp_path / "broken" / "00000.safetensors"
    written = first.stat().st_mtime_ns
    (tmp_path / "broken" / "00001.part").write_bytes(b"what a killed build leaves")
    build_image_bank(backbone, tmp_path / "broken", count=8)
    assert first.stat().st_mtime_ns == written
    whole, broken = load_image_bank(tmp_path / "whole"), load_image_bank(tmp_path / "broken")
    assert whole["features"].shape == (8, backbone.config.hidden_size) and whole["poses"].shape == (8, 22, 3)
    for name in whole:
        assert whole[name].isfinite().all() and torch.equal(whole[name], broken[name])
    assert not torch.equal(whole["poses"][:4], whole["poses"][4:])
    names = ["00000.safetensors", "00001.safetensors"]
    assert all(sorted(path.name for path in (tmp_path / run).iterdir()) == names for run in ("whole", "broken"))
