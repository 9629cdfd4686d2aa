"""Entries from and to tables of pandas."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

from sanreid.datasets.cameras import named
from sanreid.errors import InputError
from sanreid.gallery.store import Store
from sanreid.gallery.validation import camids_or_none, plain
from sanreid.utils.arrays import as_array, shown
from sanreid.utils.extras import require_extra

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["columns_of", "to_frame"]

_BATCH = 8192
_COLUMNS = {"pids": "pid", "camids": "camid", "timestamps": "timestamp", "ids": "id"}
_RESERVED = (*_COLUMNS.values(), "embedding")  # names that a metadata key cannot have in a table


def columns_of(frame: Any, embedding: str) -> dict[str, Any]:  # noqa: ANN401 - as passed
    """Return the arguments of ``add`` that a table holds.

    Raises:
        InputError: Not a table, or one without the column of embeddings.
    """
    if not hasattr(frame, "columns") or not hasattr(frame, "to_dict"):
        raise InputError(f"frame must be a pandas DataFrame; got {type(frame).__name__}.")
    names = list(frame.columns)
    if len(set(map(str, names))) < len(names):
        raise InputError("Two columns of the frame have one name.")
    if embedding not in names:
        raise InputError(
            f"The frame has no column {shown(embedding)} of embeddings; its columns are "
            f"{', '.join(map(str, names)) or 'none'}."
        )
    rows = [as_array(value, embedding) for value in frame[embedding]]
    columns: dict[str, Any] = {
        "embeddings": [
            value if row is None else row
            for value, row in zip(frame[embedding], rows, strict=True)
        ]
    }
    columns |= {name: frame[label] for name, label in _COLUMNS.items() if label in names}
    others = [name for name in names if name not in (embedding, *_COLUMNS.values())]
    columns["metadata"] = [
        {
            _key(str(name)): value
            for name, value in zip(others, values, strict=True)
            if not _is_missing(value)
        }
        for values in (zip(*(frame[name] for name in others), strict=True) if others else ())
    ] or None
    return columns


def _key(label: str) -> str:
    """Return the metadata key of a column: ``metadata.pid`` stands for one that is named pid."""
    key = label.removeprefix("metadata.")
    return key if key in _RESERVED else label


def _is_missing(value: Any) -> bool:  # noqa: ANN401 - any value
    value = plain(value)
    return value is None or (isinstance(value, float) and np.isnan(value))


def to_frame(store: Store, *, embeddings: bool) -> pd.DataFrame:
    """Return one row per entry: its columns, its embedding if wanted, its metadata flattened."""
    pandas: Any = require_extra("pandas", purpose="to_pandas()", install="sanreid[viz]")
    ids: list[int] = []
    pids: list[Any] = []
    camids: list[Any] = []
    seconds: list[float] = []
    rows: list[Any] = []
    metadata: list[dict[str, Any]] = []
    for batch in store.scan(_BATCH):
        assert batch.ids is not None  # noqa: S101 - stored entries have ids
        ids += batch.ids.tolist()
        pids += batch.pids
        camids += named(camids_or_none(batch.camids), store.settings.camera_names)
        seconds += batch.timestamps.tolist()
        rows += list(batch.embeddings) if embeddings else []
        metadata += [_flattened(json.loads(raw)) if raw else {} for raw in batch.metadata]
    columns: dict[str, Any] = {
        "id": pandas.Series(ids, dtype="int64"),
        "pid": pandas.Series(pids, dtype=object),  # pandas would make 7 and None 7.0 and NaN
        "camid": pandas.Series(camids, dtype=object),
        "timestamp": pandas.Series(seconds, dtype="float64"),
    }
    if embeddings:
        columns["embedding"] = pandas.Series(rows, dtype=object)
    for key in dict.fromkeys(key for fields in metadata for key in fields):
        label = f"metadata.{key}" if key in _RESERVED else key
        column = pandas.Series([fields.get(key) for fields in metadata], dtype=object)
        kinds = {type(value) for value in column}
        # beside a float or a missing value pandas would make an int a float, and lose digits
        mixed = int in kinds and (float in kinds or column.isna().any())
        columns[label] = column if mixed else column.infer_objects()
    frame: pd.DataFrame = pandas.DataFrame(columns)
    return frame


def _flattened(fields: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested dicts as one, the keys of a path joined by dots as filters name them."""
    flat: dict[str, Any] = {}
    for key, value in fields.items():
        if isinstance(value, dict) and value:
            flat |= _flattened(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat
