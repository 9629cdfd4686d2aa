"""Batches in which each group of people has a fixed share of the places.

An epoch stays as long as without shares, so schedules in epochs keep their meaning. A group with
more than its proportion is seen several times in it, one with less in part. To see everyone in
the end, a group's hands form an endless row of passes, each with every crop at least once and in
an order of its own, and each epoch takes the next piece of that row.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sanreid.errors import InputError

__all__ = ["SharedDeal", "places"]

Indices = NDArray[np.int64]
Deal = Callable[[int, np.random.Generator], list[Indices]]


class SharedDeal:
    """Fill the batches of an epoch, each group with its share.

    Args:
        groups: The people of each group, by number; nobody is in two.
        shares: The share of each group, above 0; they add up to 1.
        p: People in a batch.
        batches: B, the batches of an epoch.
        deal: Deals the crops of a person, given by number, into hands.
        num_hands: How many hands that makes, for each person.
        seed: The row of each group depends only on the seed.

    Raises:
        InputError: A group has fewer people than places in a batch, or no place in an epoch.
    """

    def __init__(
        self,
        groups: Sequence[Indices],
        shares: ArrayLike,
        *,
        p: int,
        batches: int,
        deal: Deal,
        num_hands: Indices,
        seed: int,
    ) -> None:
        self._groups = groups
        self._places = places(shares, p=p, batches=batches)
        self._deal = deal
        self._lengths = [int(num_hands[people].sum()) for people in groups]
        self._seed = seed
        for people, share, own in zip(groups, np.asarray(shares), self._places.T, strict=True):
            if own.max() > len(people):
                raise InputError(
                    f"A share of {share:g} of p={p} people is up to {own.max()} different people "
                    f"in a batch, but this group has {len(people)}. Lower the share or p."
                )
            if not own.any():
                raise InputError(
                    f"A share of {share:g} of p={p} people is nobody in an epoch of {batches} "
                    "batches. Raise the share or p."
                )

    def __call__(self, epoch: int, rng: np.random.Generator) -> list[list[Indices]]:
        """Return p hands for each batch of an epoch, no two of one person, in random order."""
        batches: list[list[Indices]] = [[] for _ in self._places]
        for group, free in enumerate(self._places.T.copy()):
            for hands in self._piece(group, epoch, rng).values():
                # The emptiest batches, equals in random order. Free places never differ by more
                # than one, and a person has no more hands than there are batches.
                emptiest = np.argsort(rng.random(len(free)) * 0.5 - free)[: len(hands)]
                free[emptiest] -= 1
                for hand, index in zip(hands, emptiest.tolist(), strict=True):
                    batches[index].append(hand)
        for batch in batches:
            rng.shuffle(batch)
        return batches

    def _piece(self, group: int, epoch: int, rng: np.random.Generator) -> dict[int, list[Indices]]:
        """Return a group's hands of an epoch by person, no more of one than there are batches."""
        count, most = int(self._places[:, group].sum()), len(self._places)
        found: dict[int, list[Indices]] = {}
        for person, hand in self._row(group, epoch * count, count):
            found.setdefault(person, []).append(hand)
        missing = sum(max(0, len(hands) - most) for hands in found.values())
        for hands in found.values():
            del hands[most:]
        for _ in range(missing):  # those who have the fewest take the places
            people = rng.permutation(self._groups[group]).tolist()
            person = min(people, key=lambda one: len(found.get(one, ())))
            hands = self._deal(person, rng)
            found.setdefault(person, []).append(hands[int(rng.integers(len(hands)))])
        return found

    def _row(self, group: int, begin: int, count: int) -> list[tuple[int, Indices]]:
        """Return ``count`` hands of a group's row, with their people."""
        length = self._lengths[group]
        first, last = begin // length, (begin + count - 1) // length
        row = [one for number in range(first, last + 1) for one in self._pass(group, number)]
        return row[begin - first * length :][:count]

    def _pass(self, group: int, number: int) -> list[tuple[int, Indices]]:
        """Return all hands of a group in random order, those of pass ``number``."""
        rng = np.random.default_rng((self._seed, group + 1, number))
        hands = [
            (person, hand)
            for person in self._groups[group].tolist()
            for hand in self._deal(person, rng)
        ]
        return [hands[index] for index in rng.permutation(len(hands)).tolist()]


def places(shares: ArrayLike, *, p: int, batches: int) -> NDArray[np.int64]:
    """Divide the places of each batch among groups.

    Args:
        shares: (G,) float, at least 0, adding up to 1.
        p: Places in a batch.
        batches: B, the batches of an epoch.

    Returns:
        (B, G) int64, each row adding up to p. A group has its share of p rounded down or up in
        each batch, and about its share of the places of the epoch.
    """
    wanted = p * np.asarray(shares, dtype=np.float64)
    whole = np.floor(wanted + 1e-9).astype(np.int64)
    found = np.tile(whole, (batches, 1))
    owed = np.zeros(len(wanted))
    for row in found:
        owed += wanted - whole
        chosen = np.argsort(-owed, kind="stable")[: p - int(whole.sum())]
        row[chosen] += 1
        owed[chosen] -= 1
    return found
