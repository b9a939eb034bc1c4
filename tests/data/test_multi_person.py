# SPDX-License-Identifier: Apache-2.0
"""Pictures of several people: a description is true of exactly one of them."""

import dataclasses

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from unipose_hf.captions import caption_poses, codes_satisfied, pose_geometry
from unipose_hf.cli import app
from unipose_hf.data.builders.multi_person import colour_name, hints_at, render_group
from unipose_hf.data.open_poses import load_open_poses
from unipose_hf.data.samples import make_sample
from unipose_hf.visualization.outfit import Outfit

POSES = load_open_poses("test").axis_angle[[0, 120, 300, 400]].numpy()
RED, BLUE = (0.8, 0.1, 0.1), (0.1, 0.1, 0.8)


def outfits(*tops):
    return [dataclasses.replace(Outfit(), top=top) for top in tops]


class Watched:
    """A random generator that remembers its whole numbers: the seeds of captions."""

    def __init__(self, seed):
        self._generator, self.drawn = np.random.default_rng(seed), []
        self.choice, self.random = self._generator.choice, self._generator.random

    def integers(self, *bounds):
        self.drawn.append(int(self._generator.integers(*bounds)))
        return self.drawn[-1]


def test_people_stand_in_order_and_apart():
    picture, seen, boxes = render_group(POSES, outfits(RED, BLUE, RED, BLUE), np.random.default_rng(0), 96)
    assert picture.shape == (96, 96, 3) and np.allclose(seen[:, 1:], POSES[:, 1:])
    assert (boxes[1:, 0] > boxes[:-1, 0]).all() and (boxes[:, :2] >= -1).all() and (boxes[:, 2:] <= 97).all()


def test_hints_hold_for_one_person_only():
    dressed = outfits(RED, BLUE, BLUE, BLUE)
    geometry = pose_geometry(torch.from_numpy(POSES))
    seen = set()
    for draw in range(60):
        chosen, rng = draw % 4, Watched(draw)
        hints = hints_at(chosen, POSES, dressed, rng)
        told = " ".join(hints)
        by_place = any(word in told for word in ("leftmost", "rightmost", "far ", "further", "second"))
        by_clothes = "red" in told and chosen == 0
        assert hints and "middle" not in told
        assert by_place or by_clothes or len(hints[-1]) > 20
        if not by_place and not by_clothes:  # then the pose must distinguish them
            wordings = (caption_poses(POSES[[chosen]], seed=s, max_clauses=3, return_codes=True) for s in rng.drawn)
            codes = next(codes[0] for texts, codes in wordings if texts[0] == hints[-1])
            assert (codes_satisfied([codes] * 4, *geometry) == 1).tolist() == [i == chosen for i in range(4)]
        seen |= {(by_place, by_clothes)}
    assert len(seen) >= 3


@pytest.mark.parametrize(
    ("rgb", "name"),
    [
        ((0.05, 0.05, 0.05), "black"),
        ((0.9, 0.9, 0.9), "white"),
        ((0.5, 0.5, 0.5), "grey"),
        (RED, "red"),
        (BLUE, "blue"),
        ((0.1, 0.7, 0.1), "green"),
        ((0.9, 0.9, 0.1), "yellow"),
        ((0.1, 0.1, 0.4), "dark blue"),
        ((0.95, 0.6, 0.7), "light pink"),
        ((0.5, 0.3, 0.1), "brown"),
        ((0.1, 0.8, 0.8), "turquoise"),
        ((0.5, 0.3, 0.5), "purple"),
        ((0.9, 0.5, 0.9), "pink"),
        ((0.8, 0.6, 0.6), "light pink"),
        ((0.5, 0.5, 0.25), "olive"),
        ((0.9, 0.8, 0.65), "beige"),
    ],
)
def test_colours_have_everyday_names(rgb, name):
    assert colour_name(rgb) == name


def test_rows_become_chats_that_ask_for_one_person(tmp_path):
    datasets = pytest.importorskip("datasets")
    command = ["build-data", "multi-person", "--size", "3", "--picture-size", "64", "--output", str(tmp_path)]
    told = CliRunner().invoke(app, command)
    assert told.exit_code == 0
    assert [line.rsplit("/", 1)[1] for line in told.stdout.splitlines()] == ["test: 1 rows", "train: 2 rows"]
    row = datasets.load_dataset(str(tmp_path), "A", split="train", cache_dir=str(tmp_path / "cache"))[0]
    assert row["hint"] and row["image"].size == (64, 64)
    for task, answer in (("image-to-pose", "pose"), ("image-to-pose-text", "text")):
        sample = make_sample(task, row, "1")
        said = "".join(part.get("text", "") for part in sample["messages"][0]["content"])
        assert row["hint"] in said and sample["messages"][1]["content"][0]["type"] == answer
    with pytest.raises(ValueError, match="several people do not support 'text-to-pose'"):
        make_sample("text-to-pose", row, "1")
