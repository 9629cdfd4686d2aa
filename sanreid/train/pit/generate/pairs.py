"""Image-texture pairs: what is drawn for one identity and for one image of it.

It depends only on the seed and the numbers of identity and image.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sanreid.errors import InputError
from sanreid.train.pit.generate.people.body import Array
from sanreid.train.pit.generate.people.identity import draw_person
from sanreid.train.pit.generate.people.poses import draw_pose
from sanreid.train.pit.generate.render import Picture, render, seen_texels
from sanreid.train.pit.generate.scenes.backdrop import (
    list_backgrounds,
    photo_backdrop,
    stage_backdrop,
)
from sanreid.train.pit.generate.scenes.degradation import degrade, occlude
from sanreid.train.pit.generate.scenes.props import draw_props
from sanreid.train.pit.generate.scenes.scene import Camera, draw_camera, draw_light, draw_stage
from sanreid.train.pit.generate.studio import Dressed, Figure, Studio, with_other

__all__ = ["Pair", "PairSettings", "make_identity", "make_pair"]

_PHOTO_SHARE = 0.7  # of the images, where a folder of photographs is given
_BYSTANDER_SHARE = 0.12  # of the images, with another person somewhere behind or beside
_BYSTANDERS = 12  # people of the data set who are seen as bystanders


@dataclass(frozen=True, slots=True)
class PairSettings:
    """What decides the bytes of a data set.

    Attributes:
        identities: How many people.
        images_per_identity: Images of each.
        seed: Of everything drawn.
        backgrounds: A folder of photographs; only procedural grounds and walls when None.
        adults_only: Leave out children and youths.
    """

    identities: int
    images_per_identity: int
    seed: int = 0
    backgrounds: str | None = None
    adults_only: bool = False

    def __post_init__(self) -> None:
        if self.identities < 1 or self.images_per_identity < 1 or self.seed < 0:
            raise InputError(
                f"A data set needs at least 1 identity and 1 image of each and a seed from 0 on; "
                f"got {self.identities}, {self.images_per_identity} and {self.seed}."
            )


@dataclass(frozen=True, slots=True)
class Pair:
    """One image of an identity and what is known of it; the texture is the identity's."""

    jpeg: bytes  # the crop, 256 x 128, as a camera would have kept it
    picture: Picture  # before occluders and the camera's faults
    uv: Array  # (256, 128, 2) after occluders; -1 off the body
    seen: NDArray[np.bool_]  # (256, 256), after occluders
    facts: dict[str, Any]


def make_identity(studio: Studio, settings: PairSettings, identity: int) -> Dressed:
    """Draw, paint and shape the identity of this number."""
    rng = np.random.default_rng([settings.seed, identity])
    return studio.dress(draw_person(rng, adults_only=settings.adults_only))


def make_pair(
    studio: Studio, settings: PairSettings, dressed: Dressed, identity: int, image: int
) -> Pair:
    """Make one image of an identity."""
    rng = np.random.default_rng([settings.seed, identity, image + 1])
    pose = draw_pose(rng)
    figure = studio.pose(dressed, pose)
    person = len(figure.meshes)
    figure = draw_props(rng, studio, figure, pose)
    camera = draw_camera(rng, np.concatenate([m.vertices for m in figure.meshes[:person]]))
    light = draw_light(rng)
    stage = draw_stage(rng)
    if rng.random() < _BYSTANDER_SHARE:
        figure = _with_bystander(rng, studio, settings, figure, camera)
    backdrop, behind = stage_backdrop(stage, camera), stage.kind
    if settings.backgrounds is not None and rng.random() < _PHOTO_SHARE:
        photos = _photos(settings.backgrounds)
        backdrop, behind = photo_backdrop(photos[rng.integers(len(photos))], rng), "photograph"
    picture = render(figure, dressed.texture, camera, light, backdrop)
    crop, uv, occluder = occlude(picture.crop, picture.uv, rng)
    jpeg, faults = degrade(crop, rng)
    facts = {
        "activity": pose.activity,
        "angles_deg": {name: round(angle, 1) for name, angle in pose.angles.items()},
        "light": light.describe(),
        "background": behind,
        "camera": camera.describe(),
        "occluder": occluder,
        "quality": faults,
    }
    return Pair(jpeg, picture, uv, seen_texels(uv, studio.atlas.valid), facts)


def _with_bystander(
    rng: np.random.Generator,
    studio: Studio,
    settings: PairSettings,
    figure: Figure,
    camera: Camera,
) -> Figure:
    """Add another person, farther from the camera and to one side; no texel of it counts."""
    other = int(rng.integers(_BYSTANDERS))
    key = (settings.seed, int(settings.adults_only), other)
    if key not in studio.kept:
        studio.kept[key] = make_identity(studio, settings, 1_000_000 + other)
    away = camera.axes[2] * np.array([1, 1, 0], np.float32)
    away /= np.linalg.norm(away)
    aside = camera.axes[0] * rng.choice([-1, 1]) * rng.uniform(0.3, 0.7)
    position = (away * rng.uniform(0.5, 2.5) + aside) * np.array([1, 1, 0])
    turn = rng.uniform(0, 2 * np.pi)
    dressed = studio.kept[key]
    other_figure = studio.pose(dressed, draw_pose(rng))
    return with_other(figure, other_figure, dressed.texture, turn, position)


@lru_cache(maxsize=4)
def _photos(folder: str) -> list[Path]:
    return list_backgrounds(Path(folder))
