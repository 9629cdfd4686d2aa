"""Measuring without cameras: frames of a person that are nearly the same picture, as groups.

A person's crops from one passage before a camera are near duplicates: to find one by another says
little. Where the cameras are unknown, such groups stand in for them: given as camids, each
query's own group is left out of its ranking, as the Market-1501 rule leaves out its own camera.

The groups should come from the pixels and not from the embeddings that are measured, or the
encoder would choose its own exam.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sanreid.errors import InputError
from sanreid.metrics.checks import as_array
from sanreid.metrics.labels import as_pids
from sanreid.metrics.vectors import unit_rows
from sanreid.utils.arguments import as_fraction

__all__ = ["group_near_duplicates"]

_ROWS_AT_A_TIME = 256  # bounds the memory: that many similarities per crop of one person


def group_near_duplicates(
    pictures: ArrayLike, pids: ArrayLike, *, min_similarity: float = 0.9
) -> NDArray[np.int64]:
    """Put crops of one person that look nearly alike into one group.

    Two crops are in one group where a chain of the person's crops leads from one to the other,
    each at least ``min_similarity`` like the next.

    Args:
        pictures: (N, ...) small pictures, for example (N, 16, 8, 3), or any vectors (N, D). The
            similarity is the correlation of two of them: brightness and contrast do not count.
        pids: (N,) int or str, 7 and "7" are two people; crops of different people are never in
            one group.
        min_similarity: Between 0 and 1.

    Returns:
        (N,) int64 groups from 0, numbered by their first crop.

    Raises:
        InputError: Not one pid, an int or a str, per picture, a picture with NaN or without
            numbers, or a similarity out of range.

    >>> pictures = [[0, 1, 2], [0, 1, 2.1], [2, 1, 0], [0, 1, 2]]
    >>> group_near_duplicates(pictures, ["anna", "anna", "anna", "bert"])
    array([0, 0, 1, 2])
    """
    min_similarity = as_fraction(min_similarity, "min_similarity")
    rows = as_array(pictures, "pictures")
    if rows.ndim < 2 or rows.dtype.kind not in "fiu" or (len(rows) and not rows.size):
        raise InputError(
            "pictures are an array (N, ...) of numbers, at least one in each; "
            f"got shape {rows.shape} of {rows.dtype}."
        )
    people: dict[int | str, list[int]] = {}
    for row, pid in enumerate(as_pids(pids, len(rows), "pids").tolist()):
        people.setdefault(pid, []).append(row)
    if not len(rows):
        return np.zeros(0, dtype=np.int64)
    values = rows.reshape(len(rows), -1)
    is_plain = (values == values[:, :1]).all(axis=1)  # before the mean, which is rounded
    flat = (values - values.mean(axis=1, keepdims=True, dtype=np.float64)).astype(np.float32)
    flat[is_plain] = 1  # a picture of one color resembles only others of one color
    unit = unit_rows(flat, "pictures")
    groups = np.full(len(rows), -1, dtype=np.int64)
    for own in people.values():
        groups[own] = groups.max() + 1 + _components(unit[own], min_similarity)
    _, first, number = np.unique(groups, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[number]


def _components(rows: NDArray[np.float32], min_similarity: float) -> NDArray[np.int64]:
    """Return (N,) the connected component of each row, linked by similarity."""
    groups = np.empty(len(rows), dtype=np.int64)
    unseen = np.arange(len(rows))
    number = 0
    while unseen.size:
        frontier, unseen = unseen[:1], unseen[1:]
        while frontier.size:
            groups[frontier] = number
            near = np.zeros(len(unseen), dtype=bool)
            for start in range(0, len(frontier), _ROWS_AT_A_TIME):
                block = rows[frontier[start : start + _ROWS_AT_A_TIME]]
                near |= (rows[unseen] @ block.T >= np.float32(min_similarity - 1e-6)).any(axis=1)
            frontier, unseen = unseen[near], unseen[~near]
        number += 1
    return groups
