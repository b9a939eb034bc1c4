# SPDX-License-Identifier: Apache-2.0
"""A published checkpoint, converted, against what the published system computes from it.

    python tests/parity/check_conversion.py PARITY_FOLDER

Exact token ids and codes; logits and rotations to 1e-4. Prints a line for each figure, fails if one is missed.
"""

import json
import sys
import tempfile
from pathlib import Path

import torch
from safetensors.torch import load_file

import unipose_hf
from unipose_hf.hub.conversion import convert, convert_pose_vit
from unipose_hf.modeling.rotation_unipose import axis_angle_to_matrix

PROMPTS = {
    "text2pose_0": "make a pose for this text: the person raises both arms and bends the left knee",
    "pose2text_0": "tell what the body does in <pose>",
    "image2pose": "find the pose in <image>",
}
PUBLISHED_IMAGE = -200
missed = []


def report(name, value, allowed=0):
    """One line; `value` counts what differs (a whole number), or is the largest difference."""
    if not value <= allowed:
        missed.append(name)
    figure = f"{value} differ" if isinstance(value, int) else f"off by {value:.1e}, {allowed:.0e} allowed"
    print(f"{'ok' if value <= allowed else 'MISS':4} {name}: {figure}")


def report_close(name, ours, expected):
    report(name, difference(ours, expected), 1e-4)


def difference(ours, expected):
    return (ours - expected).abs().max().item()


def differing(ours, expected):
    """How many of two rows of ids differ; all of them if they are not equally long."""
    return int((ours != expected).sum()) if ours.shape == expected.shape else max(ours.numel(), expected.numel())


def chat(prompt, pose):
    """The prompt as a chat: its placeholders become content."""
    before, mark, _ = prompt.partition("<")
    content = [{"type": "text", "text": before}]
    if mark and "<pose>" in prompt:
        content.append({"type": "pose", "pose": pose.numpy()})
    elif mark:
        content.append({"type": "image", "image": torch.zeros(64, 64, 3).byte().numpy()})
    return [{"role": "user", "content": content}]


@torch.no_grad()
def check(folder, expected, vit):
    model = unipose_hf.UniPoseForConditionalGeneration.from_pretrained(folder).eval()
    processor = unipose_hf.UniPoseProcessor.from_pretrained(folder)
    config = model.config
    codes = model.get_pose_codes(expected["pose_rotmats"])
    report("pose tokenizer, codes", differing(codes, expected["pose_codes"]))
    rotations = model.model.pose_tokenizer.decode(codes).rotations
    report_close("pose tokenizer, rotations", rotations, expected["pose_decoded"])

    crop = expected["pose_vit_image"][..., 32:224]
    inside, alone = (encoder(crop).feature_maps[-1] for encoder in (model.model.pose_vision_tower, vit))
    report_close("pose encoder, in the model and alone", inside, alone)

    for name, prompt in PROMPTS.items():
        messages = chat(prompt, expected["pose_rotmats"][0])
        inputs = processor.apply_chat_template(
            messages, tokenize=True, return_dict=True, return_tensors="pt", add_generation_prompt=True
        )
        inputs.pop("mm_token_type_ids")
        if "pixel_values" in inputs:
            shapes = [tuple(inputs[key].shape) for key in ("pixel_values", "pose_pixel_values")]
            report("image processor, shapes", int(shapes != [expected["clip_image"].shape, crop.shape]))
            inputs["pixel_values"], inputs["pose_pixel_values"] = expected["clip_image"], crop
        prompt_ids = model.model.replace_pose_placeholders(inputs["input_ids"], inputs.get("pose_values"))
        ids, counts = torch.unique_consecutive(prompt_ids[0], return_counts=True)
        rows = ids == config.image_token_id
        report(f"{name}, image rows", int((counts[rows] != config.image_seq_length).sum()))
        folded = ids.masked_fill(rows, PUBLISHED_IMAGE).repeat_interleave(counts.masked_fill(rows, 1))
        report(f"{name}, input ids", differing(folded, expected[f"{name}.input_ids"][0]))

        logits = model(**inputs, logits_to_keep=1).logits
        report_close(f"{name}, logits after the prompt", logits, expected[f"{name}.prefill_logits"])

        sequences = model.generate(**inputs)
        answer = sequences[0, inputs["input_ids"].shape[1] :]
        report(f"{name}, answer", differing(answer, expected[f"{name}.sequences"][0, 1:]))
        if f"{name}.pose_step_logits" not in expected:
            continue
        start = int((answer == config.pose_start_token_id).nonzero()[0])
        queries = answer.new_full((config.pose_config.num_codes,), config.pose_query_token_id)
        block = torch.cat([answer[: start + 1], queries])
        whole = inputs | {"input_ids": torch.cat([inputs["input_ids"], block[None]], 1)}
        whole.pop("attention_mask")
        logits = model(**whole, logits_to_keep=1 + config.pose_config.num_codes).logits
        report_close(f"{name}, logits of the pose step", logits, expected[f"{name}.pose_step_logits"])
        wanted = axis_angle_to_matrix(expected[f"{name}.body_pose_axis_angle"].view(1, 22, 3))
        report_close(f"{name}, decoded pose", model.decode_poses(sequences)[0][0][None], wanted)
        output = model.generate_pose(**inputs)
        report_close(f"{name}, generate_pose", output.rotations, wanted)
        probabilities = model.code_logits(expected[f"{name}.pose_step_logits"][:, 1:]).softmax(-1)
        report_close(f"{name}, generate_pose, probabilities", output.probabilities, probabilities)


if __name__ == "__main__":
    parity = Path(sys.argv[1])
    published = parity / "published_layout"
    heads = json.loads((parity / "vit_tiny_config.json").read_text())["num_heads"]
    clip_heads = json.loads((published / "clip/config.json").read_text())["num_attention_heads"]
    with tempfile.TemporaryDirectory() as scratch:
        converted = convert(
            unipose=published / "unipose",
            llava=published / "llava_base",
            pose_vqvae=published / "pose_vqvae/best_MPJPE.ckpt",
            pose_vit=published / "tokenhmr_model.ckpt",
            out=Path(scratch) / "converted",
            clip_heads=clip_heads,
            pose_vit_heads=heads,
        )
        vit = convert_pose_vit(published / "tokenhmr_model.ckpt", heads)
        check(converted, load_file(parity / "expected.safetensors"), vit)
    sys.exit(f"{len(missed)} figures missed: {', '.join(missed)}" if missed else 0)
