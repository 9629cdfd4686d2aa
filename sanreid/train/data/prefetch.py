"""Reading an epoch's batches in a thread, each while the previous one is trained on."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from torch import Tensor

from sanreid.train.data.batches import Batches, Raw

__all__ = ["Prefetcher"]


class Prefetcher:
    """Read an epoch's batches, each while the previous one is trained on.

    Args:
        batches: Where they come from.
        indices: The indices of every batch of the epoch.
        first: Number of the epoch's first batch in the run.
        begin: Batches of the epoch that are already done.
    """

    def __init__(
        self, batches: Batches, indices: Sequence[Tensor], *, first: int, begin: int
    ) -> None:
        self._batches = batches
        self._indices = indices
        self._first = first
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="prefetch")
        self._next: tuple[int, Future[Raw]] | None = None
        self._submit(first + begin)

    def take(self, number: int) -> Raw:
        """Return the batch of that number in the run, and start reading the next."""
        if self._next is None or self._next[0] != number:
            self._submit(number)
        assert self._next is not None  # noqa: S101 - just submitted
        raw = self._next[1].result()
        self._submit(number + 1)
        return raw

    def close(self) -> None:
        """Stop reading."""
        self._pool.shutdown(cancel_futures=True)

    def _submit(self, number: int) -> None:
        position = number - self._first
        if position >= len(self._indices):
            self._next = None
            return
        future = self._pool.submit(self._batches.read, self._indices[position], number=number)
        self._next = (number, future)
