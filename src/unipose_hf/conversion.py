# SPDX-License-Identifier: Apache-2.0
"""Published checkpoints into ours. Foreign files are read as tensors only (`weights_only=True`)."""

from pathlib import Path

import torch

from unipose_hf.modeling.configuration_unipose import PoseTokenizerConfig
from unipose_hf.modeling.modeling_pose_tokenizer import PoseTokenizerModel

# The published file numbers the layers of a sequence that also counts activations and up-samplings.
_TOKENIZER_LAYERS = {
    "encoder.encoder.0": "encoder.input_layer",
    "encoder.encoder.3": "encoder.upsample_layers.0",
    "encoder.encoder.6": "encoder.upsample_layers.1",
    "encoder.encoder.9": "encoder.upsample_layers.2",
    "encoder.encoder.11": "encoder.downsample_layers.0",
    "encoder.encoder.12.model": "encoder.residual_blocks",
    "encoder.encoder.13": "encoder.output_layer",
    "decoder.decoder.0": "decoder.input_layer",
    "decoder.decoder.3": "decoder.resample_layers.0",
    "decoder.decoder.6": "decoder.resample_layers.1",
    "decoder.decoder.9": "decoder.resample_layers.2",
    "decoder.decoder.12": "decoder.resample_layers.3",
    "decoder.decoder.14.model": "decoder.residual_blocks",
    "decoder.decoder.15": "decoder.middle_layer",
    "decoder.decoder.16": "decoder.output_layer",
}


def convert_pose_tokenizer(path: str | Path) -> PoseTokenizerModel:
    """Reads the published pose VQ-VAE (a Lightning `.ckpt`) into a [`PoseTokenizerModel`] in evaluation mode.

    Sizes are read off the tensors. The published file lacks the running averages of the codebook; they start from the
    codebook with counts of one, so that further training begins where the file ends.

    Raises:
        FileNotFoundError: no such file.
        ValueError: the file is no such checkpoint; the message lists missing and unknown tensors.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist; expected the published pose_vqvae/best_MPJPE.ckpt.")
    content = torch.load(path, weights_only=True, map_location="cpu")
    published = content.get("state_dict") if isinstance(content, dict) else None
    if not isinstance(published, dict) or "quantizer.codebook" not in published:
        raise ValueError(f"{path} holds no pose VQ-VAE: a dict with 'state_dict' and 'quantizer.codebook' was expected.")
    codebook = published["quantizer.codebook"]
    state = {"quantizer.codebook": codebook, "quantizer.running_sum": codebook.clone()}
    state["quantizer.running_count"] = torch.ones(len(codebook))
    state["quantizer.initialized"] = torch.tensor(True)
    unknown = []
    for name, tensor in published.items():
        layer = next((old for old in _TOKENIZER_LAYERS if name.startswith(old + ".")), None)
        if layer:
            state[_TOKENIZER_LAYERS[layer] + name[len(layer) :]] = tensor
        elif not name.startswith("loss.") and name != "quantizer.codebook":
            unknown.append(name)
    input_weight = published.get("encoder.encoder.0.weight", torch.empty(512, 6, 3))
    model = PoseTokenizerModel(
        PoseTokenizerConfig(
            hidden_size=input_weight.shape[0], codebook_size=codebook.shape[0], code_dim=codebook.shape[1]
        )
    )
    wanted = model.state_dict()
    missing = sorted(wanted.keys() - state.keys())
    misshaped = [name for name in state if name in wanted and state[name].shape != wanted[name].shape]
    if missing or unknown or misshaped:
        raise ValueError(
            f"{path} does not fit the pose tokenizer: missing {missing}, unknown {unknown}, wrong shape {misshaped}."
        )
    model.load_state_dict(state)
    return model.eval()
