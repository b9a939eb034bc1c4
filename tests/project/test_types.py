# SPDX-License-Identifier: Apache-2.0
"""Public parameters and return values are annotated; mypy (`make lint`) checks the types."""

import importlib
import inspect

import pytest

ROOMS = [
    "unipose_hf",
    *(f"unipose_hf.{room}" for room in ("body", "captions", "data", "evaluation", "hub", "imaging")),
]
ROOMS += ["unipose_hf.visualization", "unipose_hf.auto", "unipose_hf.data.samples", "unipose_hf.data.open_poses"]
ROOMS += ["unipose_hf.hub.graphs", "unipose_hf.evaluation.run", "unipose_hf.app", "unipose_hf.app.serving"]
ROOMS += [f"unipose_hf.training.{name}" for name in ("arguments", "collator", "compose", "open_samples", "pose_rows")]
ROOMS += [f"unipose_hf.training.{name}" for name in ("pose_tokenizer", "retrieval", "sampler", "stages", "trainer")]


def functions(module):
    """The public functions of a module and of its classes, those of the package alone."""
    names = getattr(module, "__all__", None) or [
        name for name, thing in vars(module).items() if getattr(thing, "__module__", None) == module.__name__
    ]
    for name in names:
        thing = getattr(module, name)
        members = vars(thing).items() if inspect.isclass(thing) else [("", thing)]
        for member, value in members:
            value = value.fget if isinstance(value, property) else getattr(value, "__func__", value)
            public = not member.startswith("_") or member in ("__init__", "__call__", "__len__", "__getitem__")
            ours = getattr(value, "__module__", "").startswith("unipose_hf")
            if inspect.isfunction(value) and public and ours and not name.startswith("_"):
                yield f"{name}.{member}".rstrip("."), value


@pytest.mark.parametrize("room", ROOMS)
def test_public_functions_are_annotated(room):
    missing = {}
    for name, function in functions(importlib.import_module(room)):
        signature = inspect.signature(function)
        bare = [
            p.name for p in signature.parameters.values() if p.annotation is p.empty and p.name not in ("self", "cls")
        ]
        if signature.return_annotation is signature.empty and not name.endswith("__init__"):
            bare.append("return")
        if bare:
            missing[name] = bare
    assert not missing
