# SPDX-License-Identifier: Apache-2.0
"""Uploads data sets to the Hub, unless a licence forbids it."""

import os
from collections.abc import Iterable
from pathlib import Path

from unipose_hf.data.licences import LICENCES

from .dataset_card import terms_of_rows


def check_publishable(sets: Iterable[str]) -> None:
    """Refuse sets that may not be redistributed.

    Args:
        sets: names, keys of `LICENCES`.

    Raises:
        ValueError: one of them forbids it, or has no known licence.
    """
    for name in sorted(set(sets)):
        if name not in LICENCES or not LICENCES[name].redistribution:
            terms = LICENCES[name].terms if name in LICENCES else "unknown"
            raise ValueError(
                f"Rows of {name} may not be uploaded: its licence ({terms}) does not allow redistribution. Build "
                "without that set, or do not push."
            )


def push_dataset(folder: str | os.PathLike, repo_id: str, *, private: bool = True, token: str | None = None) -> str:
    """Upload a finished data set to the Hub, if the licence of every row allows that.

    Args:
        folder: output folder of a builder. Pools, journals and other working files are not uploaded.
        repo_id: "user/name"; created if missing, private by default.

    Returns:
        the URL of the data set.

    Raises:
        FileNotFoundError: the folder has no finished data set.
        ValueError: as `check_publishable`.
    """
    folder = Path(folder)
    if not any(folder.glob("*/*.parquet")) or not (folder / "README.md").is_file():
        raise FileNotFoundError(f"{folder} has no finished data set; build it first.")
    check_publishable(name for name, _ in terms_of_rows(folder))
    from huggingface_hub import HfApi

    api = HfApi(token=token)
    api.create_repo(repo_id, repo_type="dataset", private=private, exist_ok=True)
    api.upload_folder(
        repo_id=repo_id, repo_type="dataset", folder_path=folder, allow_patterns=["README.md", "*/*.parquet"]
    )
    return f"https://huggingface.co/datasets/{repo_id}"
