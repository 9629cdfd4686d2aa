"""One rule for who is who, the same for file names, folders and tables.

A person is named by a text. A text of digits is a number, ``-1`` is nobody. Where two texts of a
set are one number (``0007`` and ``7``), or a text is no number, the people of the set are
counted in the order of their names.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import count
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "JUNK",
    "MISSING",
    "NUMBER",
    "PersonNumbers",
    "are_numbers",
    "number_people",
    "people_of",
    "without_decimals",
]

NUMBER = re.compile(r"-1|[0-9]{1,18}")  # a person's name that is a pid; 18 digits fit in int64
JUNK = frozenset({"-1", "00-1"})  # texts that name nobody; the second is MARS's
MISSING = frozenset(  # what programs write for a value that is not there
    {"nan", "NaN", "NAN", "None", "null", "NULL", "<NA>", "NaT", "N/A", "n/a", "#N/A"}
)
_DECIMALS = re.compile(r"(-?[0-9]{1,18})\.0{1,6}")


class PersonNumbers(np.ndarray[Any, np.dtype[np.int64]]):
    """pids that stand for names in one set: person 0 of another set may be somebody else.

    :func:`sanreid.evaluate` compares such pids by their names. Arithmetic and copies into plain
    arrays lose the names.

    Attributes:
        person_names: The name of each pid.
    """

    person_names: Mapping[int, str]

    @classmethod
    def of(cls, pids: NDArray[np.int64], names: Mapping[int, str]) -> PersonNumbers:
        """Attach names to pids, without a copy."""
        named = pids.view(cls)
        named.person_names = names
        return named

    def __array_finalize__(self, source: object) -> None:
        self.person_names = getattr(source, "person_names", {})

    def __array_wrap__(
        self, array: NDArray[Any], context: object = None, return_scalar: object = False
    ) -> Any:  # noqa: ANN401 - an array or a number, as NumPy asks for
        """Return the result of arithmetic, which counts something else, without names."""
        plain = np.asarray(array)
        return plain[()] if return_scalar else plain

    def __reduce__(self) -> Any:  # noqa: ANN401 - as pickle asks for
        reduced: Any = super().__reduce__()
        build, arguments, state = reduced
        return build, arguments, (state, dict(self.person_names))

    def __setstate__(self, state: Any) -> None:  # noqa: ANN401 - as above
        values, self.person_names = state
        super().__setstate__(values)

    def people(self) -> list[int | str]:
        """Return each person as the number or name that other sets call them too."""
        who = people_of(self.person_names.values())
        return [
            who[self.person_names[pid]] if pid in self.person_names else pid
            for pid in self.tolist()
        ]


def without_decimals(text: str) -> str:
    """Return "7" for "7.0": a column of whole numbers with gaps is written so.

    >>> without_decimals("7.0"), without_decimals("7.5"), without_decimals("v7.0")
    ('7', '7.5', 'v7.0')
    """
    whole = _DECIMALS.fullmatch(text)
    return whole[1] if whole else text


def number_people(
    texts: Sequence[str], ignored_pids: Iterable[int] = (-1,)
) -> tuple[NDArray[np.int64], bool]:
    """Return (N,) pids of N names, and whether the people were counted.

    Args:
        texts: The name of each crop's person.
        ignored_pids: Numbers that are no person; counting leaves them out.
    """
    ignored = set(ignored_pids)
    numbers = dict.fromkeys(set(texts) & JUNK, -1)
    numbers |= {
        text: int(text) for text in set(texts) if NUMBER.fullmatch(text) and int(text) in ignored
    }
    people = sorted(set(texts) - set(numbers))
    counted = not are_numbers(people)
    if counted:
        free = (number for number in count() if number not in ignored)
        numbers |= dict(zip(people, free, strict=False))
    else:
        numbers |= {text: int(text) for text in people}
    return np.array([numbers[text] for text in texts], dtype=np.int64), counted


def are_numbers(people: Iterable[str]) -> bool:
    """Return whether every distinct name is a number of its own."""
    distinct = set(people)
    return len({int(text) for text in distinct if NUMBER.fullmatch(text)}) == len(distinct)


def people_of(texts: Iterable[str]) -> dict[str, int | str]:
    """Map each name to its number, or to itself where it has none of its own."""
    distinct = set(texts)
    number_of = {text: int(text) for text in distinct if NUMBER.fullmatch(text)}
    times = Counter(number_of.values())
    return {
        text: number_of[text] if text in number_of and times[number_of[text]] == 1 else text
        for text in distinct
    }
