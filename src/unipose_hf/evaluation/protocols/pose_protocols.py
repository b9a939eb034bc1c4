# SPDX-License-Identifier: Apache-2.0
"""The tasks that answer with a pose, the tokenizer and retrieval (UniPose, Tables 1, 3, 4 and supplement C).

Each function takes samples (see `samples.py`) and a `Setting`, and returns a `Result`. The errors come with those of
an answer that ignores the question: the mean of the true poses' joints, or, for an edit, the given pose.
"""

import dataclasses
import statistics
import time

import torch

from unipose_hf.body import remove_yaw
from unipose_hf.captions import codes_satisfied, paircodes_satisfied, pose_geometry, turn_between
from unipose_hf.data.synthesis.sampling import random_global_turn
from unipose_hf.evaluation.metrics.fid import fid
from unipose_hf.evaluation.metrics.pose_errors import errors_over_samples, geodesic_error, mpjpe, pa_mpjpe, pve
from unipose_hf.evaluation.metrics.retrieval_metrics import retrieval_recall, sampled_recall
from unipose_hf.evaluation.reporting.results import Result, Setting, fixed, over_seeds
from unipose_hf.modeling.processing_unipose import task_messages
from unipose_hf.modeling.rotation_unipose import axis_angle_to_matrix, matrix_to_axis_angle

from .answers import answer_poses
from .protocol_joints import JointSet, body_joints
from .samples import checked, described_poses, question, references, stacked_poses, words
from .text_protocols import NO_EMBEDDER, POOL

ONE_ANSWER = "one answer"
ONE_AT_A_TIME = "one at a time"
FULL_SET = "full-set"
RECALL_AT = (5, 10, 20)
BEST = 6  # best samples per text
BODY_BATCH_SIZE = 512  # bodies with vertices held in memory
NEUTRAL = (
    "The shapes of this set are those of female and male bodies, so that its figures want these, too: put SMPL_FEMALE "
    "and SMPL_MALE next to the SMPL_NEUTRAL that --body names, or give them as `gendered` in the Setting."
)
TIMED = 8  # number of answers used to measure the time of one


def random_sampling(pool: int) -> str:
    return f"random-sampling, pools of {pool}"


def text_to_pose(samples: list[dict], setting: Setting) -> Result:
    """A description -> a pose: errors, retrieval between texts and answers, FID, and, for several poses drawn per
    text, the mean error, that of the best and of the best six."""
    result = _generated(checked(samples, "text-to-pose"), setting)
    answers, truth = result.answers, stacked_poses(samples)
    if all(sample.get("stated") is not None for sample in samples):
        stated = [sample["stated"] for sample in samples]
        shares = codes_satisfied(stated, *pose_geometry(answers))
        controls = codes_satisfied(stated[1:] + stated[:1], *pose_geometry(answers))
        result.figures[ONE_ANSWER] |= fixed({"codes_true": _share(shares), "codes_true_of_shifted": _share(controls)})
    if setting.retrieval is None:
        result.missing["Retrieval of answers"] = NO_EMBEDDER.format("retrieval")
    else:
        texts = setting.retrieval.texts([words(sample) for sample in samples])
        result.figures |= _recalls(texts, setting.retrieval.poses(remove_yaw(answers)), setting.seeds)
        real = setting.retrieval.poses(remove_yaw(truth))
        result.figures |= {f"{FULL_SET}, true poses": fixed(_full_recall(texts, real))}
    result.figures[ONE_AT_A_TIME] = fixed({"seconds": _seconds_for_one(samples, setting)})
    return result


def pose_editing(samples: list[dict], setting: Setting) -> Result:
    """A pose and an instruction -> the edited pose: as text-to-pose, without retrieval."""
    result = _generated(checked(samples, "pose-editing"), setting)
    sources, truth = stacked_poses(samples, 0), stacked_poses(samples)
    copied = mpjpe(_joints(setting, sources), _joints(setting, truth))
    result.figures[ONE_ANSWER] |= fixed({"mpjpe_mm_of_copied_source": _mm(copied)})
    if all(sample.get("stated") is not None for sample in samples):
        before, after = pose_geometry(sources), pose_geometry(result.answers)
        shares = paircodes_satisfied(
            [sample["stated"] for sample in samples],
            *(before[0], after[0], before[1], after[1]),
            rotation_change=turn_between(sources, result.answers),
        )
        result.figures[ONE_ANSWER] |= fixed({"codes_true": _share(shares)})
    return result


def image_to_pose(samples: list[dict], setting: Setting, joint_set: JointSet | None = None) -> Result:
    """An image -> the pose: MPJPE, PA-MPJPE and PVE in the camera frame, roots aligned.

    The true pose is measured on a body with the person's shape and gender, if both are known and match the setting's
    body. Samples with measured joints have no vertex or rotation errors.

    Args:
        joint_set: the joints for MPJPE; the body's own 22 by default. See `protocol_joints`: 3DPW and Human3.6M use
            14, EMDB and MOYO 24.
    """
    checked(samples, "image-to-pose")
    joint_set = joint_set or body_joints()
    answers = _answers(samples, setting)
    with torch.no_grad():
        joints = torch.cat([joint_set.joints(setting.body, part) for part in answers.split(BODY_BATCH_SIZE)])
    figures, missing, protocol = {}, {}, f"root-aligned, {joint_set.name}"
    if any(sample.get("joints") is None for sample in samples):
        target, vertex_errors = _true_bodies(samples, answers, joint_set, setting)
        truth = axis_angle_to_matrix(stacked_poses(samples))
        figures = {"pve_mm": _mm(vertex_errors), "rotation_deg": _degrees(geodesic_error(answers, truth))}
        if any(_shaped(sample, setting) and sample.get("gender") in _lacking(setting) for sample in samples):
            protocol += ", true poses on a neutral body"
            missing["Bodies of women and men"] = NEUTRAL
    else:
        target = torch.stack([torch.as_tensor(sample["joints"]) for sample in samples])
    errors = mpjpe(joints, target, root=None)
    mean = target.mean(0).expand_as(target)
    figures = {"mpjpe_mm": _mm(errors), "pa_mpjpe_mm": _mm(pa_mpjpe(joints, target))} | figures
    figures["mpjpe_mm_of_mean_pose"] = _mm(mpjpe(mean, target, root=None))
    figures["pa_mpjpe_mm_of_mean_pose"] = _mm(pa_mpjpe(mean, target))
    return _result("image-to-pose", setting, {protocol: fixed(figures)}, missing, answers, errors)


@torch.no_grad()
def _true_bodies(samples, answers, joint_set, setting):
    """Joints of the true poses `(n, J, 3)`, and the vertex errors of the answers `(n,)`."""
    kinds = {}
    for row, sample in enumerate(samples):
        shaped = _shaped(sample, setting)
        kinds.setdefault((shaped, shaped and sample.get("gender")), []).append(row)
    order, joints, errors = [], [], []
    for (shaped, gender), rows in kinds.items():
        body = setting.gendered.get(gender, setting.body)
        for start in range(0, len(rows), BODY_BATCH_SIZE):
            part = rows[start : start + BODY_BATCH_SIZE]
            truth = axis_angle_to_matrix(stacked_poses([samples[row] for row in part]))
            betas = torch.stack([torch.as_tensor(samples[row]["betas"]).float() for row in part]) if shaped else None
            joints.append(joint_set.joints(body, truth, betas))
            errors.append(pve(setting.body(answers[part]).vertices, body(truth, betas).vertices))
            order += part
    back = torch.tensor(order).argsort()
    return torch.cat(joints)[back], torch.cat(errors)[back]


def _shaped(sample, setting):
    """Whether the shape of the true body is known and belongs to the setting's body."""
    return sample.get("betas") is not None and sample.get("body") == setting.body_name


def _lacking(setting):
    return {"female", "male"} - setting.gendered.keys()


def reasoning_image_to_pose(samples: list[dict], setting: Setting) -> Result:
    """An image of several people and a hint at one -> this person's pose: as image-to-pose, and whether the right
    person was found (UniPose, supplement D; ChatPose's reasoning-based estimation).

    `person_found` is the share of answers with a smaller PA-MPJPE to the intended person than to any other in the
    image (the `others` of the samples); `mpjpe_mm_without_words` is for the same images without hints.
    """
    result = image_to_pose(samples, setting)
    [(protocol, figures)] = result.figures.items()
    bare = [task_messages("image-to-pose", images=sample["images"]) for sample in samples]
    answered = setting.body.joints(axis_angle_to_matrix(result.answers))
    truth = _joints(setting, stacked_poses(samples))
    figures |= fixed({"mpjpe_mm_without_words": _mm(mpjpe(setting.body.joints(answer_poses(setting, bare)), truth))})
    if all(sample.get("others") is not None for sample in samples):
        found, chance = [], []
        for sample, answer in zip(samples, answered, strict=True):
            people = torch.stack([torch.as_tensor(pose) for pose in (sample["poses"][-1], *sample["others"])])
            errors = pa_mpjpe(answer.expand(len(people), -1, -1), _joints(setting, people))
            found.append(100.0 * bool(errors[0] < errors[1:].min()))
            chance.append(100 / len(people))
        figures |= fixed({"person_found": statistics.fmean(found), "person_found_by_chance": statistics.fmean(chance)})
    result.task, result.figures = "reasoning-image-to-pose", {protocol: figures}
    return result


def tokenizer(samples: list[dict], setting: Setting) -> Result:
    """Reconstruction by the pose tokenizer, of the last pose of samples of any task; also with the random rotations of
    its training (supplement, Table 5)."""
    poses = stacked_poses(samples)
    decoded, figures, errors = _reconstructed(poses, setting)

    def turned(seed):
        return _reconstructed(random_global_turn(poses, torch.Generator().manual_seed(seed)), setting)[1]

    found = {"reconstruction": fixed(figures), "reconstruction, turned": over_seeds(turned, setting.seeds)}
    return _result("tokenizer", setting, found, {}, decoded, errors)


@torch.no_grad()
def _reconstructed(poses, setting):
    rotations = axis_angle_to_matrix(poses)
    batches = rotations.to(setting.model.device).split(BODY_BATCH_SIZE)
    decode = setting.model.model.pose_tokenizer.decode
    decoded = torch.cat([decode(setting.model.get_pose_codes(batch)).rotations.float().cpu() for batch in batches])
    return decoded, *_errors(setting, decoded, rotations)


def retrieval(samples: list[dict], setting: Setting) -> Result:
    """Retrieval between human texts and their poses in the whole set (PoseScript, Table 1): the retrieval model alone.
    Takes samples of pose-to-text or, for pairs, of pose-diff. Each caption of a pose is evaluated in a separate pass,
    and the passes are averaged."""
    task = checked(samples, "pose-to-text", "pose-diff")[0]["task"]
    checked(samples, task)
    pairs = task == "pose-diff"
    name, embedder = ("pair-retrieval", setting.pair_retrieval) if pairs else ("retrieval", setting.retrieval)
    if embedder is None:
        return Result(name, setting.data, setting.body_name, len(samples), {}, {"Recall": NO_EMBEDDER.format(name)})
    texts = [references(sample) for sample in samples]
    poses = embedder.poses(*described_poses(samples))
    passes = [
        retrieval_recall(embedder.texts([one[rank] for one in texts]), poses) for rank in range(min(map(len, texts)))
    ]
    figures = {key: statistics.fmean(one[key] for one in passes) for key in passes[0]}
    return Result(name, setting.data, setting.body_name, len(samples), {FULL_SET: fixed(figures)})


def _generated(samples, setting):
    """The common part of text-to-pose and pose editing."""
    answers = _answers(samples, setting)
    poses = stacked_poses(samples)
    truth = axis_angle_to_matrix(poses)
    figures, errors = _errors(setting, answers, truth)
    target = _joints(setting, poses)
    figures["mpjpe_mm_of_mean_pose"] = _mm(mpjpe(target.mean(0).expand_as(target), target))
    missing = {}
    if setting.retrieval is None:
        missing["FID"] = NO_EMBEDDER.format("retrieval")
    elif len(samples) < 2:
        missing["FID"] = "It needs two samples or more."
    else:
        features = [setting.retrieval.poses(remove_yaw(x)) for x in (matrix_to_axis_angle(answers), poses)]
        figures["fid"] = fid(*features)
    count = setting.samples_per_text
    sampled = over_seeds(lambda seed: _sample_errors(samples, truth, setting, seed), setting.seeds)
    found = {ONE_ANSWER: fixed(figures), f"{count} samples a text": sampled}
    return _result(samples[0]["task"], setting, found, missing, answers, errors)


def _sample_errors(samples, truth, setting, seed):
    """Errors of several poses drawn for each question, PoseScript's reconstruction: only the pelvis is aligned."""
    torch.manual_seed(seed)
    count = setting.samples_per_text
    rotations = _answers(samples, setting, decoding="sample", num_return_sequences=count)
    expanded = truth.repeat_interleave(count, 0)  # (n * count, 22, 3, 3)
    errors = {
        "mpjpe_mm": 1000 * mpjpe(setting.body.joints(rotations), setting.body.joints(expanded)),
        "pve_mm": 1000 * _vertex_errors(setting.body, rotations, expanded),
        "rotation_deg": geodesic_error(rotations, expanded).rad2deg(),
    }
    figures = {}
    for name, values in errors.items():
        found = errors_over_samples(values.view(-1, count), top=min(BEST, count))
        figures[name] = float(found.mean.mean())
        figures[f"best_{name}"] = float(found.best.mean())
        figures[f"best{min(BEST, count)}_{name}"] = float(found.top.mean())
    return figures


def _recalls(texts, answers, seeds):
    """Recall between texts and the answered poses, by both common protocols."""
    pool = min(POOL, len(texts))
    full = _full_recall(texts, answers)
    if pool < 2:
        return {FULL_SET: fixed(full)}

    def run(seed):
        there = sampled_recall(texts, answers, RECALL_AT, pool, seed=seed)
        back = sampled_recall(answers, texts, RECALL_AT, pool, seed=seed)
        return {f"t2p_r@{k}": v for k, v in there.items()} | {f"p2t_r@{k}": v for k, v in back.items()}

    return {FULL_SET: fixed(full), random_sampling(pool): over_seeds(run, seeds)}


def _full_recall(texts, poses):
    found = retrieval_recall(texts, poses, RECALL_AT)
    return {name: value for name, value in found.items() if name != "mrecall"}  # a mean over other ranks


def _answers(samples, setting, **options):
    return answer_poses(setting, [question(sample) for sample in samples], **options)


def _seconds_for_one(samples, setting):
    """Median time of a single pose, without the first, which warms up."""
    times = []
    for sample in samples[: TIMED + 1]:
        began = time.perf_counter()
        _answers([sample], dataclasses.replace(setting, batch_size=1))
        times.append(time.perf_counter() - began)
    return statistics.median(times[1:] or times)


def _errors(setting, rotations, truth):
    """Figures of rotations `(n, 22, 3, 3)`, and each one's MPJPE."""
    with torch.no_grad():
        joints, target = setting.body.joints(rotations), setting.body.joints(truth)
    errors = mpjpe(joints, target)
    figures = {
        "mpjpe_mm": _mm(errors),
        "pa_mpjpe_mm": _mm(pa_mpjpe(joints, target)),
        "pve_mm": _mm(_vertex_errors(setting.body, rotations, truth)),
        "rotation_deg": _degrees(geodesic_error(rotations, truth)),
    }
    return figures, errors


@torch.no_grad()
def _vertex_errors(body, rotations, truth):
    parts = zip(rotations.split(BODY_BATCH_SIZE), truth.split(BODY_BATCH_SIZE), strict=True)
    return torch.cat([pve(body(ours).vertices, body(theirs).vertices) for ours, theirs in parts])


def _joints(setting, poses):
    return setting.body.joints(axis_angle_to_matrix(poses))


def _result(task, setting, figures, missing, rotations, errors):
    answers = matrix_to_axis_angle(rotations)
    return Result(
        task, setting.data, setting.body_name, len(answers), figures, missing, answers, 1000 * errors, "MPJPE, mm"
    )


def _mm(metres) -> float:
    return 1000 * float(metres.mean())


def _degrees(radians) -> float:
    return float(radians.rad2deg().mean())


def _share(shares) -> float:
    shares = shares[~shares.isnan()]
    return 100 * float(shares.mean()) if len(shares) else 0.0
