# SPDX-License-Identifier: Apache-2.0
"""Farthest point sampling: matches the textbook algorithm, also when skipping, resuming or reading from disk."""

import numpy as np
import pytest
import torch

from unipose_hf.data import farthest_points
from unipose_hf.data.mining import selection


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    """Several blocks and several fronts on few poses."""
    monkeypatch.setattr(selection, "_BLOCK", 16)
    monkeypatch.setattr(selection, "_FRONT", 40)


def clouds(size, num_joints=5, seed=0):
    """Poses in clumps, as a motion makes them."""
    generator = torch.Generator().manual_seed(seed)
    centres = torch.randn(8, num_joints, 3, generator=generator)
    member = torch.randint(8, (size,), generator=generator)
    return centres[member] + 0.3 * torch.randn(size, num_joints, 3, generator=generator)


def by_the_book(joints, count, start=0):
    joints = joints.double()
    nearest = torch.full((len(joints),), torch.inf, dtype=torch.float64)
    selected = [start]
    while len(selected) < count:
        nearest = torch.minimum(nearest, (joints - joints[selected[-1]]).norm(dim=-1).mean(-1))
        nearest[selected[-1]] = -1
        selected.append(int(nearest.numpy().argmax()))
    return selected


@pytest.mark.parametrize("size, num_joints, count, start", [(300, 5, 120, 0), (200, 22, 200, 7), (100, 1, 60, 99)])
def test_it_is_that_of_the_book(size, num_joints, count, start):
    joints = clouds(size, num_joints)
    selected = farthest_points(joints, count, start)
    assert selected.dtype == torch.long
    assert selected.tolist() == by_the_book(joints, count, start)


def test_most_distances_are_never_computed(monkeypatch):
    computed = []
    distances = selection._distances
    monkeypatch.setattr(
        selection, "_distances", lambda block, place: computed.append(block.shape[2]) or distances(block, place)
    )
    farthest_points(clouds(1000), 50)
    assert sum(computed) < 0.5 * 1000 * 50


def test_ties_go_to_the_lowest_index_and_copies_come_last():
    # corners of a square, each thrice, on a grid where every distance is exact
    corners = torch.tensor([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [1, 1, 0]])
    joints = corners.repeat(3, 1)[:, None].repeat(1, 2, 1)
    assert farthest_points(joints, 12).tolist() == [0, 3, 1, 2, 4, 5, 6, 7, 8, 9, 10, 11]
    line = torch.arange(9.0)[:, None, None].repeat(1, 1, 3)
    assert farthest_points(line, 9, 4).tolist() == by_the_book(line, 9, 4)


def test_fewer_are_the_first_of_more():
    joints = clouds(150)
    assert torch.equal(farthest_points(joints, 20), farthest_points(joints, 80)[:20])


def test_an_interrupted_run_ends_like_an_unbroken_one(tmp_path, monkeypatch):
    joints, path = clouds(300), tmp_path / "state.safetensors"
    unbroken = farthest_points(joints, 90)
    monkeypatch.setattr(selection, "_SAVE_EVERY", 0.0)
    save, saves = selection._Selection.save, []

    def save_and_die(self, path):
        save(self, path)
        saves.append(len(self.selected))
        if len(saves) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(selection._Selection, "save", save_and_die)
    with pytest.raises(KeyboardInterrupt):
        farthest_points(joints, 90, state_file=path)
    assert 1 < saves[-1] < 90
    assert torch.equal(farthest_points(joints, 90, state_file=path), unbroken)
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_a_finished_run_can_be_shortened_and_extended(tmp_path):
    joints, path = clouds(200), tmp_path / "state.safetensors"
    unbroken = farthest_points(joints, 100)
    for count in (40, 15):
        assert torch.equal(farthest_points(joints, count, state_file=path), unbroken[:count])
        assert len(selection.load_file(path)["selected"]) == 40
    assert torch.equal(farthest_points(joints, 100, state_file=path), unbroken)


@pytest.mark.parametrize("other", ["joints", "size", "start", "skeleton"])
def test_a_state_of_something_else_is_refused(tmp_path, other):
    joints, path = clouds(60), tmp_path / "state.safetensors"
    farthest_points(joints, 10, state_file=path)
    changed = {"joints": joints + 1, "size": joints[:50], "start": joints, "skeleton": joints[:, :4]}[other]
    with pytest.raises(ValueError, match="from other joints or another start"):
        farthest_points(changed, 20, start=int(other == "start"), state_file=path)


def test_a_damaged_state_is_refused(tmp_path):
    path = tmp_path / "state.safetensors"
    path.write_bytes(b"nonsense")
    with pytest.raises(ValueError, match="is not a selection state"):
        farthest_points(clouds(20), 5, state_file=path)


def test_a_memory_map_is_read_in_pieces(tmp_path):
    joints = clouds(200)
    np.save(tmp_path / "joints.npy", joints.numpy())
    mapped = np.load(tmp_path / "joints.npy", mmap_mode="r")
    assert torch.equal(farthest_points(mapped, 60), farthest_points(joints, 60))


def _with_nan():
    joints = clouds(30)
    joints[21, 3, 1] = torch.nan
    return joints


@pytest.mark.parametrize(
    "joints, count, start, message",
    [
        (torch.zeros(4, 3), 1, 0, r"joints has the shape \(4, 3\)"),
        (torch.zeros(4, 22, 3, dtype=torch.long), 1, 0, "and the type torch.int64; expected a float"),
        ([[[0.0] * 3]], 1, 0, "joints has the type list; expected a float"),
        (torch.zeros(0, 22, 3), 1, 0, r"joints has the shape \(0, 22, 3\)"),
        (clouds(5), 6, 0, "count is 6, but there are 5 poses; expected 1 to 5"),
        (clouds(5), 0, 0, "count is 0"),
        (clouds(5), 2, 5, "start is 5, but there are 5 poses; expected 0 to 4"),
        (clouds(5), 2, -1, "start is -1"),
        (_with_nan(), 2, 0, "NaN or infinity in pose 21"),
    ],
)
def test_wrong_inputs_are_said_in_one_sentence(joints, count, start, message):
    with pytest.raises(ValueError, match=message):
        farthest_points(joints, count, start)
