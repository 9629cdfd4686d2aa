"""Reading an epoch's batches in a thread, each while the one before it is trained on."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from torch import Tensor

from sanreid.train.data.batches import Batches, Raw

__all__ = ["ReadAhead"]


class ReadAhead:
    """Read an epoch's batches, each while the one before it is trained on.

    Args:
        batches: Where they come from.
        places: The places of every batch of the epoch.
        first: Number of the epoch's first batch in the run.
        begin: Batches of the epoch already done.
    """

    def __init__(
        self, batches: Batches, places: Sequence[Tensor], *, first: int, begin: int
    ) -> None:
        self._batches = batches
        self._places = places
        self._first = first
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="read-ahead")
        self._next: tuple[int, Future[Raw]] | None = None
        self._ask(first + begin)

    def take(self, number: int) -> Raw:
        """Give the batch of that number in the run, and begin to read the next."""
        if self._next is None or self._next[0] != number:
            self._ask(number)
        assert self._next is not None  # noqa: S101 - just asked for
        raw = self._next[1].result()
        self._ask(number + 1)
        return raw

    def close(self) -> None:
        """Stop reading."""
        self._pool.shutdown(cancel_futures=True)

    def _ask(self, number: int) -> None:
        place = number - self._first
        if place >= len(self._places):
            self._next = None
            return
        future = self._pool.submit(self._batches.read, self._places[place], number=number)
        self._next = (number, future)
