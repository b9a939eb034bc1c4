# SPDX-License-Identifier: Apache-2.0
"""The order in which a text goes over the body: a random walk from the whole to its parts (PoseScript, section 3)."""

from collections import defaultdict

from unipose_hf.captions.posecodes.joint_sets import SIDES

from .aggregate import shuffled

# parent > children; parts of a limb exist on both sides
_TREE = {
    "body": ("head", "torso"),
    "torso": ("shoulder", "arm", "hip", "leg"),
    "head": ("neck",),
    "arm": ("upperarm", "forearm"),
    "upperarm": ("elbow", "shoulder"),
    "forearm": ("elbow", "hand"),
    "hand": ("wrist",),
    "leg": ("thigh", "shin"),
    "thigh": ("hip", "knee"),
    "shin": ("knee", "foot"),
    "foot": ("ankle",),
}
_WHOLE = ("body", "head", "torso", "neck")


def _paths():
    """(side, part) -> every path down to it, each a tuple of (parent, child) steps."""
    paths = {("", "body"): [()]}
    queue = list(paths)
    for node in queue:
        for part in _TREE.get(node[1], ()):
            for side in ("",) if part in _WHOLE else (node[0],) if node[0] else SIDES:
                child = (side, part)
                known = paths.setdefault(child, [])
                known += [extended for path in paths[node] if (extended := (*path, (node, child))) not in known]
                queue.append(child)
    return paths


_PATHS = _paths()


def order_groups(groups, random):
    """Sorts groups of facts (`group_facts`) in the order in which a random depth-first walk meets their subjects.

    A group with several subjects is placed at its first one. A fact about both sides is placed at one of them,
    preferably one with other facts.
    """
    groups = shuffled(groups, random)
    subjects = [group[0].subject for group in groups]
    places = [_one_side(subject, subjects, random) for subject in subjects]
    # steps from the same parent are ordered by random numbers, drawn when first needed
    numbers = defaultdict(random)
    ranks = {
        place: min(tuple(numbers[step] for step in path) for path in _PATHS[place]) for place in dict.fromkeys(places)
    }
    order = sorted(range(len(groups)), key=lambda i: ranks[places[i]])
    return [groups[i] for i in order]


def _one_side(subject, subjects, random):
    side, part = subject
    if side != "both":
        return subject
    sides = [place for place in ((side, part) for side in SIDES) if place in subjects] or [(s, part) for s in SIDES]
    return sides[int(random() * len(sides))]
