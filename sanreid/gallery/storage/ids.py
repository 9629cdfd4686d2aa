"""Checks of ids that every store makes: those to change are there, those to add are not."""

from __future__ import annotations

from collections.abc import Container

import numpy as np
from numpy.typing import NDArray

from sanreid.errors import InputError, UnknownIdError

__all__ = ["check_distinct", "check_free", "check_known"]


def check_known(ids: NDArray[np.int64], known: Container[int]) -> None:
    """Raise UnknownIdError if one of the ids is not known."""
    unknown = [number for number in ids.tolist() if number not in known]
    if unknown:
        shown = ", ".join(map(str, unknown[:5])) + (", ..." if len(unknown) > 5 else "")
        raise UnknownIdError(
            f"The gallery has no entry {shown} ({len(unknown)} of {len(ids)} ids are "
            "unknown). Nothing was changed."
        )


def check_distinct(ids: NDArray[np.int64]) -> None:
    """Raise InputError if an id is given twice."""
    values, counts = np.unique(ids, return_counts=True)
    if len(values) < len(ids):
        raise InputError(f"ids must differ; {values[counts > 1][0]} is given more than once.")


def check_free(ids: NDArray[np.int64], taken: Container[int]) -> None:
    """Raise InputError if an id is taken."""
    for number in ids.tolist():
        if number in taken:
            raise InputError(
                f"The id {number} is in the gallery already. Use update() to change it."
            )
