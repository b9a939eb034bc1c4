# SPDX-License-Identifier: Apache-2.0
"""Estimate the poses in a folder, in batches: `python examples/everyday/estimate_folder.py pictures poses`.

NAME.jpg gives NAME.npz, and NAME.png with the body next to the picture.
"""

import argparse
from pathlib import Path

from PIL import Image
from transformers import pipeline

import unipose_hf  # noqa: F401  registers the pipelines
from unipose_hf.modeling.image_processing_unipose import load_picture

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pictures", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--model", help="a folder or a name on the Hub; the bundled model by default")
    parser.add_argument("--batch_size", type=int, default=8)
    args = parser.parse_args()
    files = sorted(file for file in args.pictures.iterdir() if file.suffix.lower() in SUFFIXES)
    args.output.mkdir(parents=True, exist_ok=True)
    estimate = pipeline("image-to-pose", model=args.model)
    for file, [person] in zip(files, estimate([str(file) for file in files], batch_size=args.batch_size), strict=True):
        person["pose"].save(args.output / f"{file.stem}.npz")
        picture = load_picture(file).resize((512, 512))
        page = Image.new("RGB", (1024, 512))
        page.paste(picture, (0, 0))
        page.paste(person["pose"].render(azimuth=0, elevation=3), (512, 0))
        page.save(args.output / f"{file.stem}.png")
        print(f"{file.name}: score {person['score']:.2f}")


if __name__ == "__main__":
    main()
