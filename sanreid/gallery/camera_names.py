"""The names of a gallery's cameras, kept with its settings.

They are put back wherever a gallery returns cameras; see :mod:`sanreid.datasets.cameras`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from sanreid.datasets.cameras import named
from sanreid.gallery.results import Entry, SearchResult

__all__ = ["named_entries", "named_result"]


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
