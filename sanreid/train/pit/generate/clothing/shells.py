"""Geometry that paint cannot replace: cloth off the skin, hair volume, bags, skirts and hems.

Thickness is added to the body's own vertices before posing, so it needs no texture of its own.
A skirt or a long hem is a tube of added triangles about both legs; each of its corners reads the
texture at the nearest point of the legs, which is painted as the skirt too.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sanreid.train.pit.generate.atlas import Atlas
from sanreid.train.pit.generate.clothing.garments import Garment, cover
from sanreid.train.pit.generate.people.body import Array, Body, Shaped
from sanreid.train.pit.generate.surface import NEUTRAL, Surface, vertex_normals

__all__ = ["Tube", "build_tube", "raised", "tube_vertices"]

_COLUMNS, _ROWS = 48, 22
_LEVELS = (0.30, -0.70)  # metres, from the waist to above the ankle


@dataclass(frozen=True, slots=True)
class Tube:
    """A tube about the hips and legs of the neutral body: rows from the waist down."""

    vertices: Array  # (R * C, 3) on the neutral body
    outward: Array  # (R * C, 3)
    anchors: NDArray[np.int64]  # (R * C, 6) body vertices each one moves with
    skin: Array  # (R * C, B)
    faces: NDArray[np.int32]  # (F, 3)
    uv: Array  # (F, 3, 2) texture coordinates of the corners
    level: Array  # (R * C,) height on the neutral body, metres
    around: Array  # (R * C,) angle, 0 in front


def build_tube(body: Body, atlas: Atlas, texels: Surface, vertices: Surface) -> Tube:
    """Lay the tube round the neutral body's legs; about half a second."""
    neutral = body.shape(NEUTRAL).vertices
    wanted = vertices.part["leg"] | vertices.part["torso"]
    numbers = np.flatnonzero(wanted & (neutral[:, 2] < _LEVELS[0] + 0.1))
    points = neutral[numbers]
    levels = np.linspace(*_LEVELS, _ROWS)
    angles = (np.arange(_COLUMNS) / _COLUMNS * 2 * np.pi).astype(np.float32)
    outward = np.stack([np.sin(angles), -np.cos(angles), np.zeros_like(angles)], 1)

    rows = []
    for level in levels:
        near = points[np.abs(points[:, 2] - level) < 0.03]
        middle = np.array([0, near[:, 1].mean()], np.float32)
        reach = ((near[:, :2] - middle) @ outward[:, :2].T).max(0) + 0.008  # support of the hull
        facing = np.cos(angles[:, None] - angles[None])
        radius = np.where(facing > 0.05, reach / np.maximum(facing, 0.05), np.inf).min(1)
        ring = outward * radius[:, None]
        rows.append(ring + np.array([0, middle[1], level], np.float32))
    grid = np.concatenate(rows).astype(np.float32)

    distance = ((grid[:, None] - points[None]) ** 2).sum(2)
    anchors = numbers[np.argpartition(distance, 6, axis=1)[:, :6]]
    own = body.skin[anchors].mean(1)
    swapped = _other_side(body)
    mirrored = own[:, swapped]
    share = np.clip(0.5 + np.abs(grid[:, :1]) / 0.16, 0.5, 1)  # the middle hangs from both legs
    skin = own * share + mirrored * (1 - share)

    faces = []
    for r in range(_ROWS - 1):
        for c in range(_COLUMNS):
            a, b = r * _COLUMNS + c, r * _COLUMNS + (c + 1) % _COLUMNS
            faces += [(a, b, b + _COLUMNS), (a, b + _COLUMNS, a + _COLUMNS)]
    triangles = np.array(faces, np.int32)
    return Tube(
        vertices=grid,
        outward=np.tile(outward, (_ROWS, 1)).astype(np.float32),
        anchors=anchors,
        skin=skin.astype(np.float32),
        faces=triangles,
        uv=_texels_on_legs(grid, triangles, atlas, texels),
        level=np.repeat(levels, _COLUMNS).astype(np.float32),
        around=np.tile(angles, _ROWS),
    )


def tube_vertices(
    tube: Tube, body: Body, shaped: Shaped, *, flare: float, off: float, top: float
) -> Array:
    """Fit the tube to a shape: ``off`` metres out, ``flare`` more for each metre below ``top``."""
    neutral = body.shape(NEUTRAL).vertices
    moved = (shaped.vertices - neutral)[tube.anchors].mean(1)
    below = np.maximum(top - tube.level, 0)[:, None]
    pleats = 1 + 0.25 * np.cos(7 * tube.around)[:, None]
    fitted: Array = tube.vertices + moved + tube.outward * (off + flare * below * pleats)
    return fitted.astype(np.float32)


def raised(shaped: Shaped, body: Body, surface: Surface, garments: tuple[Garment, ...]) -> Shaped:
    """Return the body with its clothes' thickness; ``surface`` is that of the vertices."""
    vertices = shaped.vertices
    if any(garment.kind in _SHOES for garment in garments):
        vertices = _smooth(vertices, body.faces, surface.part["foot"] & (surface.leg > 2.02))
    normals = vertex_normals(vertices, body.faces)
    thick = np.zeros(len(vertices), np.float32)
    for garment in garments:
        if garment.kind not in _SHAPED:
            lift = cover(garment, surface) * garment.thickness
            if garment.kind in _LOOSE:  # tight at the hips, wide at the shins
                lift = lift * (0.3 + 0.7 * np.clip(surface.leg, 0, 1))
            thick = np.maximum(thick, lift)
    vertices = vertices + normals * thick[:, None]
    for garment in garments:
        bulge = _SHAPED.get(garment.kind)
        if bulge is not None:
            vertices = vertices + bulge(garment, surface, normals)
    return Shaped(vertices=vertices.astype(np.float32), heads=shaped.heads)


def _hair_volume(garment: Garment, surface: Surface, normals: Array) -> Array:
    """Hair stands off most at the crown; a bun is a ball at the back of the head."""
    base = cover(garment, surface) * garment.thickness
    crown = 0.6 + 0.4 * np.clip(surface.elevation, 0, 1)
    lift = base * crown
    if garment.cut.get("fall"):
        lift = np.where(surface.part["torso"] | surface.part["neck"], base * 1.2, lift)
    if garment.cut.get("bun"):
        away = np.hypot(np.pi - np.abs(surface.azimuth), surface.elevation - 0.45)
        lift = lift + 0.05 * np.sqrt(np.clip(1 - (away / 0.5) ** 2, 0, 1)) * surface.part["head"]
    raised_by: Array = normals * lift[:, None].astype(np.float32)
    return raised_by


def _brim(garment: Garment, surface: Surface, normals: Array) -> Array:
    """A cap lies on the hair; its brim is pulled out of the ring above its edge."""
    lift = normals * (cover(garment, surface) * garment.thickness)[:, None]
    reach = garment.cut.get("brim", 0.0)
    if reach:
        turn = np.abs(surface.azimuth)
        edge = (
            garment.cut["low"] + 0.12 * np.cos(turn) - garment.cut.get("deep", 0.0) * (turn > 1.3)
        )
        ring = np.exp(-(((surface.elevation - edge - 0.16) / 0.11) ** 2)) * surface.part["head"]
        wide = (
            np.ones_like(turn) if garment.cut.get("all_round") else np.exp(-((turn / 0.75) ** 4))
        )
        out = np.stack(
            [np.sin(surface.azimuth), -np.cos(surface.azimuth), np.full_like(turn, -0.25)], 1
        )
        lift = lift + out * (reach * ring * wide)[:, None]
    brim: Array = lift.astype(np.float32)
    return brim


def _pack(garment: Garment, surface: Surface, normals: Array) -> Array:
    """A backpack: its part of the back is moved straight backwards, deepest at the bottom."""
    x, y, z = surface.position.T
    here = surface.part["torso"] & (y > 0.02)
    body = np.minimum(
        garment.cut["width"] - np.abs(x), np.minimum(z - garment.cut["bottom"], 0.67 - z)
    )
    depth = np.clip(body / 0.035, 0, 1) * here * garment.thickness
    depth = depth * np.clip(1.15 - (z - garment.cut["bottom"]) * 0.9, 0.6, 1.1)
    out = np.zeros((len(x), 3), np.float32)
    out[:, 1] = depth
    return out + normals * (cover(garment, surface) * 0.006)[:, None]


def _hip_bag(garment: Garment, surface: Surface, normals: Array) -> Array:
    x, y, z = surface.position.T
    x = x * garment.cut["side"]
    back = garment.cut.get("back", 0.0)
    bag = np.minimum(0.11 - np.abs(z - 0.17), 0.10 - np.abs(y - back))
    depth = np.clip(bag / 0.03, 0, 1) * (x < -0.08) * (surface.part["torso"] | surface.part["leg"])
    out = np.zeros((len(x), 3), np.float32)
    out[:, 0] = -garment.cut["side"] * depth * garment.thickness
    return out + normals * (cover(garment, surface) * 0.005)[:, None]


_SHAPED = {
    "hair": _hair_volume, "cap": _brim, "hat": _brim, "beanie": _brim,
    "backpack": _pack, "shoulder bag": _hip_bag,
}  # fmt: skip


_LOOSE = ("trousers", "jeans", "shorts")
_SHOES = ("shoes", "trainers", "boots")


def _smooth(vertices: Array, faces: NDArray[np.int32], here: NDArray[np.bool_]) -> Array:
    """Let toes run together as in a shoe: move each vertex to the middle of its neighbours."""
    own = faces[here[faces].all(1)]
    ends = np.concatenate([own[:, [0, 1]], own[:, [1, 2]], own[:, [2, 0]]])
    count = np.bincount(ends.ravel(), minlength=len(vertices))
    inside = np.flatnonzero(here & (count > 0))
    smooth = vertices.copy()
    for _ in range(25):
        for axis in range(3):
            total = np.bincount(ends[:, 0], smooth[ends[:, 1], axis], len(vertices))
            total += np.bincount(ends[:, 1], smooth[ends[:, 0], axis], len(vertices))
            smooth[inside, axis] = total[inside] / count[inside]
    return smooth


def _other_side(body: Body) -> NDArray[np.int64]:
    """Return the bone on the other side, by name."""
    swap = {".L": ".R", ".R": ".L"}
    return np.array([body.bones.index(b[:-2] + swap.get(b[-2:], b[-2:])) for b in body.bones])


def _texels_on_legs(grid: Array, faces: NDArray[np.int32], atlas: Atlas, texels: Surface) -> Array:
    """Texture coordinates for the corners of each triangle, all on one piece of the chart."""
    size = atlas.valid.shape[0]
    chosen = np.flatnonzero(
        (texels.part["leg"] | texels.part["torso"])
        & atlas.valid.reshape(-1)
        & (texels.position[:, 2] < _LEVELS[0] + 0.05)
    )
    chosen = chosen[::2]
    rows, columns = np.divmod(chosen, size)
    uv = np.stack([columns + 0.5, rows + 0.5], 1).astype(np.float32) / size
    surface = texels.position[chosen]
    corners = grid[faces]  # (F, 3, 3)
    middle = corners.mean(1)
    found = np.empty((len(faces), 3, 2), np.float32)
    for f in range(len(faces)):
        same = surface[:, 0] * middle[f, 0] >= 0
        near = np.where(same, ((surface - middle[f]) ** 2).sum(1), np.inf)
        home = uv[near.argmin()]
        close = same & (np.abs(uv - home).sum(1) < 0.10)
        for corner in range(3):
            off = np.where(close, ((surface - corners[f, corner]) ** 2).sum(1), np.inf)
            found[f, corner] = uv[off.argmin()]
    return found
