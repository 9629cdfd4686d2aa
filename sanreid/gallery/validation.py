"""Read what callers pass to a gallery: check it and bring it to one form.

Every function here either returns clean columns or raises :class:`InputError` naming the first
row that is wrong, so that a gallery is only ever touched by rows that are all good.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sanreid.errors import GalleryError, InputError

__all__ = [
    "NO_CAMID",
    "Pid",
    "as_camids",
    "as_count",
    "as_embeddings",
    "as_fingerprint",
    "as_ids",
    "as_metadata",
    "as_new_ids",
    "as_number",
    "as_pids",
    "as_timestamps",
    "camids_or_none",
    "check_encoder",
]

Pid = int | str | None

INT64 = np.iinfo(np.int64)
NO_CAMID = int(INT64.min)  # stands for None in a camid column
_CHUNK_NUMBERS = 1 << 17  # normalised at a time: the float64 copy stays in the cache
_MAX_DEPTH = 100  # of metadata: a reader's own calls may stand deep when it is parsed
_JSON = json.JSONEncoder(allow_nan=False, ensure_ascii=False, separators=(",", ":"))


def as_count(value: Any, name: str) -> int:  # noqa: ANN401 - whatever the caller passed
    """Return ``value`` as an int of at least 1."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, np.integer)):
        raise InputError(f"{name} must be an int of at least 1; got {_short(value)}.")
    if value < 1:
        raise InputError(f"{name} must be at least 1; got {value}.")
    return int(value)


def as_embeddings(embeddings: ArrayLike, dim: int, *, name: str) -> NDArray[np.float32]:
    """Return (N, dim) float32 rows of L2 norm 1; one vector alone is one row.

    Norms are taken in float64, so that neither huge nor tiny rows overflow or vanish.

    Raises:
        InputError: Not numbers, another number of dimensions, or a row that is zero or not finite.
    """
    try:
        rows = np.asarray(embeddings)
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"{name} cannot be read as an (N, {dim}) array: {error}") from error
    if rows.size == 0 and rows.ndim == 1:
        rows = np.empty((0, dim), dtype=np.float32)
    if rows.dtype.kind not in "fiu":
        raise InputError(
            f"{name} must be numbers, an (N, {dim}) float array; got dtype {rows.dtype}."
        )
    if rows.ndim == 1:
        rows = rows[None, :]
    if rows.ndim != 2:
        raise InputError(f"{name} must have shape (N, {dim}); got {rows.shape}.")
    if rows.shape[1] != dim:
        raise InputError(
            f"{name} have {rows.shape[1]} dimensions, this gallery has {dim}. "
            "Were they made by another encoder?"
        )
    normalised = np.empty(rows.shape, dtype=np.float32)
    step = max(1, _CHUNK_NUMBERS // dim)
    for start in range(0, len(rows), step):
        with np.errstate(over="ignore", invalid="ignore", under="ignore"):
            part = rows[start : start + step].astype(np.float64)
            norms = np.sqrt(np.einsum("ij,ij->i", part, part))
            odd = ~((norms > 1e-150) & (norms < 1e150))
            if odd.any():
                norms[odd] = _odd_norms(part, odd, start, name)
            part /= norms[:, None]
        normalised[start : start + step] = part
    return normalised


def _odd_norms(
    part: NDArray[np.float64], odd: NDArray[np.bool_], start: int, name: str
) -> NDArray[np.float64]:
    """Norms of rows whose plain sum of squares left float64; scales ``part`` in place."""
    for row in np.flatnonzero(odd):
        if not np.isfinite(part[row]).all():
            raise InputError(f"Row {start + row} of {name} holds NaN or infinity.")
        largest = np.abs(part[row]).max()
        if largest == 0:
            raise InputError(
                f"Row {start + row} of {name} is all zeros and has no direction to compare."
            )
        part[row] /= largest
    norms: NDArray[np.float64] = np.linalg.norm(part[odd], axis=1)
    return norms


def as_pids(pids: Iterable[Any] | None, count: int, *, name: str = "pids") -> list[Pid]:
    """Return ``count`` pids, each an int, a str or None; 7 and "7" stay different people."""
    values = _column(pids, count, name)
    if isinstance(pids, np.ndarray) and pids.dtype.kind == "i" and INT64.min not in pids:
        return values
    for row, value in enumerate(values):
        if value is None or type(value) is str:
            continue
        if type(value) is int:
            _check_int64(value, row, name)
        elif isinstance(value, (int, np.integer)) and not isinstance(value, bool):
            values[row] = _check_int64(int(value), row, name)
        elif isinstance(value, str):
            values[row] = str.__str__(value)  # its own characters: str(member) names an Enum's
        else:
            raise InputError(
                f"{name} must be int, str or None; row {row} is {_short(value)}"
                f" of type {type(value).__name__}."
            )
    return values


def as_camids(
    camids: Iterable[Any] | None, count: int, *, name: str = "camids"
) -> NDArray[np.int64]:
    """Return (count,) int64 camids; None becomes :data:`NO_CAMID`."""
    if isinstance(camids, np.ndarray) and camids.dtype.kind == "i" and camids.shape == (count,):
        column = camids.astype(np.int64)
        if not (column == NO_CAMID).any():
            return column
    values = _column(camids, count, name)
    column = np.full(count, NO_CAMID, dtype=np.int64)
    for row, value in enumerate(values):
        if value is None:
            continue
        if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, np.integer)):
            raise InputError(
                f"{name} must be int or None; row {row} is {_short(value)}"
                f" of type {type(value).__name__}."
            )
        column[row] = _check_int64(int(value), row, name)
    return column


def camids_or_none(camids: NDArray[np.int64]) -> list[Pid]:
    """Return a camid column as the caller knows it: None where there is no camera."""
    return [None if camid == NO_CAMID else camid for camid in camids.tolist()]


def as_timestamps(timestamps: Iterable[Any] | None, count: int) -> NDArray[np.float64]:
    """Return (count,) float64 seconds; None becomes NaN, a given NaN is refused."""
    values = _column(timestamps, count, "timestamps")
    column = np.full(count, np.nan)
    for row, value in enumerate(values):
        if value is None:
            continue
        number = isinstance(value, (int, float, np.integer, np.floating))
        if isinstance(value, bool) or not number or not _finite(value):
            raise InputError(
                "timestamps must be finite seconds (float) or None; "
                f"row {row} is {_short(value)} of type {type(value).__name__}."
            )
        column[row] = float(value)
    return column


def as_metadata(metadata: Any, count: int) -> list[bytes]:  # noqa: ANN401 - as passed
    """Return one UTF-8 JSON object per row; no metadata is the empty string of bytes.

    What is kept is a copy: later changes of the caller's dicts change nothing here.
    """
    if isinstance(metadata, Mapping):
        raise InputError("metadata must be one dict per row: pass a list of dicts, not one dict.")
    rows = []
    for row, value in enumerate(_column(metadata, count, "metadata")):
        if value is None:
            rows.append(b"")
            continue
        if not isinstance(value, dict):
            raise InputError(
                f"metadata must be a dict or None; row {row} is {_short(value)}"
                f" of type {type(value).__name__}."
            )
        if not value:
            rows.append(b"")
            continue
        try:
            _check_keys(value, row)
            rows.append(_JSON.encode(value).encode("utf-8"))
        except (TypeError, ValueError, RecursionError) as error:
            if isinstance(error, InputError):
                raise
            raise InputError(
                f"metadata of row {row} cannot be kept as JSON ({error}). Use str, int, finite "
                "float, bool, None, and lists and dicts of them."
            ) from error
    return rows


def as_ids(ids: Any) -> NDArray[np.int64]:  # noqa: ANN401 - as passed
    """Return (N,) int64 ids; one int alone is one id."""
    if isinstance(ids, (int, np.integer)):
        ids = [ids]
    if isinstance(ids, np.ndarray) and ids.ndim == 1 and ids.dtype.kind == "i":
        column = ids.astype(np.int64)
    else:
        values = _listed(ids, "ids")
        column = np.empty(len(values), dtype=np.int64)
        for row, value in enumerate(values):
            if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, np.integer)):
                raise InputError(
                    f"ids must be ints; row {row} is {_short(value)}"
                    f" of type {type(value).__name__}."
                )
            column[row] = _check_int64(int(value), row, "ids")
    return column


def as_new_ids(ids: Any) -> NDArray[np.int64]:  # noqa: ANN401 - as passed
    """Return (N,) int64 ids that entries may have, each at least 0."""
    column = as_ids(ids)
    if len(column) and column.min() < 0:
        row = int(np.flatnonzero(column < 0)[0])
        raise InputError(f"ids must be at least 0; row {row} is {column[row]}.")
    return column


def as_number(value: Any, name: str) -> float:  # noqa: ANN401 - as passed
    """Return ``value`` as a finite float."""
    number = isinstance(value, (int, float, np.integer, np.floating))
    if isinstance(value, bool) or not number or not _finite(value):
        raise InputError(f"{name} must be a finite number; got {_short(value)}.")
    return float(value)


def as_fingerprint(fingerprint: Any) -> str | None:  # noqa: ANN401 - as passed
    """Return the fingerprint, a non-empty str or None."""
    if fingerprint is not None and (not isinstance(fingerprint, str) or not fingerprint):
        raise InputError(
            f"encoder_fingerprint must be a non-empty str or None; got {_short(fingerprint)}."
        )
    return fingerprint


def check_encoder(known: str | None, fingerprint: str | None) -> None:
    """Refuse embeddings of another encoder than the known one; None says nothing.

    Raises:
        GalleryError: Both are given and differ.
    """
    if fingerprint is not None and known is not None and fingerprint != known:
        raise GalleryError(
            f"This gallery holds embeddings of the encoder {known[:12]}; these come from "
            f"{fingerprint[:12]}. Embeddings of two encoders cannot be compared: use the same "
            "weights, or build another gallery."
        )


def _column(values: Any, count: int, name: str) -> list[Any]:  # noqa: ANN401 - as passed
    if values is None:
        return [None] * count
    listed = _listed(values, name)
    if len(listed) != count:
        raise InputError(
            f"{name} must have one value per row: {count} rows, {len(listed)} values."
        )
    return listed


def _listed(values: Any, name: str) -> list[Any]:  # noqa: ANN401 - as passed
    if isinstance(values, (str, bytes, Mapping)) or not isinstance(values, (Iterable, Sequence)):
        raise InputError(
            f"{name} must be a sequence with one value per row; got {_short(values)}"
            f" of type {type(values).__name__}."
        )
    if isinstance(values, np.ndarray):
        if values.ndim != 1:
            raise InputError(f"{name} must have one dimension; got shape {values.shape}.")
        return values.tolist()  # type: ignore[no-any-return] # a list, because ndim is 1
    return list(values)


def _finite(value: Any) -> bool:  # noqa: ANN401 - a number
    try:
        return math.isfinite(value)
    except OverflowError:  # an int beyond all floats
        return False


def _check_int64(value: int, row: int, name: str) -> int:
    if not INT64.min < value <= INT64.max:
        raise InputError(f"{name} must fit in 64 bits; row {row} is {value}.")
    return value


def _check_keys(value: Any, row: int, depth: int = 0) -> None:  # noqa: ANN401 - any JSON value
    """JSON would silently turn the key 1 into "1"; we refuse it, and what is hard to read back."""
    if depth > _MAX_DEPTH:
        raise InputError(
            f"metadata of row {row} cannot be kept: it is nested more than {_MAX_DEPTH} deep."
        )
    if isinstance(value, dict):
        for key, inner in value.items():
            if not isinstance(key, str):
                raise InputError(
                    f"metadata keys must be str; row {row} has the key {_short(key)}"
                    f" of type {type(key).__name__}."
                )
            _check_keys(inner, row, depth + 1)
    elif isinstance(value, (list, tuple)):
        for inner in value:
            _check_keys(inner, row, depth + 1)


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
