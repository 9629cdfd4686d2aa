"""The studio: paint and dress an identity, and pose it as meshes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sanreid.train.pit.generate.atlas import Atlas, build_atlas
from sanreid.train.pit.generate.clothing.garments import Garment
from sanreid.train.pit.generate.clothing.painting import paint_person
from sanreid.train.pit.generate.clothing.shells import Tube, build_tube, raised, tube_vertices
from sanreid.train.pit.generate.people.body import Array, Body, Posed, Shaped, load_body, skinned
from sanreid.train.pit.generate.people.identity import Person
from sanreid.train.pit.generate.people.poses import Pose, rotations
from sanreid.train.pit.generate.surface import Surface, measure_surface

__all__ = ["Dressed", "Figure", "Mesh", "Studio", "turned", "with_other"]


@dataclass(frozen=True, slots=True)
class Mesh:
    """Triangles with the texture coordinates of their corners."""

    vertices: Array  # (V, 3)
    faces: NDArray[np.int32]  # (F, 3)
    uv: Array  # (F, 3, 2); of a prop: unused
    color: Array | None = None  # (3,) of a prop, which is not in the texture
    texture: Array | None = None  # (S, S, 3) of a bystander, who has none in this texture either


@dataclass(frozen=True, slots=True)
class Dressed:
    """One identity, ready to be posed."""

    person: Person
    texture: Array  # (256, 256, 3) in [0, 1]
    shaped: Shaped
    tube: Array | None  # vertices of the skirt's tube in the rest pose
    tube_faces: NDArray[np.int64]  # which of the tube's triangles are there


@dataclass(frozen=True, slots=True)
class Figure:
    """A dressed identity in a pose."""

    meshes: tuple[Mesh, ...]  # body, then tube and props
    posed: Posed

    @property
    def points(self) -> Array:
        """Every vertex of the person and what is carried, (V, 3)."""
        return np.concatenate([mesh.vertices for mesh in self.meshes])


class Studio:
    """The body, its atlas and tables, built once per process.

    Args:
        body: As returned by :func:`load_body`.
    """

    def __init__(self, body: Body) -> None:
        self.body = body
        self.atlas: Atlas = build_atlas(body)
        self.texels: Surface = measure_surface(body, self.atlas)
        self.vertices: Surface = measure_surface(body)
        self.face_uv: Array = self.atlas.uv[body.uv_faces]
        self.kept: dict[tuple[int, ...], Dressed] = {}  # bystanders, who come again

    @classmethod
    def open(cls, cache_dir: Path | None = None) -> Studio:
        """Load the body and build the tables.

        Raises:
            MissingExtraError: The extra ``pit`` is not installed.
        """
        return cls(load_body(cache_dir))

    @cached_property
    def tube(self) -> Tube:
        """The tube that skirts and long hems are cut from."""
        return build_tube(self.body, self.atlas, self.texels, self.vertices)

    def dress(self, person: Person) -> Dressed:
        """Paint and shape one identity."""
        body = self.body
        shape = body.shape(person.phenotypes)
        skirt = next((g for g in reversed(person.garments) if self._hem(g) is not None), None)
        tube, faces = None, np.empty(0, np.int64)
        if skirt is not None:
            hem, top = self._hem(skirt) or 0.0, 0.16 if skirt.kind == "skirt" else 0.10
            reach = self.tube.level[self.tube.faces]
            faces = np.flatnonzero((reach.min(1) > hem - 0.02) & (reach.max(1) < top + 0.06))
            tube = tube_vertices(
                self.tube, body, shape,
                flare=skirt.cut.get("flare", 0.05), off=skirt.thickness, top=top,
            )  # fmt: skip
        return Dressed(
            person=person,
            texture=paint_person(person, self.atlas, self.texels),
            shaped=raised(shape, body, self.vertices, person.garments),
            tube=tube,
            tube_faces=faces,
        )

    def pose(self, dressed: Dressed, pose: Pose) -> Figure:
        """Put an identity into a pose."""
        body = self.body
        posed = body.pose(dressed.shaped, rotations(pose, dressed.shaped, body.bones))
        meshes = [Mesh(posed.vertices, body.faces, self.face_uv)]
        if dressed.tube is not None:
            cloth = skinned(dressed.tube, self.tube.skin, posed.transforms)
            cloth[:, 2] = np.maximum(cloth[:, 2], 0.02)
            keep = dressed.tube_faces
            meshes.append(Mesh(cloth, self.tube.faces[keep], self.tube.uv[keep]))
        return Figure(tuple(meshes), posed)

    def _hem(self, garment: Garment) -> float | None:
        """Height of the hem of a garment that hangs free of the legs; None for the others."""
        if garment.kind == "skirt":
            hip, knee, ankle = (
                float(self.texels.joints[f"{b}.L"][2])
                for b in ("upperleg01", "lowerleg01", "foot")
            )
            return float(np.interp(garment.cut["length"], [0, 1, 2], [hip, knee, ankle]))
        if garment.kind in ("dress", "coat") and garment.cut["hem"] < 0.04:
            return garment.cut["hem"]
        return None


def turned(meshes: tuple[Mesh, ...], turn: float, position: Array) -> tuple[Mesh, ...]:
    """Return meshes turned by radians about z and then moved by (3,) metres."""
    c, s = np.cos(turn), np.sin(turn)
    spin = np.array([[c, s, 0], [-s, c, 0], [0, 0, 1]])
    return tuple(
        replace(mesh, vertices=(mesh.vertices @ spin + position).astype(np.float32))
        for mesh in meshes
    )


def with_other(
    figure: Figure, other: Figure, texture: Array, turn: float, position: Array
) -> Figure:
    """Add another person to a figure; none of their texels is counted.

    Args:
        figure: Who the picture is of.
        other: The other person, at the origin.
        texture: Of the other person, (256, 256, 3).
        turn: Radians about z.
        position: (3,) metres.
    """
    added = [
        mesh if mesh.color is not None else replace(mesh, texture=texture)
        for mesh in turned(other.meshes, turn, position)
    ]
    return Figure((*figure.meshes, *added), figure.posed)
