"""The camera's faults: occluders, low resolution, blur, color casts, noise, JPEG."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from sanreid.train.pit.generate.clothing.fabrics import noise
from sanreid.train.pit.generate.people.body import Array

__all__ = ["degrade", "occlude"]


def occlude(crop: Array, uv: Array, rng: np.random.Generator) -> tuple[Array, Array, str]:
    """Put something before one person in eight.

    Returns:
        The crop, the UV map (-1 where hidden), and what was put there ("" for nothing).
    """
    if rng.random() > 0.125:
        return crop, uv, ""
    height, width = uv.shape[:2]
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float32)
    kind = str(rng.choice(["post", "side", "low"], p=[0.3, 0.3, 0.4]))
    if kind == "post":
        centre, half = rng.uniform(0.1, 0.9) * width, rng.uniform(0.03, 0.09) * width
        hidden = np.abs(columns - centre - rng.normal(0, 0.02) * rows) < half
    elif kind == "side":
        edge = rng.uniform(0.12, 0.35) * width
        hidden = columns < edge if rng.random() < 0.5 else columns > width - edge
    else:
        top = rng.uniform(0.62, 0.85) * height
        hidden = rows + rng.normal(0, 0.15) * (columns - width / 2) > top
    points = np.stack([columns / 60, rows / 60, np.zeros_like(rows)], -1).reshape(-1, 3)
    cloud = noise(points, 0.25, rng).reshape(height, width)
    color = rng.uniform(0.08, 0.75) + rng.normal(0, 0.05, 3)
    thing = np.clip(color * (0.75 + 0.5 * cloud[..., None]), 0, 1)
    if kind == "low" and rng.random() < 0.5:  # bars: a railing, a bicycle's frame
        hidden &= (np.abs((columns + rows * rng.normal(0, 0.4)) % 16 - 8) < 3) | (rows % 28 < 5)
    crop = np.where(hidden[..., None], thing, crop).astype(np.float32)
    uv = np.where(hidden[..., None], -1, uv).astype(np.float32)
    return crop, uv, kind


def degrade(crop: Array, rng: np.random.Generator) -> tuple[bytes, dict[str, Any]]:
    """Return the crop as a surveillance camera would have kept it.

    Args:
        crop: (H, W, 3) in [0, 1].
        rng: A generator.

    Returns:
        JPEG bytes of the same size, and what was done.
    """
    height, width = crop.shape[:2]
    contrast, gamma = rng.uniform(0.98, 1.45), np.exp(rng.normal(0, 0.10))
    cast = 1 + rng.normal(0, 0.025, 3)
    haze = rng.uniform(0.04, 0.11)
    toned = np.clip(crop, 0, 1) ** gamma * cast
    toned = np.clip((toned - 0.45) * contrast + 0.45, 0, 1) * (1 - haze) + haze * 0.75
    picture = Image.fromarray(_bytes(toned))

    rows = int(rng.choice([96, 128, 160, 200, 256], p=[0.08, 0.36, 0.24, 0.16, 0.16]))
    small = (round(width * rows / height), rows)
    way = Image.Resampling.BOX if rng.random() < 0.5 else Image.Resampling.BILINEAR
    picture = picture.resize(small, way)
    blur = float(abs(rng.normal(0, 0.42)))
    if blur > 0.25:
        picture = picture.filter(ImageFilter.GaussianBlur(blur))
    if rng.random() < 0.08:  # it moved
        moved = np.stack([np.roll(np.asarray(picture, np.float32), k, 1) for k in (-1, 0, 1)])
        picture = Image.fromarray(moved.mean(0).astype(np.uint8))
    grain = float(rng.gamma(1.5, 1.1))
    values = np.asarray(picture, np.float32)
    grey = rng.normal(0, grain, (*values.shape[:2], 1)) + rng.normal(0, grain * 0.4, values.shape)
    picture = Image.fromarray(np.clip(values + grey, 0, 255).astype(np.uint8))
    if rng.random() < 0.4:
        first = int(rng.integers(35, 80))
        picture = Image.open(io.BytesIO(_jpeg(picture, first))).convert("RGB")
    picture = picture.resize((width, height), Image.Resampling.BICUBIC)
    quality = int(rng.integers(80, 95))
    return _jpeg(picture, quality), {
        "rows": rows, "blur": round(blur, 3), "grain": round(grain, 3), "quality": quality,
    }  # fmt: skip


def _bytes(values: Array) -> NDArray[np.uint8]:
    rounded: NDArray[np.uint8] = (np.clip(values, 0, 1) * 255 + 0.5).astype(np.uint8)
    return rounded


def _jpeg(picture: Image.Image, quality: int) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()
