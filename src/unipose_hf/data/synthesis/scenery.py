# SPDX-License-Identifier: Apache-2.0
"""Procedural surroundings for rendered people: backgrounds, things in front of them, and a camera's faults.

Everything is drawn with PIL and numpy from a seeded generator; nothing is downloaded and nothing is a photograph.
"""

from __future__ import annotations

import io

import numpy as np
from PIL import Image, ImageDraw, ImageFilter


def random_background(size: int, rng: np.random.Generator) -> np.ndarray:
    """An image (size, size, 3) uint8: a room, a landscape, plain paper, or an abstract pattern."""
    kind = rng.choice(4, p=(0.4, 0.25, 0.15, 0.2))
    if kind == 0:
        picture = _room(size, rng)
    elif kind == 1:
        picture = _landscape(size, rng)
    elif kind == 2:
        picture = Image.fromarray(_texture(size, rng, (_tone(rng), _tone(rng)), roughness=0.05))
    else:
        picture = Image.fromarray(_texture(size, rng, (_tone(rng), _tone(rng)), roughness=0.3))
        _scatter(picture, rng, int(rng.integers(3, 14)))
    blur = rng.choice((0.0, rng.uniform(0.5, 2), rng.uniform(2, 6)), p=(0.4, 0.35, 0.25)) * size / 256
    if blur > 0:
        picture = picture.filter(ImageFilter.BoxBlur(float(blur)))
    return np.asarray(picture)


def _tone(rng: np.random.Generator) -> np.ndarray:
    """A muted RGB colour (3,), 0..255."""
    grey = rng.uniform(25, 240)
    return np.clip(grey + rng.normal(0, 1, 3) * rng.choice((5, 25)), 0, 255)


def _noise(size: int, rng: np.random.Generator, cells: int) -> np.ndarray:
    """Smooth noise (size, size) in -0.5..0.5 with `cells` bumps across."""
    small = Image.fromarray(rng.random((cells, cells), dtype=np.float32) - 0.5)
    return np.asarray(
        small.resize((size, size), Image.Resampling.BILINEAR if cells > 16 else Image.Resampling.BICUBIC)
    )


def _texture(size: int, rng: np.random.Generator, tones, roughness: float) -> np.ndarray:
    """A ramp between two tones under two scales of noise, uint8 (size, size, 3)."""
    angle = rng.uniform(0, 2 * np.pi)
    line = np.linspace(-0.5, 0.5, size, dtype=np.float32)
    ramp = _noise(size, rng, int(rng.integers(3, 9))) * np.float32(510 * roughness)
    ramp += _noise(size, rng, int(rng.integers(12, 80))) * np.float32(255 * roughness)
    ramp += np.float32(180 * np.cos(angle)) * line
    ramp += np.float32(128) + np.float32(180 * np.sin(angle)) * line[:, None]
    first, second = (np.asarray(tone, dtype=np.float32) for tone in tones)
    table = (first + np.linspace(0, 1, 256)[:, None] * (second - first)).astype(np.uint8)  # (256, 3)
    return table[np.clip(ramp, 0, 255).astype(np.uint8)]


def _color(tone) -> tuple[int, ...]:
    return tuple(int(value) for value in tone)


def _scatter(picture: Image.Image, rng: np.random.Generator, count: int) -> None:
    """Draw rectangles, discs, lines and chequered patches with random positions, sizes and tones."""
    draw = ImageDraw.Draw(picture)
    size = picture.width
    for kind in rng.choice(4, size=count, p=(0.45, 0.2, 0.25, 0.1)):
        x, y = rng.uniform(-0.2, 1, 2) * size
        w, h = rng.uniform(0.05, 0.5, 2) * size
        tone = _color(_tone(rng))
        if kind == 0:
            draw.rectangle((x, y, x + w, y + h), fill=tone)
        elif kind == 1:
            draw.ellipse((x, y, x + w, y + h), fill=tone)
        elif kind == 2:
            draw.line(
                (x, y, x + rng.normal() * size, y + rng.normal() * size), fill=tone, width=int(rng.integers(1, 8))
            )
        else:
            step = max(3, int(rng.uniform(0.02, 0.06) * size))
            for row in range(4):
                for column in range(row % 2, 6, 2):
                    left, top = x + column * step, y + row * step
                    draw.rectangle((left, top, left + step, top + step), fill=tone)


def _room(size: int, rng: np.random.Generator) -> Image.Image:
    wall = _tone(rng)
    picture = Image.fromarray(
        _texture(size, rng, (wall, np.clip(wall + rng.normal(0, 25, 3), 0, 255)), roughness=0.08)
    )
    draw = ImageDraw.Draw(picture)
    horizon = rng.uniform(0.45, 0.9) * size
    if rng.random() < 0.35:  # a corner of the room
        corner = rng.uniform(0.1, 0.9) * size
        draw.rectangle((corner, 0, size, size), fill=_color(wall * rng.uniform(0.75, 0.95)))
    for _ in range(int(rng.integers(0, 4))):  # pictures, windows, doors
        x, y = rng.uniform(0, 1) * size, rng.uniform(0, 0.8) * horizon
        w, h = rng.uniform(0.08, 0.35, 2) * size
        bottom = horizon if rng.random() < 0.3 else min(y + h, horizon)
        draw.rectangle((x, y, x + w, bottom), fill=_color(_tone(rng)), outline=_color(_tone(rng)), width=2)
    slope = rng.normal(0, 0.05) * size
    floor = Image.fromarray(_texture(size, rng, (_tone(rng), _tone(rng)), roughness=0.12))
    mask = Image.new("L", (size, size), 0)
    ImageDraw.Draw(mask).polygon((0, horizon - slope, size, horizon + slope, size, size, 0, size), fill=255)
    picture.paste(floor, mask=mask)
    for _ in range(int(rng.integers(0, 3))):  # furniture on the floor line
        x, w, h = rng.uniform(-0.1, 1) * size, rng.uniform(0.1, 0.4) * size, rng.uniform(0.05, 0.35) * size
        draw.rectangle((x, horizon - h, x + w, horizon + 0.3 * h), fill=_color(_tone(rng) * 0.8))
    return picture


def _landscape(size: int, rng: np.random.Generator) -> Image.Image:
    sky = rng.uniform(150, 235) * np.array([rng.uniform(0.7, 1.0), rng.uniform(0.9, 1.0), 1.05])
    picture = _texture(size, rng, (sky, np.clip(sky + 30, 0, 250)), roughness=0.3)
    ground = rng.uniform(70, 165) * np.array([rng.uniform(0.6, 1.1), rng.uniform(0.85, 1.05), rng.uniform(0.4, 0.8)])
    field = _texture(size, rng, (ground * 0.7, np.clip(ground * 1.15, 0, 255)), roughness=0.8)
    horizon = rng.uniform(0.3, 0.8) * size
    bushes = _texture(size, rng, (ground * 0.35, ground * 0.9), roughness=1.0)
    rows = np.arange(size, dtype=np.float32)[:, None]
    skyline = horizon - rng.uniform(0, 0.35) * size * (0.5 + _noise(size, rng, int(rng.integers(4, 14)))[:1])
    picture = np.where((rows > skyline)[..., None], bushes, picture)
    return Image.fromarray(np.where((rows > horizon)[..., None], field, picture))


def random_occluder(size: int, box, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """An object in front of the person: its image (size, size, 3) uint8 and its mask (size, size) bool.

    `box` (left, top, right, bottom) is the person; the object covers about 5 to 25 % of it.
    """
    left, top, right, bottom = box
    area = rng.uniform(0.05, 0.25) * (right - left) * (bottom - top)
    aspect = np.exp(rng.normal(0, 0.6))
    w, h = np.sqrt(area * aspect), np.sqrt(area / aspect)
    x, y = rng.uniform(left, right) - w / 2, rng.uniform(top, bottom) - h / 2
    mask = Image.new("L", (size, size), 0)
    draw = ImageDraw.Draw(mask)
    if rng.random() < 0.6:
        turn = rng.normal(0, 0.2)
        corners = np.array([[-w, -h], [w, -h], [w, h], [-w, h]]) / 2
        rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
        draw.polygon([tuple(p) for p in corners @ rotation.T + (x + w / 2, y + h / 2)], fill=255)
    else:
        draw.ellipse((x, y, x + w, y + h), fill=255)
    return _texture(size, rng, (_tone(rng), _tone(rng)), roughness=0.2), np.asarray(mask) > 0


def hide_face(picture: np.ndarray, box, rng: np.random.Generator) -> np.ndarray:
    """Pixelates or blurs the face, as in anonymised photographs; uint8 in and out.

    `box` (left, top, right, bottom) is the head in pixels; the hidden area is up to half as large again.
    """
    left, top, right, bottom = box
    grown = (0.5 + rng.uniform(0, 0.25)) * max(right - left, bottom - top)
    x, y = (left + right) / 2, (top + bottom) / 2
    box = tuple(int(np.clip(edge, 0, picture.shape[0])) for edge in (x - grown, y - grown, x + grown, y + grown))
    whole = Image.fromarray(picture)
    part = whole.crop(box)
    if 0 in part.size:
        return picture
    if rng.random() < 0.7:
        squares = [min(int(rng.integers(2, 8)), side) for side in part.size]
        part = part.resize(squares, Image.Resampling.BOX).resize(part.size, Image.Resampling.NEAREST)
    else:
        part = part.filter(ImageFilter.BoxBlur(float(grown * rng.uniform(0.2, 0.5))))
    whole.paste(part, box[:2])
    return np.asarray(whole)


def camera_faults(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Exposure, contrast, white balance, blur, sensor noise and JPEG at random strengths; uint8 in and out."""
    gain = rng.uniform(0.75, 1.25) * (1 + rng.normal(0, 0.04, 3))
    contrast = rng.uniform(0.75, 1.2)
    curve = np.clip((np.arange(256)[:, None] * gain - 128) * contrast + 128, 0, 255).astype(np.uint8)  # (256, 3)
    picture = np.stack([curve[picture[..., channel], channel] for channel in range(3)], axis=-1)
    if rng.random() < 0.3:
        radius = rng.uniform(0.3, 1.2) * picture.shape[0] / 256
        picture = np.asarray(Image.fromarray(picture).filter(ImageFilter.BoxBlur(float(radius))))
    if rng.random() < 0.4:
        strength = int(rng.integers(2, 12))
        noise = rng.integers(-strength, strength + 1, picture.shape, dtype=np.int16)
        picture = np.clip(picture + noise, 0, 255).astype(np.uint8)
    if rng.random() < 0.5:
        buffer = io.BytesIO()
        Image.fromarray(picture).save(buffer, "JPEG", quality=int(rng.integers(35, 95)))
        picture = np.asarray(Image.open(buffer))
    return picture


def photo_faults(picture: np.ndarray, rng: np.random.Generator, span: float) -> np.ndarray:
    """What spoils photographs: few pixels, shake, darkness with noise, glare, grey, vignettes; uint8 in and out.

    One to three faults at strengths that leave the person, `span` pixels long, recognisable, then those of
    `camera_faults`.
    """
    size = picture.shape[0]
    kinds = ("few pixels", "shake", "dark", "glare", "grey", "vignette")
    chosen = rng.choice(kinds, int(rng.integers(1, 4)), replace=False, p=(0.3, 0.2, 0.2, 0.1, 0.08, 0.12))
    values = picture.astype(np.float32) / 255
    if "dark" in chosen:
        values = (values ** rng.uniform(1.0, 1.4)) * rng.uniform(0.3, 0.6)
        values += rng.normal(0, rng.uniform(0.01, 0.04), values.shape).astype(np.float32)
    if "glare" in chosen:
        values = 1 - (1 - values) * rng.uniform(0.3, 0.7)
    if "grey" in chosen:
        values = np.repeat(values.mean(-1, keepdims=True), 3, axis=-1) * rng.uniform(0.9, 1.05, 3)
    if "vignette" in chosen:
        line = np.linspace(-1, 1, size, dtype=np.float32)
        values = values * (1 - rng.uniform(0.15, 0.4) * (line**2 + line[:, None] ** 2))[..., None]
    image = Image.fromarray((np.clip(values, 0, 1) * 255).astype(np.uint8))
    if "shake" in chosen:
        image = _shaken(image, rng.uniform(0.02, 0.08) * span, rng)
    if "few pixels" in chosen:
        side = int(rng.uniform(44, 140) * size / span)  # the person keeps 44 pixels or more
        if side < size:
            smaller = image.resize((side, side), Image.Resampling.BOX)
            image = smaller.resize(image.size, rng.choice((Image.Resampling.BILINEAR, Image.Resampling.BICUBIC)))
    return camera_faults(np.asarray(image), rng)


def _shaken(image: Image.Image, way: float, rng: np.random.Generator) -> Image.Image:
    """The mean of an image moved along a line of `way` pixels."""
    angle = rng.uniform(0, np.pi)
    steps = np.linspace(-0.5, 0.5, 9)
    shifted = [
        image.transform(
            image.size,
            Image.Transform.AFFINE,
            (1, 0, way * step * np.cos(angle), 0, 1, way * step * np.sin(angle)),
            Image.Resampling.BILINEAR,
        )
        for step in steps
    ]
    return Image.fromarray(np.mean([np.asarray(one, np.float32) for one in shifted], axis=0).astype(np.uint8))
