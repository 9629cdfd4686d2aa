"""From images to entries, through an encoder passed as an argument: no network is imported."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from sanreid.errors import DatasetError, InputError
from sanreid.images.sources import expand_paths
from sanreid.utils.arrays import elements, shown
from sanreid.utils.paths import as_path
from sanreid.utils.words import counted

if TYPE_CHECKING:
    from sanreid.datasets.schemes import Names

__all__ = ["Encoder", "as_encoder", "encode_with_columns", "folder_entries", "with_paths"]

logger = logging.getLogger(__name__)


class Encoder(Protocol):
    """What a gallery asks of an encoder; ``SANEncoder`` is one."""

    @property
    def embedding_dim(self) -> int:
        """D."""
        ...

    @property
    def fingerprint(self) -> str:
        """Identifies weights and preprocessing."""
        ...

    @property
    def encode(self) -> Callable[..., NDArray[np.float32]]:
        """The method that takes images and returns (N, D) rows of norm 1."""
        ...

    @property
    def encode_files(self) -> Callable[..., Any]:
        """The method that takes paths and returns embeddings, paths and failures."""
        ...


def as_encoder(encoder: Any) -> Encoder:  # noqa: ANN401 - as passed
    """Return ``encoder`` if it is one.

    Raises:
        InputError: It lacks what a gallery asks of an encoder.
    """
    wanted = ("embedding_dim", "fingerprint", "encode", "encode_files")
    if isinstance(encoder, type) or not all(hasattr(encoder, name) for name in wanted):
        raise InputError(
            f"encoder must be a SANEncoder, or an object with {', '.join(wanted)}; "
            f"got {shown(encoder)}."
        )
    return encoder  # type: ignore[no-any-return] # it has all that the protocol names


def encode_with_columns(
    encoder: Encoder,
    images: Any,  # noqa: ANN401 - any image
    columns: Mapping[str, Any],
    options: Mapping[str, Any],
) -> tuple[NDArray[np.float32], list[Any], dict[str, Any]]:
    """Return the embeddings, the list of images, and the columns of those that were read.

    Paths without other images go through ``encode_files``, so that folders stand for their files;
    if the encoder collects failures, the values of those files are dropped from the columns.
    """
    images = _table_column(images)
    one = isinstance(images, (str, bytes, PathLike)) or not isinstance(images, Iterable)
    one = one or isinstance(images, type)
    one = one or any(hasattr(images, mark) for mark in ("shape", "__array__", "read"))
    try:
        listed = [images] if one else list(images)
    except TypeError as error:  # says that it is iterable and is not
        raise InputError(f"images cannot be read as a sequence: {error}") from error
    if listed and all(isinstance(image, (str, PathLike)) for image in listed):
        files, unread = expand_paths(listed, collect=options.get("on_error") == "collect")
        result = encoder.encode_files(files, **options)
        _warn_of([*unread, *result.failures])
        kept = _rows_read(files, result.paths)
        selected = {
            name: _selected(name, column, kept, len(files)) for name, column in columns.items()
        }
        return result.embeddings, list(result.paths), selected
    if listed and "on_error" in options:
        raise InputError("on_error is for files: pass paths alone, or leave it out.")
    others = {name: value for name, value in options.items() if name != "on_error"}
    embeddings = encoder.encode(images if one else listed, **others)
    if one and len(embeddings) != 1:  # an array or tensor of several images
        listed = [None] * len(embeddings)
    return embeddings, listed, dict(columns)


def _table_column(images: Any) -> Any:  # noqa: ANN401 - any image
    """Return a column of paths, or of other objects, as a list; anything else as it is."""
    kind = getattr(getattr(images, "dtype", None), "kind", None)
    is_column = kind in ("O", "U", "T") and getattr(images, "ndim", 0) == 1
    of_arrow = callable(getattr(images, "to_pylist", None))
    return elements(images, "images")[0] if is_column or of_arrow else images


def _warn_of(failures: Sequence[tuple[Any, str]]) -> None:
    """Log how many files are left out, which a gallery does not keep."""
    if failures:
        path, reason = failures[0]
        logger.warning(
            "%s left out, which could not be read; the first is %s: %s",
            counted(len(failures), "file is", "files are"),
            path,
            reason,
        )


def _rows_read(files: Sequence[Path], read: Sequence[Any]) -> list[int]:
    """Return the indices of the files that were read, which are given in their order."""
    kept: list[int] = []
    for row, file in enumerate(files):
        if len(kept) < len(read) and Path(read[len(kept)]).expanduser() == file.expanduser():
            kept.append(row)
    if len(kept) != len(read):
        raise InputError(
            f"The encoder returned {len(read)} files, {len(read) - len(kept)} of them not among "
            "those it was given, or in another order."
        )
    return kept


def _selected(
    name: str, column: Iterable[Any] | None, kept: list[int], count: int
) -> Iterable[Any] | None:
    """Leave the failed files out of a column that has a value for each of ``count`` files."""
    if column is None or len(kept) == count:
        return column
    values, _ = elements(column, name)
    return [values[row] for row in kept] if len(values) == count else values


def with_paths(
    metadata: Sequence[Mapping[str, Any] | None] | None, images: Sequence[Any]
) -> list[dict[str, Any] | None]:
    """Return each row's metadata with the image's path, if it has one, under "path"."""
    given: list[Any] = [None] * len(images)
    if metadata is not None:
        if isinstance(metadata, Mapping) or not isinstance(metadata, Iterable):
            raise InputError(f"metadata must have one dict per image: {len(images)} images.")
        given, _ = elements(metadata, "metadata")
    if len(given) != len(images):
        raise InputError(f"metadata must have one dict per image: {len(images)} images.")
    rows: list[dict[str, Any] | None] = []
    for image, own in zip(images, given, strict=True):
        if isinstance(own, Mapping | None) and isinstance(image, (str, PathLike)):
            rows.append({"path": str(fspath(image)), **(own or {})})
        else:
            rows.append(dict(own) if isinstance(own, Mapping) else own)  # add() refuses others
    return rows


def folder_entries(
    encoder: Encoder,
    folder: str | Path,
    *,
    names: Names,
    options: Mapping[str, Any],
) -> dict[str, Any]:
    """Embed the crops of a folder; return the arguments of ``add`` that enter them.

    People named by text keep that name as their pid, those named by a number get that number;
    the junk and distractor crops of a data set are no person: their pid is None.
    """
    from sanreid.datasets import read_crops  # noqa: PLC0415 - from a folder only

    crops = read_crops(as_path(folder, "a folder of crops"), names=names)
    paths = [Path(path) for path in crops.paths]
    if not paths:
        raise DatasetError(f"{folder} holds no crops.")
    result = encoder.encode_files(paths, **options)
    _warn_of(result.failures)
    kept = _rows_read(paths, result.paths)
    people = crops.people
    return {
        "embeddings": result.embeddings,
        "pids": [people[row] for row in kept],
        "camids": crops.camids[kept],
        "metadata": [{"path": str(paths[row])} for row in kept],
        "encoder_fingerprint": encoder.fingerprint,
    }
