"""P x K batches: P people with K crops each, so that every anchor has positives and negatives.

Source: Hermans et al., "In Defense of the Triplet Loss for Person Re-Identification",
arXiv:1703.07737, for batches of P x K. How an epoch is dealt out is our own.

In every epoch each crop is seen at least once. A person's crops, in random order camera by
camera, are dealt like cards into ceil(n / K) hands, so that each hand has as many cameras as
can be; a short hand is filled up with other crops of the same person, and with repeats where a
person has fewer than K. The hands go to the emptiest batches, never two of one person to the
same batch, and batches still short of P people get extra hands.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from sanreid.errors import InputError

__all__ = ["PKSampler"]

Places = NDArray[np.int64]


class PKSampler:
    """Deal crops into batches of P people x K crops.

    Args:
        labels: (N,) int, who each crop shows.
        camids: (N,) int, which camera saw it; one camera for all when None.
        p: People in a batch, over all ranks together.
        k: Crops of each person.
        seed: The batches depend on the seed and the epoch alone.
        rank: Which share of each batch to give, for training in several processes.
        world_size: How many equal shares there are; it must divide ``p``. The shares of the
            ranks, one after the other, are the batch of ``world_size=1``.

    Raises:
        InputError: A value is out of range, or there are fewer than ``p`` people.

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
    ) -> None:
        people = _whole_numbers(labels, "labels")
        cameras = np.zeros_like(people) if camids is None else _whole_numbers(camids, "camids")
        if cameras.shape != people.shape:
            raise InputError(
                f"labels and camids must be as many; got {people.size} and {cameras.size}."
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
                f"A batch wants p={p} different people, but there are {len(names)}. "
                "Lower p or add people."
            )
        self.p, self.k, self.seed = p, k, seed
        self.rank, self.world_size = rank, world_size
        order = np.lexsort((cameras, people))
        starts = np.flatnonzero(np.diff(people[order])) + 1
        self._crops: list[Places] = np.split(order.astype(np.int64), starts)
        self._camids = cameras
        self._num_hands = np.array([-(-len(crops) // k) for crops in self._crops])
        self._length = max(-(-int(self._num_hands.sum()) // p), int(self._num_hands.max()))

    def __len__(self) -> int:
        """Give the number of batches in an epoch, the same in every epoch."""
        return self._length

    def epoch(self, epoch: int, *, start: int = 0) -> Iterator[Tensor]:
        """Give the batches of one epoch.

        Args:
            epoch: Which epoch, from 0.
            start: Pass over this many batches, to go on in the middle of an epoch.

        Yields:
            (p / world_size * k,) int64 places of crops; the crops of a person lie together.
        """
        if epoch < 0 or start < 0:
            raise InputError(f"epoch and start must be at least 0; got {epoch}, {start}.")
        rng = np.random.default_rng((self.seed, epoch))
        batches = self._dealt(rng)
        share = self.p // self.world_size
        for batch in batches[start:]:
            mine = batch[self.rank * share : (self.rank + 1) * share]
            yield torch.from_numpy(np.concatenate(mine))

    def _dealt(self, rng: np.random.Generator) -> list[list[Places]]:
        """Give the epoch: for each batch p hands of k crops, in random order."""
        batches: list[list[Places]] = [[] for _ in range(self._length)]
        inside: list[set[int]] = [set() for _ in range(self._length)]
        load = np.zeros(self._length)
        for person in rng.permutation(len(self._crops)).tolist():
            hands = self._hands(person, rng)
            # The emptiest batches, equals in random order. Loads never differ by more than
            # one, and a person has no more hands than there are batches: none overflows.
            emptiest = np.argsort(load + rng.random(self._length) * 0.5)[: len(hands)]
            load[emptiest] += 1
            for hand, place in zip(hands, emptiest.tolist(), strict=True):
                batches[place].append(hand)
                inside[place].add(person)
        for batch, present in zip(batches, inside, strict=True):
            missing = self.p - len(batch)
            others = [n for n in range(len(self._crops)) if n not in present] if missing else [0]
            for person in rng.choice(others, missing, replace=False).tolist():
                hands = self._hands(person, rng)
                batch.append(hands[int(rng.integers(len(hands)))])
            rng.shuffle(batch)
        return batches

    def _hands(self, person: int, rng: np.random.Generator) -> list[Places]:
        """Deal one person's crops: each at least once, k to a hand, cameras spread."""
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

    def _filled(self, hand: Places, crops: Places, rng: np.random.Generator) -> Places:
        """Fill a hand up to k: with the person's other crops first, then with repeats."""
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


def _whole_numbers(values: Any, name: str) -> Places:  # noqa: ANN401 - anything numpy or torch
    array = np.asarray(values)
    if array.ndim != 1 or not np.issubdtype(array.dtype, np.integer):
        raise InputError(
            f"{name} must be a row of whole numbers; got {array.dtype} of shape {array.shape}."
        )
    return array.astype(np.int64)
