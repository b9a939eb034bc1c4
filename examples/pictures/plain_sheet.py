# SPDX-License-Identifier: Apache-2.0
"""Draws a model's answers to plain-English prompts, unfiltered, for visual inspection.

    python examples/pictures/plain_sheet.py docs/plain_english.jpg
    python examples/pictures/plain_sheet.py sheet.jpg --model runs/plain/last

Fifty prompts, a third of which are verbatim in the language bank, and thirty edits of five poses.
"""

import argparse
import warnings
from pathlib import Path

from PIL import Image
from transformers import pipeline

import unipose_hf  # noqa: F401  registers the pipelines
from unipose_hf.data.language import named_pose
from unipose_hf.visualization import contact_sheet, draw_pose

PROMPTS = """
a guy waiting for an elevator
sit on a stool with your hands on your thighs
somebody doing a t pose
kneel on both knees
squat down low
ballerina on tiptoe with both arms up
soldier saluting with the right hand
both hands up like you are being robbed
left hand on the hip, right arm straight out to the side
lying flat on your back
lying on the belly
a boxer with the guard up
kick forward with the right leg
standing on one leg
someone running fast
lunge with the left leg in front
touch your toes
arms folded across the chest
hands clasped behind the back
thinking pose, hand on the chin
wave with the left hand
person pointing straight ahead with the right arm
jumping jack
yoga tree
plank
crawl like a baby
bow politely
look up at the sky
head turned to the right
lean back
bend to the left
feet wide apart, arms out to the sides
carrying a heavy box
throwing a ball
swinging a golf club
playing the violin
typing at a desk
drinking from a cup
talking on the phone
taking a photo
climbing a ladder
pushing a car
zombie walking
superhero flying
victory, both fists in the air
scared and cowering
praying on the knees
doing a handstand
cross legged on the ground
hug yourself
""".strip().splitlines()
STARTS = {
    "standing relaxed": [
        "raise both arms",
        "sit down",
        "bend your left knee",
        "look left",
        "put your hands on your hips",
    ]
    + ["step forward with the right foot"],
    "T-pose": ["lower your arms", "bend the elbows", "lift your right knee", "twist to the left", "mirror it"]
    + ["left arm up"],
    "sitting upright on a chair": ["stand up", "cross your arms", "lean forward", "raise your left hand"]
    + ["straighten the right leg", "look down"],
    "warrior II": ["straighten your legs", "drop the arms", "the other way round", "raise the arms overhead"]
    + ["look ahead", "relax and stand normally"],
    "kneeling upright": ["sit back on your heels", "lift your arms out to the sides", "put the right foot in front"]
    + ["bow your head", "hands together in front of the chest", "stand up"],
}
VIEW = {"azimuth": 20, "elevation": 8}


def main(output: Path, model: str | None, cell: int) -> None:
    warnings.simplefilter("ignore")
    made = pipeline("text-to-pose", model=model, named=False)(PROMPTS, batch_size=10)
    pictures = [draw_pose(answer["pose"].axis_angle, size=cell, **VIEW) for answer in made]
    labels = list(PROMPTS)
    asked = [(named_pose(start), start, text) for start, texts in STARTS.items() for text in texts]
    edited = pipeline("pose-editing", model=model, named=False)(
        [{"pose": pose, "text": text} for pose, _, text in asked]
    )
    for (pose, start, text), answer in zip(asked, edited, strict=True):
        both = Image.new("RGB", (cell, cell), "white")
        for place, one in enumerate((pose, answer["pose"])):
            both.paste(draw_pose(one.axis_angle, size=(cell // 2, cell), **VIEW), (place * cell // 2, 0))
        pictures.append(both)
        labels.append(f"{start}: {text}")
    contact_sheet(pictures, columns=10, labels=labels, cell=cell, gap=8).save(output, quality=80)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", type=Path)
    parser.add_argument("--model", help="folder or Hub id; the bundled model by default")
    parser.add_argument("--cell", type=int, default=170, help="side of each picture, in pixels")
    main(**vars(parser.parse_args()))
