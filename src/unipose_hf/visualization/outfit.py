# SPDX-License-Identifier: Apache-2.0
"""Colours for the bare body mesh: skin, hair, a face and painted-on clothes, so that it reads as a person.

Regions are determined in the T-pose, from the dominant joint of a vertex and its position relative to the joints. It
therefore works for any mesh with our 22 joints.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ..body import BodyModel

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
    """The appearance of a person. Colours are sRGB in [0, 1]; lengths are fractions.

    Attributes:
        sleeve: 0 = sleeveless, 1 = to the wrist. hem: trouser leg, 0 = to the hip, 1 = to the ankle.
        waist: where top and trousers meet, 0 = at the hip joints, 1 = at the lowest spine joint.
        neckline: metres from the neck joint that the top leaves bare.
        top_pattern, trousers_pattern: one of `PATTERNS`. hair_style: one of `HAIR_STYLES`.
        gloves: whether hands have the colour of the shoes.
        looseness: distance of clothes from the body in metres. hair_volume: the same for hair.
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
    looseness: float = 0.004
    hair_volume: float = 0.012

    @classmethod
    def random(cls, rng: np.random.Generator) -> Outfit:
        """A random person: natural skin and hair, clothes of any colour, mostly muted."""
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
            looseness=rng.triangular(0.001, 0.003, 0.02),
            hair_volume=rng.uniform(0.004, 0.022),
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
    """Paints one body; its regions are computed once.

    Args:
        vertices: (V, 3) of the T-pose, metres. joints: (22, 3) of the T-pose. weights: (V, 22) skinning weights.
        face: paint eyes, brows and lips where the bundled body has them (other bodies keep a plain face).
    """

    def __init__(self, vertices: np.ndarray, joints: np.ndarray, weights: np.ndarray, face: bool = False):
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
        low, high = v[self.head].min(0), v[self.head].max(0)
        # how far up the head's height, and how far from its middle to the face in half depths
        self.up_head = (v[:, 1] - low[1]) / (high[1] - low[1])
        self.to_face = 2 * (v[:, 2] - (low[2] + high[2]) / 2) / (high[2] - low[2])
        self.face = face
        self.from_head = v - j[HEAD]

    @classmethod
    def of(cls, body: BodyModel) -> BodyPaint:
        """Paint for a body model (`load_body(...)`)."""
        vertices, joints, weights = (
            x.detach().cpu().numpy() for x in (body.v_template, body.rest_joints, body.lbs_weights)
        )
        return cls(vertices, joints, weights, face=type(body) is BodyModel)

    def dress(self, outfit: Outfit) -> tuple[np.ndarray, np.ndarray]:
        """Colours sRGB (V, 3) in [0, 1], and how far (V,) in metres clothes and hair stand off along the normals."""
        colors = np.tile(np.asarray(outfit.skin, dtype=np.float32), (len(self.vertices), 1))
        thickness = np.zeros(len(self.vertices), dtype=np.float32)
        waist = self.above_hip > outfit.waist
        shirt = (self.torso & waist) | (self.arms & (self.along_arm < outfit.sleeve))
        shirt &= self.from_neck > outfit.neckline
        trousers = (self.torso | self.legs) & ~waist & (self.along_leg < max(outfit.hem, 0.12))
        shoes = self.feet & (self.along_leg > 0.93)
        if outfit.gloves:
            shoes |= self.hands
        for part, cloth in (
            (shirt, (outfit.top, outfit.top_second, outfit.top_pattern)),
            (trousers, (outfit.trousers, outfit.trousers_second, outfit.trousers_pattern)),
            (shoes, (outfit.shoes, outfit.shoes, "plain")),
        ):
            colors[part] = self._cloth(self.vertices[part], *cloth, outfit.pattern_size)
            thickness[part] = outfit.looseness
        hair = self.head & (self.up_head - 0.62 > 0.35 * self.to_face)
        if outfit.hair_style == "shaved":
            colors[hair] = 0.75 * np.asarray(outfit.skin) + 0.25 * np.asarray(outfit.hair)
        else:
            if outfit.hair_style == "long":
                hair |= (self.head | self.neck) & (self.to_face < -0.2)
            colors[hair] = outfit.hair
            thickness[hair] = outfit.hair_volume
        if self.face:
            self._face(colors, outfit)
        return colors, thickness

    @staticmethod
    def _cloth(vertices: np.ndarray, first, second, pattern: str, size: float) -> np.ndarray:
        x, y, z = vertices.T * (2 * np.pi / size)
        if pattern == "plain":
            wave = np.zeros_like(x)
        elif pattern == "bands":
            wave = np.sin(y + 0.5 * np.sin(x / 5))
        elif pattern == "stripes":
            wave = np.sin(x + z)
        elif pattern == "checks":
            wave = np.sin(x) * np.sin(y)
        else:
            wave = np.sin(0.7 * x + np.sin(1.1 * y)) + np.sin(0.8 * y + np.sin(0.9 * z + x)) - 0.3
        return np.where((wave > 0)[:, None], np.asarray(second, np.float32), np.asarray(first, np.float32))

    def _face(self, colors: np.ndarray, outfit: Outfit) -> None:
        """Lips, brows and eyes at the places (metres from the head joint) where the bundled body has them."""
        x, y, z = self.from_head.T
        side = np.abs(x)
        front = self.head & (z > 0.07)
        skin = np.asarray(outfit.skin)
        lips = front & (((x / 0.024) ** 2 + ((y - 0.0165) / 0.009) ** 2) < 1)
        colors[lips] = np.clip(skin * (0.90, 0.72, 0.70), 0, 1)
        brows = front & (side > 0.010) & (side < 0.052) & (np.abs(y - 0.116 + 3 * (side - 0.03) ** 2) < 0.004)
        colors[brows] = 0.3 * skin + 0.7 * np.asarray(outfit.hair)
        from_eye = np.sqrt((side - 0.030) ** 2 + (y - 0.092) ** 2)
        eyes = (
            self.head & (z > 0.085) & (((side - 0.030) / 0.0165) ** 2 + ((y - 0.092) / 0.009) ** 2 < 1) & (z < 0.119)
        )
        dark = (0.2, 0.13, 0.09)
        colors[eyes] = (0.93, 0.92, 0.9) if self.head.sum() > 1000 else dark  # a coarse mesh has no room for whites
        colors[eyes & (from_eye < 0.0068)] = dark
