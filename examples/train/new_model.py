# SPDX-License-Identifier: Apache-2.0
"""Creates an untrained UniPose from published parts. For a mid-size model that fits on one 16 GB GPU:

    python examples/train/new_model.py --pose_tokenizer runs/pose_tokenizer --output_dir runs/new_model

The defaults are SmolLM2-135M with CLIP ViT-L/14-336 and ViTPose-B; `--language_model mistralai/Mistral-7B-v0.1
--pose_vision usyd-community/vitpose-plus-huge` is the paper's size.
"""

import argparse

from transformers import AutoModelForCausalLM, AutoTokenizer, CLIPVisionModel, VitPoseForPoseEstimation

from unipose_hf.modeling.image_processing_unipose import UniPoseImageProcessor
from unipose_hf.modeling.modeling_pose_tokenizer import PoseTokenizerModel
from unipose_hf.training.compose import compose


def main(language_model: str, vision: str, pose_vision: str, pose_tokenizer: str, output_dir: str) -> None:
    general = CLIPVisionModel.from_pretrained(vision)
    pose = VitPoseForPoseEstimation.from_pretrained(pose_vision).backbone
    model, processor = compose(
        AutoModelForCausalLM.from_pretrained(language_model),
        AutoTokenizer.from_pretrained(language_model),
        PoseTokenizerModel.from_pretrained(pose_tokenizer),
        vision=general,
        pose_vision=pose,
        image_processor=UniPoseImageProcessor(
            general_size=general.config.image_size, pose_size=tuple(pose.config.image_size), pose_view="crop"
        ),
    )
    model.save_pretrained(output_dir)
    processor.save_pretrained(output_dir)
    print(f"{sum(p.numel() for p in model.parameters()) / 1e6:.0f} million parameters in {output_dir}.")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--language_model", default="HuggingFaceTB/SmolLM2-135M")
    parser.add_argument("--vision", default="openai/clip-vit-large-patch14-336")
    parser.add_argument("--pose_vision", default="usyd-community/vitpose-base-simple")
    parser.add_argument("--pose_tokenizer", required=True, help="output folder of train_pose_tokenizer.py")
    parser.add_argument("--output_dir", required=True)
    main(**vars(parser.parse_args()))
