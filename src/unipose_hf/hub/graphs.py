# SPDX-License-Identifier: Apache-2.0
"""Exports the pose tokenizer and the retrieval encoders for other runtimes: `torch.export` and ONNX.

The language model cannot be exported, because `generate` decides from the tokens written so far whether a step runs
the model at all. Its forward pass compiles with `torch.compile(model, fullgraph=True)`.
"""

import os
from pathlib import Path

import torch
from torch import nn
from torch.export import Dim

from unipose_hf.modeling.modeling_pose_retrieval import PoseTextRetrievalModel
from unipose_hf.modeling.modeling_pose_tokenizer import PoseTokenizerModel


class _Method(nn.Module):
    """One method of a model as a module, with one tensor of its output."""

    def __init__(self, model, method: str, output: str):
        super().__init__()
        self.model, self.method, self.output = model, method, output

    def forward(self, *inputs):
        return getattr(self.model, self.method)(*inputs, return_dict=True)[self.output]


@torch.no_grad()
def export_graphs(
    model: PoseTokenizerModel | PoseTextRetrievalModel, text_length: int = 128
) -> dict[str, torch.export.ExportedProgram]:
    """
    The graphs of a model, for any number of poses or texts. They do not check values: invalid inputs (NaN, codes
    outside the codebook, empty texts) give meaningless results.

    Args:
        model: a `PoseTokenizerModel`, `PoseTextRetrievalModel` or `PosePairTextRetrievalModel`.
        text_length: number of tokens of every text, including padding; a recurrent network exports for a single length
            only.

    Returns:
        For a tokenizer, `"encode"`, rotations `(poses, 22, 3, 3)` to codes `(poses, num_codes)`, and `"decode"`, the
        inverse; for a retrieval model, `"pose_features"`, rotations `(poses, [2,] 22, 3, 3)`, and `"text_features"`,
        token ids and attention mask `(texts, text_length)`, to unit vectors `(n, embed_dim)`.

    Raises:
        ValueError: another kind of model.
    """
    model = model.eval()
    poses, texts = Dim("poses"), Dim("texts")
    device = model.device
    if isinstance(model, PoseTokenizerModel):
        rotations = torch.eye(3, device=device).expand(2, model.config.num_joints, 3, 3).contiguous()
        given = {
            "encode": ("encode", "codes", (rotations,), ({0: poses},)),
            "decode": ("decode", "rotations", (model.encode(rotations).codes,), ({0: poses},)),
        }
    elif isinstance(model, PoseTextRetrievalModel):
        config = model.config
        several = (config.num_poses,) if config.num_poses > 1 else ()
        rotations = torch.eye(3, device=device).expand(2, *several, config.pose_config.num_joints, 3, 3).contiguous()
        ids = torch.ones(2, text_length, dtype=torch.long, device=device)
        given = {
            "pose_features": ("get_pose_features", "pooler_output", (rotations,), ({0: poses},)),
            "text_features": ("get_text_features", "pooler_output", (ids, torch.ones_like(ids)), ({0: texts},) * 2),
        }
    else:
        raise ValueError(
            f"A {type(model).__name__} does not export; a pose tokenizer (model.model.pose_tokenizer) and retrieval "
            "models do."
        )
    return {
        name: torch.export.export(_Method(model, method, output), inputs, dynamic_shapes=(shapes,))
        for name, (method, output, inputs, shapes) in given.items()
    }


def export_onnx(
    model: PoseTokenizerModel | PoseTextRetrievalModel, folder: str | os.PathLike, text_length: int = 128
) -> list[Path]:
    """
    Write the graphs of [`export_graphs`] as `NAME.onnx` to a folder, which is created if missing.

    Args:
        model, text_length: as for [`export_graphs`].
        folder (`str` or `Path`): files of the same names are replaced.

    Raises:
        ImportError: the packages of the extra `onnx` are missing. ValueError: another kind of model.
    """
    try:
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise ImportError("Writing ONNX needs onnx and onnxscript: pip install unipose-hf[onnx]") from error
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, graph in export_graphs(model, text_length).items():
        written.append(folder / f"{name}.onnx")
        torch.onnx.export(graph, dynamo=True, verbose=False).save(written[-1])
    return written
