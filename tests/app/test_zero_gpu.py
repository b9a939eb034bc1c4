# SPDX-License-Identifier: Apache-2.0
"""What a ZeroGPU Space would do with the functions that borrow a GPU, with a stand-in for its package `spaces`."""

import pickle
import sys
import types

from unipose_hf import Pose, sample
from unipose_hf.app import actions, zero_gpu


def test_without_spaces_functions_stay_as_they_are(monkeypatch):
    monkeypatch.setitem(sys.modules, "spaces", None)
    assert zero_gpu.on_gpu(len) is len


def test_arguments_and_results_cross_to_another_process(monkeypatch, tmp_path):
    lent = []

    def gpu(duration):
        def decorate(do):
            def call(*given):
                lent.append((do.__name__, duration))
                return pickle.loads(pickle.dumps(do(*pickle.loads(pickle.dumps(given)))))

            return call

        return decorate

    monkeypatch.setitem(sys.modules, "spaces", types.SimpleNamespace(GPU=gpu))
    monkeypatch.setattr(actions, "_run", zero_gpu.on_gpu(actions._run))
    pose = actions.generate("standing", choices=2)[1]["pose"]
    assert isinstance(Pose.from_dict(actions.edit(pose, "Raise the left arm.")["pose"]), Pose)
    people = actions.find_people(str(sample("photo.jpg", tmp_path)))
    assert people.overlay().size == people.picture.size
    assert lent == [("_run", zero_gpu.SECONDS)] * 4
