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
_SOFT, _HARD = 0.3, 0.03  # likelihood of the next person: "on the left", "the leftmost"
_ORDINALS = {"first": 0, "1st": 0, "second": 1, "2nd": 1, "third": 2, "3rd": 2, "fourth": 3, "4th": 3}
_WHO = r"(?:person|one|man|woman|guy|girl|boy|figure|dancer|player|athlete|kid|child|people)s?"
_LIMB = (
    r"(?:(?:arm|hand|fist|wrist|elbow|shoulder|leg|foot|knee|thigh|shin|ankle|hip|heel|toe|palm|forearm)s?|"
    r"side of (?:the |their |his |her )?(?:body|chest|head|face))"
)
_BODY = r"(?:body|chest|face|head|hips?|trunk|torso|thighs?|legs?|belly|stomach|waist|knees?|feet|foot)"
# "to the left" tells a place, but not after these words
_MOTION = (
    r"\b(?:lean|bend|bent|turn|twist|tilt|fac|look|reach|rais|stretch|point|spread|step|swing|walk|run|mov|arm|hand|"
    r"leg|out)"
)
# Words that do not tell one person from another.
_EMPTY = re.compile(
    rf"\b(?:{_WHO}|the|an?|of|is|are|was|there|that|this|who|which|estimate|find|show|give|me|get|what|pose|body|smpl|3d|"
    r"in|at|on|picture|image|photo|photograph|please|their|they|them|you|can|tell|by|human|someone|somebody|and|with|"
    r"for|to|it|s|us|nobody|group|wear|wears|wearing|dressed)\b"
)

_UPPER = r"(?:t-?shirts?|shirt|top|jacket|coat|sweater|jumper|pullover|hoodie|blouse|vest|sweatshirt|jersey|cardigan)"
_LOWER = r"(?:trousers|pants|jeans|shorts|skirt|leggings|tights|bottoms|slacks|joggers)"
_EITHER = r"(?:dress|suit|clothes|clothing|outfit|overalls?|uniform|costume|tracksuit|kit)"
_OTHER = (
    r"(?:hair|haired|shoes?|hat|cap|bag|ball|gloves?|socks|beard|eyes|eyed|background|wall|car|floor|mat|belt|scarf)"
)
# hue in degrees, None for greys; then the range of brightness (HSV value) and of saturation
_COLOURS: dict[str, tuple[float | None, float, float]] = {
    # name: hue, brightness, saturation
    "red": (0, 0.6, 0.7),
    "orange": (30, 0.8, 0.75),
    "brown": (25, 0.35, 0.55),
    "beige": (38, 0.75, 0.3),
    "yellow": (58, 0.8, 0.7),
    "green": (120, 0.5, 0.6),
    "turquoise": (180, 0.6, 0.6),
    "teal": (180, 0.45, 0.6),
    "cyan": (180, 0.75, 0.6),
    "blue": (225, 0.55, 0.6),
    "navy": (230, 0.25, 0.6),
    "purple": (280, 0.5, 0.6),
    "violet": (280, 0.55, 0.6),
    "pink": (330, 0.8, 0.45),
    "black": (None, 0.1, 0.1),
    "grey": (None, 0.45, 0.05),
    "gray": (None, 0.45, 0.05),
    "white": (None, 0.9, 0.05),
}
_HUE_WIDTHS = {"green": 45.0, "blue": 28.0, "red": 18.0, "purple": 25.0, "violet": 25.0, "pink": 28.0}
_SHADES = {"dark": -0.25, "deep": -0.15, "light": 0.25, "pale": 0.25, "bright": 0.15}
_COLOUR = rf"(?:(?P<shade>{'|'.join(_SHADES)})[ -])?(?P<colour>{'|'.join(_COLOURS)})"
_CLOTHES = re.compile(
    rf"\b{_COLOUR}\b(?:[ -](?!{'|'.join(_COLOURS)}\b)(?:\w+[ -])?"
    rf"(?:(?P<upper>{_UPPER})|(?P<lower>{_LOWER})|(?P<either>{_EITHER})|(?P<other>{_OTHER}))\b)?"
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
    likelihood, rest = _places(text.lower(), people)
    clothes, rest = _clothes(rest, people, picture)
    likelihood = likelihood * clothes
    words = _EMPTY.sub(" ", rest)
    if re.search(r"[a-z]{2}", words):
        poses = [person["pose"] for person in people]
        held = how_true(rest, poses)
        likelihood = likelihood * (1 if held is None else held)
        if read is not None and not _decides(likelihood, SURE):
            logs = read(rest, poses)
            likelihood = likelihood * np.maximum(np.exp(logs - logs.max()), LEAST)
    elif rest == text.lower():
        return int(np.argmax([_area(person["box"]) for person in people]))
    if _decides(likelihood, DECIDED):
        return int(np.argmax(likelihood))
    warnings.warn(
        f"The text {text!r} does not tell the {len(people)} people apart, so the one with the highest score is "
        "returned; name a place, the colour of clothes or a pose, or give box=(x0, y0, x1, y1).",
        stacklevel=3,
    )
    return int(np.argmax([person.get("score", 0.0) for person in people]))


def _decides(likelihood, times):
    second, best = np.sort(likelihood)[-2:]
    return best >= times * second


# -- where ------------------------------------------------------------------------------------------------------------

_ORDINAL = rf"\b(?P<n>{'|'.join(_ORDINALS)})\b(?: {_WHO})?,? ?(?:count(?:ed|ing) )?(?:from|on) the (?P<s>left|right)\b"
_NEXT_TO = rf"\bnext to the (?:{_WHO} )?(?:on the )?(?:far )?(?P<s>left|right)(?:most)?(?: {_WHO})?\b"
_MOST = (
    r"\b(?P<s>left|right)[- ]?most\b",
    r"\b(?:far|furthest|farthest|extreme)(?: to the| on the)? (?P<s>left|right)\b",
    r"\bfurther to the (?P<s>left|right)\b",
)
_SIDE = (
    rf"\b(?:on|at|in) the (?:very )?(?P<s>left|right)\b(?! {_LIMB}\b)(?:[- ]hand)?(?: (?:side|half|end|edge))?",
    rf"\b(?P<s>left|right)(?:[- ]hand)? {_WHO}\b",
)
_TO_SIDE = rf"\bto the (?P<s>left|right)\b(?! {_LIMB}\b)"
# Other places: what sorts people, the first is meant, and its patterns.
_PLACES = (
    ("middle", r"\bin the (?:middle|cent(?:re|er))\b(?! of an?\b)"),
    ("middle", rf"\b(?:middle|central|cent(?:re|er)) {_WHO}\b|\bbetween the (?:two |{_WHO}|others?)[a-z ]*"),
    (
        "near",
        rf"\b(?:closest|nearest|frontmost)(?: {_WHO})?(?: to the (?:camera|viewer|lens))?\b|\b(?:closer|nearer)\b",
    ),
    (
        "near",
        rf"\b(?:at|in|to) (?:the )?(?:very )?front\b(?! of (?:the |their |his |her |its )?{_BODY}\b)(?: of the \w+)?",
    ),
    ("near", rf"\bin (?:the )?foreground\b|\bfront {_WHO}\b"),
    ("far", rf"\b(?:farthest|furthest|most distant)(?: {_WHO})?(?: (?:away|back))?\b|\bfurther (?:away|back)\b"),
    ("far", r"\bin the (?:background|distance|back)\b|\bat the (?:very )?(?:back|rear)\b|\bin back\b"),
    ("far", rf"\b(?:back|rear) {_WHO}\b|\bbehind (?:the )?(?:others?|rest|everyone|everybody)\b"),
    ("large", rf"\b(?:largest|biggest|tallest)\b|\b(?:large|big|tall) {_WHO}\b"),
    ("small", rf"\b(?:smallest|tiniest)\b|\b(?:small|tiny|little|short) {_WHO}\b"),
    ("top", rf"\b(?:at|on|near) (?:the )?(?:very )?top\b|\b(?:topmost|uppermost|upper|highest|top) {_WHO}\b"),
    ("top", r"\babove the (?:others?|rest)\b"),
    ("bottom", rf"\bat the (?:very )?bottom\b|\b(?:bottom|lower|lowest) {_WHO}\b|\bbelow the (?:others?|rest)\b"),
)


def _places(text, people):
    """Likelihoods of the places that a text names, and the text without them."""
    boxes = np.array([person["box"] for person in people], dtype=float)
    x, y = (boxes[:, 0] + boxes[:, 2]) / 2, (boxes[:, 1] + boxes[:, 3]) / 2
    height = np.maximum(boxes[:, 3] - boxes[:, 1], 1.0)
    scale = np.array(
        [person["camera"][0] if "camera" in person else tall for person, tall in zip(people, height, strict=True)]
    )
    # people who are nearer look larger, and stand lower in the picture
    near = np.log(scale) + 2 * boxes[:, 3] / height.mean()
    order = {"near": near, "far": -near, "large": height, "small": -height, "top": -y, "bottom": y}
    order |= {"left": -x, "right": x}
    order["middle"] = -np.abs(_ranks(x) - (len(people) - 1) / 2) - 0.01 * np.abs(x - x.mean()) / max(np.ptp(x), 1e-9)
    likelihood = np.ones(len(people))

    def take(pattern, by=None, softness=_SOFT, rank=0):
        """Removes a place from the text and counts it."""
        nonlocal text, likelihood
        while found := re.search(pattern, text):
            text = f"{text[: found.start()]} , {text[found.end() :]}"
            place = _ORDINALS[found["n"]] if "n" in found.groupdict() else rank
            likelihood = likelihood * softness ** np.abs(_ranks(-order[by or found["s"]]) - place)

    take(_ORDINAL, softness=_HARD)
    take(_NEXT_TO, softness=_HARD, rank=1)
    for pattern in _MOST:
        take(pattern, softness=_HARD)
    for pattern in (*_SIDE, *([] if re.search(_MOTION, text) else [_TO_SIDE])):
        take(pattern)
    for by, pattern in _PLACES:
        take(pattern, by)
    return likelihood, text


def _ranks(values):
    return np.argsort(np.argsort(values, kind="stable"), kind="stable")


def _area(box):
    return (box[2] - box[0]) * (box[3] - box[1])


# -- clothes ----------------------------------------------------------------------------------------------------------


def _clothes(text, people, picture):
    """Likelihoods of the colours of clothes that a text names, and the text without them."""
    likelihood, rest, cloths = np.ones(len(people)), text, None
    for found in _CLOTHES.finditer(text):
        rest = rest.replace(found[0], " , ")
        if found["other"]:
            continue
        if cloths is None:
            pixels = np.asarray(picture.convert("RGB"))
            cloths = [_cloth(pixels, person.get("keypoints"), person["box"]) for person in people]
        likeness = np.array([[_likeness(part, found["colour"], found["shade"]) for part in cloth] for cloth in cloths])
        chosen = likeness[:, 0] if found["upper"] else likeness[:, 1] if found["lower"] else likeness.max(1)
        likelihood = likelihood * np.maximum(chosen, LEAST)
    return likelihood, rest


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
    """How well sampled colours fit a name, in [0, 1]: the mean over the samples, since an arm may hide some."""
    if not len(colours):
        return 0.5
    hue, bright, rich = _COLOURS[name]
    high, low = colours.max(1), colours.min(1)
    spread = np.maximum(high - low, 1e-6)
    saturation = spread / np.maximum(high, 1e-6)
    r, g, b = colours.T
    sector = np.where(high == r, (g - b) / spread % 6, np.where(high == g, (b - r) / spread + 2, (r - g) / spread + 4))
    colourful = 1 / (1 + np.exp(-(spread - 0.13) / 0.03))
    value = bright + _SHADES.get(shade, 0)
    width = 0.4 if shade is None and hue is not None else 0.22
    fits = np.exp(-0.5 * ((high - value) / width) ** 2)
    if hue is None:
        fits *= 1 - colourful * (0.3 if name == "black" else 1.0)
    else:
        off = np.abs((60 * sector - hue + 180) % 360 - 180)
        fits *= colourful * np.exp(-0.5 * (off / _HUE_WIDTHS.get(name, 22.0)) ** 2)
        if shade is None:
            fits *= np.exp(-0.5 * ((saturation - rich) / 0.5) ** 2)
    return float(fits.mean())
