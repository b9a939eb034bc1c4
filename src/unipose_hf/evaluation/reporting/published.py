# SPDX-License-Identifier: Apache-2.0
"""Published figures as printed in the papers, compared with ours if data, protocol and body agree.

Names of tasks, protocols and figures are those of our protocols. Errors are in mm, everything else except FID in per
cent. Figures of a method printed in another paper have that paper's name in brackets.
"""

from pathlib import Path
from typing import NamedTuple

from unipose_hf.files.plain import read_json

POSESCRIPT, POSEFIX = "PoseScript-H2 test", "PoseFix-H test"
IMAGESCRIPT, IMAGEDIFF = "ImageScript-R test", "ImageDiff-R test"
RPE = "RPE benchmark of ChatPose"
THREEDPW, H36M, EMDB, MOYO, AMASS = "3DPW test", "Human3.6M test", "EMDB 1", "MOYO validation", "AMASS test"
MOYO_PICTURES = "MOYO, HSMR's list of pictures"
SMPL, SMPLH, NO_BODY = "SMPL", "SMPL-H", "none"

TEXTS, POOLS = "all references", "R-precision, pools of 32"
ONE_ANSWER, SAMPLES = "one answer", "30 samples a text"
FULL_SET, SAMPLED = "full-set", "random-sampling, pools of a size not stated"
JOINTS_14, JOINTS_24 = "root-aligned, 14 joints from the mesh", "root-aligned, 24 SMPL joints"
RECONSTRUCTION = "reconstruction"


class Published(NamedTuple):
    task: str
    data: str
    protocol: str
    body: str
    method: str
    figures: dict[str, float]


# UniPose (CVPR 2025): Tables 2 to 4 and supplement, Tables 4 and 5; the others: their own papers
PUBLISHED = [Published(**row) for row in read_json(Path(__file__).with_suffix(".json"), list)]

# UniPose's means over three runs, with variances (supplement, Tables 6 and 7), to judge which differences are noise.
UNIPOSE_SPREAD = {
    ("pose-to-text", "top3"): (97.3, 0.26),
    ("pose-to-text", "bleu4"): (12.1, 0.03),
    ("pose-to-text", "rouge_l"): (33.1, 0.12),
    ("pose-to-text", "meteor"): (30.8, 0.09),
    ("pose-diff", "top3"): (88.0, 0.97),
    ("pose-diff", "bleu4"): (13.7, 0.07),
    ("pose-diff", "rouge_l"): (33.6, 0.11),
    ("pose-diff", "meteor"): (31.2, 0.03),
    ("image-to-pose-text", "top3"): (42.3, 0.62),
    ("image-to-pose-text", "bleu4"): (19.2, 0.68),
    ("image-to-pose-text", "rouge_l"): (42.7, 0.17),
    ("image-to-pose-text", "meteor"): (44.9, 0.16),
    ("image-diff", "top3"): (35.0, 0.89),
    ("image-diff", "bleu4"): (15.7, 0.12),
    ("image-diff", "rouge_l"): (36.2, 0.21),
    ("image-diff", "meteor"): (39.5, 0.05),
    ("text-to-pose", "mpjpe_mm"): (306.4, 1.64),
    ("text-to-pose", "pa_mpjpe_mm"): (170.1, 0.79),
    ("text-to-pose", "fid"): (0.037, 0.0),
    ("pose-editing", "mpjpe_mm"): (271.1, 0.61),
    ("pose-editing", "pa_mpjpe_mm"): (138.5, 0.26),
    ("pose-editing", "fid"): (0.014, 0.0),
    ("image-to-pose", "mpjpe_mm"): (94.6, 0.05),
    ("image-to-pose", "pa_mpjpe_mm"): (59.1, 0.03),
}

# The data sets of the published figures, which we may not redistribute, and where to get them.
WHERE = {
    POSESCRIPT: "human captions: https://github.com/naver/posescript (its README links the release); poses: AMASS, "
    "https://amass.is.tue.mpg.de, after registering",
    POSEFIX: "human instructions: https://github.com/naver/posescript (PoseFix release); poses: AMASS, "
    "https://amass.is.tue.mpg.de, after registering",
    IMAGESCRIPT: "never released; 2,000 pictures of 3DPW with captions that GPT-4 refined",
    IMAGEDIFF: "never released; 2,000 pairs of pictures of 3DPW with instructions that GPT-4 refined",
    THREEDPW: "https://virtualhumans.mpi-inf.mpg.de/3DPW, after agreeing to its licence; joints: "
    "J_regressor_h36m.npy of https://github.com/nkolot/SPIN",
    H36M: "http://vision.imar.ro/human3.6m, after registering; list of pictures and joints: h36m_val_p2.npz, which "
    "https://github.com/shubham-goel/4D-Humans links; J_regressor_h36m.npy of https://github.com/nkolot/SPIN",
    EMDB: "https://eth-ait.github.io/emdb, after registering",
    RPE: "described in ChatPose, https://arxiv.org/abs/2311.18836",
    MOYO: "https://moyo.is.tue.mpg.de, after registering",
    MOYO_PICTURES: "https://moyo.is.tue.mpg.de, after registering; list: hsmr_evaluation_data.tar.gz, which "
    "https://github.com/IsshikiHugh/HSMR links",
    AMASS: "https://amass.is.tue.mpg.de, after registering",
}
BODY_WHERE = (
    "They are measured on SMPL: register at https://smpl.is.tue.mpg.de, `pip install unipose-hf[smpl]`, and name the "
    "files SMPL_NEUTRAL, SMPL_FEMALE and SMPL_MALE in one folder; --body takes the first and finds the others."
)
