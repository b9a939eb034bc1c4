# SPDX-License-Identifier: Apache-2.0
"""Text to a pose and its skeleton: `python examples/everyday/pose_to_picture.py "a deep squat"`.

--model and --controlnet name models of diffusers (see docs/pictures_by_diffusers.md), which generate a picture; the
person in it is then estimated again, and the mean joint error after Procrustes alignment is printed.
"""

import argparse

from transformers import pipeline

from unipose_hf.evaluation.metrics import pa_mpjpe


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("text", help="the pose")
    parser.add_argument("--prompt", default="a photograph of a person in a bright room", help="what to paint")
    parser.add_argument("--model", help="a base model of diffusers; without it, only the skeleton is drawn")
    parser.add_argument("--controlnet", help="its ControlNet for poses")
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--device", default="cpu")
    args = parser.parse_args()
    pose = pipeline("text-to-pose")(args.text)["pose"]
    pose.skeleton(size=args.size).save("skeleton.png")
    print("skeleton.png")
    if args.model is None:
        return
    from unipose_hf.imaging import PoseToImagePipeline

    painter = PoseToImagePipeline.from_pretrained(args.model, args.controlnet).to(args.device)
    output = painter(args.prompt, pose, width=args.size, height=args.size, num_inference_steps=args.steps)
    output.images[0].save("picture.png")
    people = pipeline("image-to-pose")(output.images[0])
    if not people:
        print("picture.png: nobody is found in it")
        return
    error = pa_mpjpe(people[0]["pose"].joints[None], pose.joints[None])
    print(f"picture.png: PA-MPJPE {1000 * error.item():.0f} mm")


if __name__ == "__main__":
    main()
