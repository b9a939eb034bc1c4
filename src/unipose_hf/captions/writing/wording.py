# SPDX-License-Identifier: Apache-2.0
"""The words for posecodes: body parts, persons, and descriptive phrases.

In a phrase the first word is the verb in the third person singular, ``{o}`` the object and ``{d}`` the possessive of
the whole person (their / his / her).
"""

from typing import NamedTuple

PART_WORDS = {"upperarm": "upper arm"}
PLURALS = {"foot": "feet"}
PLURAL_VERBS = {
    "is": "are",
    "has": "have",
    "rests": "rest",
    "leans": "lean",
    "bends": "bend",
    "kneels": "kneel",
    "touches": "touch",
    "looks": "look",
    "faces": "face",
    "crosses": "cross",
    "stays": "stay",
    "tilts": "tilt",
    "hangs": "hang",
}
GERUNDS = {
    "rests": "resting",
    "touches": "touching",
    "hangs": "hanging",
    "faces": "facing",
    "crosses": "crossing",
    "stays": "staying",
}
# a bent knee may be called a bent leg
ANGLE_SUBJECTS = {"knee": ("knee", "leg"), "elbow": ("elbow", "arm")}


class Person(NamedTuple):
    """The names of the whole person: at the start of a caption, later, and again in one sentence; its possessive."""

    nouns: tuple[str, ...]
    pronoun: str
    again: str
    possessive: str


# determiner -> the person; a determiner is drawn as often as it occurs in DETERMINERS
PERSONS = {
    "the": Person(("the person", "the person", "the figure"), "the person", "they", "their"),
    "their": Person(("the person", "they"), "they", "they", "their"),
    "his": Person(("the man", "he"), "he", "he", "his"),
    "her": Person(("the woman", "she"), "she", "she", "her"),
}
DETERMINERS = ("the",) * 5 + ("their",) * 3 + ("his", "her")


def _two_sided(*phrases):
    """Side -> the phrases about it."""
    return {side: tuple(phrase.replace("{side}", side) for phrase in phrases) for side in ("left", "right")}


def _both_sides(kind, category, phrases, *extra):
    """Relations for a pair of categories that name a side: "at {side}" -> at left, at right."""
    return {(kind, category.replace("{side}", side), *extra): sided for side, sided in _two_sided(*phrases).items()}


# Relation -> phrases without an object: about one part, or both sides of a part at once.
ALONE = {
    ("angle", "completely bent"): ("is fully bent", "is folded up tightly", "is bent as far as it goes"),
    ("angle", "bent more"): ("is sharply bent", "is bent past a right angle", "is strongly bent"),
    ("angle", "right angle"): (
        "is bent at a right angle",
        "is bent to about ninety degrees",
        "is bent ninety degrees",
    ),
    ("angle", "bent less"): ("is partly bent", "is moderately bent", "is bent at a wide angle"),
    ("angle", "slightly bent"): ("is slightly bent", "is bent a little", "is almost straight"),
    ("angle", "straight"): ("is straight", "is fully extended", "is stretched out straight"),
    ("distance", "close"): ("is close together", "is next to each other", "is held near each other"),
    ("distance", "shoulder width"): (
        "is about shoulder width apart",
        "is a shoulder's width apart",
        "is about as far apart as the shoulders",
    ),
    ("distance", "spread"): ("is spread apart", "is well apart", "is held away from each other"),
    ("distance", "wide"): ("is spread wide apart", "is far apart", "is a long way from each other"),
    **_both_sides(
        "rel_x",
        "at {side}",
        ("crosses over to the {side}", "is over to the {side} side", "is brought across to the {side}"),
    ),
    ("rel_y", "above"): ("is raised high", "is held up high", "is up high"),
    ("rel_y", "below"): ("is held low", "hangs low", "is down low"),
    ("rel_z", "behind"): ("is behind the body", "is out behind", "is back behind the body"),
    ("rel_z", "front"): ("is in front of the body", "is out in front", "is brought forward"),
    ("vertical_axis", "vertical"): ("is vertical", "is held vertically", "is straight up and down"),
    ("vertical_axis", "vertical", "torso"): ("is upright", "is vertical", "stays upright"),
    ("vertical_axis", "upside down"): ("is upside down", "is vertical but upside down", "hangs upside down"),
    ("vertical_axis", "horizontal"): ("is horizontal", "is parallel to the floor", "is parallel to the ground"),
    ("on_ground", "on ground"): ("is on the ground", "rests on the floor", "touches the ground"),
    ("body_pitch", "backward"): ("leans far back", "is bent backward", "is tipped far back"),
    ("body_pitch", "slightly backward"): ("leans slightly back", "leans back a little", "is tipped back a little"),
    ("body_pitch", "slightly forward"): ("leans slightly forward", "is bent forward a little", "leans a bit forward"),
    ("body_pitch", "forward"): ("leans far forward", "is bent forward", "is bent well forward"),
    **_both_sides(
        "body_twist",
        "{side}",
        ("has {d} shoulders turned to the {side}", "is twisted to the {side}", "has {d} upper body turned {side}"),
    ),
    **_both_sides(
        "body_twist",
        "slightly {side}",
        (
            "has {d} shoulders turned slightly to the {side}",
            "is twisted a little to the {side}",
            "has {d} upper body turned a bit {side}",
        ),
    ),
    **_both_sides(
        "body_lean", "{side}", ("leans far to the {side}", "leans sideways to the {side}", "bends to the {side}")
    ),
    **_both_sides(
        "body_lean",
        "slightly {side}",
        ("leans slightly to the {side}", "leans a little to the {side}", "is tilted a bit to the {side}"),
    ),
    ("head_pitch", "backward"): ("is tilted back", "is tilted upward", "is raised"),
    ("head_pitch", "forward"): ("is bent forward", "is lowered", "is tilted down"),
    **_both_sides("head_turn", "{side}", ("is turned to the {side}", "is turned {side}", "faces {side}")),
    **_both_sides(
        "head_turn",
        "slightly {side}",
        ("is turned slightly to the {side}", "is turned a little to the {side}", "faces slightly {side}"),
    ),
    **_both_sides(
        "head_tilt",
        "{side}",
        ("is tilted to the {side}", "is tilted toward the {side} shoulder", "is tipped sideways to the {side}"),
    ),
    # statements about the head with the person as subject
    ("head_pitch", "backward", "person"): ("looks up", "is looking up", "has {d} head tilted back"),
    ("head_pitch", "forward", "person"): ("looks down", "is looking down", "has {d} head lowered"),
    **_both_sides(
        "head_turn",
        "{side}",
        ("looks to the {side}", "is looking to the {side}", "has {d} head turned to the {side}"),
        "person",
    ),
    **_both_sides(
        "head_turn",
        "slightly {side}",
        (
            "looks slightly to the {side}",
            "is looking a little to the {side}",
            "has {d} head turned a little to the {side}",
        ),
        "person",
    ),
    **_both_sides(
        "head_tilt",
        "{side}",
        (
            "has {d} head tilted to the {side}",
            "tilts {d} head toward the {side} shoulder",
            "has {d} head tipped to the {side}",
        ),
        "person",
    ),
    ("kneeling",): ("is kneeling", "is kneeling on both knees", "is down on both knees"),
}

_LEVEL = ("is at the same height as {o}", "is level with {o}", "is about as high as {o}")

# Relation -> phrases with an object.
WITH_OBJECT = {
    ("distance", "close"): ("is close to {o}", "is near {o}", "is next to {o}"),
    ("distance", "shoulder width"): (
        "is about a shoulder's width from {o}",
        "is a short way from {o}",
        "is a shoulder's width away from {o}",
    ),
    ("distance", "spread"): ("is well away from {o}", "is some way from {o}", "is held away from {o}"),
    ("distance", "wide"): ("is far from {o}", "is a long way from {o}", "is far away from {o}"),
    **_both_sides(
        "rel_x",
        "at {side}",
        ("is to the {side} of {o}", "is on the {side} side of {o}", "is further {side} than {o}"),
    ),
    # two hands or feet that are crossed
    **_both_sides(
        "rel_x",
        "at {side}",
        ("is to the {side} of {o}", "crosses over to the {side} of {o}", "is crossed to the {side} of {o}"),
        "crossed",
    ),
    ("rel_y", "below"): ("is below {o}", "is lower than {o}", "is lower down than {o}"),
    ("rel_y", "above"): ("is above {o}", "is higher than {o}", "is raised above {o}"),
    ("rel_z", "behind"): ("is behind {o}", "is further back than {o}", "is back behind {o}"),
    ("rel_z", "front"): ("is in front of {o}", "is further forward than {o}", "is out in front of {o}"),
    ("kneeling_on",): ("is kneeling on {o}", "kneels on {o}", "is down on {o}"),
    ("xy_aligned",): _LEVEL,
    ("yz_aligned",): _LEVEL,
    ("xz_aligned",): ("is in a vertical line with {o}", "is lined up vertically with {o}", "is plumb with {o}"),
    ("xz_aligned", "above"): ("is directly above {o}", "is straight above {o}", "is vertically above {o}"),
    ("xz_aligned", "below"): ("is directly below {o}", "is straight below {o}", "is vertically below {o}"),
}


def phrases_of(relation, part, object):
    """The phrases for a relation of ``part``, None for several parts, to ``object``, (side, part) or None."""
    if object is None:
        return ALONE.get((*relation, part)) or ALONE[relation]
    if object[1] == part and relation[0] == "rel_x":
        return WITH_OBJECT[*relation, "crossed"]
    return WITH_OBJECT[relation]


def part_words(part, plural=False):
    """The part in plain English: ``upper arm``, ``feet``."""
    words = PART_WORDS.get(part, part)
    return PLURALS.get(part, f"{words}s") if plural else words
