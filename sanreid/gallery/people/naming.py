"""Giving people to entries: one durable change each, and what undoes it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sanreid.errors import InputError
from sanreid.gallery.filters import Leaf
from sanreid.gallery.store import EntryUpdate, Store
from sanreid.gallery.validation import Pid, as_ids, as_pids
from sanreid.utils.arrays import elements, shown
from sanreid.utils.words import counted

__all__ = ["Assignment", "assign", "fresh_pids", "merge", "new_name", "rename", "split"]

_LAST_PID = np.iinfo(np.int64).max


@dataclass(frozen=True, slots=True, eq=False)
class Assignment:
    """People of entries, to assign: what a change of people returns to undo it.

    Attributes:
        ids: (N,) int64, the entries.
        pids: N people, each an int, a str or None.
    """

    ids: NDArray[np.int64]
    pids: tuple[Pid, ...]

    def __len__(self) -> int:
        return len(self.ids)

    def __repr__(self) -> str:
        people = len({(type(pid), pid) for pid in self.pids if pid is not None})
        entries = counted(len(self), "entry", "entries")
        return f"<Assignment of {entries} to {counted(people, 'person', 'people')}>"


def assign(
    store: Store,
    ids: NDArray[np.int64],
    pids: Sequence[Pid],
    *,
    before: Sequence[Pid] | None = None,
) -> Assignment:
    """Assign people to entries; return the previous ones of the entries that changed.

    Args:
        store: The store.
        ids: (N,) int64, the entries.
        pids: N people for them.
        before: N people that they had when these were proposed; None: they are decided.

    Raises:
        UnknownIdError: An entry is not there any more; nothing is changed.
    """
    present = [entry.pid for entry in store.entries(ids)]
    if before is not None:
        pids = _updated(store, pids, before, present)
    changed = [
        row
        for row, (old, new) in enumerate(zip(present, pids, strict=True))
        if not _are_one(old, new)
    ]
    undo = Assignment(ids[changed], tuple(present[row] for row in changed))
    if changed:
        store.update(
            EntryUpdate(
                ids=undo.ids,
                embeddings=None,
                pids=[pids[row] for row in changed],
                camids=None,
                timestamps=None,
                metadata=None,
                encoder_fingerprint=None,
            )
        )
    return undo


def _updated(
    store: Store, pids: Sequence[Pid], before: Sequence[Pid], present: Sequence[Pid]
) -> list[Pid]:
    """Return the people of a proposal as the gallery is now.

    Entries that were given another person since keep it. A person who has been renamed is
    followed. A person, new or known, who is somebody else by now becomes a new one.

    Args:
        store: The store.
        pids: N people proposed for entries.
        before: N people that the entries had when the proposal was made.
        present: N people that they have.
    """
    now_of: dict[Pid, set[Pid]] = {}  # by person of then, whom their entries show now
    for old, now in zip(before, present, strict=True):
        now_of.setdefault(old, set()).add(now)
    holders = store.counts("pid")
    own = Counter(new for new, now in zip(pids, present, strict=True) if _are_one(new, now))
    proposed = dict.fromkeys(pids)
    fresh = (pid for pid in fresh_pids(store) if pid not in proposed)
    followed: dict[Pid, Pid] = {}
    for pid in proposed:
        who = now_of.get(pid, set())
        if pid is None or pid in who or (not who and holders.get(pid, 0) <= own[pid]):
            followed[pid] = pid
        elif len(who) == 1 and None not in who:
            (followed[pid],) = who
        else:
            followed[pid] = next(fresh)
    return [
        followed[new] if _are_one(now, old) else now
        for new, now, old in zip(pids, present, before, strict=True)
    ]


def _are_one(one: Pid, other: Pid) -> bool:
    return (type(one), one) == (type(other), other)


def merge(store: Store, pids: Any, into: Any) -> Assignment:  # noqa: ANN401 - as passed
    """Assign all entries of some people to one of them, or to another person.

    Raises:
        InputError: No people are named, or one of them has no entries.
    """
    if not isinstance(pids, Iterable) or isinstance(pids, (str, bytes)):
        raise InputError(f"pids must be a list of the people to merge; got {shown(pids)}.")
    listed = list(pids) if isinstance(pids, AbstractSet) else elements(pids, "pids")[0]
    people = as_pids(listed, len(listed))
    ids = [_entries_of(store, pid) for pid in people]
    if not ids:
        raise InputError("merge() needs at least one person.")
    one = new_name(into, "into")
    together = np.unique(np.concatenate(ids))
    return assign(store, together, [one] * len(together))


def split(store: Store, ids: Any, pid: Any) -> Assignment:  # noqa: ANN401 - as passed
    """Assign entries to another person; to a new one if ``pid`` is None.

    Raises:
        UnknownIdError: An id is not in the gallery.
        InputError: No ids are given, or the person has entries already.
    """
    which = np.unique(as_ids(ids))
    if not len(which):
        raise InputError("split() needs the ids of the entries that are another person.")
    person = next(fresh_pids(store)) if pid is None else new_name(pid, "pid")
    _check_free(store, person, which, "Use update() to give entries to a person who is there.")
    return assign(store, which, [person] * len(which))


def rename(store: Store, pid: Any, to: Any) -> Assignment:  # noqa: ANN401 - as passed
    """Rename a person in all of their entries.

    Raises:
        InputError: The person has no entries, or the name is another person's.
    """
    old, new = _person(pid, "pid"), new_name(to, "to")
    ids = _entries_of(store, old)
    _check_free(store, new, ids, "Use merge() to join two people.")
    return assign(store, ids, [new] * len(ids))


def fresh_pids(store: Store) -> Iterator[int]:
    """Yield pids that nobody has: the numbers after the highest, then those left below it."""
    taken = {pid for pid in store.counts("pid") if isinstance(pid, int)}
    highest = max([0, *taken])
    yield from range(highest + 1, _LAST_PID + 1)
    yield from (pid for pid in range(1, highest) if pid not in taken)


def new_name(pid: Any, name: str) -> Pid:  # noqa: ANN401 - as passed
    """Return a person's new name; a text needs a character that can be seen.

    Raises:
        InputError: It is no person, or empty.
    """
    person = _person(pid, name)
    if isinstance(person, str) and not person.strip():
        raise InputError(f"{name} must be an int or a text that is not empty; got {person!r}.")
    return person


def _person(pid: Any, name: str) -> Pid:  # noqa: ANN401 - as passed
    (person,) = as_pids([pid], 1, name=name)
    if person is None:
        raise InputError(f"{name} must be a person, an int or a str; got None.")
    return person


def _entries_of(store: Store, pid: Pid) -> NDArray[np.int64]:
    ids = store.select(Leaf("pid", "$eq", pid)) if pid is not None else np.empty(0, np.int64)
    if not len(ids):
        raise InputError(f"The gallery has no entries of the person {pid!r}.")
    return ids


def _check_free(store: Store, pid: Pid, ids: NDArray[np.int64], advice: str) -> None:
    """Raise InputError if other entries than ``ids`` are of this person."""
    others = np.setdiff1d(store.select(Leaf("pid", "$eq", pid)), ids)
    if len(others):
        raise InputError(f"The person {pid!r} has {len(others)} other entries already. {advice}")
