# SPDX-License-Identifier: Apache-2.0
"""Images of several people and hints that single out one of them by position, clothes or pose.

UniPose has 8,000 such images, of real people described by GPT-4 (supplement D); `labelled_people` makes them the same
way. The open ones are rendered, so every hint is known to be true of that person only.
"""

import colorsys
import dataclasses
import functools
import os
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import roma
import torch

from unipose_hf.body import load_body
from unipose_hf.captions import caption_poses, codes_satisfied, pose_geometry
from unipose_hf.data.instructions import draw
from unipose_hf.data.llm import labelled_people
from unipose_hf.data.pictures import encode_picture
from unipose_hf.data.synthesis.rendering import random_light
from unipose_hf.data.synthesis.scenery import camera_faults, random_background
from unipose_hf.visualization.camera import Camera
from unipose_hf.visualization.outfit import BodyPaint, Outfit
from unipose_hf.visualization.renderer import Renderer, vertex_normals

from .dataset_card import write_card
from .image_sources import OPEN, Source, open_sources
from .imagescript import VERSIONS, image_features
from .shards import count_rows, record_plan, write_shards

MAX_PEOPLE = 4
_CLAUSES = 3  # number of clauses of a hint at a pose
_WORDINGS = 10  # attempts at a wording without he or she: the rendered bodies are neutral
_GENDERED = re.compile(r"\b(?:s?he|his|hers?|him|(?:wo)?man)\b", re.IGNORECASE)
_POSITIONS = {
    "left": ("The leftmost person.", "The person on the far left.", "Nobody in the group is further to the left."),
    "right": ("The rightmost person.", "The person on the far right.", "Nobody in the group is further to the right."),
    "middle": ("The person in the middle.", "The one between the two others.", "In the centre of the group."),
    "second": ("The second person from the left.", "Next to the person on the far left."),
    "third": ("The second person from the right.", "Next to the person on the far right."),
}
_CLOTHES = (
    "They wear a {top} top and {trousers}.",
    "The person is dressed in a {top} top and {trousers}.",
    "You can tell them by the {top} top and the {trousers}.",
)
_HUES = (
    "red",
    "orange",
    "yellow",
    "green",
    "green",
    "green",
    "turquoise",
    "blue",
    "blue",
    "purple",
    "magenta",
    "pink",
)


def build_multi_person(
    out: str | os.PathLike,
    *,
    size: int,
    sources: list[Source] | None = None,
    ask: Callable | None = None,
    seed: int = 0,
    picture_size: int = 384,
    processes: int = 1,
    on_ray: bool = False,
    concurrency: int = 4,
    progress: bool = True,
) -> dict[str, int]:
    """Build `size` images, split as in ImageScript, or resume a build that was started with the same arguments.

    Args:
        sources: sets of images with fits and boxes, in which `ask`, a vision-language model, labels everyone; each
            person is a row. Without them, people are rendered, one row per image.
        others: as for `build_imagescript`.

    Returns:
        the number of rows of each configuration and split.
    Raises:
        ValueError: the folder contains another build; sources without a model. ImportError: `datasets` is
        missing. FileNotFoundError, ConnectionError: images or the language model are missing.
    """
    out = Path(out)
    plan = {"kind": "several people", "size": size, "seed": seed, "picture_size": picture_size}
    if sources is None:
        record_plan(out, plan)
        make = functools.partial(_make_rows, seed, picture_size)
        rows = {source.split: _groups(source) for source in open_sources(size, seed, choice=MAX_PEOPLE)}
    else:
        if ask is None:
            raise ValueError("Real people need labels from a vision-language model; give one.")
        record_plan(out, plan | {"model": ask.name, "sets": [[source.split, source.name] for source in sources]})
        make = functools.partial(labelled_people.make_rows, seed)
        rows = labelled_people.label_people(
            sources,
            out / "work",
            ask,
            size=size,
            seed=seed,
            max_people=MAX_PEOPLE,
            concurrency=concurrency,
            progress=progress,
        )
    for split, made in rows.items():
        write_shards(
            out / "A", split, made, group_features, make, processes=processes, on_ray=on_ray, progress=progress
        )
    write_card(out, "multi-person")
    return count_rows(out)


def _groups(source):
    """The people of each image, as many as fit in it."""
    records = list(source.read())
    return [records[start : start + MAX_PEOPLE] for start in range(0, len(records), MAX_PEOPLE)]


def group_features():
    """The columns: those of ImageScript, and `hint`."""
    from datasets import Features, Value

    return Features({**image_features(), "hint": Value("string")})


@torch.no_grad()
def render_group(
    poses: np.ndarray,
    outfits: list[Outfit],
    rng: np.random.Generator,
    size: int,
    depths: np.ndarray | None = None,
):
    """People side by side on one floor.

    Args:
        poses: `(P, 22, 3)` axis-angle in a level world, from left to right.
        outfits: the outfit of each.
        depths: `(P,)` metres of each in front of the row; at most 0.3 by default.

    Returns:
        the image `(size, size, 3)` uint8, the poses in the camera frame, and boxes `(P, 4)` in pixels.
    """
    body = load_body(size="small")
    faces, paint = body.faces.numpy().astype(np.int32), BodyPaint.of(body)
    betas = torch.from_numpy(np.clip(rng.normal(0, 0.9, (len(poses), 10)), -2, 2)).float()
    bodies = body(roma.rotvec_to_rotmat(torch.from_numpy(poses)), betas).vertices.numpy()
    colors, edge = [], 0.0
    for number, (vertices, outfit) in enumerate(zip(bodies, outfits, strict=True)):
        paints, thickness = paint.dress(outfit)
        colors.append(paints)
        vertices += thickness[:, None] * vertex_normals(vertices, faces)
        low, high = vertices.min(0), vertices.max(0)
        vertices += np.array(
            (edge - low[0], -low[1], rng.uniform(-0.3, 0.3) if depths is None else depths[number]), np.float32
        )
        edge += high[0] - low[0] + rng.uniform(0.05, 0.4)
    camera = Camera.fit(
        bodies.reshape(-1, 3),
        size,
        size,
        fov=rng.uniform(25, 50),
        elevation=rng.uniform(-3, 12),
        roll=rng.uniform(-2, 2),
        margin=rng.uniform(0.03, 0.12),
    )
    picture = Renderer(size, size).render(
        bodies.reshape(-1, 3),
        np.concatenate([faces + number * len(bodies[0]) for number in range(len(bodies))]),
        camera=camera,
        vertex_colors=np.concatenate(colors),
        light=random_light(rng),
        background=random_background(size, rng),
    )
    camera_poses = poses.copy()
    roots = torch.from_numpy(camera.rotation) @ roma.rotvec_to_rotmat(torch.from_numpy(poses[:, 0]))
    camera_poses[:, 0] = roma.rotmat_to_rotvec(roots).numpy()
    pixels = camera.project(bodies)  # (P, V, 2)
    return camera_faults(picture, rng), camera_poses, np.concatenate([pixels.min(1), pixels.max(1)], axis=1)


def hints_at(chosen: int, poses: np.ndarray, outfits: list[Outfit], rng: np.random.Generator) -> list[str]:
    """Sentences that together are true of only one person in a group, in the order position, clothes, pose.

    Args:
        chosen: index of the person, from the left. poses, outfits: as for `render_group`; plain clothes.
    """
    clothes = [_clothes(outfit) for outfit in outfits]
    position = str(rng.choice(_POSITIONS[_position(chosen, len(poses))]))
    dressed = str(rng.choice(_CLOTHES)).format(**clothes[chosen])
    posed, stated = _posed(poses[chosen], rng)
    alone = [True, clothes.count(clothes[chosen]) == 1, bool(stated)]
    if stated:
        held = codes_satisfied([stated] * len(poses), *pose_geometry(torch.from_numpy(poses)))
        alone[2] = int((held == 1).sum()) == 1
    chosen_hints = rng.random(3) < 0.5
    if not (chosen_hints & alone).any():
        chosen_hints[rng.choice(np.flatnonzero(alone))] = True
    return [hint for hint, use in zip((position, dressed, posed), chosen_hints, strict=True) if use and hint]


def colour_name(rgb) -> str:
    """An everyday name of an sRGB colour in [0, 1]."""
    hue, saturation, high = colorsys.rgb_to_hsv(*rgb)
    if high < 0.2:
        return "black"
    if saturation < 0.15:
        return "white" if high > 0.85 else "light grey" if high > 0.6 else "grey" if high > 0.35 else "dark grey"
    name = _HUES[round(12 * hue) % 12]
    if name == "orange" and high < 0.65:
        return "brown"
    if name == "orange" and saturation < 0.4:
        return "beige"
    if name == "yellow" and high < 0.6:
        return "olive"
    if name == "red" and saturation < 0.5 and high > 0.6:
        name = "pink"
    if name == "magenta":  # nobody says so of muted cloth
        name = "pink" if high > 0.7 else "purple"
    return ("dark " if high < 0.45 else "light " if saturation < 0.4 and high > 0.7 else "") + name


def _posed(pose, rng):
    """A short description of a pose, and the codes that it states."""
    for _ in range(_WORDINGS):
        [text], [codes] = caption_poses(
            pose[None], seed=int(rng.integers(2**31)), max_clauses=_CLAUSES, return_codes=True
        )
        if not _GENDERED.search(text):
            break
    return text, codes


def _clothes(outfit):
    kind = "trousers" if outfit.hem > 0.6 else "shorts"
    return {"top": colour_name(outfit.top), "trousers": f"{colour_name(outfit.trousers)} {kind}"}


def _position(chosen, count):
    if chosen in (0, count - 1):
        return "right" if chosen else "left"
    return "middle" if count == 3 else ("second", "third")[chosen - 1]


def _make_rows(seed, picture_size, groups, first):
    rows = []
    for number, group in enumerate(groups, start=first):
        rng = np.random.default_rng(draw(2**62, "several people", group[0].sequence, seed, number))
        group = group[: rng.integers(2, MAX_PEOPLE + 1)]
        poses = np.stack([record.pose for record in group])
        outfits = [
            dataclasses.replace(Outfit.random(rng), top_pattern="plain", trousers_pattern="plain") for _ in group
        ]
        picture, camera_poses, _ = render_group(poses, outfits, rng, picture_size)
        chosen = int(rng.integers(len(group)))
        rows.append(
            {
                "image": {"bytes": encode_picture(picture), "path": None},
                "pose": camera_poses[chosen],
                "texts": [caption_poses(poses[chosen : chosen + 1], seed=seed, version=name)[0] for name in VERSIONS],
                "box": None,  # the hint has to identify the person
                "set": OPEN,
                "sequence": group[chosen].sequence,
                "frame": group[chosen].frame,
                "licence": group[chosen].licence,
                "hint": " ".join(hints_at(chosen, poses, outfits, rng)),
            }
        )
    return rows
