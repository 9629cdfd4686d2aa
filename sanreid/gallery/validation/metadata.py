"""Metadata as JSON, one object per row."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

import numpy as np

from sanreid.errors import InputError
from sanreid.utils.arrays import as_array, listed, plain, shown_with_type

__all__ = ["as_metadata"]

_MAX_DEPTH = 100  # of metadata: a reader's own calls may stand deep when it is parsed
_JSON = json.JSONEncoder(allow_nan=False, ensure_ascii=False, separators=(",", ":"))


def as_metadata(metadata: Any, count: int) -> list[bytes]:  # noqa: ANN401 - as passed
    """Return one UTF-8 JSON object per row; no metadata is the empty string of bytes.

    What is kept is a copy: later changes of the caller's dicts change nothing here. Paths are
    kept as text, scalars and arrays of NumPy and tensors as numbers and lists.
    """
    if isinstance(metadata, Mapping):
        raise InputError("metadata must be one dict per row: pass a list of dicts, not one dict.")
    rows = []
    for row, value in enumerate(listed(metadata, count, "metadata")):
        if plain(value) is None:
            rows.append(b"")
            continue
        if not isinstance(value, Mapping):
            raise InputError(
                f"metadata must be a dict or None; row {row} is {shown_with_type(value)}."
            )
        try:
            fields = _as_json(value, row, 0)
            rows.append(_JSON.encode(fields).encode("utf-8") if fields else b"")
        except (TypeError, ValueError, RecursionError) as error:
            if isinstance(error, InputError):
                raise
            raise InputError(
                f"metadata of row {row} cannot be kept as JSON ({error}). Use str, int, finite "
                "float, bool, None, paths, and lists and dicts of them."
            ) from error
    return rows


def _as_json(value: Any, row: int, depth: int, under: str = "") -> Any:  # noqa: ANN401 - any JSON value
    """Return a value as JSON has it; the encoder refuses what is left of other kinds.

    JSON would silently turn the key 1 into "1": it is refused, and so is deep nesting, which is
    hard to read back.
    """
    if depth > _MAX_DEPTH:
        raise InputError(
            f"metadata of row {row} cannot be kept: it is nested more than {_MAX_DEPTH} deep."
        )
    if isinstance(value, Mapping):
        fields = {}
        for key, inner in value.items():
            if not isinstance(key, str):
                raise InputError(
                    f"metadata keys must be str; row {row} has the key {shown_with_type(key)}."
                )
            fields[key] = _as_json(inner, row, depth + 1, key)
        return fields
    if isinstance(value, (list, tuple)):
        return [_as_json(inner, row, depth + 1, under) for inner in value]
    if isinstance(value, PurePath):
        return str(value)
    value = plain(value)
    if isinstance(value, float) and not math.isfinite(value):
        raise InputError(
            f"metadata of row {row} cannot be kept as JSON: {under!r} is {value}. Pass None for a "
            "missing value."
        )
    array = None if isinstance(value, np.datetime64) else as_array(value, "metadata")
    return value if array is None or array.dtype.kind not in "biufU" else array.tolist()
