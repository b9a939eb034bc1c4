# SPDX-License-Identifier: Apache-2.0
"""What others measured, as printed in their papers: figures to stand beside ours where data, protocol and body agree.

Names of tasks, protocols and figures are those of our protocols. Errors in mm, the rest in per cent but FID. Figures
of a method that another paper printed carry that paper's name in brackets.
"""

from typing import NamedTuple

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


def _rows(task, data, protocol, body, names, lines):
    """One row for each method; a dash stands for what its paper does not give."""
    rows = []
    for method, line in lines.items():
        values = zip(names, line.split(), strict=True)
        rows.append(Published(task, data, protocol, body, method, {n: float(v) for n, v in values if v != "-"}))
    return rows


_TEXT = ("bleu4", "rouge_l", "meteor")
_TOP = ("top1", "top2", "top3")
_T2P = ("t2p_r@5", "t2p_r@10", "t2p_r@20")
_BOTH_WAYS = (*_T2P, "p2t_r@5", "p2t_r@10", "p2t_r@20")
_RECALL = ("t2p_r@1", "t2p_r@5", "t2p_r@10", "p2t_r@1", "p2t_r@5", "p2t_r@10", "mrecall")
_ERRORS = ("mpjpe_mm", "pa_mpjpe_mm", "pve_mm")
_POSE = ("mpjpe_mm", "pa_mpjpe_mm", "fid")

# UniPose (CVPR 2025): Tables 2 to 4 and supplement, Tables 4 and 5; the others: their own papers
PUBLISHED = [
    *_rows(
        "pose-to-text",
        POSESCRIPT,
        TEXTS,
        SMPL,
        _TEXT,
        {
            "PoseScript [UniPose]": "12.9 33.9 34.2",
            "UniPose, one task": "10.8 30.1 29.5",
            "UniPose": "12.1 33.3 30.8",
            "PoseScript, released weights": "- 33.95 -",
        },
    ),
    *_rows(
        "pose-to-text",
        POSESCRIPT,
        POOLS,
        SMPL,
        _TOP,
        {
            "PoseScript [UniPose]": "91.6 95.6 97.0",
            "UniPose, one task": "18.1 30.0 39.1",
            "UniPose": "85.6 95.2 97.6",
            "PoseScript, released weights": "89.38 - -",
        },
    ),
    *_rows(
        "pose-diff",
        POSEFIX,
        TEXTS,
        SMPL,
        _TEXT,
        {
            "PoseFix [UniPose]": "12.0 33.5 36.7",
            "UniPose, one task": "8.5 28.2 27.3",
            "UniPose": "13.8 33.7 31.2",
            "PoseFix, released weights": "- 33.53 -",
        },
    ),
    *_rows(
        "pose-diff",
        POSEFIX,
        POOLS,
        SMPL,
        _TOP,
        {
            "PoseFix [UniPose]": "64.6 77.1 83.0",
            "UniPose, one task": "8.4 14.6 19.2",
            "UniPose": "67.9 81.8 88.6",
            "PoseFix, released weights": "78.85 - -",
        },
    ),
    *_rows(
        "image-to-pose-text",
        IMAGESCRIPT,
        TEXTS,
        SMPL,
        _TEXT,
        {
            "LLaVA [UniPose]": "3.2 21.8 32.9",
            "Qwen-VL [UniPose]": "1.4 15.9 21.6",
            "GPT-4V [UniPose]": "7.1 29.1 34.2",
            "UniPose, one task": "18.2 42.4 45.2",
            "UniPose": "18.2 42.5 44.7",
        },
    ),
    *_rows(
        "image-to-pose-text",
        IMAGESCRIPT,
        POOLS,
        SMPL,
        _TOP,
        {
            "LLaVA [UniPose]": "5.7 12.0 18.9",
            "Qwen-VL [UniPose]": "8.9 15.6 19.8",
            "GPT-4V [UniPose]": "17.7 24.0 32.3",
            "UniPose, one task": "22.4 32.8 41.2",
            "UniPose": "24.5 35.4 43.2",
        },
    ),
    *_rows(
        "image-diff",
        IMAGEDIFF,
        TEXTS,
        SMPL,
        _TEXT,
        {
            "GPT-4V [UniPose]": "1.3 16.1 21.8",
            "UniPose, one task": "14.0 34.1 40.1",
            "UniPose": "15.9 36.5 39.6",
        },
    ),
    *_rows(
        "image-diff",
        IMAGEDIFF,
        POOLS,
        SMPL,
        _TOP,
        {
            "GPT-4V [UniPose]": "7.3 13.5 18.8",
            "UniPose, one task": "13.0 18.8 26.4",
            "UniPose": "13.5 25.0 33.8",
        },
    ),
    *_rows(
        "text-to-pose",
        POSESCRIPT,
        SAMPLED,
        SMPL,
        _BOTH_WAYS,
        {
            "PoseScript [UniPose]": "73.3 82.5 89.4 70.0 82.5 87.4",
            "ChatPose": "39.9 50.6 58.7 - - -",
            "ChatHuman [UniPose]": "41.8 52.6 65.1 42.1 52.3 66.5",
            "UniPose, one task": "67.5 77.6 85.5 62.8 74.8 83.6",
            "UniPose": "73.7 82.4 89.6 70.9 80.5 89.6",
            "Pose-RFT": "71.8 82.6 88.7 - - -",
        },
    ),
    *_rows(
        "text-to-pose",
        POSESCRIPT,
        FULL_SET,
        SMPL,
        _BOTH_WAYS,
        {"ChatPose": "17.6 25.3 35.8 28.0 39.0 54.4", "Pose-RFT": "42.2 53.0 65.5 45.3 - -"},
    ),
    *_rows(
        "text-to-pose",
        POSESCRIPT,
        ONE_ANSWER,
        SMPL,
        _POSE,
        {
            "PoseScript [UniPose]": "318.0 161.3 0.075",
            "UniPose, one task": "342.7 190.0 0.046",
            "UniPose": "308.6 171.1 0.038",
        },
    ),
    *_rows(
        "pose-editing",
        POSEFIX,
        ONE_ANSWER,
        SMPL,
        _POSE,
        {
            "PoseFix [UniPose]": "300.2 144.1 0.019",
            "UniPose, one task": "310.8 157.0 0.019",
            "UniPose": "270.3 138.9 0.015",
        },
    ),
    *_rows(
        "retrieval",
        POSESCRIPT,
        FULL_SET,
        SMPL,
        _RECALL,
        {
            "PoseScript [UniPose]": "22.1 51.4 63.1 22.3 50.1 62.9 45.3",
            "PoseScript, released weights": "- - - - - - 47.92",
            "UniPose, retrieval model": "31.4 62.5 73.8 31.3 60.1 73.0 55.5",
        },
    ),
    *_rows(
        "pair-retrieval",
        POSEFIX,
        FULL_SET,
        SMPL,
        _RECALL,
        {
            "PoseFix [UniPose]": "14.1 30.1 42.5 13.9 33.2 45.2 30.0",
            "UniPose, retrieval model": "15.2 34.0 44.6 15.7 34.0 44.7 31.3",
        },
    ),
    *_rows(
        "image-to-pose",
        THREEDPW,
        JOINTS_14,
        SMPL,
        _ERRORS,
        {
            "HMR": "130.0 76.7 -",
            "PyMAF": "92.8 58.9 -",
            "SMPLer": "73.7 43.4 -",
            "Zolly": "76.2 47.9 -",
            "HMR2.0a": "70.0 44.5 -",
            "HMR2.0b": "81.3 54.3 -",
            "TokenHMR": "71.0 44.3 -",
            "Multi-HMR": "73.1 45.9 87.1",
            "MEGA": "67.5 41.0 80.0",
            "CameraHMR": "56.0 35.1 65.9",
            "NLF-L": "54.9 33.6 63.7",
            "PromptHMR": "58.7 36.1 69.4",
            "GVHMR (video)": "55.6 36.2 67.2",
            "SAM 3D Body": "54.8 33.8 63.6",
            "Fast SAM 3D Body": "59.5 30.4 68.9",
            "Human3R": "71.2 44.1 -",
            "ChatPose": "163.6 81.9 -",
            "HMVLM, one task": "105.3 56.2 -",
            "UniPose, one task": "97.4 61.2 -",
            "UniPose": "94.7 59.1 -",
            "Pose-RFT": "85.9 51.6 -",
        },
    ),
    *_rows(
        "image-to-pose",
        H36M,
        JOINTS_14,
        SMPL,
        _ERRORS[:2],
        {
            "HMR": "88.0 56.8",
            "PyMAF": "57.7 40.5",
            "SMPLer": "45.2 32.4",
            "Zolly": "49.4 32.3",
            "HMR2.0a": "44.8 33.6",
            "ChatPose": "126.0 82.4",
            "HMVLM, one task": "92.8 55.3",
            "UniPose, one task": "65.8 39.4",
            "UniPose": "69.2 41.8",
            "Pose-RFT": "63.0 -",
        },
    ),
    *_rows(
        "image-to-pose",
        EMDB,
        JOINTS_24,
        SMPL,
        _ERRORS,
        {
            "HMR2.0a": "97.8 61.5 -",
            "HMR2.0b": "118.5 79.2 -",
            "TokenHMR": "91.7 55.6 -",
            "Multi-HMR": "81.6 50.1 -",
            "MEGA": "92.4 52.5 -",
            "CameraHMR": "70.3 43.3 -",
            "NLF-L": "68.4 40.9 -",
            "PromptHMR": "71.7 41.0 -",
            "GVHMR (video)": "72.6 42.7 84.2",
            "SAM 3D Body": "61.7 38.2 72.5",
            "Fast SAM 3D Body": "64.3 37.3 -",
            "Human3R": "73.9 48.5 -",
        },
    ),
    *_rows(
        "image-to-pose",
        MOYO_PICTURES,
        JOINTS_24,
        "SKEL",
        _ERRORS[:2],
        {"HSMR": "104.5 79.6", "SKEL-CF": "85.0 51.4"},
    ),
    *_rows(
        "reasoning-image-to-pose",
        RPE,
        "joints not stated",
        SMPL,
        _ERRORS[:2],
        {"ChatPose": "275.0 101.8", "UniPose": "213.4 94.1", "Pose-RFT": "198.6 87.0"},
    ),
    *_rows(
        "tokenizer",
        AMASS,
        RECONSTRUCTION,
        SMPL,
        _ERRORS[:2],
        {"UniPose, no orientation noise": "6.7 3.8", "UniPose": "6.2 3.7"},
    ),
    *_rows(
        "tokenizer",
        MOYO,
        RECONSTRUCTION,
        SMPL,
        _ERRORS[:2],
        {"UniPose, no orientation noise": "32.6 11.7", "UniPose": "23.1 11.3"},
    ),
]

# Means of UniPose over three runs, with their variances (supplement, Tables 6 and 7): what difference is noise.
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

# The sets of the published figures: which we may not bring, and who gives them to whoever asks.
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
