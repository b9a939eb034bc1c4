# SPDX-License-Identifier: Apache-2.0
"""Measures how well a model has learned the language bank: the error of its answers to texts of named poses.

    python examples/benchmarks/bank_fit.py --model runs/plain/last

Draws one name, alias or text of each of 400 named poses, the same for every model. The error is the MPJPE to the pose
or its mirror image, whichever is closer, with all poses facing the viewer.
"""

import argparse
import random

import numpy as np
import roma
import torch
from transformers import pipeline

import unipose_hf  # noqa: F401  registers the pipelines
from unipose_hf.body import forward_kinematics, load_body, mirror_pose, remove_yaw
from unipose_hf.data.language.angles import angles_to_axis_angle
from unipose_hf.data.language.bank import load_language_bank
from unipose_hf.evaluation import mpjpe

COUNT, BATCH = 400, 50


def main(model: str | None) -> None:
    bank, rng = load_language_bank(), random.Random(0)
    rows = rng.sample(range(len(bank.named)), COUNT)
    texts = [rng.choice([pose.name, *pose.aliases, *pose.texts]) for pose in (bank.named[row] for row in rows)]
    answers = pipeline("text-to-pose", model=model, named=False)(texts, batch_size=BATCH)
    rest = load_body(size="small").rest_joints

    def joints(poses):
        return forward_kinematics(roma.rotvec_to_rotmat(remove_yaw(poses)), rest)[0]

    found = joints(torch.from_numpy(np.stack([answer["pose"].axis_angle for answer in answers])).float())
    poses = angles_to_axis_angle(bank.named_angles[rows])
    errors = 1000 * torch.minimum(mpjpe(found, joints(poses)), mpjpe(found, joints(mirror_pose(poses))))
    print(f"{COUNT} texts: {errors.mean():.1f} mm on average, median {errors.median():.1f} mm")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", help="folder or Hub id; the bundled model by default")
    main(**vars(parser.parse_args()))
