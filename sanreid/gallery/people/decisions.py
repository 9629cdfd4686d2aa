"""What people decided about entries: same, different, name; read from JSON, applied whole.

A file of decisions::

    {
      "format": "sanreid-decisions",
      "version": 1,
      "decisions": [
        {"same": [3, 8, 12]},
        {"different": [9, 3]},
        {"name": "anna", "ids": [20, 21]}
      ],
      "paths": {"3": "crops/0003.jpg"}
    }

"paths" may be left out; entries whose picture has another path are refused, so that decisions
are not applied to another gallery by mistake. The page that ``sanreid gallery browse --clusters``
writes saves such files.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sanreid.errors import InputError, UnknownIdError
from sanreid.gallery.people.naming import Assignment, fresh_pids, new_name
from sanreid.gallery.store import Store
from sanreid.gallery.validation import Pid, as_ids
from sanreid.utils.arrays import shown
from sanreid.utils.paths import as_path

__all__ = ["FORMAT", "VERSION", "Decisions", "read_decisions", "resolved"]

FORMAT, VERSION = "sanreid-decisions", 1
_KINDS = ({"same"}, {"different"}, {"name", "ids"})
_MOST_BYTES = 200_000_000
_ID = re.compile(r"[0-9]{1,19}")  # of 64 bits


@dataclass(frozen=True, slots=True)
class Decisions:
    """Checked decisions, without contradictions.

    Attributes:
        groups: Entries that are one person each, with the name that was decided, None without
            one. No entry is in two of them.
        different: Pairs of entries that are two people.
        paths: The path of the picture of some entries, by id.
        count: How many decisions they were.
    """

    groups: list[tuple[list[int], Pid]]
    different: list[tuple[int, int]]
    paths: dict[int, str]
    count: int


def read_decisions(source: str | Path | Mapping[str, Any] | Decisions) -> Decisions:
    """Read and check decisions.

    Args:
        source: A JSON file, or its content; decisions that were read are returned.

    Raises:
        InputError: It cannot be read, is no file of decisions, or contradicts itself.
    """
    if isinstance(source, Decisions):
        return source
    if isinstance(source, Mapping):
        return _checked(source, "The decisions")
    path = as_path(source, "the path of a file of decisions")
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise InputError(f"{path} is too large for a file of decisions.")
        content = json.loads(path.read_bytes())
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}.") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is no file of decisions: it is not JSON ({error}).") from error
    return _checked(content, str(path))


def resolved(store: Store, decisions: Decisions) -> Assignment:
    """Return the person of every entry that the decisions are about.

    Raises:
        UnknownIdError: An entry is not in the gallery.
        InputError: An entry's picture has another path.
    """
    groups = [*decisions.groups]
    grouped = {number for members, _ in groups for number in members}
    pairs = [number for pair in decisions.different for number in pair]
    groups += [([number], None) for number in dict.fromkeys(pairs) if number not in grouped]
    ids = np.array([number for members, _ in groups for number in members], dtype=np.int64)
    try:
        entries = store.entries(ids)
    except UnknownIdError as error:
        raise UnknownIdError(f"{error} Are the decisions about this gallery?") from error
    for entry in entries:
        path = entry.metadata.get("path")
        if decisions.paths.get(entry.id, path) != path:
            raise InputError(
                f"Entry {entry.id} is {decisions.paths[entry.id]!r} in the decisions and {path!r} "
                "in this gallery: they are about another gallery, or its files have moved since."
            )
    before = {entry.id: entry.pid for entry in entries}
    leaving = {one for one, other in decisions.different if before[one] == before[other]}
    people = [
        name if name is not None else _most_frequent(members, before, leaving)
        for members, name in groups
    ]
    _part(groups, people, decisions.different)
    fresh = fresh_pids(store)
    taken = {name for _, name in groups}
    pids: list[Pid] = []
    for (members, _), person in zip(groups, people, strict=True):
        new = person is None
        pids += [next(n for n in fresh if n not in taken) if new else person] * len(members)
    return Assignment(ids, tuple(pids))


def _most_frequent(members: list[int], before: dict[int, Pid], leaving: set[int]) -> Pid:
    """Return the person whom most of the entries have; None if none has one that it keeps."""
    counts = Counter(
        (type(before[number]), before[number])
        for number in members
        if before[number] is not None and number not in leaving
    )
    return counts.most_common(1)[0][0][1] if counts else None


def _part(
    groups: list[tuple[list[int], Pid]], people: list[Pid], different: list[tuple[int, int]]
) -> None:
    """Take the person away from a group where it is that of a group it is different from."""
    group_of = {number: at for at, (members, _) in enumerate(groups) for number in members}
    for one, other in different:
        a, b = group_of[one], group_of[other]
        if people[a] is not None and _same(people[a], people[b]):
            people[b if groups[a][1] is not None else a] = None


def _same(one: Pid, other: Pid) -> bool:
    return (type(one), one) == (type(other), other)


def _checked(content: Any, where: str) -> Decisions:  # noqa: ANN401 - as read
    if not isinstance(content, Mapping) or content.get("format") != FORMAT:
        raise InputError(
            f'{where}: no file of decisions; a JSON object with "format": "{FORMAT}" is wanted.'
        )
    version = content.get("version")
    if version != VERSION or isinstance(version, bool):
        raise InputError(
            f"{where}: version {shown(version)} of decisions; this sanreid reads {VERSION}."
        )
    listed = content.get("decisions")
    if not isinstance(listed, list):
        raise InputError(f'{where}: "decisions" must be a list; got {shown(listed)}.')
    joined = _Joined()
    different: list[tuple[int, int]] = []
    for number, decision in enumerate(listed):
        at = f"{where}: decision {number}"
        match _kind(decision, at):
            case {"same": ids}:
                joined.join(_ids(ids, at), None, at)
            case {"name": name, "ids": ids}:
                joined.join(_ids(ids, at), _name(name, at), at)
            case {"different": ids}:
                pair = _ids(ids, at)
                if len(pair) != 2:
                    raise InputError(f"{at}: different takes two entries; got {shown(ids)}.")
                different.append((pair[0], pair[1]))
    for one, other in different:
        if joined.are_one(one, other):
            raise InputError(
                f"{where}: entries {one} and {other} are said to be one person and two."
            )
    return Decisions(joined.groups(), different, _paths(content, where), len(listed))


def _paths(content: Mapping[str, Any], where: str) -> dict[int, str]:
    paths = content.get("paths", {})
    if not isinstance(paths, Mapping):
        raise InputError(f'{where}: "paths" must be an object; got {shown(paths)}.')
    known = {}
    for number, path in paths.items():
        if not (isinstance(number, str) and _ID.fullmatch(number)):
            raise InputError(f'{where}: "paths" names entries by their ids; got {shown(number)}.')
        known[int(number)] = path
    return known


def _kind(decision: Any, at: str) -> Mapping[str, Any]:  # noqa: ANN401 - as read
    if not isinstance(decision, Mapping) or set(decision) not in _KINDS:
        raise InputError(
            f'{at} is {shown(decision)}; {{"same": ids}}, {{"different": [id, id]}} or '
            '{"name": person, "ids": ids} is wanted.'
        )
    return decision


def _ids(ids: Any, at: str) -> list[int]:  # noqa: ANN401 - as read
    """Return ids as a list without repetitions."""
    if not isinstance(ids, list) or not ids:
        raise InputError(f"{at}: a list of ids is wanted, not {shown(ids)}.")
    try:
        numbers: NDArray[np.int64] = as_ids(ids)
    except InputError as error:
        raise InputError(f"{at}: {error}") from None
    return list(dict.fromkeys(numbers.tolist()))


def _name(name: Any, at: str) -> Pid:  # noqa: ANN401 - as read
    try:
        return new_name(name, "name")
    except InputError as error:
        raise InputError(f"{at}: {error}") from None


class _Joined:
    """Entries that are one person, joined one decision after the other."""

    def __init__(self) -> None:
        self._parent: dict[object, object] = {}
        self._name: dict[object, Pid] = {}  # by root

    def join(self, ids: list[int], name: Pid, at: str) -> None:
        """Join entries, and all that have the name.

        Raises:
            InputError: They have another name already.
        """
        nodes: list[object] = [*ids] if name is None else [("name", type(name), name), *ids]
        first = self._root(nodes[0])
        if name is not None:
            self._name.setdefault(first, name)
        for node in nodes[1:]:
            root = self._root(node)
            if root == first:
                continue
            known = self._name.get(first), self._name.get(root)
            if known[0] is not None and known[1] is not None and not _same(*known):
                raise InputError(
                    f"{at}: entry {node} would be both {known[0]!r} and {known[1]!r}."
                )
            self._parent[root] = first
            if known[1] is not None:
                self._name[first] = known[1]

    def are_one(self, one: int, other: int) -> bool:
        """Return whether two entries were joined, or are one."""
        return self._root(one) == self._root(other)

    def groups(self) -> list[tuple[list[int], Pid]]:
        """Return the entries of each person with the name, in the order of the decisions."""
        members: dict[object, list[int]] = {}
        for node in [*self._parent]:
            root = self._root(node)
            known = members.setdefault(root, [])
            if isinstance(node, int):
                known.append(node)
        return [(ids, self._name.get(root)) for root, ids in members.items() if ids]

    def _root(self, node: object) -> object:
        self._parent.setdefault(node, node)
        while self._parent[node] != node:
            self._parent[node] = self._parent[self._parent[node]]
            node = self._parent[node]
        return node
