"""All data sets by name, for configurations and command lines: sanreid's and one's own."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

# Importing these registers them, in this order.
from sanreid.datasets.published.market1501 import read_market1501

from sanreid.datasets.published.cuhk03 import read_cuhk03  # isort: skip
from sanreid.datasets.published.msmt17 import read_msmt17  # isort: skip
from sanreid.datasets.published.partial_reid import read_partial_reid  # isort: skip
from sanreid.datasets.published.partial_ilids import read_partial_ilids  # isort: skip
from sanreid.datasets.published.occluded_reid import read_occluded_reid  # isort: skip
from sanreid.datasets.published.cuhk01 import read_cuhk01  # isort: skip
from sanreid.datasets.published.viper import read_viper  # isort: skip
from sanreid.datasets.published.pku_reid import read_pku_reid  # isort: skip
from sanreid.datasets.folders import read_folders  # isort: skip
from sanreid.datasets.csv import read_splits_csv  # isort: skip
from sanreid.datasets.crops import CropSet, Dataset
from sanreid.datasets.registry import REGISTERED, DatasetReader, register_dataset
from sanreid.errors import DatasetError, InputError
from sanreid.utils.arguments import check_choice

__all__ = [
    "DATASETS",
    "read_cuhk01",
    "read_cuhk03",
    "read_dataset",
    "read_folders",
    "read_market1501",
    "read_msmt17",
    "read_occluded_reid",
    "read_partial_ilids",
    "read_partial_reid",
    "read_pku_reid",
    "read_split",
    "read_splits_csv",
    "read_viper",
    "register_dataset",
]

DATASETS: Mapping[str, DatasetReader] = MappingProxyType(REGISTERED)


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
    if not isinstance(name, str) or name not in DATASETS:
        known = tuple(sorted(DATASETS, key=lambda one: one in ("folders", "csv")))  # those last
        raise InputError(_unknown(name, "data set", known))
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
    check_choice(split, "split", ("train", "query", "gallery"))
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
