"""Images in, through an encoder that is handed over: nothing here knows a network."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from sanreid.errors import DatasetError, InputError

if TYPE_CHECKING:
    from sanreid.datasets import NameScheme
    from sanreid.gallery.gallery import Gallery

__all__ = ["Encoder", "add_folder", "encoded", "with_paths"]


class Encoder(Protocol):
    """What a gallery asks of an encoder; ``SANEncoder`` is one."""

    @property
    def embedding_dim(self) -> int:
        """D."""
        ...

    @property
    def fingerprint(self) -> str:
        """Names weights and preprocessing."""
        ...

    def encode(self, images: Any, **options: Any) -> NDArray[np.float32]:  # noqa: ANN401 - any image
        """Give (N, D) rows of norm 1."""
        ...


def encoded(
    encoder: Encoder,
    images: Any,  # noqa: ANN401 - any image
    options: Mapping[str, Any],
) -> tuple[NDArray[np.float32], list[Any]]:
    """Give the embeddings, and the images one by one as they were listed."""
    one = isinstance(images, (str, bytes, PathLike)) or not isinstance(images, Iterable)
    listed = list(images) if not one and isinstance(images, (list, tuple)) else None
    if listed is None and not one and not hasattr(images, "shape"):
        listed = images = list(images)
    embeddings = encoder.encode(images, **options)
    if listed is None:
        listed = [images] if len(embeddings) == 1 else [None] * len(embeddings)
    return embeddings, listed


def with_paths(
    metadata: Sequence[Mapping[str, Any] | None] | None, images: Sequence[Any]
) -> list[dict[str, Any] | None]:
    """Give each row's metadata with the image's path under "path", where it has one."""
    given: Sequence[Mapping[str, Any] | None]
    given = [None] * len(images) if metadata is None else metadata
    if isinstance(given, Mapping) or len(given) != len(images):
        raise InputError(f"metadata must have one dict an image: {len(images)} images.")
    rows: list[dict[str, Any] | None] = []
    for image, own in zip(images, given, strict=True):
        if isinstance(image, (str, PathLike)):
            rows.append({"path": str(fspath(image)), **(own or {})})
        else:
            rows.append(None if own is None else dict(own))
    return rows


def add_folder(
    gallery: Gallery,
    encoder: Any,  # noqa: ANN401 - an Encoder with encode_files
    folder: str | Path,
    *,
    names: NameScheme | Literal["auto"],
    options: Mapping[str, Any],
) -> None:
    """Embed the crops of a folder and add them with what their names say.

    People named by text keep that name as their pid; the junk and distractor crops of a data set
    are no person, their pid is None.
    """
    from sanreid.datasets import read_crops  # noqa: PLC0415 - from a folder only

    crops = read_crops(Path(folder), names=names)
    paths = [Path(path) for path in crops.paths]
    if not paths:
        raise DatasetError(f"{folder} holds no crops.")
    result = encoder.encode_files(paths, **options)
    place = {str(path): row for row, path in enumerate(paths)}
    kept = [place[str(path)] for path in result.paths]
    ignored = set(crops.ignored_pids)
    pids = crops.labels or [None if pid in ignored else pid for pid in crops.pids.tolist()]
    gallery.add(
        result.embeddings,
        pids=[pids[row] for row in kept],
        camids=crops.camids[kept],
        metadata=[{"path": str(paths[row])} for row in kept],
        encoder_fingerprint=encoder.fingerprint,
    )
