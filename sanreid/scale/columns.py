"""Columns of Arrow tables: images out of them, embeddings into them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sanreid.errors import InputError
from sanreid.utils.shards import load_pyarrow

__all__ = ["embeddings_column", "embeddings_of", "holds_paths", "images_of"]


def images_of(column: Any, name: str) -> list[object]:  # noqa: ANN401 - a pyarrow array
    """Return the images of a column, in order: paths, bytes or arrays; None for nulls.

    Args:
        column: A ``pyarrow.Array`` or ``ChunkedArray`` of text (paths), binary (image files) or
            tensors: those of Arrow, and those of Ray, of one shape or several.
        name: Of the column, for messages.

    Raises:
        InputError: The column holds something else.
    """
    pyarrow = load_pyarrow("pyarrow")
    kind, types = column.type, pyarrow.types
    if types.is_null(kind) or holds_paths(column) or _is_binary(kind):
        return list(column.to_pylist())
    if not isinstance(kind, pyarrow.BaseExtensionType):
        raise InputError(
            f"The column {name!r} holds {kind}; wanted paths (string), image files (binary) or "
            "tensors of shape (H, W, 3) or (H, W)."
        )
    chunks = column.chunks if isinstance(column, pyarrow.ChunkedArray) else [column]
    return [image for chunk in chunks for image in _tensors(chunk)]


def holds_paths(column: Any) -> bool:  # noqa: ANN401 - a pyarrow array
    """Return whether a column is text."""
    types = load_pyarrow("pyarrow.types")
    return bool(types.is_string(column.type) or types.is_large_string(column.type))


def embeddings_column(
    rows: NDArray[np.float32],
    known: Sequence[bool],
) -> Any:  # noqa: ANN401 - a pyarrow.ListArray
    """Return a column ``list<float32>``, null where there is no embedding.

    Args:
        rows: (M, D), the embeddings of the M rows that have one, in order.
        known: (N,) of them M true.
    """
    pyarrow = load_pyarrow("pyarrow")
    has_one = np.asarray(known, dtype=bool)
    offsets = np.concatenate(([0], np.cumsum(has_one * rows.shape[1])))
    return pyarrow.ListArray.from_arrays(
        pyarrow.array(offsets, type=pyarrow.int32()),
        pyarrow.array(rows.ravel()),
        mask=pyarrow.array(~has_one),
    )


def embeddings_of(column: Any, dim: int) -> NDArray[np.float32]:  # noqa: ANN401 - a pyarrow array
    """Return the embeddings of a column, (M, D), nulls left out."""
    pyarrow = load_pyarrow("pyarrow")
    chunks = column.chunks if isinstance(column, pyarrow.ChunkedArray) else [column]
    values = [chunk.flatten().to_numpy(zero_copy_only=False) for chunk in chunks]
    flat = np.concatenate(values) if values else np.empty(0, np.float32)
    return flat.astype(np.float32, copy=False).reshape(-1, dim)


def _is_binary(kind: Any) -> bool:  # noqa: ANN401 - a pyarrow.DataType
    types = load_pyarrow("pyarrow.types")
    return bool(types.is_binary(kind) or types.is_large_binary(kind))


def _tensors(chunk: Any) -> list[object]:  # noqa: ANN401 - a pyarrow.ExtensionArray
    known = chunk.is_valid().to_pylist()
    if not all(known):  # only the rows that have one can be laid out as arrays
        found = iter(_tensors(chunk.filter(chunk.is_valid())))
        return [next(found) if is_known else None for is_known in known]
    if hasattr(chunk, "to_numpy_ndarray"):  # Arrow's own
        return list(chunk.to_numpy_ndarray())
    return list(chunk.to_numpy(zero_copy_only=False))
