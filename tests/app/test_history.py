# SPDX-License-Identifier: Apache-2.0
"""The history of edits."""

import numpy as np
import pytest

from unipose_hf import Pose
from unipose_hf.app import History


def bent(angle):
    vectors = np.zeros((22, 3), dtype=np.float32)
    vectors[18, 1] = angle
    return Pose(vectors)


def test_undo_and_branch_keep_every_step():
    first = History.start(bent(0.1), "Say")
    third = first.add(bent(0.2), "Bend").add(bent(0.3), "Bend more")
    branch = third.undo().undo().add(bent(0.4), "Straighten")
    assert branch.pose == bent(0.4)
    assert [step.parent for step in branch.steps] == [None, 0, 1, 0]
    assert branch.labels()[3] == "4 (from 1). Straighten" and branch.labels()[2] == "3. Bend more"
    assert branch.go(2).pose == bent(0.3)
    assert branch.undo().pose == bent(0.1)
    assert len(first.steps) == 1  # immutable


def test_mistakes_are_sentences():
    with pytest.raises(ValueError, match="nothing to undo"):
        History.start(bent(0), "Say").undo()
    with pytest.raises(ValueError, match="no pose yet"):
        History().pose  # noqa: B018
    with pytest.raises(ValueError, match="no step 5"):
        History.start(bent(0), "Say").go(4)
