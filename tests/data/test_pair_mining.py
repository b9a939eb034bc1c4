# SPDX-License-Identifier: Apache-2.0
"""Pair mining against a brute-force implementation."""

import os
import subprocess
import sys
from collections import Counter

import numpy as np
import pytest
import torch

from unipose_hf.data.mining import pair_mining
from unipose_hf.data.mining.pair_mining import (
    cosine_neighbours,
    low_level_properties,
    mine_across_motions,
    mine_image_pairs,
    mine_within_motions,
    pairs_to_annotate,
)

SIZE, CODES = 120, 60


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch):
    """Several chunks, and fewer neighbours than poses. The cosines below are exact eighths: these limits are met."""
    monkeypatch.setattr(pair_mining, "_CHUNK", 50)
    monkeypatch.setattr(pair_mining, "COSINES", (0.5, 0.875))
    monkeypatch.setattr(pair_mining, "NEIGHBOURS", 60)


@pytest.fixture
def corpus():
    """Features of +-1, whose cosines are exact and often equal; properties close enough for both limits to matter."""
    generator = torch.Generator().manual_seed(0)
    features = torch.ones(SIZE, 16)
    flips = torch.randint(16, (SIZE, 2), generator=generator)
    features.scatter_(1, flips, -1.0)
    properties = torch.randint(3, (SIZE, CODES), generator=generator)
    properties[:, 30:] = 0
    return {
        "features": features,
        "properties": properties.to(torch.int8),
        "motion": torch.arange(SIZE) // 40,
        "frame": torch.arange(SIZE) % 40,
    }


def nearest(features, b, count=60):
    """Every other pose by falling cosine, lower indices first."""
    cosine = (features @ features[b] / 16).tolist()
    others = [a for a in range(len(features)) if a != b]
    return [(cosine[a], a) for a in sorted(others, key=lambda a: (-cosine[a], a))[:count]]


def differing(properties, a, b):
    return sum(x != y for x, y in zip(properties[a].tolist(), properties[b].tolist(), strict=True))


def candidates(corpus, allowed, at_least, low=0.5, high=0.875):
    """(b, cosine, a, differences), by looking at all."""
    return [
        (b, cosine, a, differing(corpus["properties"], a, b))
        for b in range(SIZE)
        for cosine, a in nearest(corpus["features"], b)
        if low < cosine < high and allowed(a, b) and differing(corpus["properties"], a, b) >= at_least
    ]


def rows(mined):
    return [
        (b, cosine, a, differences)
        for (a, b), cosine, differences in zip(
            mined.pairs.tolist(), mined.cosine.tolist(), mined.differences.tolist(), strict=True
        )
    ]


def test_across_motions_equals_looking_at_all(corpus):
    mined = mine_across_motions(corpus["features"], corpus["properties"], corpus["motion"], search="torch")
    motion = corpus["motion"].tolist()
    found = candidates(corpus, lambda a, b: motion[a] != motion[b], 21)
    many = Counter(b for b, *_ in found)
    taken, expected = Counter(), []
    for row in found:
        taken[row[0]] += 1
        if taken[row[0]] <= 3:
            expected.append(row)
    assert rows(mined) == expected
    assert mined.complete.tolist() == [many[row[0]] >= 3 for row in expected]
    assert len(expected) > 50 and not mined.complete.all() and mined.complete.any()
    assert not mined.seconds.any()


def test_within_motions_equals_looking_at_all(corpus):
    rate = 20.0  # half a second is 10 frames
    mined = mine_within_motions(
        corpus["features"], corpus["properties"], corpus["motion"], corpus["frame"], rate, search="torch"
    )
    motion, frame = corpus["motion"].tolist(), corpus["frame"].tolist()
    found = candidates(corpus, lambda a, b: motion[a] == motion[b] and 0 < (frame[b] - frame[a]) / rate < 0.5, 16)
    best_a, best_b = {}, {}
    for b, _, a, _ in found:
        gap = frame[b] - frame[a]
        best_a[b] = min(best_a.get(b, (99, 0)), (gap, a))
        best_b[a] = min(best_b.get(a, (99, 0)), (gap, b))
    expected = [row for row in found if best_a[row[0]][1] == row[2] and best_b[row[2]][1] == row[0]]
    assert rows(mined) == expected and len(found) > len(expected) > 10
    sources, targets = mined.pairs.T.tolist()
    assert len(set(sources)) == len(sources) and len(set(targets)) == len(targets)
    assert mined.seconds.tolist() == pytest.approx([(frame[b] - frame[a]) / rate for b, _, a, _ in expected])
    assert mined.complete.all()


def two_poses(difference=16, flips=2, motions=(0, 0), frames=(0, 9)):
    """B after A, with cosine 1 - flips / 8 and so many differing codes."""
    features = torch.ones(2, 16)
    features[1, :flips] = -1
    properties = torch.zeros(2, CODES)
    properties[1, :difference] = 1
    return features, properties, torch.tensor(motions), torch.tensor(frames)


@pytest.mark.parametrize(
    "change, kept",
    [
        ({}, True),
        ({"difference": 15}, False),
        ({"frames": (0, 10)}, False),  # 0.5 s exactly
        ({"frames": (0, 0)}, False),
        ({"frames": (9, 0)}, True),  # the other way round
        ({"motions": (0, 1)}, False),
        ({"flips": 1}, False),  # the upper limit exactly
        ({"flips": 4}, False),  # the lower limit exactly
        ({"flips": 3}, True),
    ],
)
def test_limits_within_a_motion(change, kept):
    mined = mine_within_motions(*two_poses(**change), 20, search="torch")
    later = 0 if change.get("frames") == (9, 0) else 1
    assert mined.pairs.tolist() == ([[1 - later, later]] if kept else [])


def test_half_a_second_is_told_by_the_frame_rate_of_b():
    features, properties, motion, frame = two_poses()
    assert len(mine_within_motions(features, properties, motion, frame, torch.tensor([5.0, 20.0])).pairs) == 1
    assert len(mine_within_motions(features, properties, motion, frame, torch.tensor([20.0, 5.0])).pairs) == 0


@pytest.mark.parametrize(
    "change, kept", [({}, 2), ({"difference": 20}, 0), ({"motions": (0, 0)}, 0), ({"flips": 1}, 0)]
)
def test_limits_across_motions(change, kept):
    features, properties, motion, _ = two_poses(**{"difference": 21, "motions": (0, 1)} | change)
    mined = mine_across_motions(features, properties, motion, search="torch")
    assert len(mined.pairs) == kept and not mined.complete.any()


def test_image_pairs_have_ten_differing_codes_and_any_cosine(corpus):
    targets = torch.arange(0, SIZE, 3)
    mined = mine_image_pairs(corpus["features"], corpus["properties"], targets, search="torch")
    possible = {(a, b) for b, _, a, _ in candidates(corpus, lambda a, b: True, 10, -2, 2)}
    assert {tuple(pair) for pair in mined.pairs.tolist()} <= possible
    assert mined.pairs[:, 1].tolist() == [b for b in targets.tolist() if any(b == pair[1] for pair in possible)]
    assert not torch.equal(
        mined.pairs, mine_image_pairs(corpus["features"], corpus["properties"], targets, seed=1, search="torch").pairs
    )
    for difference, kept in ((9, 0), (10, 2)):
        features, properties, *_ = two_poses(difference, flips=0)
        assert len(mine_image_pairs(features, properties, search="torch").pairs) == kept


def test_only_the_nearest_count_even_where_constraints_drop_them(corpus, monkeypatch):
    monkeypatch.setattr(pair_mining, "NEIGHBOURS", 10)
    mined = mine_across_motions(corpus["features"], corpus["properties"], corpus["motion"], search="torch")
    near = {(a, b) for b in range(SIZE) for _, a in nearest(corpus["features"], b, 10)}
    assert len(mined.pairs) and {tuple(pair) for pair in mined.pairs.tolist()} <= near


def annotated(pairs, seed=0):
    pairs = torch.tensor(pairs).reshape(-1, 2)
    size = len(pairs)
    mined = pair_mining.MinedPairs(
        pairs, torch.ones(size), torch.ones(size), torch.zeros(size), torch.ones(size, dtype=torch.bool)
    )
    return pairs_to_annotate(mined, seed=seed).tolist()


def test_an_a_that_waits_as_b_is_preferred_and_kept_both_ways():
    # of B = 0: A = 9 is no B, A = 5 is; so 5's own turn is over, and 7 gets what it has
    assert annotated([[9, 0], [5, 0], [0, 5], [8, 7]]) == [[5, 0], [0, 5], [8, 7]]
    assert annotated([]) == []


def test_an_a_wanted_by_many_is_drawn_rarely():
    # A = 20 is wanted by eleven B's, A = 21 by one
    pairs = [[20, b] for b in range(1, 11)] + [[20, 0], [21, 0]]
    share = sum(annotated(pairs, seed)[0] == [21, 0] for seed in range(300)) / 300
    assert share == pytest.approx(11 / 12, abs=0.05)


def test_each_b_is_served_once(corpus):
    mined = mine_across_motions(corpus["features"], corpus["properties"], corpus["motion"], search="torch")
    pairs = pairs_to_annotate(mined).tolist()
    targets = [b for _, b in pairs]
    assert sorted(targets) == mined.pairs[:, 1].unique().tolist()
    known = {tuple(pair) for pair in mined.pairs.tolist()}
    assert all((a, b) in known or [b, a] in pairs for a, b in pairs)


def test_faiss_finds_the_same():
    pytest.importorskip("faiss")
    features = torch.nn.functional.normalize(torch.randn(300, 8, generator=torch.Generator().manual_seed(0)), dim=1)
    features[:30] = features[0]  # more copies than neighbours: copies count as neighbours, the pose itself does not
    by_faiss, by_torch = (list(cosine_neighbours(features, torch.arange(300), 20, s)) for s in ("faiss", "torch"))
    for (targets, cosines, indices), (_, exact, _) in zip(by_faiss, by_torch, strict=True):
        torch.testing.assert_close(cosines, exact)
        torch.testing.assert_close((features[indices] * features[targets][:, None]).sum(-1), cosines)
        assert not (indices == targets[:, None]).any() and (indices.sort(dim=1).values.diff(dim=1) > 0).all()


def test_faiss_is_missed_only_where_it_was_asked_for(monkeypatch):
    monkeypatch.setitem(sys.modules, "faiss", None)
    features, properties, motion, _ = two_poses(21, motions=(0, 1))
    assert len(mine_across_motions(features, properties, motion).pairs) == 2
    with pytest.raises(ImportError, match=r'pip install "unipose-hf\[faiss\]"'):
        mine_across_motions(features, properties, motion, search="faiss")


def test_few_poses_give_no_pairs():
    for size in (0, 1):
        features, properties = torch.ones(size, 4), torch.zeros(size, 5)
        motion = torch.zeros(size, dtype=torch.long)
        for mined in (
            mine_within_motions(features, properties, motion, motion, 30),
            mine_across_motions(features, properties, motion),
            mine_image_pairs(features, properties),
        ):
            assert mined.pairs.shape == (0, 2)


def test_properties_are_the_codes_that_need_positions_only(monkeypatch):
    joints = torch.randn(7, 22, 3, generator=torch.Generator().manual_seed(0))
    monkeypatch.setattr(pair_mining, "_CHUNK", 3)
    properties = low_level_properties(joints)
    assert properties.shape == (7, 418) and properties.dtype == torch.int8
    assert torch.equal(properties[5], low_level_properties(joints[5:6])[0])
    assert not torch.equal(properties, low_level_properties(joints, noise=torch.Generator().manual_seed(0)))
    assert low_level_properties(joints[:0]).shape == (0, 418)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"features": torch.ones(4)}, r"features has shape \(4,\); expected \(N, D\)"),
        ({"properties": torch.zeros(3, 5)}, r"properties has shape \(3, 5\); expected \(2, C\)"),
        ({"features": torch.tensor([[1.0, 0], [0, 0]])}, "features row 1 is zero, NaN or infinite"),
        ({"features": torch.tensor([[torch.nan, 0], [1, 0]])}, "features row 0 is zero, NaN or infinite"),
        ({"motion": torch.zeros(3)}, r"motion has shape \(3,\); expected \(2,\)"),
        ({"frame": torch.zeros(2, 1)}, r"frame has shape \(2, 1\)"),
        ({"frame_rate": torch.ones(3)}, r"frame_rate has shape \(3,\)"),
        ({"frame_rate": 0}, "frame_rate holds 0.0; expected frames a second, above 0"),
        ({"search": "annoy"}, "search is 'annoy'"),
    ],
)
def test_wrong_inputs_are_said_in_one_sentence(change, message):
    features, properties, motion, frame = two_poses()
    given = dict(features=features, properties=properties, motion=motion, frame=frame, frame_rate=30, search="torch")
    with pytest.raises(ValueError, match=message):
        mine_within_motions(**given | change)


def test_targets_must_be_indices():
    features, properties, *_ = two_poses()
    with pytest.raises(ValueError, match="targets holds 0 to 2; expected indices of the 2 poses"):
        mine_image_pairs(features, properties, [0, 2])


MINE_WITHIN = """
import resource
import numpy as np
from unipose_hf.data.mining.pair_mining import mine_image_pairs

features = np.memmap("features", dtype="f4", mode="r").reshape(-1, 512)
codes = np.memmap("codes", dtype="i1", mode="r").reshape(len(features), -1)
mine_image_pairs(features[:200], codes[:200], [0])  # what libraries set up once
data = int(next(line for line in open("/proc/self/status") if line.startswith("VmData")).split()[1]) * 1024
resource.setrlimit(resource.RLIMIT_DATA, (data + 100_000_000,) * 2)
print(len(mine_image_pairs(features, codes, [7, 90_000]).pairs))
try:
    np.array(features)
    print("room for all")
except MemoryError:
    print("no room for all")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the limit that is set is Linux's")
def test_more_poses_are_mined_than_memory_holds(tmp_path):
    """200 MB of features, half of that in memory."""
    generator = np.random.default_rng(0)
    block = generator.standard_normal((10_000, 512), dtype=np.float32)
    with open(tmp_path / "features", "wb") as features, open(tmp_path / "codes", "wb") as codes:
        for number in range(10):
            features.write((block + np.float32(number)).tobytes())
            codes.write(generator.integers(0, 3, (len(block), 100), dtype=np.int8).tobytes())
    done = subprocess.run(
        [sys.executable, "-c", MINE_WITHIN],
        cwd=tmp_path,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert done.stdout.splitlines() == ["2", "no room for all"], done.stderr[-1000:]
