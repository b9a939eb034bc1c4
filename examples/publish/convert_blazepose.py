# SPDX-License-Identifier: Apache-2.0
"""Converts MediaPipe's pose_landmark_full.tflite to the bundled BlazePose checkpoint.

    npm pack @mediapipe/pose@0.5.1675469404 && tar xzf mediapipe-pose-*.tgz
    pip install tflite
    python examples/publish/convert_blazepose.py package/pose_landmark_full.tflite blazepose-full

The file lists its operations in execution order, so the layers are found by walking back from the three outputs we
keep. The segmentation mask and heat map branches do not contribute to the landmarks and are skipped.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

from unipose_hf.files.write import replacing
from unipose_hf.modeling.blazepose_unipose import BlazePoseBackbone, BlazePoseConfig
from unipose_hf.modeling.pose_unipose import write_file

KEPT_OUTPUTS = ("Identity", "Identity_1", "Identity_4")  # landmarks, presence, world landmarks


def read_convolutions(path: str) -> tuple[list[tuple[torch.Tensor, torch.Tensor]], dict[str, int]]:
    """All convolutions that the kept outputs depend on, in execution order, as (weight, bias) in PyTorch's layout.

    The second value is, for each kept output, the index of the convolution that produces it.
    """
    try:
        import tflite
    except ImportError as error:
        raise ImportError("Reading a .tflite file needs the tflite package: pip install tflite") from error
    model = tflite.Model.GetRootAsModel(Path(path).read_bytes(), 0)
    graph = model.Subgraphs(0)
    kind = [
        max(model.OperatorCodes(i).BuiltinCode(), model.OperatorCodes(i).DeprecatedBuiltinCode())
        for i in range(model.OperatorCodesLength())
    ]
    operators = [graph.Operators(i) for i in range(graph.OperatorsLength())]
    maker = {int(o.OutputsAsNumpy()[0]): i for i, o in enumerate(operators)}
    is_conv = {tflite.BuiltinOperator.CONV_2D, tflite.BuiltinOperator.DEPTHWISE_CONV_2D}

    def constant(index: int) -> torch.Tensor:
        """A weight, stored as float16 behind a DEQUANTIZE operation."""
        tensor = graph.Tensors(int(operators[maker[index]].InputsAsNumpy()[0]))
        raw = model.Buffers(tensor.Buffer()).DataAsNumpy().view(np.float16)
        return torch.from_numpy(raw.reshape(tensor.ShapeAsNumpy()).copy())

    needed, stack = set(), []
    ends = {}
    for index in graph.OutputsAsNumpy():
        name = graph.Tensors(int(index)).Name().decode()
        if name in KEPT_OUTPUTS:
            stack.append(int(index))
            ends[name] = int(index)
    while stack:
        index = maker.get(stack.pop())
        if index is not None and index not in needed:
            needed.add(index)
            stack += [int(i) for i in operators[index].InputsAsNumpy()]

    layers, place = [], {}
    for index in sorted(needed):
        operator = operators[index]
        code = kind[operator.OpcodeIndex()]
        if code in is_conv:
            weight, bias = (constant(int(i)) for i in operator.InputsAsNumpy()[1:3])
            # depthwise weights are stored as (1, height, width, channels), others as (out, height, width, in)
            order = (3, 0, 1, 2) if code == tflite.BuiltinOperator.DEPTHWISE_CONV_2D else (0, 3, 1, 2)
            place[index] = len(layers)
            layers.append((weight.permute(order).contiguous(), bias))
    outputs = {}
    for name, index in ends.items():
        step = maker[index]
        while step not in place:  # skip the reshape and the sigmoid
            step = maker[int(operators[step].InputsAsNumpy()[0])]
        outputs[name] = place[step]
    return layers, outputs


def convert(source: str, target: str) -> BlazePoseBackbone:
    """Write `target/model.safetensors` (float16, as published) and `target/config.json`; return the model."""
    layers, outputs = read_convolutions(source)
    model = BlazePoseBackbone(BlazePoseConfig()).eval()
    net = model.landmarker
    trunk = [
        m
        for part in (net.stem, net.blocks, net.neck, net.head)
        for m in part.modules()
        if isinstance(m, torch.nn.Conv2d)
    ]
    places = [i for i in range(len(layers)) if i not in outputs.values()]
    if len(trunk) != len(places):
        raise ValueError(
            f"{source} has {len(places)} trunk convolutions; BlazePose full has {len(trunk)}: wrong file?"
        )
    pairs = list(zip(trunk, places, strict=True))
    pairs += list(zip((net.landmarks, net.presence, net.world), (outputs[name] for name in KEPT_OUTPUTS), strict=True))
    for module, place in pairs:
        weight, bias = layers[place]
        if module.weight.shape != weight.shape:
            raise ValueError(
                f"Layer {place} of {source} has the shape {tuple(weight.shape)}, not {tuple(module.weight.shape)}."
            )
        module.weight.data.copy_(weight)
        module.bias.data.copy_(bias)

    folder = Path(target)
    folder.mkdir(parents=True, exist_ok=True)
    # The weights stay float16 as published; "float32" in the configuration makes the model load in float32.
    config = {**model.config.to_diff_dict(), "architectures": ["BlazePoseBackbone"], "dtype": "float32"}
    config["image_size"], config["num_passes"] = model.config.image_size, model.config.num_passes
    weights = {name: value.half().contiguous() for name, value in model.state_dict().items()}
    with replacing(folder / "model.safetensors") as part:
        save_file(weights, part, metadata={"format": "pt"})
    write_file(folder / "config.json", (json.dumps(config, indent=2, sort_keys=True) + "\n").encode())
    return model


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", help="pose_landmark_full.tflite")
    parser.add_argument("target", help="folder to write")
    arguments = parser.parse_args()
    convert(arguments.source, arguments.target)
