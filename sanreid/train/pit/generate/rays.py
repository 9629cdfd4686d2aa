"""Rays against triangles with Embree, through the package ``embreex`` (extra ``pit``)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sanreid.train.pit.generate.people.body import Array, check_pit_extra

__all__ = ["Hits", "Scene"]


@dataclass(frozen=True, slots=True)
class Hits:
    """What N rays met first."""

    face: NDArray[np.int32]  # (N,), -1 where a ray met nothing
    u: Array  # (N,) weight of the triangle's second corner
    v: Array  # (N,) weight of its third
    distance: Array  # (N,) in lengths of the ray's direction; large where nothing was met


class Scene:
    """Triangles ready for rays.

    Args:
        vertices: (V, 3).
        faces: (F, 3).

    Raises:
        MissingExtraError: The extra ``pit`` is not installed.
    """

    def __init__(self, vertices: Array, faces: NDArray[np.int32]) -> None:
        check_pit_extra()
        from embreex import mesh_construction, rtcore_scene  # noqa: PLC0415 - of the extra

        self._scene = rtcore_scene.EmbreeScene()
        self._mesh = mesh_construction.TriangleMesh(
            self._scene,
            np.ascontiguousarray(vertices, np.float32),
            np.ascontiguousarray(faces, np.int32),
        )

    def cast(self, origins: Array, directions: Array) -> Hits:
        """Find what each ray meets first; both arguments (N, 3)."""
        met = self._scene.run(_rows(origins), _rows(directions), output=1)
        return Hits(
            face=met["primID"].astype(np.int32),
            u=met["u"],
            v=met["v"],
            distance=met["tfar"],
        )

    def blocked(self, origins: Array, directions: Array) -> NDArray[np.bool_]:
        """Return for each ray whether anything is in its way, (N,)."""
        met = self._scene.run(_rows(origins), _rows(directions), query="OCCLUDED")
        return np.asarray(met >= 0)


def _rows(rays: Array) -> Array:
    return np.ascontiguousarray(rays, np.float32)
