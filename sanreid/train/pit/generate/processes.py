"""Rendering in several processes, each with one body and one thread of its own."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import lru_cache
from multiprocessing.connection import wait
from typing import Any

from sanreid.errors import DatasetError
from sanreid.train.pit.generate.studio import Studio

__all__ = ["in_processes", "shared_studio"]

_MOST = 60  # processes at once: Windows waits for no more than 61


def in_processes(
    call: Callable[..., None], jobs: Sequence[tuple[Any, ...]], processes: int
) -> Iterator[None]:
    """Call a function with the arguments of each job; yield as each is done.

    An error or an interrupt ends it once the jobs under way are done. If the calling process is
    killed, the others end at once.

    Args:
        call: A function of a module.
        jobs: The arguments of each call.
        processes: How many at once, at most.

    Raises:
        DatasetError: A process was killed.
    """
    context = multiprocessing.get_context("spawn")
    with (
        _one_thread_each(),
        ProcessPoolExecutor(
            min(processes, len(jobs), _MOST), mp_context=context, initializer=_end_with_parent
        ) as pool,
    ):
        try:
            futures = [pool.submit(call, *arguments) for arguments in jobs]
            for future in as_completed(futures):
                future.result()
                yield
        except BrokenProcessPool as error:
            raise DatasetError(
                "A process that rendered was killed, as happens when memory runs out. What is "
                "complete was kept: run the same command again, perhaps with fewer --processes."
            ) from error
        finally:
            pool.shutdown(cancel_futures=True)


@lru_cache(maxsize=1)
def shared_studio() -> Studio:
    """Return the body and its tables, opened once in each process."""
    return Studio.open()


def _end_with_parent() -> None:
    """End this process when its parent does.

    A pool's process would wait for its next job for ever.
    """
    parent = multiprocessing.parent_process()
    assert parent is not None  # noqa: S101 - a process of a pool has one

    def watch() -> None:
        wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """Let processes started within use one thread for matrix products."""
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    before = {name: os.environ.get(name) for name in names}
    os.environ.update(dict.fromkeys(names, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
