# SPDX-License-Identifier: Apache-2.0
"""Chooses one of several estimated people by words: where they are, what they wear, what they do.

Every hint gives each person a likelihood, and hints multiply. The text is read from the picture's side, so "on the
left" is the left of the picture, but "the left arm" is the person's own.
"""

import re
import warnings
from collections.abc import Callable, Sequence

import numpy as np
from PIL import Image

from .facts import LEAST, how_true

DECIDED = 1.2  # how many times likelier the best person has to be than the next one
SURE = 3.0  # the same, to choose without asking a model
TALL, SLOPE = 1.7, 0.8  # metres of a person; pixels per metre that a pixel further down adds: a camera 1.25 metres up
_SOFT, _HARD = 0.3, 0.03  # likelihood of the next person: "on the left", "the leftmost"
_ORDINALS = {"first": 0, "1st": 0, "second": 1, "2nd": 1, "third": 2, "3rd": 2, "fourth": 3, "4th": 3}
_WHO = r"(?:person|one|man|woman|lady|guy|girl|boy|figure|dancer|player|athlete|kid|child|people|somebody|someone)s?"
_LIMB = (
    r"(?:(?:arm|hand|fist|wrist|elbow|shoulder|leg|foot|knee|thigh|shin|ankle|hip|heel|toe|palm|forearm)s?|"
    r"side of (?:the |their |his |her )?(?:body|chest|head|face))"
)
# A clause with one of these before "in front", "behind" or "apart" is about the body, not a place in the picture.
_OF_BODY = re.compile(
    r"\b(?:(?:arm|hand|fist|wrist|elbow|shoulder|leg|foot|knee|thigh|shin|ankle|hip|heel|toe|palm|forearm|finger|head|"
    r"back|chin|chest)s?|feet|trunk|torso|body|(?:lean|bend|bent|turn|twist|reach|rais|stretch|point|step|kick|lung)\w*)\b"
)
_CLAUSE_ENDS = re.compile(r"[.,;:]|\b(?:and|with|while|who|whose|but)\b")
_POSTURE = r"(?:is|are|stand(?:s|ing)?|sit(?:s|ting)?|seated|kneel(?:s|ing)?|squat(?:s|ting)?|lying|lies)"
# Words that do not tell one person from another.
_EMPTY = re.compile(
    rf"\b(?:{_WHO}|the|an?|of|is|are|was|there|that|this|who|which|estimate|find|show|give|me|get|what|pose|body|smpl|3d|"
    r"in|at|on|picture|image|photo|photograph|please|their|they|them|you|can|tell|by|human|someone|somebody|and|with|"
    r"for|to|it|s|us|nobody|group|wear|wears|wearing|dressed|whose|has|have|colou?r|colou?red)\b"
)

_UPPER = r"(?:t-?shirts?|shirt|top|jacket|coat|sweater|jumper|pullover|hoodie|blouse|vest|sweatshirt|jersey|cardigan)"
_LOWER = r"(?:trousers|pants|jeans|shorts|skirt|leggings|tights|bottoms|slacks|joggers)"
_EITHER = r"(?:dress|suit|clothes|clothing|outfit|overalls?|uniform|costume|tracksuit|kit)"
_OTHER = (
    r"(?:hair|haired|shoes?|hat|cap|bag|ball|gloves?|socks|beard|eyes|eyed|background|wall|car|floor|mat|belt|scarf)"
)
_COLOURS: dict[str, tuple[float | None, float, float]] = {
    # name: hue in degrees, None for greys; the usual brightness (HSV value) and saturation
    "red": (0, 0.6, 0.7),
    "orange": (30, 0.8, 0.75),
    "brown": (24, 0.35, 0.55),
    "yellow": (58, 0.8, 0.7),
    "green": (120, 0.5, 0.6),
    "blue": (225, 0.55, 0.6),
    "purple": (280, 0.5, 0.6),
    "pink": (335, 0.8, 0.4),
    "black": (None, 0.1, 0.1),
    "grey": (None, 0.45, 0.05),
    "white": (None, 0.9, 0.05),
    "gray": (None, 0.45, 0.05),
    "silver": (None, 0.65, 0.05),
    "beige": (38, 0.75, 0.3),
    "cream": (48, 0.9, 0.2),
    "tan": (32, 0.65, 0.45),
    "khaki": (52, 0.6, 0.4),
    "olive": (60, 0.4, 0.5),
    "turquoise": (180, 0.6, 0.6),
    "teal": (180, 0.45, 0.6),
    "cyan": (180, 0.75, 0.6),
    "navy": (230, 0.25, 0.6),
    "violet": (280, 0.55, 0.6),
    "lavender": (265, 0.8, 0.3),
    "magenta": (315, 0.7, 0.7),
    "maroon": (350, 0.3, 0.6),
    "burgundy": (350, 0.3, 0.6),
}
_BASIC = ("red", "orange", "brown", "yellow", "green", "blue", "purple", "pink", "black", "grey", "white")
_HUE_WIDTHS = {"brown": 16.0, "green": 45.0, "blue": 28.0, "red": 18.0, "purple": 25.0, "violet": 25.0, "pink": 30.0}
# How much darker (or lighter) than the name alone; the lightness is the mean of the highest and lowest of R, G and B.
_SHADES = {"dark": -1, "deep": -1, "light": 1, "pale": 1, "bright": 1}
_COLOUR = rf"(?:(?P<shade>{'|'.join(_SHADES)})[ -])?(?P<colour>{'|'.join(_COLOURS)})"
_GARMENT = rf"(?:(?P<upper>{_UPPER})|(?P<lower>{_LOWER})|(?P<either>{_EITHER})|(?P<other>{_OTHER}))"
_CLOTHES = (  # "the shirt is red", then "red shirt" and "in red"
    re.compile(rf"\b{_GARMENT} (?:(?:that |which )?(?:is|are)|in|of) {_COLOUR}\b"),
    re.compile(rf"\b{_COLOUR}\b(?:[ -](?!{'|'.join(_COLOURS)}\b)(?:\w+[ -])?{_GARMENT}\b)?"),
)
_SHOULDERS, _HIPS, _KNEES = (5, 6), (11, 12), (13, 14)  # COCO keypoints


def choose_person(
    text: str, people: Sequence[dict], picture: Image.Image, read: Callable[[str, list], np.ndarray] | None = None
) -> int:
    """The person that a text means.

    Args:
        text: "the person on the left in the red shirt", "who kneels"; sides of the picture and of the body.
        people: results of `pipeline("image-to-pose")` (`pose`, `box`, `score`, `keypoints`), at least one.
        picture: the upright RGB picture.
        read: gives the log-likelihood `(n,)` of words as a description of each of `n` poses; asked about what people
            do if places, clothes and the measured facts of `how_true` do not decide.

    Returns:
        The index. If the words do not decide, a warning says so, and it is the person with the highest score; words
        like "the person" alone mean the largest.
    """
    if len(people) == 1:
        return 0
    likelihood = _likelihoods(text.lower(), people, picture, read)
    if likelihood is None:
        return int(np.argmax([_area(person["box"]) for person in people]))
    if _decides(likelihood, DECIDED):
        return int(np.argmax(likelihood))
    warnings.warn(
        f"The text {text!r} does not tell the {len(people)} people apart, so the one with the highest score is "
        "returned; name a place, the colour of clothes or a pose, or give box=(x0, y0, x1, y1).",
        stacklevel=3,
    )
    return int(np.argmax([person.get("score", 0.0) for person in people]))


def _likelihoods(text, people, picture, read):
    """Of each person `(n,)`; None if the text has no hint."""
    order = _orders(people)
    likelihood, rest = _related(text, order, lambda words: _likelihoods(words, people, picture, read))
    places, rest = _places(rest, order)
    clothes, rest = _clothes(rest, people, picture)
    likelihood = likelihood * places * clothes
    told = [sentence for sentence in re.split("[.;]", rest) if re.search("[a-z]{2}", _EMPTY.sub(" ", sentence))]
    if told:
        words, poses = ". ".join(told), [person["pose"] for person in people]
        held = how_true(words, poses)
        likelihood = likelihood * (1 if held is None else held)
        if read is not None and not _decides(likelihood, SURE):
            logs = read(words, poses)
            likelihood = likelihood * np.maximum(np.exp(logs - logs.max()), LEAST)
    elif rest == text:
        return None
    return likelihood


def _decides(likelihood, times):
    second, best = np.sort(likelihood)[-2:]
    return best >= times * second


# -- where ------------------------------------------------------------------------------------------------------------

_ORDINAL = rf"\b(?P<n>{'|'.join(_ORDINALS)})\b(?: {_WHO})?,? ?(?:count(?:ed|ing) )?(?:from|on) the (?P<s>left|right)\b"
_MOST = (
    r"\b(?P<s>left|right)[- ]?most\b",
    r"\b(?:far|furthest|farthest|extreme)(?: to the| on the)? (?P<s>left|right)\b",
    r"\bfurther to the (?P<s>left|right)\b",
)
_SIDE = (
    rf"\b(?:on|at|in) the (?:very )?(?P<s>left|right)\b(?! {_LIMB}\b)(?:[- ]hand)?(?: (?:side|half|end|edge))?",
    rf"\b(?P<s>left|right)(?:[- ]hand)? {_WHO}\b",
)
# "Leaning to the left" is no place, "standing to the left" is one, and the verb is left for the pose.
_TO_SIDE = rf"(?P<kept>(?:^|[.,;]|\b(?:{_WHO}|{_POSTURE}|just|over|off)\b)\s*)to the (?P<s>left|right)\b(?! {_LIMB}\b)"
_VIEWER = r"(?:the )?(?:camera|viewer|lens|photographer|front|us|me)"
_OTHERS = (
    rf"(?:(?:all )?(?:the )?(?:two |three )?(?:other {_WHO}|others?|rest|group|everyone|everybody)(?: else)?|them)"
)
_ALONE = r"(?=\s*(?:$|[.,;:]|and\b|with\b|in\b|who\b|wearing\b))"  # nothing follows that it is in front of
# Other places: what sorts people, the first is meant, and its patterns.
_PLACES = (
    ("middle", r"\bin the (?:middle|cent(?:re|er))\b(?! of an?\b)"),
    ("middle", rf"\b(?:middle|central|cent(?:re|er)) {_WHO}\b|\bbetween the (?:two |{_WHO}|others?)[a-z ]*"),
    ("near", rf"\b(?:(?:closest|nearest|closer|nearer)(?: {_WHO})?|close|near)(?: to)? {_VIEWER}\b"),
    ("near", rf"\b(?:closest|nearest|frontmost)(?: {_WHO})?\b|\b(?:closer|nearer)\b(?! together)"),
    ("near", rf"\bin front of {_OTHERS}\b|\b(?:in (?:the )?foreground|front (?:row|{_WHO}))\b"),
    ("near", rf"\b(?:at|in|to) (?:the )?(?:very )?front{_ALONE}|\b(?:at|to) the (?:very )?front of {_OTHERS}\b"),
    ("far", rf"\b(?:(?:farthest|furthest|farther|further)(?: {_WHO})?|far)(?: away)? from {_VIEWER}\b"),
    ("far", rf"\b(?:farthest|furthest|most distant)(?: {_WHO})?(?: (?:away|back|behind))?\b"),
    ("far", r"\b(?:further|farther|far) (?:away|back|off|behind)\b|\bin the (?:background|distance)\b"),
    ("far", rf"\b(?:at|in) the (?:very )?(?:back|rear){_ALONE}|\bin back\b|\bat the back of {_OTHERS}\b"),
    ("far", rf"\b(?:back|rear) (?:row|{_WHO})\b|\bbehind(?: {_OTHERS}\b|{_ALONE})|\bdistant {_WHO}\b"),
    ("large", rf"\b(?:largest|biggest|tallest)\b|\b(?:large|big|tall) {_WHO}\b"),
    ("small", rf"\b(?:smallest|tiniest)\b|\b(?:small|tiny|little|short) {_WHO}\b"),
    ("top", rf"\b(?:at|on|near) (?:the )?(?:very )?top\b|\b(?:topmost|uppermost|upper|highest|top) {_WHO}\b"),
    ("top", r"\babove the (?:others?|rest)\b"),
    ("bottom", rf"\bat the (?:very )?bottom\b|\b(?:bottom|lower|lowest) {_WHO}\b|\bbelow the (?:others?|rest)\b"),
)
# Places that are not of the body whatever is said before.
_OF_PEOPLE = re.compile(
    rf"\b(?:{_WHO}|camera|viewer|lens|photographer|us|me|others?|rest|group|them|every\w+|\w+ground|distance|row)\b"
)


# "Behind the man in black": where somebody is, seen from somebody else.
_RELATION = re.compile(
    rf"\b(?:(?P<depth>in front of|behind)|next to|beside|(?:(?:to|on) the )?(?P<s>left|right) of) (?!{_OTHERS}\b)"
    rf"(?P<who>(?:(?:the|an?|that) )?(?:[\w-]+ ){{0,2}}?{_WHO}\b[^.,;]*)"
)


def _orders(people):
    """What each place sorts people by: the one with the highest value comes first."""
    boxes = np.array([person["box"] for person in people], dtype=float)
    x, y = (boxes[:, 0] + boxes[:, 2]) / 2, (boxes[:, 1] + boxes[:, 3]) / 2
    height = np.maximum(boxes[:, 3] - boxes[:, 1], 1.0)
    near = _pixels_per_metre(people, boxes[:, 3], height)
    middle = -np.abs(_ranks(x) - (len(people) - 1) / 2) - 0.01 * np.abs(x - x.mean()) / max(np.ptp(x), 1e-9)
    order = {"left": -x, "right": x, "middle": middle, "near": near, "far": -near}
    return order | {"large": height, "small": -height, "top": -y, "bottom": y}


def _pixels_per_metre(people, low, height):
    """How large people look `(n,)`, from what was fitted to them and from how low in the picture they end.

    On one floor the two go together. A fit of a low score says nothing (a handstand, taken for standing), so it counts
    less than the line through the others.
    """
    scale = np.array(
        [one["camera"][0] if "camera" in one else tall / TALL for one, tall in zip(people, height, strict=True)]
    )
    trust = np.array([one.get("score", 1.0) for one in people]) ** 2 + 1e-3
    middle, usual = np.average(low, weights=trust), np.average(scale, weights=trust)
    off, doubt = low - middle, 0.1 * height.mean() ** 2
    slope = (doubt * SLOPE + trust @ (off * (scale - usual))) / (doubt + trust @ off**2)
    return (trust * scale + 0.2 * (usual + slope * off)) / (trust + 0.2)


def _related(text, order, likelihoods):
    """Likelihoods of a place beside, behind or in front of somebody who is described, and the text without it."""
    count = len(order["near"])
    if not (found := _RELATION.search(text)):
        return np.ones(count), text
    rest = f"{text[: found.start()]} , {text[found.end() :]}"
    other = likelihoods(found["who"])
    if other is None or not _decides(other, DECIDED):
        return np.ones(count), rest if found["depth"] is None else f"{rest} {found['depth']} the others"
    other, columns = int(np.argmax(other)), _ranks(order["right"])
    steps = np.maximum(np.abs(columns - columns[other]) - 1, 0)
    if found["depth"] is None:
        likelihood = _SOFT**steps
    else:
        near = order["near"] if found["depth"] == "behind" else order["far"]
        likelihood = np.where(near < near[other], 0.7**steps, _HARD)
    if found["s"]:
        beyond = columns < columns[other] if found["s"] == "left" else columns > columns[other]
        likelihood = np.where(beyond, likelihood, _HARD)
    likelihood[other] = _HARD
    return likelihood, rest


def _places(text, order):
    """Likelihoods of the places that a text names, and the text without them."""
    likelihood = np.ones(len(order["near"]))

    def take(pattern, by=None, softness=_SOFT, rank=0):
        """Removes a place from the text and counts it."""
        nonlocal text, likelihood
        start = 0
        while found := re.compile(pattern).search(text, start):
            start, told = found.start(), found.groupdict()
            if by is not None and not _OF_PEOPLE.search(found[0]) and _OF_BODY.search(_clause_before(text, start)):
                start = found.end()
                continue
            text = f"{text[:start]}{told.get('kept', '')} , {text[found.end() :]}"
            place = _ORDINALS[told["n"]] if "n" in told else rank
            likelihood = likelihood * softness ** np.abs(_ranks(-order[by or found["s"]]) - place)

    take(_ORDINAL, softness=_HARD)
    for pattern in _MOST:
        take(pattern, softness=_HARD)
    for pattern in (*_SIDE, _TO_SIDE):
        take(pattern)
    for by, pattern in _PLACES:
        take(pattern, by)
    return likelihood, text


def _clause_before(text, end):
    return _CLAUSE_ENDS.split(text[:end])[-1]


def _ranks(values):
    return np.argsort(np.argsort(values, kind="stable"), kind="stable")


def _area(box):
    return (box[2] - box[0]) * (box[3] - box[1])


# -- clothes ----------------------------------------------------------------------------------------------------------


def _clothes(text, people, picture):
    """Likelihoods of the colours of clothes that a text names, and the text without them."""
    likelihood, cloths = np.ones(len(people)), None
    for pattern in _CLOTHES:
        for found in pattern.finditer(text):
            if found["other"]:
                continue
            if cloths is None:
                pixels = np.asarray(picture.convert("RGB"))
                cloths = [_cloth(pixels, person.get("keypoints"), person["box"]) for person in people]
            likeness = np.array(
                [[_likeness(part, found["colour"], found["shade"]) for part in cloth] for cloth in cloths]
            )
            chosen = likeness[:, 0] if found["upper"] else likeness[:, 1] if found["lower"] else likeness.max(1)
            likelihood = likelihood * np.maximum(chosen, LEAST)
        text = pattern.sub(" , ", text)
    return likelihood, text


def _cloth(pixels, keypoints, box):
    """Colours `(n, 3)` in [0, 1] inside the upper body and inside the hips and upper thighs."""
    if keypoints is None:  # the usual places of a standing body
        x0, y0, x1, y1 = box
        corners = {"shoulder": 0.2, "hip": 0.5, "knee": 0.73}
        rows = {
            name: np.array([[x0 + w * (x1 - x0), y0 + v * (y1 - y0)] for w in (0.62, 0.38)])
            for name, v in corners.items()
        }
        shoulders, hips, knees = rows.values()
    else:
        shoulders, hips, knees = (keypoints[list(pair), :2] for pair in (_SHOULDERS, _HIPS, _KNEES))
    across, down = np.linspace(0.2, 0.8, 7), np.linspace(0.25, 0.7, 9)
    points = [
        _mixed(_mixed(shoulders[0], hips[0], v), _mixed(shoulders[1], hips[1], v), u) for v in down for u in across
    ]
    low = [_mixed(hips[0], hips[1], u) for u in across]
    low += [_mixed(hips[s], knees[s], v) for s in (0, 1) for v in np.linspace(0.0, 0.35, 8)]
    return [_sampled(pixels, np.array(part)) for part in (points, low)]


def _mixed(a, b, share):
    return a + share * (b - a)


def _sampled(pixels, points):
    columns, rows = np.round(points - 0.5).astype(int).T
    inside = (columns >= 0) & (rows >= 0) & (columns < pixels.shape[1]) & (rows < pixels.shape[0])
    return pixels[rows[inside], columns[inside]] / 255


def _likeness(colours, name, shade):
    """How well sampled colours fit a name, in [0, 1]: the mean over the samples, since an arm may hide some.

    Names compete: a bluish grey is a poor "grey", because it would rather be called blue.
    """
    if not len(colours):
        return 0.5
    fits = _fits(colours, name, shade)
    return float((fits / np.maximum(sum(_fits(colours, other) for other in _BASIC), fits + 0.1)).mean())


def _fits(colours, name, shade=None):
    """How well each of the colours `(n, 3)` fits a name by itself."""
    hue, bright, rich = _COLOURS[name]
    high, low = colours.max(1), colours.min(1)
    spread = np.maximum(high - low, 1e-6)
    saturation = spread / np.maximum(high, 1e-6)
    r, g, b = colours.T
    sector = np.where(high == r, (g - b) / spread % 6, np.where(high == g, (b - r) / spread + 2, (r - g) / spread + 4))
    colourful = 1 / (1 + np.exp(-(spread / np.sqrt(np.maximum(high, 0.05)) - 0.11) / 0.025))
    if shade is None:
        fits = np.exp(-0.5 * ((high - bright) / (0.22 if hue is None else 0.4)) ** 2)
    else:  # no limit in its direction
        usual = bright * (1 - rich / 2)
        fits = 1 / (1 + np.exp(-(_SHADES[shade] * ((high + low) / 2 - usual) - 0.08) / 0.04))
    if hue is None:
        return fits * (1 - colourful * (0.3 if name == "black" else 1.0))
    off = np.abs((60 * sector - hue + 180) % 360 - 180)
    fits *= colourful * np.exp(-0.5 * (off / _HUE_WIDTHS.get(name, 22.0)) ** 2)
    return fits * (np.exp(-0.5 * ((saturation - rich) / 0.5) ** 2) if shade is None else 1)
