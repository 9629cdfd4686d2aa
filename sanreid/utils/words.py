"""Words for people who read: numbers of things, and times."""

from __future__ import annotations

__all__ = ["counted", "duration"]


def counted(number: int, one: str, many: str) -> str:
    """Return how many things there are.

    >>> counted(1, "person", "people"), counted(1500, "person", "people")
    ('1 person', '1,500 people')
    """
    return f"{number:,} {one if number == 1 else many}"


def duration(seconds: float) -> str:
    """Return a time in the units that people plan with.

    >>> duration(41), duration(61), duration(9000), duration(200_000)
    ('41 s', '1 min', '2 h 30 min', '2 days 8 h')
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    if minutes < 48 * 60:
        return f"{minutes // 60} h {minutes % 60} min"
    hours = round(seconds / 3600)
    return f"{hours // 24} days {hours % 24} h"
