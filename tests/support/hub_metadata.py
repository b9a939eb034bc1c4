# SPDX-License-Identifier: Apache-2.0
"""What the Hub asks of a card's metadata, checked offline with the Hub's library."""

import re

from huggingface_hub import DatasetCard, ModelCard
from huggingface_hub.repocard_data import eval_results_to_model_index, model_index_to_eval_results

# Those of the Hub's tasks (huggingface.co/tasks) that deal with texts, pictures and 3D.
TASKS = set(
    "feature-extraction image-feature-extraction image-text-to-text image-to-3d image-to-text keypoint-detection "
    "object-detection sentence-similarity text-generation text-to-3d".split()
)
NAMES = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*")  # USER/NAME


def check_model_card(text):
    """The card as the Hub's library reads it; fails if its metadata is not what the Hub accepts."""
    card = ModelCard(text)  # raises for invalid YAML and an invalid model-index
    data = card.data.to_dict()
    assert data["pipeline_tag"] in TASKS and data["library_name"] == "transformers"
    assert len(data["tags"]) == len(set(data["tags"])) > 1
    if data["license"] == "other":
        assert re.fullmatch(r"[a-z0-9-]+", data["license_name"]) and data["license_link"]
    for example in data.get("widget", []):
        assert set(example) == {"text", "example_title"} and all(isinstance(value, str) for value in example.values())
    for key in ("datasets", "base_model", "new_version"):
        values = data.get(key, [])
        assert all(NAMES.fullmatch(value) for value in ([values] if isinstance(values, str) else values))
    if "model-index" in data:
        name, results = model_index_to_eval_results(data["model-index"])
        assert eval_results_to_model_index(name, results) == data["model-index"]
        assert {result.task_type for result in results} <= TASKS
        assert all(type(result.metric_value) in (int, float) for result in results)
    return card


def check_dataset_card(text):
    """Likewise for a data set; its shards are assigned to splits."""
    data = DatasetCard(text).data.to_dict()
    assert data["pretty_name"] and data["license"] and set(data["task_categories"]) <= TASKS
    for config in data["configs"]:
        assert config["config_name"] and all(set(file) == {"split", "path"} for file in config["data_files"])
