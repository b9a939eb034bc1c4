# SPDX-License-Identifier: Apache-2.0
"""Build ImageScript or ImageDiff from what there is: behind `unipose build-data` and the examples."""

from pathlib import Path

from .image_sources import open_sources, paper_sources
from .imagediff import build_imagediff, retrieval_features
from .imagescript import build_imagescript
from .language_models import Endpoint, LocalModel

KINDS = ("imagescript", "imagediff")


def build_data(
    kind: str,
    out: str | Path,
    *,
    size: int,
    data: str | Path | None = None,
    seed: int = 0,
    retrieval: str | Path | None = None,
    **options,
) -> dict[str, int]:
    """Build a data set from the paper's sets in the folder `data`, or without it from the open poses.

    Args:
        kind: one of `KINDS`.
        retrieval: folder of a text-pose retrieval model that mines the pairs of "imagediff".
        options: of `build_imagescript` and `build_imagediff`.

    Returns, raises:
        as these; ValueError for another kind, or for `retrieval` without pairs.
    """
    if kind not in KINDS:
        raise ValueError(f"There is no data set {kind!r} to build; choose one of {', '.join(KINDS)}.")
    sources = open_sources(size, seed) if data is None else paper_sources(data)
    if kind == "imagediff":
        if retrieval is not None:
            options |= {"features": retrieval_features(retrieval), "features_name": f"retrieval model {retrieval}"}
        return build_imagediff(sources, out, size=size, seed=seed, **options)
    if retrieval is not None:
        raise ValueError("A retrieval model mines pairs, of which ImageScript has none; build imagediff.")
    return build_imagescript(sources, out, size=size, seed=seed, **options)


def language_model(model: str | None, url: str | None = None, token: str | None = None):
    """A model behind a server where there is an address, else one of transformers; None for no model.

    Raises:
        ValueError: an address without the name of a model.
    """
    if url is not None and model is None:
        raise ValueError(f"The server {url} needs the name of a model too.")
    if model is None:
        return None
    return LocalModel(model) if url is None else Endpoint(url, model, token=token)
