"""The data sets by name, for configurations and command lines."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from sanreid.datasets.crops import CropSet, Dataset
from sanreid.datasets.cuhk03 import read_cuhk03
from sanreid.datasets.market1501 import read_market1501
from sanreid.datasets.msmt17 import read_msmt17
from sanreid.datasets.occluded import read_occluded_reid, read_partial_ilids, read_partial_reid
from sanreid.datasets.tables import read_folders, read_splits_csv
from sanreid.datasets.two_cameras import read_cuhk01, read_pku_reid, read_viper
from sanreid.errors import DatasetError, InputError

__all__ = ["DATASETS", "read_dataset", "read_split"]

DATASETS: Mapping[str, Callable[..., Dataset]] = MappingProxyType(
    {
        "market1501": read_market1501,
        "cuhk03": read_cuhk03,
        "msmt17": read_msmt17,
        "partial_reid": read_partial_reid,
        "partial_ilids": read_partial_ilids,
        "occluded_reid": read_occluded_reid,
        "cuhk01": read_cuhk01,
        "viper": read_viper,
        "pku_reid": read_pku_reid,
        "folders": read_folders,
        "csv": read_splits_csv,
    }
)


def read_dataset(
    name: str, root: str | Path, options: Mapping[str, Any] = MappingProxyType({})
) -> Dataset:
    """Read a data set by its name.

    Args:
        name: A key of :data:`DATASETS`.
        root: Where it lies: a folder, or the file for ``"csv"``.
        options: Keyword arguments of the reader, for example ``{"boxes": "detected"}``.

    Raises:
        InputError: The name or an option is unknown; names the nearest known one.
        DatasetError: The folder is not the data set, or not all of it.
    """
    if name not in DATASETS:
        raise InputError(_unknown(name, "data set", tuple(DATASETS)))
    reader = DATASETS[name]
    known = tuple(inspect.signature(reader).parameters)[1:]
    for option in options:
        if option not in known:
            raise InputError(_unknown(option, f"option of {name}", known))
    return reader(root, **options)


def read_split(
    name: str, root: str | Path, split: str = "train", options: Sequence[str] = ()
) -> CropSet:
    """Read one split of a data set, with options as a configuration file writes them.

    Args:
        name: As in :func:`read_dataset`.
        root: As in :func:`read_dataset`.
        split: ``"train"``, ``"query"`` or ``"gallery"``.
        options: Texts ``key=value``; a value is a whole number, ``true``, ``false``, ``none``
            or text: ``["boxes=detected", "split=3"]``.

    Raises:
        InputError: As in :func:`read_dataset`, or ``split`` or an option is malformed.
        DatasetError: As in :func:`read_dataset`, or the data set has no such split.
    """
    if split not in ("train", "query", "gallery"):
        raise InputError(f"split must be 'train', 'query' or 'gallery'; got {split!r}.")
    values: dict[str, Any] = {}
    for option in options:
        key, equals, text = option.partition("=")
        if not equals or not key.strip():
            raise InputError(f"An option is key=value, for example split=3; got {option!r}.")
        values[key.strip()] = _value(text.strip())
    crops: CropSet = getattr(read_dataset(name, root, values), split)
    if not len(crops):
        raise DatasetError(f"{name} in {root} has no {split} split with these options.")
    return crops


def _value(text: str) -> int | bool | str | None:
    words = {"true": True, "false": False, "none": None}
    if text.lower() in words:
        return words[text.lower()]
    return int(text) if text.removeprefix("-").isdecimal() else text


def _unknown(what: str, kind: str, known: tuple[str, ...]) -> str:
    near = difflib.get_close_matches(str(what), known, n=1, cutoff=0.5)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    return f"{what!r} is no {kind}.{hint} Known: {', '.join(known)}."
