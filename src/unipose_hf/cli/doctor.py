# SPDX-License-Identifier: Apache-2.0
"""Shows what is installed, what works, and the command that fixes what does not: `unipose doctor`."""

import platform
import sys
from collections.abc import Callable
from importlib import metadata

PACKAGE = "unipose-hf"
MESA = "apt-get install libegl1 libegl-mesa0 libgl1-mesa-dri"
REINSTALL = f"pip install --force-reinstall {PACKAGE}"


def examine(log: Callable[[str], None] = print) -> bool:
    """Reports line by line; returns whether the main job, estimating a pose from a photograph, works."""
    report = _Report(log)
    report.good("python", platform.python_version())
    if not _packages(report):
        log("\nThe main job cannot be tested until the required packages are installed.")
        return False
    _machine(report)
    _opengl(report)
    works = _body(report) and _main_job(report)
    log("\nThe main job works." if works else "\nThe main job does not work; fix the lines marked !! first.")
    return works


def list_data(root, log: Callable[[str], None] = print) -> None:
    """Reports which data sets are in a folder, their terms, and how to get the missing ones.

    Raises:
        FileNotFoundError: no such folder.
    """
    from unipose_hf.data.inventory import list_data_sets
    from unipose_hf.data.licences import LICENCES

    report = _Report(log)
    for name, found, missing in list_data_sets(root):
        if found is None:
            log(f"--  {name:<20} {missing}")
            continue
        licence = LICENCES.get(name.split(" (")[0])  # only the owner of a BVH folder knows its terms
        report.good(name, found if licence is None else f"{found}; terms: {licence.terms}")


class _Report:
    def __init__(self, log):
        self.log = log

    def good(self, name, text):
        self.log(f"ok  {name:<20} {text}")

    def optional(self, name, text, fix):
        self.log(f"--  {name:<20} {text}; fix: {fix}")

    def broken(self, name, text, fix):
        self.log(f"!!  {name:<20} {text}; fix: {fix}")


def _packages(report: _Report) -> bool:
    """Reports every requirement of the package and its extras; returns whether the required ones are installed."""
    try:
        from packaging.requirements import Requirement

        requirements = [Requirement(text) for text in metadata.requires(PACKAGE) or ()]
    except (ImportError, metadata.PackageNotFoundError) as error:
        report.broken(PACKAGE, f"its list of requirements is missing ({error})", f"pip install {PACKAGE}")
        return False
    report.good(PACKAGE, metadata.version(PACKAGE))
    extras = ["", *(metadata.metadata(PACKAGE).get_all("Provides-Extra") or ())]
    groups = {
        extra: [r for r in requirements if r.marker is None or r.marker.evaluate({"extra": extra})] for extra in extras
    }
    complete, seen = True, {PACKAGE}
    for extra in sorted(groups, key=lambda extra: (extra != "", len(groups[extra]))):  # some include others
        for requirement in groups[extra]:
            if requirement.name not in seen:
                seen.add(requirement.name)
                complete &= _package(report, requirement, extra)
    return complete


def _package(report: _Report, requirement, extra: str) -> bool:
    """Reports one package; returns False only for a required one that is missing or has a wrong version."""
    spec = f"{requirement.name}{requirement.specifier}"
    fix = f"pip install '{PACKAGE}[{extra}]'" if extra else f"pip install '{spec}'"
    note = f"(extra {extra})" if extra else ""
    try:
        version = metadata.version(requirement.name)
    except metadata.PackageNotFoundError:
        version = None
    if version is not None and requirement.specifier.contains(version, prereleases=True):
        report.good(requirement.name, f"{version} {note}".rstrip())
        return True
    found = "missing" if version is None else f"{version}, requires {requirement.specifier}"
    (report.optional if extra else report.broken)(requirement.name, f"{found} {note}".rstrip(), fix)
    return bool(extra)


def _machine(report: _Report) -> None:
    import torch

    report.good("threads", f"{torch.get_num_threads()} (OMP_NUM_THREADS sets them)")
    if torch.cuda.is_available():
        report.good("gpu", torch.cuda.get_device_name())
    else:
        report.good("gpu", "none; the bundled model does not need one")


def _opengl(report: _Report) -> None:
    from unipose_hf.visualization import Renderer

    try:
        Renderer(32, 32, backend="opengl")
    except RuntimeError as error:
        fix = MESA if sys.platform.startswith("linux") else "install the graphics driver"
        reason = " ".join(str(error.__cause__ or error).split())
        report.optional("opengl", f"none ({reason}), rendering uses numpy, about ten times slower", fix)
    else:
        report.good("opengl", "works without a window")


def _body(report: _Report) -> bool:
    from unipose_hf.body import load_body

    try:
        report.good("bundled body", f"{load_body().num_vertices} vertices")
    except FileNotFoundError as error:
        report.broken("bundled body", str(error), REINSTALL)
        return False
    return True


def _main_job(report: _Report) -> bool:
    from transformers import pipeline

    from unipose_hf import auto

    from .demo import PHOTO

    try:
        estimate = pipeline("image-to-pose", model=str(auto.BUNDLED_CHECKPOINT))
        millions = sum(parameter.numel() for parameter in estimate.model.parameters()) / 1e6
        report.good("bundled checkpoint", f"{auto.BUNDLED_CHECKPOINT.name}, {millions:.1f} million parameters")
        person = estimate(str(PHOTO))[0]
    except Exception as error:  # any error belongs in the report
        reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
        report.broken("photograph to pose", reason, REINSTALL)
        return False
    report.good("photograph to pose", f"score {person['score']:.2f}")
    return True
