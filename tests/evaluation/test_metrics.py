# SPDX-License-Identifier: Apache-2.0
"""Pose errors, recall, R-precision and FID against independent references, and general properties."""

import functools
import math
import shutil
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import torch

import unipose_hf.evaluation
from unipose_hf.evaluation import geodesic_error, mpjpe, pa_mpjpe, pve, r_precision, retrieval_recall
from unipose_hf.evaluation.metrics import fid
from unipose_hf.evaluation.metrics.pose_errors import errors_over_samples
from unipose_hf.evaluation.metrics.retrieval_metrics import _draw_others, match_ranks, sampled_recall


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def unit(*shape, seed=0):
    return torch.nn.functional.normalize(random(*shape, seed=seed), dim=-1)


# -- errors ----------------------------------------------------------------------------------------------------------


def test_pa_mpjpe_equals_scipys_alignment():
    scipy_rotation = pytest.importorskip("scipy.spatial.transform").Rotation
    predicted, target = random(2, 6, 22, 3).double().numpy()
    for row, error in enumerate(pa_mpjpe(predicted, target)):
        a, b = predicted[row] - predicted[row].mean(0), target[row] - target[row].mean(0)
        turn, _ = scipy_rotation.align_vectors(b, a)
        turned = turn.apply(a)
        scale = (turned * b).sum() / (a * a).sum()
        assert error.item() == pytest.approx(np.linalg.norm(scale * turned - b, axis=1).mean(), abs=1e-5)


def test_pve_by_hand_and_with_roots():
    target = random(4, 10, 3)
    shifted = target + torch.tensor([0.0, 0.3, 0.4])
    torch.testing.assert_close(pve(shifted, target), torch.full((4,), 0.5))
    roots = target[:, 0]
    assert pve(shifted, target, shifted[:, 0], roots).max() < 1e-6
    torch.testing.assert_close(pve(target, target, target_root=roots), roots.norm(dim=-1))
    with pytest.raises(ValueError, match=r"Vertices must have one shape"):
        pve(target, target[:, :9])


def test_geodesic_error_is_the_angle_of_the_turn_between():
    axis = unit(5, 22, 3)
    angles = torch.linspace(0.05, 3.1, 110).view(5, 22)
    from unipose_hf.modeling.rotation_unipose import axis_angle_to_matrix

    start = axis_angle_to_matrix(random(5, 22, 3, seed=1))
    turn = axis_angle_to_matrix(axis * angles[..., None])
    torch.testing.assert_close(geodesic_error(start @ turn, start), angles.mean(-1), atol=2e-4, rtol=0)
    assert geodesic_error(start, start).max() < 1e-3
    with pytest.raises(ValueError, match=r"joints, 3, 3"):
        geodesic_error(start[0, 0], start[0, 0])


def test_errors_over_samples_by_hand():
    errors = torch.tensor([[5.0, 1.0, 3.0, 2.0], [1.0, 1.0, 1.0, 9.0]])
    found = errors_over_samples(errors, top=2)
    assert found.mean.tolist() == [2.75, 3.0] and found.best.tolist() == [1.0, 1.0]
    assert found.top.tolist() == [1.5, 1.0]
    with pytest.raises(ValueError, match="draw more samples"):
        errors_over_samples(errors, top=5)


# -- recall and R-precision ------------------------------------------------------------------------------------------


def recall(queries, gallery, ks=(1, 5, 10)):
    """One way, by number."""
    found = retrieval_recall(queries, gallery, ks)
    return {k: found[f"t2p_r@{k}"] for k in ks}


def test_recall_equals_a_plain_sort(monkeypatch):
    """Also in many small tiles."""
    texts, poses = unit(70, 8), unit(70, 8, seed=1)
    texts = texts + 0.4 * poses
    place = [(-(poses @ text)).argsort(stable=True).tolist().index(row) for row, text in enumerate(texts)]
    expected = {k: 100 * sum(p < k for p in place) / 70 for k in (1, 5, 10)}
    assert 0 < expected[1] < expected[10] < 100
    back = [(-(texts @ pose)).argsort(stable=True).tolist().index(row) for row, pose in enumerate(poses)]
    for tile in (2048, 9):
        monkeypatch.setattr("unipose_hf.evaluation.metrics.retrieval_metrics.TILE", tile)
        both = retrieval_recall(texts, poses)
        assert {k: both[f"t2p_r@{k}"] for k in expected} == pytest.approx(expected)
        assert both["p2t_r@5"] == pytest.approx(100 * sum(p < 5 for p in back) / 70)
    assert both["mrecall"] == pytest.approx(sum(v for k, v in both.items() if k != "mrecall") / 6)


def test_recall_is_monotone_and_whole():
    texts, poses = unit(40, 4), unit(40, 4, seed=1)
    found = recall(texts, poses, ks=range(1, 41))
    values = list(found.values())
    assert values == sorted(values) and values[-1] == 100
    assert recall(poses, poses, ks=(1,))[1] == 100


def test_embedding_everything_alike_gains_nothing():
    same = torch.ones(64, 4) / 2
    assert recall(same, same, ks=(1, 8)) == pytest.approx({1: 100 / 64, 8: 100 / 8})
    found = r_precision(same, same, pool=32)
    assert found["top1"] == pytest.approx(100 / 32) and found["top3"] == pytest.approx(300 / 32)
    assert found["top3_of_average_rank"] == 0
    closer, level = match_ranks(same, same)
    assert closer.tolist() == [[0] * 64] * 2 and level.tolist() == [[63] * 64] * 2


def test_rows_that_are_there_twice_share_their_place(monkeypatch):
    """Wherever they stand: not all products of matrices round alike."""
    monkeypatch.setattr("unipose_hf.evaluation.metrics.retrieval_metrics.TILE", 7)
    once = unit(30, 64)
    twice = torch.cat([once, once])
    for level in match_ranks(twice, twice)[1]:
        assert level.tolist() == [1] * 60
    assert recall(twice, twice, ks=(1, 2)) == pytest.approx({1: 50, 2: 100})


def test_pools_hold_every_other_row_as_often():
    others = torch.stack([_draw_others(6, 3, torch.Generator().manual_seed(seed)) for seed in range(2000)])
    for row in range(6):
        drawn = others[:, row]  # (2000, 3)
        assert row not in drawn and all(len(set(pool)) == 3 for pool in drawn.tolist())
        counts = torch.bincount(drawn.flatten(), minlength=6)[[i for i in range(6) if i != row]]
        assert (counts / 2000 - 0.6).abs().max() < 0.05
    assert _draw_others(4, 3, torch.Generator()).sort(1).values.tolist() == [
        [1, 2, 3],
        [0, 2, 3],
        [0, 1, 3],
        [0, 1, 2],
    ]


def test_r_precision_of_whole_pools_is_recall():
    texts, poses = unit(20, 3), unit(20, 3, seed=1)
    found = r_precision(texts, poses, pool=20, repetitions=2)
    expected = recall(texts, poses, ks=(1, 2, 3))
    for k in (1, 2, 3):  # all pools are the whole set, so both variants are the recall
        assert found[f"top{k}"] == pytest.approx(expected[k]) == found[f"top{k}_of_average_rank"]


def test_r_precision_against_a_second_writing_and_its_two_variants():
    texts, poses = unit(50, 6), unit(50, 6, seed=1)
    texts = texts + 0.9 * poses
    generator = torch.Generator().manual_seed(7)
    ranks = np.empty((50, 4))
    for repetition in range(4):
        for row, others in enumerate(_draw_others(50, 9, generator).tolist()):
            similar = [float(poses[i] @ texts[row]) for i in [row, *others]]
            ranks[row, repetition] = sum(s > similar[0] for s in similar)
    found = r_precision(texts, poses, pool=10, repetitions=4, seed=7)
    for k in (1, 2, 3):
        assert found[f"top{k}"] == pytest.approx(100 * (ranks < k).mean())
        assert found[f"top{k}_of_average_rank"] == pytest.approx(100 * (ranks.mean(1) < k).mean())
    assert found["top1"] != found["top1_of_average_rank"]
    assert found == r_precision(texts, poses, pool=10, repetitions=4, seed=7)
    assert found != r_precision(texts, poses, pool=10, repetitions=4, seed=8)
    assert sampled_recall(texts, poses, ks=(1, 2, 3), pool=10, repetitions=4, seed=7) == pytest.approx(
        {k: found[f"top{k}"] for k in (1, 2, 3)}
    )


def test_wrong_embeddings_are_refused():
    good = unit(40, 4)
    with pytest.raises(ValueError, match="one shape"):
        retrieval_recall(good, good[:39])
    with pytest.raises(ValueError, match="NaN"):
        r_precision(good, torch.full_like(good, math.nan))
    with pytest.raises(ValueError, match="Pools of 32 cannot be drawn from 20 items"):
        r_precision(good[:20], good[:20])


# -- FID -------------------------------------------------------------------------------------------------------------


def published_fid(a, b):
    """The formula with scipy's matrix square root."""
    sqrtm = pytest.importorskip("scipy.linalg").sqrtm
    a, b = a.double().numpy(), b.double().numpy()
    first, second = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    root = sqrtm(first @ second).real
    return ((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(first + second - 2 * root)


@pytest.mark.parametrize("rows", [(300, 200), (60, 60)])
def test_fid_equals_the_scipy_formula(rows):
    a = random(rows[0], 24) @ random(24, 24, seed=1) + 0.3
    b = random(rows[1], 24, seed=2)
    assert fid(a, b) == pytest.approx(published_fid(a, b), rel=1e-9)
    assert fid(b, a) == pytest.approx(fid(a, b))


def test_fid_is_zero_on_itself_and_counts_a_shift():
    for features in (unit(100, 16), unit(20, 64), unit(2, 3), torch.ones(5, 4)):  # also of deficient rank
        assert fid(features, features) < 1e-12
        shift = torch.zeros(features.shape[1]).index_fill(0, torch.tensor(0), 0.5)
        assert fid(features + shift, features) == pytest.approx(0.25, abs=1e-6)
    turn = torch.linalg.qr(random(16, 16, seed=3)).Q
    a, b = random(80, 16), random(80, 16, seed=1) * 2
    assert fid(a @ turn, b @ turn) == pytest.approx(fid(a, b), rel=1e-5)
    one = random(50, 1)
    assert fid(3 * one, one) == pytest.approx(4 * one.mean().item() ** 2 + 4 * one.std().item() ** 2, rel=1e-5)
    with pytest.raises(ValueError, match="two rows"):
        fid(a[:1], b)
    with pytest.raises(ValueError, match="NaN"):
        fid(a * math.inf, b)


# -- as the package `evaluate` loads them ----------------------------------------------------------------------------


def test_modules_load_by_path_and_agree(tmp_path, monkeypatch):
    import evaluate

    from unipose_hf.captions import caption_poses
    from unipose_hf.data.open_poses import load_open_poses

    folder = Path(unipose_hf.evaluation.__file__).parent / "modules"
    assert {path.name for path in folder.iterdir()} >= {"mpjpe", "pa_mpjpe", "r_precision", "fid", "posecode_truth"}

    def compute(name, predictions, references, **options):
        module = evaluate.load(str(folder / name), cache_dir=str(tmp_path), experiment_id=name)
        return module.compute(predictions=predictions, references=references, **options)

    a, b = random(2, 5, 22, 3)
    assert compute("mpjpe", a.numpy(), b.numpy())["mpjpe"] == pytest.approx(mpjpe(a, b).mean().item())
    assert compute("pa_mpjpe", a.tolist(), b.tolist())["pa_mpjpe"] == pytest.approx(pa_mpjpe(a, b).mean().item())
    q, r = unit(2, 40, 8).numpy()
    assert compute("fid", q, r)["fid"] == pytest.approx(fid(q, r))
    assert compute("r_precision", q, r, pool=8, seed=3) == r_precision(q, r, pool=8, seed=3)
    poses = load_open_poses("test").axis_angle[:4]
    stated = caption_poses(poses, return_codes=True)[1]
    assert compute("posecode_truth", poses.numpy(), stated)["posecode_truth"] == pytest.approx(100)
    assert compute("posecode_truth", poses.flip(0).numpy(), stated)["posecode_truth"] < 90


def test_modules_load_by_hub_name(tmp_path, monkeypatch):
    """From a Space that holds what is in a module's folder, here on a server of our own."""
    import evaluate

    folder = Path(unipose_hf.evaluation.__file__).parent / "modules"
    shutil.copytree(folder / "mpjpe", tmp_path / "spaces/someone/mpjpe/resolve/main")
    handler = functools.partial(_Quiet, directory=str(tmp_path))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}/spaces/{{path}}/resolve/{{revision}}/{{name}}"
        monkeypatch.setattr(evaluate.config, "HUB_EVALUATE_URL", address)
        module = evaluate.load("someone/mpjpe", module_type="metric", revision="main", cache_dir=str(tmp_path / "c"))
        server.shutdown()
    a, b = random(2, 5, 22, 3)
    found = module.compute(predictions=a.numpy(), references=b.numpy())["mpjpe"]
    assert found == pytest.approx(mpjpe(a, b).mean().item())


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass
