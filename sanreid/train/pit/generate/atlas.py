"""The atlas: where each texel of the 256 x 256 texture lies on the body, and its mirror texel.

The layout is MakeHuman's (body, head, hands, feet, the inside of the mouth and the eyes). Each
chart is moved by less than half a texel, so that the left-right symmetry of the charts falls on
the grid and mirroring a texture is a permutation of its texels.

Texture coordinates here have v pointing down: texel (row, column) has its centre at
((column + 0.5) / 256, (row + 0.5) / 256).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sanreid.train.pit.generate.people.body import Array, Body, Shaped
from sanreid.train.pit.generate.rays import Scene

__all__ = ["TEXTURE_SIZE", "Atlas", "build_atlas", "mirror_texture", "sample"]

TEXTURE_SIZE = 256
_GUTTER = 6  # texels that a chart's colors are carried past its edge


@dataclass(frozen=True, slots=True)
class Atlas:
    """The texel tables; S is 256 and a texel's number is row * S + column."""

    uv: Array  # (T, 2) texture coordinates of the body's texture vertices, snapped, v down
    valid: NDArray[np.bool_]  # (S, S) texels that lie on the body
    face: NDArray[np.int32]  # (S, S) triangle under each texel; -1 off the body
    weights: Array  # (S, S, 3) position in that triangle
    chart: NDArray[np.int32]  # (S, S) number of the chart, gutters too; -1 elsewhere
    mirror: NDArray[np.int64]  # (S * S,) texel at the same point of the other side
    fill: NDArray[np.int64]  # (S * S,) texel whose color a gutter texel takes; itself on the body

    def on_body(self, values: Array, faces: NDArray[np.int32]) -> Array:
        """Interpolate (V, C) values of the vertices to (S, S, C); 0 off the body."""
        corners = values[faces[np.maximum(self.face, 0)]]  # (S, S, 3, C)
        spread: Array = np.einsum("ijk,ijkc->ijc", self.weights, corners)
        return spread

    def filled(self, texture: NDArray[np.generic]) -> NDArray[np.generic]:
        """Carry the charts' colors into the gutters of an (S, S, ...) texture."""
        flat = texture.reshape(TEXTURE_SIZE**2, -1)[self.fill]
        return flat.reshape(texture.shape)


def build_atlas(body: Body) -> Atlas:
    """Compute the tables of a body; about a second."""
    charts = _charts(body)
    partner = _mirror_vertices(body.template)
    pairs = _mirror_corners(body, partner)
    uv, sums, flips, other = _snap(body, charts, pairs)

    size = TEXTURE_SIZE
    face, weights = _rasterise(uv, body.uv_faces)
    chart = np.where(face >= 0, charts[body.uv_faces[np.maximum(face, 0), 0]], -1)
    valid = face >= 0
    nearest = _nearest(valid)
    fill = np.arange(size * size).reshape(size, size)
    fill = np.where(nearest >= 0, nearest, fill)
    owner = chart.reshape(-1)[fill]
    mirror = _mirror_texels(owner, sums, flips, other)
    # A texel on the body whose mirror lies off it (a few, at the seams) is filled from its
    # neighbours; both are then treated alike.
    lost = valid.reshape(-1) & ~valid.reshape(-1)[mirror]
    valid = valid & ~lost.reshape(size, size)
    face = np.where(valid, face, -1)
    weights = np.where(valid[..., None], weights, 0).astype(np.float32)
    nearest = _nearest(valid)
    fill = np.where(nearest >= 0, nearest, np.arange(size * size).reshape(size, size))
    return Atlas(uv, valid, face, weights, owner, mirror, fill.reshape(-1))


def mirror_texture(texture: NDArray[np.generic], mirror: NDArray[np.int64]) -> NDArray[np.generic]:
    """Return the texture of the mirrored person: left and right are swapped.

    Args:
        texture: (256, 256, ...), colors or a mask.
        mirror: :attr:`Atlas.mirror`.
    """
    return texture.reshape(TEXTURE_SIZE**2, -1)[mirror].reshape(texture.shape)


def sample(texture: Array, uv: Array) -> Array:
    """Read a texture bilinearly.

    Args:
        texture: (S, S, C).
        uv: (N, 2) in [0, 1], v down.

    Returns:
        (N, C) float32.
    """
    size = texture.shape[0]
    texel = np.clip(uv * size - 0.5, 0, size - 1.001)
    low = texel.astype(np.int32)
    part = (texel - low).astype(np.float32)
    x, y = low[:, 0], low[:, 1]
    fx, fy = part[:, :1], part[:, 1:]
    flat = texture.reshape(size * size, -1)
    at = y * size + x
    top = flat[at] * (1 - fx) + flat[at + 1] * fx
    bottom = flat[at + size] * (1 - fx) + flat[at + size + 1] * fx
    read: Array = (top * (1 - fy) + bottom * fy).astype(np.float32)
    return read


def surface(shaped: Shaped, body: Body, atlas: Atlas) -> Array:
    """Position of each texel on a body in the rest pose, (S, S, 3) metres; 0 off the body."""
    return atlas.on_body(shaped.vertices, body.faces)


def _charts(body: Body) -> NDArray[np.int32]:
    """Number the connected pieces of the texture mesh, (T,); -1 for unused vertices."""
    label = np.arange(len(body.uv), dtype=np.int32)
    while True:
        lowest = label[body.uv_faces].min(1)
        new = label.copy()
        for corner in range(3):
            np.minimum.at(new, body.uv_faces[:, corner], lowest)
        new = new[new]
        if np.array_equal(new, label):
            used = np.unique(label[body.uv_faces])  # the source has unused texture vertices
            index = np.searchsorted(used, label).clip(max=len(used) - 1)
            return np.where(used[index] == label, index, -1).astype(np.int32)
        label = new


def _mirror_vertices(template: Array) -> NDArray[np.int64]:
    """Return the vertex at the mirrored position, (V,); the template is symmetric to 0.5 mm."""
    flipped = template * np.array([-1, 1, 1], np.float32)
    order = np.argsort(template[:, 2], kind="stable")
    heights = template[order, 2]
    partner = np.empty(len(template), np.int64)
    for i, point in enumerate(flipped):
        lo, hi = np.searchsorted(heights, (point[2] - 1e-3, point[2] + 1e-3))
        near = order[lo:hi]
        partner[i] = near[np.argmin(((template[near] - point) ** 2).sum(1))]
    return partner


def _mirror_corners(body: Body, partner: NDArray[np.int64]) -> NDArray[np.int64]:
    """Texture vertices that mirror each other, (N, 2), from triangles that do."""
    number = {tuple(sorted(face)): i for i, face in enumerate(body.faces.tolist())}
    pairs = []
    for i, face in enumerate(body.faces.tolist()):
        there = [int(partner[v]) for v in face]
        j = number.get(tuple(sorted(there)))
        if j is not None:
            other = body.faces[j].tolist()
            pairs += [
                (body.uv_faces[i, k], body.uv_faces[j, other.index(v)])
                for k, v in enumerate(there)
            ]
    return np.array(pairs)


def _snap(
    body: Body, charts: NDArray[np.int32], pairs: NDArray[np.int64]
) -> tuple[Array, NDArray[np.int64], NDArray[np.bool_], NDArray[np.int32]]:
    """Move charts so that each one's mirror axis falls on the grid.

    Returns:
        Texture coordinates with v down; and per chart the sum of a column (or row) and its
        mirror's, whether the axis is horizontal, and the chart on the other side.
    """
    size = TEXTURE_SIZE
    uv = np.stack([body.uv[:, 0], 1 - body.uv[:, 1]], 1).astype(np.float64)
    count = int(charts.max()) + 1
    sums = np.zeros(count, np.int64)
    flips = np.zeros(count, bool)
    other = np.arange(count, dtype=np.int32)
    for c in range(count):
        here = pairs[charts[pairs[:, 0]] == c]
        there = np.bincount(charts[here[:, 1]], minlength=count)
        other[c] = int(there.argmax())
        here = here[charts[here[:, 1]] == other[c]]
        total = uv[here[:, 0]] + uv[here[:, 1]]
        axis = int(total.std(0).argmin())  # the coordinate that mirrors: its sum is constant
        flips[c] = axis == 1
        wanted = round(float(np.median(total[:, axis])) * size)
        sums[c] = wanted - 1  # of the texel numbers
        if other[c] >= c:
            uv[charts == c, axis] += (wanted / size - np.median(total[:, axis])) / 2
            if other[c] != c:
                uv[charts == other[c], axis] += (wanted / size - np.median(total[:, axis])) / 2
                drift = np.median(uv[here[:, 0], 1 - axis] - uv[here[:, 1], 1 - axis])
                uv[charts == other[c], 1 - axis] += drift
        else:
            sums[c] = sums[other[c]]
    return uv.astype(np.float32), sums, flips, other


def _rasterise(uv: Array, faces: NDArray[np.int32]) -> tuple[NDArray[np.int32], Array]:
    """Find the triangle under each texel's centre by looking straight down at the atlas."""
    size = TEXTURE_SIZE
    flat = np.concatenate([uv, np.zeros((len(uv), 1), np.float32)], 1)
    at = (np.arange(size, dtype=np.float32) + 0.5) / size
    columns, rows = np.meshgrid(at, at)
    origins = np.stack([columns, rows, np.ones_like(rows)], -1).reshape(-1, 3)
    hits = Scene(flat, faces).cast(origins, np.broadcast_to([0, 0, -1], origins.shape))
    weights = np.stack([1 - hits.u - hits.v, hits.u, hits.v], -1).reshape(size, size, 3)
    return hits.face.reshape(size, size), weights


def _nearest(valid: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Nearest valid texel's number within the gutter; -1 farther off. Ties: lowest offset."""
    size = TEXTURE_SIZE
    number = np.arange(size * size).reshape(size, size)
    best = np.where(valid, number, -1)
    reach = range(-_GUTTER, _GUTTER + 1)
    offsets = sorted(
        ((dy, dx) for dy in reach for dx in reach), key=lambda o: o[0] ** 2 + o[1] ** 2
    )
    padded = np.pad(np.where(valid, number, -1), _GUTTER, constant_values=-1)
    for dy, dx in offsets[1:]:
        near = padded[_GUTTER + dy : _GUTTER + dy + size, _GUTTER + dx : _GUTTER + dx + size]
        best = np.where((best < 0) & (near >= 0), near, best)
    return best


def _mirror_texels(
    owner: NDArray[np.int32],
    sums: NDArray[np.int64],
    flips: NDArray[np.bool_],
    other: NDArray[np.int32],
) -> NDArray[np.int64]:
    """Return the involution of texels; one of no chart or without a counterpart maps to itself."""
    size = TEXTURE_SIZE
    rows, columns = np.divmod(np.arange(size * size), size)
    chart = owner.reshape(-1)
    known = np.maximum(chart, 0)
    there_rows = np.where(flips[known], sums[known] - rows, rows)
    there_columns = np.where(flips[known], columns, sums[known] - columns)
    inside = (chart >= 0) & (there_rows >= 0) & (there_rows < size)
    inside &= (there_columns >= 0) & (there_columns < size)
    there = np.where(inside, there_rows * size + there_columns, np.arange(size * size))
    kept = inside & (chart[there] == other[known])
    there = np.where(kept, there, np.arange(size * size))
    back = there[there] == np.arange(size * size)
    return np.where(back, there, np.arange(size * size))
