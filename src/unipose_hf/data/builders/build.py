# SPDX-License-Identifier: Apache-2.0
"""Builds one of our data sets from the available sources, for `unipose build-data` and the examples."""

from pathlib import Path

from unipose_hf.data.llm.language_models import Endpoint, LocalModel

from .image_sources import OPEN, open_sources, paper_sources
from .imagediff import build_imagediff, retrieval_features
from .imagescript import build_imagescript
from .multi_person import build_multi_person
from .posest import build_posest_open
from .publishing import check_publishable

KINDS = ("imagescript", "imagediff", "posest-open", "multi-person")


def build_data(
    kind: str,
    out: str | Path,
    *,
    size: int,
    data: str | Path | None = None,
    seed: int = 0,
    ask=None,
    retrieval: str | Path | None = None,
    publish: bool = False,
    **options,
) -> dict[str, int]:
    """Build a data set from the paper's sets in the folder `data`, or from the open poses if `data` is not given.

    Args:
        kind: one of `KINDS`.
        ask: a language model that refines texts, or labels the real people of "multi-person".
        retrieval: folder of a text-pose retrieval model to mine the pairs of "imagediff".
        publish: the result will be uploaded; sources that forbid this are refused before any work.
        options: options of the builders: `picture_size`, `processes`, `on_ray`, `progress`.

    Returns, raises:
        as the builders; ValueError for an unknown kind, or for an argument that the kind does not use.
    """
    if kind not in KINDS:
        raise ValueError(f"Unknown data set {kind!r}; choose one of {', '.join(KINDS)}.")
    if retrieval is not None and kind != "imagediff":
        raise ValueError(f"A retrieval model is only used to mine pairs, which {kind} does not have; build imagediff.")
    if data is not None and kind == "posest-open":
        raise ValueError("PoseEst-Open is made from the open poses only; leave out the folder of other sets.")
    if ask is not None and (kind == "posest-open" or (kind == "multi-person" and data is None)):
        raise ValueError("A language model is not used here: rendered people need no labels and no refined texts.")
    found = None if data is None else paper_sources(data)
    if publish:
        check_publishable([OPEN] if found is None else [source.name for source in found])
    options |= {"size": size, "seed": seed}
    if kind == "posest-open":
        return build_posest_open(out, **options)
    if kind == "multi-person":
        return build_multi_person(out, sources=found, ask=ask, **options)
    sources = open_sources(size, seed) if found is None else found
    if kind == "imagescript":
        return build_imagescript(sources, out, ask=ask, **options)
    if retrieval is not None:
        options |= {"features": retrieval_features(retrieval), "features_name": f"the model {Path(retrieval).name}"}
    return build_imagediff(sources, out, ask=ask, **options)


def language_model(model: str | None, url: str | None = None, token: str | None = None):
    """A model behind a server if there is a URL, otherwise one of transformers; None for no model.

    Raises:
        ValueError: a URL without a model name.
    """
    if url is not None and model is None:
        raise ValueError(f"The server {url} also needs a model name.")
    if model is None:
        return None
    return LocalModel(model) if url is None else Endpoint(url, model, token=token)
