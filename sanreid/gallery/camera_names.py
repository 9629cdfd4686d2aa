"""Cameras that have a name instead of a number.

A name stands for one number, the same in every gallery and far below all numbers that people give
to cameras, so that stores, indexes and rules know numbers only. The names themselves are kept with
the gallery's settings, and are put back wherever a gallery returns cameras.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from sanreid.gallery.results import Entry, SearchResult
from sanreid.gallery.store import Store
from sanreid.gallery.validation import Pid, camera_number
from sanreid.utils.arrays import plain_values

__all__ = ["keep_names", "named", "named_entries", "named_result", "read_names"]


def read_names(camids: Iterable[Any] | None) -> tuple[Iterable[Any] | None, dict[int, str]]:
    """Return camids, to be read again, and the names among them by their numbers."""
    if camids is None or (isinstance(camids, np.ndarray) and camids.dtype.kind in "iuf"):
        return camids, {}
    values = plain_values(camids, "camids")
    names = {str.__str__(value) for value in values if isinstance(value, str)}
    return values, {camera_number(name): name for name in names if name and not name.isdigit()}


def keep_names(store: Store, names: Mapping[int, str]) -> None:
    """Keep names with a store's settings, as durably as its entries."""
    if not names.keys() - store.settings.camera_names.keys():
        return
    store.change_settings(
        lambda settings: replace(settings, camera_names={**settings.camera_names, **names})
    )


def named(camids: Iterable[Pid], names: Mapping[int, str]) -> list[Pid]:
    """Return cameras as the caller named them."""
    return [names.get(one, one) if isinstance(one, int) else one for one in camids]


def named_entries(entries: list[Entry], names: Mapping[int, str]) -> list[Entry]:
    """Return entries with the names of their cameras."""
    if not names:
        return entries
    return [replace(one, camid=named([one.camid], names)[0]) for one in entries]


def named_result(result: SearchResult, names: Mapping[int, str]) -> SearchResult:
    """Return a result with the names of the hits' cameras."""
    if not names:
        return result
    camids = np.empty(result.camids.shape, dtype=object)
    camids.reshape(-1)[:] = named(result.camids.reshape(-1).tolist(), names)
    return replace(result, camids=camids)
