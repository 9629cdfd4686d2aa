"""Sheets to judge by eye: crops beside their textures, on the body again."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sanreid.train.pit.generate.pairs import PairSettings, make_identity, make_pair
from sanreid.train.pit.generate.people.body import Array, check_pit_extra
from sanreid.train.pit.generate.people.identity import Person
from sanreid.train.pit.generate.people.poses import Pose
from sanreid.train.pit.generate.render import render
from sanreid.train.pit.generate.scenes.scene import Camera, Light
from sanreid.train.pit.generate.studio import Dressed, Studio
from sanreid.train.pit.report import Draw, painted
from sanreid.train.textures.generator import Generator
from sanreid.viz import check_suffix, save_picture

__all__ = ["contact_sheet", "neutral_views", "painted_sheet", "pair_sheet", "sheet_writer"]

Picture = NDArray[np.uint8]


def contact_sheet(studio: Studio, settings: PairSettings, *, columns: int = 15) -> Picture:
    """Crops of all identities in turn, a row of ``columns``; (H, W, 3)."""
    crops = []
    for identity in range(settings.identities):
        dressed = make_identity(studio, settings, identity)
        crops += [
            _decoded(make_pair(studio, settings, dressed, identity, image).jpeg)
            for image in range(settings.images_per_identity)
        ]
    return _grid(crops, columns)


def pair_sheet(studio: Studio, settings: PairSettings, *, columns: int = 4) -> Picture:
    """For each identity: crop, texture, texels seen, and the texture on a neutral body."""
    panels = []
    for identity in range(settings.identities):
        dressed = make_identity(studio, settings, identity)
        for image in range(settings.images_per_identity):
            pair = make_pair(studio, settings, dressed, identity, image)
            texture = _bytes(dressed.texture)
            seen = np.where(pair.seen[..., None], texture, texture // 4)
            parts = [_decoded(pair.jpeg), texture, seen, *neutral_views(studio, dressed.texture)]
            panels.append(np.concatenate(parts, 1))
    return _grid(panels, columns)


def painted_sheet(
    studio: Studio,
    generator: Generator,
    crops: list[NDArray[np.uint8]],
    *,
    truths: list[NDArray[np.uint8]] | None = None,
) -> NDArray[np.uint8]:
    """Return crops (256 x 128), two per row, each beside its texture and that on a neutral body.

    Where ``truths`` are given, the true texture stands before the painted one.
    """
    panels = []
    for number, crop in enumerate(crops):
        texture = painted(generator, crop[None])[0]
        views = neutral_views(studio, texture / 255)
        truth = [] if truths is None else [truths[number]]
        panels.append(np.concatenate([crop, *truth, texture.round().astype(np.uint8), *views], 1))
    panels += [np.zeros_like(panels[0])] * (len(panels) % 2)
    rows = [np.concatenate(panels[n : n + 2], 1) for n in range(0, len(panels), 2)]
    return np.concatenate(rows)


def sheet_writer(path: Path) -> Draw:
    """Return what draws and writes a sheet of painted textures, for :func:`report.judge`.

    Raises:
        InputError: ``path`` is no picture's name.
        MissingExtraError: The extra ``pit`` is not installed.
    """
    check_suffix(path)
    check_pit_extra()

    def draw(generator: Generator, crops: list[Picture], truths: list[Picture] | None) -> None:
        sheet = painted_sheet(Studio.open(), generator, crops, truths=truths)
        save_picture(Image.fromarray(sheet), path)

    return draw


def neutral_views(studio: Studio, texture: Array) -> list[Picture]:
    """Draw a texture on a bare neutral body, from the front and the back; two (256, 128, 3)."""
    grey = np.full(3, 0.5, np.float32)
    person = Person({"age": 0.7}, grey, grey, grey, (), 0)
    shaped = studio.body.shape(person.phenotypes)
    figure = studio.pose(
        Dressed(person, texture, shaped, None, np.empty(0, np.int64)), _neutral_pose()
    )
    white = np.full(3, 1.0, np.float32)
    light = Light(
        np.array([0.0, 0.0, 1.0], np.float32), white * 0.12, white * 1.2, white * 0.65, 1.0
    )

    def backdrop(_origins: Array, rays: Array) -> Array:
        return np.full((len(rays), 3), 0.9, np.float32)

    views = []
    for sign in (1.0, -1.0):
        axes = np.array([[sign, 0, 0], [0, 0, -1], [0, sign, 0]], np.float32)
        position = np.array([0, -6.0 * sign, 0.93], np.float32)
        camera = Camera(position, axes, (-0.083, -0.166, 0.083, 0.166), 0.0)
        views.append(_bytes(render(figure, texture, camera, light, backdrop).crop))
    return views


def _neutral_pose() -> Pose:
    angles = {
        "twist": 0.0, "lean": 0.0, "bend": 0.0, "head_turn": 0.0, "head_nod": 0.0,
    }  # fmt: skip
    for side in "LR":
        angles |= {
            f"hip.{side}": 0.0, f"hip_out.{side}": 5.0, f"knee.{side}": 2.0, f"ankle.{side}": 0.0,
            f"shoulder.{side}": 0.0, f"shoulder_out.{side}": 22.0, f"shoulder_in.{side}": 0.0,
            f"elbow.{side}": 15.0, f"foot_out.{side}": 5.0, f"fingers.{side}": 10.0,
        }  # fmt: skip
    return Pose("standing", angles)


def _grid(pictures: list[Picture], columns: int) -> Picture:
    columns = min(columns, len(pictures))
    blank = np.zeros_like(pictures[0])
    pictures = pictures + [blank] * (-len(pictures) % columns)
    rows = [np.concatenate(pictures[i : i + columns], 1) for i in range(0, len(pictures), columns)]
    return np.concatenate(rows)


def _decoded(jpeg: bytes) -> Picture:
    with Image.open(io.BytesIO(jpeg)) as opened:
        return np.asarray(opened.convert("RGB"))


def _bytes(values: Array) -> Picture:
    rounded: Picture = (np.clip(values, 0, 1) * 255 + 0.5).astype(np.uint8)
    return rounded
