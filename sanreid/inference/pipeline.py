"""Work done ahead in threads, results in order, memory bounded.

Decoding a picture releases the interpreter, as the network does, so both run at once: while the
consumer holds one batch, threads prepare the next. Nothing here knows images or torch.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import chain, islice
from typing import TypeVar

__all__ = ["default_workers", "map_ahead"]

T = TypeVar("T")
R = TypeVar("R")


def default_workers() -> int:
    """Threads for decoding: one per usable core, at most 8; more keep no network busier."""
    usable = getattr(os, "sched_getaffinity", None)  # Linux alone
    return min(8, len(usable(0)) if usable else os.cpu_count() or 1)


def map_ahead(
    function: Callable[[int, T], R],
    items: Iterable[T],
    *,
    workers: int,
    ahead: int,
) -> Generator[R, None, None]:
    """Return ``function(index, item)`` for each item, in order, computed ahead in threads.

    ``items`` is read in the consumer's thread, at most ``ahead`` items before the one given. The
    threads end when the generator does: at its end, at an exception, or when it is closed.
    An exception of ``items`` is raised after the results of the items before it.

    Args:
        function: Called in any thread; its exception is raised when the item's turn comes.
        items: May be endless.
        workers: Threads, at least 1. One item alone is computed without a thread.
        ahead: Items in flight, at least 1.
    """
    errors: list[Exception] = []
    yield from _map_ahead(function, _until_error(items, errors), workers=workers, ahead=ahead)
    if errors:
        raise errors.pop()


def _until_error(items: Iterable[T], errors: list[Exception]) -> Generator[T, None, None]:
    """End where ``items`` raises, and keep what it raised."""
    try:
        for item in items:  # noqa: UP028 - "yield from" would close the caller's generator too
            yield item
    except Exception as error:  # noqa: BLE001 - raised again when its turn comes
        errors.append(error)


def _map_ahead(
    function: Callable[[int, T], R], items: Iterable[T], *, workers: int, ahead: int
) -> Generator[R, None, None]:
    source = enumerate(items)
    first = list(islice(source, 2))
    if len(first) < 2:  # an image alone: a thread would cost more than it gives
        for index, item in first:
            yield function(index, item)
        return

    executor = ThreadPoolExecutor(workers, thread_name_prefix="sanreid-decode")
    in_flight: deque[Future[R]] = deque()
    waiting = chain(first, source)
    try:
        while True:
            in_flight.extend(
                executor.submit(function, index, item)
                for index, item in islice(waiting, ahead - len(in_flight))
            )
            if not in_flight:
                return
            yield in_flight.popleft().result()
    finally:
        executor.shutdown(wait=True, cancel_futures=True)
