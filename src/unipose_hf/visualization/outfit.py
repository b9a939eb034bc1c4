# SPDX-License-Identifier: Apache-2.0
"""Colours for the bare body mesh: skin, hair, a face and painted-on clothes, so that it reads as a person.

Everything is decided on the T-pose: which joint moves a vertex most, and where the vertex lies beside the joints. It
therefore works for any body with our 22 joints, whatever its mesh.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

SKINS = np.array(
    [
        [0.95, 0.80, 0.70],
        [0.91, 0.72, 0.59],
        [0.83, 0.62, 0.48],
        [0.68, 0.47, 0.34],
        [0.50, 0.33, 0.24],
        [0.34, 0.22, 0.17],
    ]
)
HAIRS = np.array(
    [
        [0.07, 0.06, 0.06],
        [0.16, 0.11, 0.08],
        [0.30, 0.19, 0.11],
        [0.62, 0.47, 0.28],
        [0.45, 0.20, 0.10],
        [0.62, 0.61, 0.60],
    ]
)
HAIR_STYLES = ("short", "long", "shaved")
PATTERNS = ("plain", "bands", "stripes", "checks", "blotches")
PELVIS, SPINE1, NECK, HEAD = 0, 3, 12, 15
TORSO, ARMS, HANDS, FEET = (0, 3, 6, 9, 13, 14), (16, 17, 18, 19), (20, 21), (7, 8, 10, 11)


@dataclass(frozen=True)
class Outfit:
    """What one person looks like. Colours are sRGB in [0, 1]; lengths are fractions.

    Attributes:
        sleeve: 0 = sleeveless, 1 = to the wrist. hem: trouser leg, 0 = to the hip, 1 = to the ankle.
        waist: where top and trousers meet, 0 = at the hip joints, 1 = at the lowest spine joint.
        neckline: metres from the neck joint that the top leaves bare.
        top_pattern, trousers_pattern: one of `PATTERNS`. hair_style: one of `HAIR_STYLES`.
        gloves: hands in the colour of the shoes.
    """

    skin: tuple[float, float, float] = (0.87, 0.67, 0.54)
    hair: tuple[float, float, float] = (0.20, 0.14, 0.10)
    top: tuple[float, float, float] = (0.29, 0.49, 0.62)
    top_second: tuple[float, float, float] = (0.9, 0.9, 0.88)
    trousers: tuple[float, float, float] = (0.25, 0.27, 0.33)
    trousers_second: tuple[float, float, float] = (0.33, 0.35, 0.42)
    shoes: tuple[float, float, float] = (0.85, 0.85, 0.84)
    sleeve: float = 0.34
    hem: float = 0.97
    waist: float = 0.6
    neckline: float = 0.085
    top_pattern: str = "plain"
    trousers_pattern: str = "plain"
    pattern_size: float = 0.08
    hair_style: str = "short"
    gloves: bool = False

    @classmethod
    def random(cls, rng: np.random.Generator) -> Outfit:
        """A person drawn at random: natural skin and hair, clothes of any colour, mostly muted."""
        between = rng.uniform(0, len(SKINS) - 1)
        low = int(between)
        skin = SKINS[low] + (between - low) * (SKINS[min(low + 1, len(SKINS) - 1)] - SKINS[low])
        hair = HAIRS[rng.choice(len(HAIRS), p=(0.27, 0.25, 0.2, 0.13, 0.07, 0.08))] * rng.uniform(0.8, 1.25)
        outfit = cls(
            skin=tuple(np.clip(skin + rng.normal(0, 0.015, 3), 0.05, 1)),
            hair=tuple(np.clip(hair, 0, 1)),
            top=_cloth(rng),
            top_second=_cloth(rng),
            trousers=_cloth(rng),
            trousers_second=_cloth(rng),
            shoes=_cloth(rng),
            sleeve=float(rng.choice((0.0, 0.15, rng.uniform(0.2, 0.5), rng.uniform(0.5, 0.9), 0.97))),
            hem=float(rng.choice((rng.uniform(0.15, 0.45), rng.uniform(0.45, 0.9), 0.97), p=(0.35, 0.15, 0.5))),
            waist=rng.uniform(0.3, 1.0),
            neckline=rng.uniform(0.06, 0.13),
            top_pattern=str(rng.choice(PATTERNS, p=(0.6, 0.12, 0.08, 0.08, 0.12))),
            trousers_pattern=str(rng.choice(PATTERNS, p=(0.8, 0.02, 0.05, 0.05, 0.08))),
            pattern_size=rng.uniform(0.05, 0.16),
            hair_style=str(rng.choice(HAIR_STYLES, p=(0.6, 0.3, 0.1))),
            gloves=bool(rng.random() < 0.04),
        )
        if rng.random() < 0.12:  # a suit: one cloth
            outfit = replace(outfit, trousers=outfit.top, trousers_second=outfit.top_second)
        if rng.random() < 0.08:  # barefoot
            outfit = replace(outfit, shoes=outfit.skin)
        return outfit


def _cloth(rng: np.random.Generator) -> tuple[float, float, float]:
    """A colour for cloth: half of them nearly grey, from black to white, the others of any hue."""
    value = rng.uniform(0.06, 0.95)
    saturation = rng.uniform(0, 0.12) if rng.random() < 0.45 else rng.uniform(0.15, 0.85)
    hue = 6 * rng.random() + np.array([5.0, 3.0, 1.0])  # the usual closed form of HSV to RGB
    ramp = hue % 6
    return tuple(value - value * saturation * np.clip(np.minimum(ramp, 4 - ramp), 0, 1))


class BodyPaint:
    """Paints one body; the regions are found once.

    Args:
        vertices: (V, 3) of the T-pose, metres. joints: (22, 3) of the T-pose. weights: (V, 22) skinning weights.
    """

    def __init__(self, vertices: np.ndarray, joints: np.ndarray, weights: np.ndarray):
        self.vertices = v = np.asarray(vertices, dtype=np.float32)
        j = np.asarray(joints, dtype=np.float32)
        owner = np.asarray(weights).argmax(1)
        self.torso, self.arms, self.hands, self.feet = (np.isin(owner, group) for group in (TORSO, ARMS, HANDS, FEET))
        self.legs = np.isin(owner, (1, 2, 4, 5))
        self.neck, self.head = owner == NECK, owner == HEAD
        side = np.abs(v[:, 0])
        shoulder, wrist = np.abs(j[16:18, 0]).mean(), np.abs(j[20:22, 0]).mean()
        self.along_arm = (side - shoulder) / (wrist - shoulder)
        hip, ankle = j[1:3, 1].mean(), j[7:9, 1].mean()
        self.along_leg = (v[:, 1] - hip) / (ankle - hip)
        self.above_hip = (v[:, 1] - hip) / (j[SPINE1, 1] - hip)
        self.from_neck = np.linalg.norm(v - j[NECK], axis=1)
        top = v[self.head]
        low, high = top.min(0), top.max(0)
        # place inside the head's box: x -1..1 to the body's left, y 0..1 from the chin up, z -1..1 to the face
        self.in_head = np.stack(
            (
                2 * (v[:, 0] - (low[0] + high[0]) / 2) / (high[0] - low[0]),
                (v[:, 1] - low[1]) / (high[1] - low[1]),
                2 * (v[:, 2] - (low[2] + high[2]) / 2) / (high[2] - low[2]),
            ),
            axis=1,
        )

    def colors(self, outfit: Outfit) -> np.ndarray:
        """sRGB (V, 3) in [0, 1]."""
        result = np.tile(np.asarray(outfit.skin, dtype=np.float32), (len(self.vertices), 1))
        shirt = (self.torso & (self.above_hip > outfit.waist)) | (self.arms & (self.along_arm < outfit.sleeve))
        shirt &= self.from_neck > outfit.neckline
        trousers = (
            (self.torso | self.legs) & (self.above_hip <= outfit.waist) & (self.along_leg < max(outfit.hem, 0.12))
        )
        result[shirt] = self._cloth(outfit.top, outfit.top_second, outfit.top_pattern, outfit.pattern_size)[shirt]
        legs = self._cloth(outfit.trousers, outfit.trousers_second, outfit.trousers_pattern, outfit.pattern_size)
        result[trousers] = legs[trousers]
        result[self.feet & (self.along_leg > 0.93)] = outfit.shoes
        if outfit.gloves:
            result[self.hands] = outfit.shoes
        self._face(result, outfit)
        return result

    def _cloth(self, first, second, pattern: str, size: float) -> np.ndarray:
        x, y, z = self.vertices.T * (2 * np.pi / size)
        wave = {
            "plain": np.full_like(x, -1),
            "bands": np.sin(y + 0.5 * np.sin(x / 5)),
            "stripes": np.sin(x + z),
            "checks": np.sin(x) * np.sin(y),
            "blotches": np.sin(0.7 * x + np.sin(1.1 * y)) + np.sin(0.8 * y + np.sin(0.9 * z + x)) - 0.3,
        }[pattern]
        part = (wave > 0)[:, None]
        return np.where(part, np.asarray(second, dtype=np.float32), np.asarray(first, dtype=np.float32))

    def _face(self, result: np.ndarray, outfit: Outfit) -> None:
        x, y, z = self.in_head.T
        skin = np.asarray(outfit.skin)
        if outfit.hair_style != "shaved":
            hair = self.head & (y - 0.62 > 0.35 * z)
            if outfit.hair_style == "long":
                hair |= (self.head | self.neck) & (z < 0.05)
            result[hair] = outfit.hair
        else:
            result[self.head & (y - 0.62 > 0.35 * z)] = 0.75 * skin + 0.25 * np.asarray(outfit.hair)
