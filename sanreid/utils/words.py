"""Words for people who read: numbers of things."""

from __future__ import annotations

__all__ = ["counted"]


def counted(number: int, one: str, many: str) -> str:
    """Return how many things there are.

    >>> counted(1, "person", "people"), counted(1500, "person", "people")
    ('1 person', '1,500 people')
    """
    return f"{number:,} {one if number == 1 else many}"
