# SPDX-License-Identifier: Apache-2.0
"""The words for posecodes and paircodes: parts of the body, predicates that describe, verbs that instruct.

In a predicate the first word is the verb in the third person singular, ``{o}`` the object and ``{d}`` the determiner
(the / their / his / her). In an instruction ``{s}`` is the subject and ``{d}`` is "the" or "your".
"""

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
    "points": "point",
    "forms": "form",
    "looks": "look",
    "faces": "face",
    "crosses": "cross",
    "stays": "stay",
    "reaches": "reach",
    "tilts": "tilt",
}
# two parts of one limb that do the same are named by the limb
LIMB_OF = {
    ("upperarm", "forearm"): "arm",
    ("elbow", "hand"): "arm",
    ("thigh", "shin"): "leg",
    ("knee", "foot"): "leg",
}
# a bent knee may be called a bent leg
ANGLE_SUBJECTS = {"knee": ("knee", "leg"), "elbow": ("elbow", "arm")}

# determiner -> words for the whole person (the flag: takes a plural verb), and how often it is drawn
PERSONS = {
    "the": (("the person", False), ("the person", False), ("the figure", False)),
    "their": (("they", True), ("the person", False)),
    "his": (("he", False), ("the man", False)),
    "her": (("she", False), ("the woman", False)),
}
DETERMINERS = ("the",) * 6 + ("their",) * 2 + ("his", "her")

_LEVEL_WITH = ("is at the same height as {o}", "is level with {o}", "is about as high as {o}")


def _two_sided(template, sides=("left", "right")):
    return {side: tuple(phrase.replace("{side}", side) for phrase in template) for side in sides}


_TWIST = _two_sided(
    ("has {d} shoulders turned to the {side}", "is twisted to the {side}", "has {d} upper body turned {side}")
)
_TWIST_SLIGHTLY = _two_sided(
    (
        "has {d} shoulders turned slightly to the {side}",
        "is twisted a little to the {side}",
        "has {d} upper body turned a bit {side}",
    )
)
_LEAN = _two_sided(("leans far to the {side}", "leans sideways to the {side}", "bends to the {side}"))
_LEAN_SLIGHTLY = _two_sided(("leans slightly to the {side}", "leans a little to the {side}"))
_HEAD_TURN = _two_sided(("is turned to the {side}", "is turned {side}", "faces {side}"))
_HEAD_TURN_SLIGHTLY = _two_sided(("is turned slightly to the {side}", "is turned a little to the {side}"))
_LOOKING = _two_sided(("looks to the {side}", "is looking to the {side}", "has {d} head turned to the {side}"))
_LOOKING_SLIGHTLY = _two_sided(("looks slightly to the {side}", "has {d} head turned a little to the {side}"))
_HEAD_TILT = _two_sided(("is tilted to the {side}", "is tilted toward the {side} shoulder"))
_HEAD_TILTED = _two_sided(("has {d} head tilted to the {side}", "tilts {d} head toward the {side} shoulder"))
_ACROSS = _two_sided(("reaches across to the {side}", "is over to the {side} side", "is to the {side} of {o}"))
_CROSSED = _two_sided(("is to the {side} of {o}", "crosses over to the {side} of {o}"))

# (kind, category) -> predicates; a super-posecode has its kind alone
PREDICATES = {
    ("angle", "completely bent"): ("is fully bent", "is folded up tightly", "is bent as far as it goes"),
    ("angle", "bent more"): ("is sharply bent", "is bent past a right angle", "is strongly bent"),
    ("angle", "right angle"): ("is bent at a right angle", "is bent about ninety degrees", "forms a right angle"),
    ("angle", "bent less"): ("is partly bent", "is moderately bent", "is bent at a wide angle"),
    ("angle", "slightly bent"): ("is slightly bent", "is bent a little", "is almost straight"),
    ("angle", "straight"): ("is straight", "is fully extended", "is stretched out straight"),
    # both ends of the same part: the plural is the subject
    ("apart", "close"): ("are close together", "are right next to each other", "are held near each other"),
    ("apart", "shoulder width"): ("are about shoulder width apart", "are a shoulder's width apart"),
    ("apart", "spread"): ("are spread apart", "are well apart", "are held away from each other"),
    ("apart", "wide"): ("are spread wide apart", "are far apart", "are a long way from each other"),
    ("distance", "close"): ("is close to {o}", "is near {o}", "is right by {o}"),
    ("distance", "shoulder width"): ("is about a shoulder's width from {o}", "is a short way from {o}"),
    ("distance", "spread"): ("is well away from {o}", "is some way from {o}"),
    ("distance", "wide"): ("is far from {o}", "is a long way from {o}"),
    ("rel_x", "at right"): ("is to the right of {o}", "is on the right side of {o}"),
    ("rel_x", "at left"): ("is to the left of {o}", "is on the left side of {o}"),
    # a hand past its own shoulder, a foot past its own hip; and two hands or feet that have changed sides
    **{("rel_x", f"at {side}", "across"): phrases for side, phrases in _ACROSS.items()},
    **{("rel_x", f"at {side}", "crossed"): phrases for side, phrases in _CROSSED.items()},
    ("rel_y", "below"): ("is below {o}", "is lower than {o}"),
    ("rel_y", "above"): ("is above {o}", "is higher than {o}", "is raised above {o}"),
    ("rel_z", "behind"): ("is behind {o}", "is further back than {o}"),
    ("rel_z", "front"): ("is in front of {o}", "is further forward than {o}"),
    ("vertical_axis", "vertical"): ("is vertical", "is held vertically", "points straight up or down"),
    ("vertical_axis", "vertical", "torso"): ("is upright", "is vertical", "stays upright"),
    ("vertical_axis", "vertical", "inverted"): ("is upside down", "is vertical but upside down"),
    ("vertical_axis", "horizontal"): ("is horizontal", "is parallel to the floor", "is held horizontally"),
    ("on_ground", "on ground"): ("is on the ground", "rests on the floor", "touches the ground"),
    ("body_pitch", "backward"): ("leans far back", "is bent backward"),
    ("body_pitch", "slightly backward"): ("leans slightly back", "leans back a little"),
    ("body_pitch", "slightly forward"): ("leans slightly forward", "is bent forward a little"),
    ("body_pitch", "forward"): ("leans far forward", "is bent forward"),
    **{("body_twist", side): phrases for side, phrases in _TWIST.items()},
    **{("body_twist", f"slightly {side}"): phrases for side, phrases in _TWIST_SLIGHTLY.items()},
    **{("body_lean", side): phrases for side, phrases in _LEAN.items()},
    **{("body_lean", f"slightly {side}"): phrases for side, phrases in _LEAN_SLIGHTLY.items()},
    ("head_pitch", "backward"): ("is tilted back", "is tilted upward"),
    ("head_pitch", "forward"): ("is bent forward", "is lowered", "is tilted down"),
    ("head_pitch", "backward", "person"): ("looks up", "is looking up", "has {d} head tilted back"),
    ("head_pitch", "forward", "person"): ("looks down", "is looking down", "has {d} head lowered"),
    **{("head_turn", side): phrases for side, phrases in _HEAD_TURN.items()},
    **{("head_turn", f"slightly {side}"): phrases for side, phrases in _HEAD_TURN_SLIGHTLY.items()},
    **{("head_turn", side, "person"): phrases for side, phrases in _LOOKING.items()},
    **{("head_turn", f"slightly {side}", "person"): phrases for side, phrases in _LOOKING_SLIGHTLY.items()},
    **{("head_tilt", side): phrases for side, phrases in _HEAD_TILT.items()},
    **{("head_tilt", side, "person"): phrases for side, phrases in _HEAD_TILTED.items()},
    ("torso_horizontal",): ("is horizontal", "is parallel to the floor"),
    ("kneeling_on",): ("is kneeling on {o}", "kneels on {o}", "has {o} on the ground"),
    ("kneeling",): ("is kneeling", "is kneeling on both knees", "kneels on the ground"),
    ("shoulder_width",): ("are about shoulder width apart", "are a shoulder's width apart"),
    ("xy_aligned",): _LEVEL_WITH,
    ("yz_aligned",): _LEVEL_WITH,
    ("xz_aligned",): ("is directly above or below {o}", "is in a vertical line with {o}"),
}

OPPOSITES = {
    "at right": "at left",
    "at left": "at right",
    "above": "below",
    "below": "above",
    "front": "behind",
    "behind": "front",
}


def _pair_moves():
    moves = {
        ("pair_x", "more left"): ("move {s} to the left", "bring {s} over to the left", "shift {s} to the left"),
        ("pair_x", "more right"): ("move {s} to the right", "bring {s} over to the right", "shift {s} to the right"),
        ("pair_y", "higher"): ("raise {s}", "lift {s} up", "bring {s} up higher"),
        ("pair_y", "lower"): ("lower {s}", "bring {s} down", "move {s} down"),
        ("pair_z", "more front"): ("move {s} forward", "bring {s} forward", "bring {s} to the front"),
        ("pair_z", "more back"): ("move {s} back", "bring {s} back", "pull {s} backward"),
    }
    slightly = {
        ("pair_x", "more left"): ("move {s} slightly to the left", "shift {s} a little to the left"),
        ("pair_x", "more right"): ("move {s} slightly to the right", "shift {s} a little to the right"),
        ("pair_y", "higher"): ("raise {s} slightly", "lift {s} a little"),
        ("pair_y", "lower"): ("lower {s} slightly", "bring {s} down a little"),
        ("pair_z", "more front"): ("move {s} slightly forward", "bring {s} a little forward"),
        ("pair_z", "more back"): ("move {s} slightly back", "pull {s} back a little"),
    }
    words = dict(moves)
    for (kind, category), phrases in slightly.items():
        words[kind, f"slightly {category}"] = phrases
    return words


# (kind, category) -> imperatives; a super-paircode has its kind alone
INSTRUCTIONS = {
    ("pair_angle", "bent much less"): ("unbend {s} a lot", "open {s} up widely", "bend {s} much less"),
    ("pair_angle", "bent less"): ("unbend {s}", "bend {s} less", "open {s} up"),
    ("pair_angle", "bent slightly less"): ("unbend {s} slightly", "bend {s} a little less"),
    ("pair_angle", "bent slightly more"): ("bend {s} a little more", "bend {s} slightly"),
    ("pair_angle", "bent more"): ("bend {s}", "bend {s} more"),
    ("pair_angle", "bent much more"): ("bend {s} a lot more", "bend {s} sharply", "bend {s} far more"),
    **_pair_moves(),
    ("pair_pitch", "forward more"): ("lean much further forward", "bend forward"),
    ("pair_pitch", "slightly forward more"): ("lean a little more forward", "lean slightly forward"),
    ("pair_pitch", "slightly backward more"): ("lean a little further back", "bring {d} upper body slightly back"),
    ("pair_pitch", "backward more"): ("bring {d} upper body back", "lean much further back"),
    ("pair_twist", "left more"): ("twist to the left", "turn {d} shoulders to the left"),
    ("pair_twist", "right more"): ("twist to the right", "turn {d} shoulders to the right"),
    ("pair_twist", "slightly left more"): ("twist a little to the left", "turn {d} shoulders slightly left"),
    ("pair_twist", "slightly right more"): ("twist a little to the right", "turn {d} shoulders slightly right"),
    ("pair_lean", "left more"): ("lean more to the left", "bend over to the left"),
    ("pair_lean", "right more"): ("lean more to the right", "bend over to the right"),
    ("pair_lean", "slightly left more"): ("lean a little to the left", "lean slightly more to the left"),
    ("pair_lean", "slightly right more"): ("lean a little to the right", "lean slightly more to the right"),
    ("pair_head_pitch", "incline forward more"): ("lower {s}", "tilt {s} further down"),
    ("pair_head_pitch", "incline backward more"): ("raise {s}", "tilt {s} further up"),
    ("pair_head_turn", "turn left more"): ("turn {s} to the left", "look more to the left"),
    ("pair_head_turn", "turn right more"): ("turn {s} to the right", "look more to the right"),
    ("pair_head_turn", "turn slightly left"): ("turn {s} slightly to the left", "look a little more to the left"),
    ("pair_head_turn", "turn slightly right"): (
        "turn {s} slightly to the right",
        "look a little more to the right",
    ),
    ("straighten",): ("straighten {s}", "stretch {s} out", "extend {s}"),
    ("farther_each_other",): ("move {s} apart", "spread {s} apart"),
    ("slightly_farther_each_other",): ("move {s} slightly apart", "bring {s} a little further apart"),
    ("slightly_closer_each_other",): ("bring {s} a little closer together", "move {s} slightly closer together"),
    ("closer_each_other",): ("bring {s} together", "move {s} close together"),
    ("farther_torso",): ("move {s} away from {d} body", "bring {s} well away from {d} torso"),
    ("slightly_farther_torso",): ("move {s} slightly away from {d} body", "bring {s} a little away from {d} torso"),
    ("slightly_closer_torso",): ("bring {s} a little closer to {d} body", "move {s} slightly closer to {d} torso"),
    ("closer_torso",): ("bring {s} in close to {d} body", "pull {s} in to {d} torso"),
    ("turn", "around"): ("turn around", "turn to face the other way"),
    ("turn", "around to the right"): ("turn around to the right", "turn right and almost all the way round"),
    ("turn", "a quarter right"): ("make a quarter turn to the right", "turn about ninety degrees to the right"),
    ("turn", "slightly right"): ("turn slightly to the right", "turn a little to the right"),
    ("turn", "slightly left"): ("turn slightly to the left", "turn a little to the left"),
    ("turn", "a quarter left"): ("make a quarter turn to the left", "turn about ninety degrees to the left"),
    ("turn", "around to the left"): ("turn around to the left", "turn left and almost all the way round"),
}

KEEP_POSE = ("Keep the same pose.", "Stay as you are.", "Hold the pose without any change.")


def part_words(part, plural=False):
    """The part in plain English: ``upper arm``, ``feet``."""
    words = PART_WORDS.get(part, part)
    return PLURALS.get(part, f"{words}s") if plural else words
