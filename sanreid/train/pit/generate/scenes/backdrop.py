"""What stands behind: a procedural ground and wall, or a photograph from a folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from sanreid.errors import DatasetError
from sanreid.train.pit.generate.clothing.fabrics import noise
from sanreid.train.pit.generate.people.body import Array
from sanreid.train.pit.generate.scenes.scene import CROP_SIZE, Camera, Stage
from sanreid.utils.image_files import suffixes_for_messages, walk_images

__all__ = ["list_backgrounds", "photo_backdrop", "stage_backdrop"]


def stage_backdrop(stage: Stage, camera: Camera) -> Callable[[Array, Array], Array]:
    """Return ground to the wall's foot, then the wall; both as if seen by the camera."""
    away = camera.axes[2] * np.array([1, 1, 0], np.float32)
    away /= max(float(np.linalg.norm(away)), 1e-6)
    side = np.array([-away[1], away[0], 0], np.float32)

    def colors(origins: Array, rays: Array) -> Array:
        rng = np.random.default_rng(stage.seed)
        drop = np.minimum(rays[:, 2], -1e-5)
        floor = origins + rays * (-origins[:, 2] / drop)[:, None]
        past = stage.distance - origins @ away
        wall = origins + rays * (past / np.maximum(rays @ away, 1e-5))[:, None]
        is_wall = (rays[:, 2] >= -1e-4) | (floor @ away > stage.distance)
        position = np.where(
            is_wall[:, None],
            np.stack([wall @ side, wall[:, 2], np.full(len(rays), 7.0)], 1),
            np.stack([floor @ side, floor @ away, np.zeros(len(rays))], 1),
        ).astype(np.float32)
        position = np.clip(position, -200, 200)
        amount = np.empty(len(rays), np.float32)
        amount[is_wall] = _wall(position[is_wall], stage, rng)
        amount[~is_wall] = _ground(position[~is_wall], stage, rng)
        pair = np.where(is_wall[:, None, None], stage.wall, stage.ground)
        mixed = pair[:, 0] * (1 - amount[:, None]) + pair[:, 1] * amount[:, None]
        coarse = noise(position, 1.3, rng) - 0.5
        seen: Array = (mixed * (1 + 0.35 * coarse[:, None])).astype(np.float32)
        return seen

    return colors


def photo_backdrop(path: Path, rng: np.random.Generator) -> Callable[[Array, Array], Array]:
    """Return a random part of a photograph, the same for each ray of a pixel's row and column.

    The returned function must first be called with the rays of all pixels.

    Raises:
        DatasetError: The photograph cannot be read.
    """
    height, width = CROP_SIZE
    try:
        with Image.open(path) as opened:
            photo = opened.convert("RGB")
    except (OSError, ValueError, SyntaxError) as error:  # Pillow has all three
        raise DatasetError(f"The background {path} cannot be read: {error}.") from error
    share = rng.uniform(0.4, 1.0)
    tall = min(photo.height, photo.width * 2) * share
    left = rng.uniform(0, photo.width - tall / 2)
    top = rng.uniform(0, photo.height - tall)
    part = photo.resize(
        (width, height), Image.Resampling.BILINEAR, (left, top, left + tall / 2, top + tall)
    )
    if rng.random() < 0.5:
        part = part.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    pixels = np.asarray(part, np.float32).reshape(-1, 3) / 255
    whole: list[Array] = []

    def colors(_origins: Array, rays: Array) -> Array:
        if not whole:
            whole.append(rays)
        if len(rays) == len(pixels):
            return pixels.copy()
        # Edge pixels ask again with rays a fraction of a pixel off: find the pixel by direction.
        first, last = whole[0][0], whole[0][-1]
        right = whole[0][width - 1] - first
        down = last - whole[0][width - 1]
        x = np.rint((rays - first) @ right / (right @ right) * (width - 1)).astype(np.int64)
        y = np.rint((rays - first) @ down / (down @ down) * (height - 1)).astype(np.int64)
        at = np.clip(y, 0, height - 1) * width + np.clip(x, 0, width - 1)
        return np.asarray(pixels[at])

    return colors


def list_backgrounds(folder: Path) -> list[Path]:
    """Return the pictures of a folder, sorted.

    Raises:
        DatasetError: There are none.
    """
    files = walk_images(folder).files
    if not files:
        raise DatasetError(f"No pictures ({suffixes_for_messages()}) are in {folder}.")
    return [folder / file for file in files]


def _ground(position: Array, stage: Stage, rng: np.random.Generator) -> Array:
    fine = noise(position, 0.06, rng)
    if stage.kind == "tiles":
        x, y = (position[:, :2] / stage.tile).T
        gap = np.minimum(np.abs(x % 1 - 0.5), np.abs(y % 1 - 0.5))
        check = (np.floor(x) * 7 + np.floor(y) * 13) % 5 / 5
        return np.where(gap > 0.47, 1.0, 0.25 * fine + 0.4 * check).astype(np.float32)
    if stage.kind == "planks":
        rows = np.floor(position[:, 0] / 0.14)
        return np.asarray(0.5 * ((rows * 37) % 11 / 11) + 0.4 * fine, np.float32)
    if stage.kind == "grass":
        return np.asarray(np.clip(2 * noise(position, 0.03, rng) - 0.5, 0, 1))
    if stage.kind == "asphalt":
        line = np.abs((position[:, 0] + 0.3) % 5 - 2.5) < 0.06
        return np.asarray(np.maximum(fine, 1.6 * line * (stage.seed % 3 == 0)), np.float32)
    return 0.3 * fine


def _wall(position: Array, stage: Stage, rng: np.random.Generator) -> Array:
    """Windows and doors, a hedge's blur, or bare."""
    choice = stage.seed % 3
    if choice == 0:
        x, y = position[:, 0] / (stage.tile * 2.2), position[:, 1] / (stage.tile * 1.8)
        return ((x % 1 > 0.35) & (y % 1 > 0.3)).astype(np.float32)
    if choice == 1:
        return np.asarray(np.clip(2.2 * noise(position, 0.3, rng) - 0.6, 0, 1))
    columns = rng.random(64).astype(np.float32)
    return np.asarray(
        columns[(np.floor(position[:, 0] / (0.4 + stage.tile)) % 64).astype(np.int64)]
    )
