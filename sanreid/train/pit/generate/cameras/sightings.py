"""Sightings: by which cameras an identity is seen, when, and in how many crops."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sanreid.errors import InputError
from sanreid.train.pit.generate.cameras.camera import (
    HOURS,
    RenderedCamera,
    draw_rendered_camera,
)

__all__ = ["PeopleSettings", "Sighting", "draw_sightings", "the_camera"]

_CAMERAS, _SIGHTINGS = 1, 2  # second number of a seed: what is drawn from it
_CROPS = (0.30, 0.30, 0.22, 0.18)  # shares of 1, 2, 3 and 4 crops by one camera


@dataclass(frozen=True, slots=True)
class PeopleSettings:
    """What decides the bytes of a data set of people under cameras.

    Attributes:
        identities: How many people.
        cameras: How many cameras.
        seed: Of everything drawn.
    """

    identities: int
    cameras: int
    seed: int = 0

    def __post_init__(self) -> None:
        if self.identities < 1 or self.cameras < 2 or self.seed < 0:
            raise InputError(
                "People under cameras need at least 1 identity, 2 cameras and a seed from 0 on; "
                f"got {self.identities}, {self.cameras} and {self.seed}."
            )


@dataclass(frozen=True, slots=True)
class Sighting:
    """An identity before one camera at one time.

    Attributes:
        camera: Number of the camera, from 1.
        hour: 0 to ``HOURS - 1``.
        frames: Numbers of the frames of its crops.
    """

    camera: int
    hour: int
    frames: tuple[int, ...]

    def names(self, identity: int, *, width: int = 2) -> tuple[str, ...]:
        """File names of the crops; the identity is numbered from 0, its pid from 1."""
        camera = str(self.camera).zfill(width)
        return tuple(
            f"{identity + 1:06d}_c{camera}s{self.hour + 1}_{frame:06d}_00.jpg"
            for frame in self.frames
        )


def the_camera(settings: PeopleSettings, number: int) -> RenderedCamera:
    """Return the camera of this number, from 1."""
    return draw_rendered_camera(np.random.default_rng([settings.seed, _CAMERAS, number]))


def draw_sightings(settings: PeopleSettings, identity: int) -> tuple[Sighting, ...]:
    """Draw where and when an identity is seen: by 3 to 6 cameras, in 1 to 4 crops each."""
    rng = np.random.default_rng([settings.seed, _SIGHTINGS, identity])
    most = min(6, settings.cameras)
    count = int(rng.integers(min(3, most), most + 1))
    chosen = np.sort(rng.permutation(settings.cameras)[:count]) + 1
    sightings = []
    for camera in chosen:
        crops = int(rng.choice(len(_CROPS), p=_CROPS)) + 1
        frames = rng.integers(0, 50_000) + np.cumsum(rng.integers(8, 90, crops))
        sightings.append(Sighting(int(camera), int(rng.integers(HOURS)), tuple(frames.tolist())))
    return tuple(sightings)
