"""One person of a gallery: where and when they were seen, and the crop that shows them best."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sanreid.datasets.cameras import in_order, named
from sanreid.errors import InputError
from sanreid.gallery.camera_means import normalized
from sanreid.gallery.camera_names import named_entries
from sanreid.gallery.filters import Leaf
from sanreid.gallery.results import Entry
from sanreid.gallery.store import Store
from sanreid.gallery.validation import NO_CAMID, Pid, as_pids

__all__ = ["Person", "person_of"]


@dataclass(frozen=True, slots=True, eq=False)
class Person:
    """What a gallery knows of one person.

    Attributes:
        pid: The person.
        ids: (N,) int64, the entries, rising.
        camids: The cameras, numbers rising, then names.
        first_seen: The earliest timestamp, seconds; None where none is known.
        last_seen: The latest, likewise.
        best: The entry closest to the mean of all: the most typical crop.
    """

    pid: Pid
    ids: NDArray[np.int64]
    camids: tuple[int | str, ...]
    first_seen: float | None
    last_seen: float | None
    best: Entry

    def __len__(self) -> int:
        return len(self.ids)


def person_of(store: Store, pid: Any) -> Person:  # noqa: ANN401 - as passed
    """Return what a store knows of a person.

    Raises:
        InputError: Nobody is called that.
    """
    (name,) = as_pids([pid], 1, name="pid")
    ids = np.empty(0, np.int64) if name is None else store.select(Leaf("pid", "$eq", name))
    if not len(ids):
        raise InputError(f"The gallery has no entries of the person {name!r}.")
    entries = store.entries(ids)
    camids = np.array([NO_CAMID if one.camid is None else one.camid for one in entries])
    rows = np.stack([one.embedding for one in entries])
    rows = normalized(rows, camids, store.settings.camera_normalizer)
    names, seen = store.settings.camera_names, {one.camid for one in entries}
    times = [one.timestamp for one in entries if one.timestamp is not None]
    return Person(
        pid=name,
        ids=ids,
        camids=in_order(named(seen, names)),
        first_seen=min(times, default=None),
        last_seen=max(times, default=None),
        best=named_entries([entries[int(np.argmax(rows @ rows.mean(axis=0)))]], names)[0],
    )
