"""P x K batches: P people with K crops each, so that every anchor has positives and negatives.

Source: Hermans et al., "In Defense of the Triplet Loss for Person Re-Identification",
arXiv:1703.07737, for batches of P x K. How an epoch is divided into batches is our own.

In every epoch each crop is seen at least once. A person's n crops, in random order camera by
camera, are dealt like cards into ceil(n / K) hands, so that each hand has as many cameras as
possible; a short hand is filled with other crops of the same person, and with repeats if the
person has fewer than K. The hands go to the emptiest batches, never two hands of one person to
the same batch, and batches still short of P people get extra hands. Groups of people may have
fixed shares of the batches instead, see :mod:`sanreid.train.data.sampling.shares`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from sanreid.errors import InputError
from sanreid.train.data.sampling.shares import SharedDeal

__all__ = ["PKSampler"]

Indices = NDArray[np.int64]


class PKSampler:
    """Deal crops into batches of P people x K crops.

    Args:
        labels: (N,) int, the person on each crop.
        camids: (N,) int, the camera of each crop; a single camera if None.
        p: People in a batch, over all ranks together.
        k: Crops of each person.
        seed: The batches depend only on the seed and the epoch.
        rank: Which share of each batch to return, for training in several processes.
        world_size: How many equal shares there are; it must divide ``p``. The shares of the
            ranks, concatenated, are the batch of ``world_size=1``.
        groups: (N,) int, the group of each crop, from 0; all crops of a person have the same.
            None: no groups, each crop is seen at least once per epoch.
        group_shares: The share of the people of each batch that each group has; above 0, adding
            up to 1. An epoch has as many batches as without groups: see
            :mod:`sanreid.train.data.sampling.shares`.

    Raises:
        InputError: A value is out of range, there are fewer than ``p`` people, or a group is too
            small for its share.

    >>> sampler = PKSampler([0, 0, 1, 1, 1, 2], p=2, k=2)
    >>> len(sampler), [tuple(batch.shape) for batch in sampler.epoch(0)]
    (2, [(4,), (4,)])
    """

    def __init__(
        self,
        labels: ArrayLike | Tensor,
        camids: ArrayLike | Tensor | None = None,
        *,
        p: int,
        k: int,
        seed: int = 0,
        rank: int = 0,
        world_size: int = 1,
        groups: ArrayLike | None = None,
        group_shares: Sequence[float] = (),
    ) -> None:
        people = _whole_numbers(labels, "labels")
        cameras = np.zeros_like(people) if camids is None else _whole_numbers(camids, "camids")
        if cameras.shape != people.shape:
            raise InputError(
                "labels and camids must have the same length; "
                f"got {people.size} and {cameras.size}."
            )
        if p < 1 or k < 1:
            raise InputError(f"p and k must be at least 1; got p={p}, k={k}.")
        if not 0 <= rank < world_size or p % world_size:
            raise InputError(
                f"rank must be in [0, world_size) and world_size must divide p; "
                f"got rank={rank}, world_size={world_size}, p={p}."
            )
        if seed < 0:
            raise InputError(f"seed must be at least 0; got {seed}.")
        names = np.unique(people)
        if len(names) < p:
            raise InputError(
                f"A batch needs p={p} different people, but there are {len(names)}. "
                "Lower p or add people."
            )
        self.p, self.k, self.seed = p, k, seed
        self.rank, self.world_size = rank, world_size
        order = np.lexsort((cameras, people))
        starts = np.flatnonzero(np.diff(people[order])) + 1
        self._crops: list[Indices] = np.split(order.astype(np.int64), starts)
        self._camids = cameras
        self._num_hands = np.array([-(-len(crops) // k) for crops in self._crops])
        self._length = max(-(-int(self._num_hands.sum()) // p), int(self._num_hands.max()))
        self._shared: SharedDeal | None = None
        if groups is not None:
            first = np.array([crops[0] for crops in self._crops])
            group_of = _whole_numbers(groups, "groups")
            if group_of.shape != people.shape or set(group_of) != set(range(len(group_shares))):
                raise InputError(
                    "groups must have one number per crop, and group_shares one share per group; "
                    f"got {group_of.size} for {people.size} crops, the groups "
                    f"{sorted(set(group_of.tolist()))} and {len(group_shares)} shares."
                )
            group_of = group_of[first]
            self._shared = SharedDeal(
                [np.flatnonzero(group_of == n) for n in range(len(group_shares))],
                group_shares,
                p=p,
                batches=self._length,
                deal=self._hands,
                num_hands=self._num_hands,
                seed=seed,
            )

    def __len__(self) -> int:
        """Return the number of batches in an epoch, the same in every epoch."""
        return self._length

    def epoch(self, epoch: int, *, start: int = 0) -> Iterator[Tensor]:
        """Yield the batches of one epoch.

        Args:
            epoch: Which epoch, from 0.
            start: Skip this many batches, to resume in the middle of an epoch.

        Yields:
            (p / world_size * k,) int64 indices of crops; the crops of a person are adjacent.
        """
        if epoch < 0 or start < 0:
            raise InputError(f"epoch and start must be at least 0; got {epoch}, {start}.")
        rng = np.random.default_rng((self.seed, epoch))
        batches = self._dealt(rng) if self._shared is None else self._shared(epoch, rng)
        share = self.p // self.world_size
        for batch in batches[start:]:
            mine = batch[self.rank * share : (self.rank + 1) * share]
            yield torch.from_numpy(np.concatenate(mine))

    def _dealt(self, rng: np.random.Generator) -> list[list[Indices]]:
        """Return p hands of k crops for each batch of an epoch, in random order."""
        batches: list[list[Indices]] = [[] for _ in range(self._length)]
        inside: list[set[int]] = [set() for _ in range(self._length)]
        load = np.zeros(self._length)
        for person in rng.permutation(len(self._crops)).tolist():
            hands = self._hands(person, rng)
            # The emptiest batches, equals in random order. Loads never differ by more than
            # one, and a person has no more hands than there are batches: none overflows.
            emptiest = np.argsort(load + rng.random(self._length) * 0.5)[: len(hands)]
            load[emptiest] += 1
            for hand, index in zip(hands, emptiest.tolist(), strict=True):
                batches[index].append(hand)
                inside[index].add(person)
        for batch, present in zip(batches, inside, strict=True):
            missing = self.p - len(batch)
            others = [n for n in range(len(self._crops)) if n not in present] if missing else [0]
            for person in rng.choice(others, missing, replace=False).tolist():
                hands = self._hands(person, rng)
                batch.append(hands[int(rng.integers(len(hands)))])
            rng.shuffle(batch)
        return batches

    def _hands(self, person: int, rng: np.random.Generator) -> list[Indices]:
        """Deal one person's crops into hands of k: each crop at least once, cameras spread."""
        crops = self._crops[person]
        shuffled = rng.permutation(crops)
        # Camera by camera, cameras in random order; the crops of a camera stay shuffled.
        cameras = self._camids[shuffled]
        turn: dict[int, int] = {
            int(c): n for n, c in enumerate(rng.permutation(np.unique(cameras)))
        }
        shuffled = shuffled[np.argsort([turn[int(c)] for c in cameras], kind="stable")]
        count = -(-len(crops) // self.k)
        return [self._filled(shuffled[n::count], shuffled, rng) for n in range(count)]

    def _filled(self, hand: Indices, crops: Indices, rng: np.random.Generator) -> Indices:
        """Fill a hand up to k: first with the person's other crops, then with repeats."""
        missing = self.k - len(hand)
        if not missing:
            return hand
        others = rng.permutation(np.setdiff1d(crops, hand))
        more = [others[:missing]]
        missing -= len(more[0])
        while missing:
            more.append(rng.permutation(crops)[:missing])
            missing -= len(more[-1])
        return np.concatenate([hand, *more])


def _whole_numbers(values: Any, name: str) -> Indices:  # noqa: ANN401 - anything numpy or torch
    array = np.asarray(values)
    if array.ndim != 1 or not np.issubdtype(array.dtype, np.integer):
        raise InputError(
            f"{name} must be a 1-D array of integers; got {array.dtype} of shape {array.shape}."
        )
    return array.astype(np.int64)
