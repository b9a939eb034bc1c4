# SPDX-License-Identifier: Apache-2.0
"""The default card of an exported folder: what it contains, how to use it, and its licences."""

_UNIPOSE = (
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

search = pipeline("pose-retrieval", model="{name}", gallery=gallery, trust_remote_code=True)
print(search("Both hands are above the head.")[0])
"""
# For each model class: a description and example code.
_MODELS = {
    "UniPoseForConditionalGeneration": _UNIPOSE,
    "PoseTokenizerModel": (
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
        "A BlazePose-style encoder for pictures of people, as a transformers backbone.",
        """\
from transformers import AutoModel

encoder = AutoModel.from_pretrained("{name}", trust_remote_code=True)
""",
    ),
    "PoseTextRetrievalModel": ("Finds 3D human poses by text, and texts by pose.", _RETRIEVAL),
    "PosePairTextRetrievalModel": (
        "Finds pairs of 3D human poses by the instruction that leads from one to the other, and vice versa.",
        _RETRIEVAL,
    ),
}
_UNKNOWN = "unknown to `unipose_hf.hub.export`, which wrote this card; ask whoever trained this model."
# The terms of the published parts are stated where they are published.
_PUBLISHED = "those of the published files that `unipose convert` read; their terms also apply to the converted files."


def card_text(name, model, published=False):
    """The text of a card.

    Args:
        name (`str`): name of the folder, which the code on the card loads.
        model (`str`): the name of the model's class.
        published (`bool`, *optional*, defaults to `False`): the weights were converted from the published ones.
    """
    sentence, use = _MODELS[model]
    origin = " Its weights were converted from the published ones by `unipose convert`." if published else ""
    terms = _PUBLISHED if published else _UNKNOWN
    return f"""\
---
library_name: transformers
tags: [3d-human-pose, smpl, unipose]
---

# {name}

{sentence} The code is in this folder and runs with `trust_remote_code=True`. Only transformers has to be
installed; if `unipose_hf` is installed too, its code is used instead.{origin}

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
