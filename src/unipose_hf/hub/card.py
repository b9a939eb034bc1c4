# SPDX-License-Identifier: Apache-2.0
"""The default card of an exported folder: what it contains, how to use it, and its licences."""

import re

_UNIPOSE = (
    "image-text-to-text",
    "Reads, describes, compares, estimates, generates and edits 3D human poses: a model of "
    "[UniPose](https://arxiv.org/abs/2411.16781) for transformers.",
    """\
from transformers import pipeline

options = dict(model="{name}", trust_remote_code=True)
person = pipeline("image-to-pose", **options)("photo.jpg")[0]  # the largest
raised = pipeline("pose-editing", **options)({{"pose": person["pose"], "text": "Raise the left arm."}})["pose"]
print(pipeline("pose-to-text", **options)(raised)["text"])
""",
)
_RETRIEVAL = """\
from transformers import pipeline

# gallery: poses (count, 22, 3) or pairs (count, 2, 22, 3), axis-angle in radians
search = pipeline("pose-retrieval", model="{name}", gallery=gallery, trust_remote_code=True)
print(search("Both hands are above the head.")[0])
"""
# For each model class: the Hub's task for it, a description and example code.
_MODELS = {
    "UniPoseForConditionalGeneration": _UNIPOSE,
    "PoseTokenizerModel": (
        "feature-extraction",
        "The pose tokenizer of [UniPose](https://arxiv.org/abs/2411.16781): 22 joint rotations to codes and back.",
        """\
import torch
from transformers import AutoModel

tokenizer = AutoModel.from_pretrained("{name}", trust_remote_code=True)
codes = tokenizer.encode(torch.eye(3).expand(1, 22, 3, 3)).codes
rotations = tokenizer.decode(codes).rotations
""",
    ),
    "BlazePoseBackbone": (
        "keypoint-detection",
        "A BlazePose-style encoder for pictures of people, as a transformers backbone.",
        """\
from transformers import AutoModel

encoder = AutoModel.from_pretrained("{name}", trust_remote_code=True)
""",
    ),
    "MoveNetMultiPose": (
        "object-detection",
        "Finds the people in a picture, with boxes and keypoints.",
        """\
from transformers import AutoModel

detector = AutoModel.from_pretrained("{name}", trust_remote_code=True)
""",
    ),
    "PoseTextRetrievalModel": (
        "feature-extraction",
        "Finds 3D human poses by text, and texts by pose.",
        _RETRIEVAL,
    ),
    "PosePairTextRetrievalModel": (
        "feature-extraction",
        "Finds pairs of 3D human poses by the instruction that leads from one to the other, and vice versa.",
        _RETRIEVAL,
    ),
}
_UNKNOWN = "unknown to `unipose_hf.hub.export`, which wrote this card; ask whoever trained this model."
_REMOTE = (
    "The code is in this folder and runs with `trust_remote_code=True`. Only transformers has to be installed; if "
    "`unipose_hf` is installed too, its code is used instead."
)
# The terms of the published parts are stated where they are published.
_PUBLISHED = "those of the published files that `unipose convert` read; their terms also apply to the converted files."


def card_text(name, model, published=False):
    """The text of a card.

    Args:
        name (`str`): name of the folder, which the code on the card loads.
        model (`str`): the name of the model's class.
        published (`bool`, *optional*, defaults to `False`): the weights were converted from the published ones.
    """
    task, sentence, use = _MODELS[model]
    origin = " Its weights were converted from the published ones by `unipose convert`." if published else ""
    terms = _PUBLISHED if published else _UNKNOWN
    return f"""\
---
library_name: transformers
pipeline_tag: {task}
tags: [3d-human-pose, smpl, unipose]
---

# {name}

{sentence} {_REMOTE}{origin}

## Use

```python
{use.format(name=name)}```

Poses have 22 joints in SMPL order, y up, facing the viewer.

## Licences

* Code: Apache-2.0 (`LICENSE`).
* Weights: {terms}
* Data: {terms}
* Body: none is included; no SMPL-family file is needed.
"""


def with_remote_use(card, name, model):
    """The card with a section on use without the package after its first one; unchanged if it already says this.

    Args:
        card (`str`): text of a card whose code needs the package.
        name (`str`): name of the folder, which the code loads.
        model (`str`): the name of the model's class.
    """
    if "trust_remote_code" in card:
        return card
    use = _MODELS[model][2].format(name=name)
    section = f"## Without the package\n\n{_REMOTE} From the Hub, load `USER/{name}`.\n\n```python\n{use}```\n"
    first, *rest = re.split(r"^(?=## (?!Use\n))", card, maxsplit=1, flags=re.M)
    return "\n".join([first.rstrip("\n") + "\n", section, *rest])
