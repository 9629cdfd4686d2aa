"""From images to embeddings, batch by batch: read ahead in threads, embed, normalise.

A step is a batch of embeddings or one image that could not be read, so that each caller decides
what a failure means. Results come in order, and memory stays bounded however many images come.
"""

from __future__ import annotations

import logging
import os
import sys
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from itertools import chain, islice
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from sanreid.backends.interface import Backend
from sanreid.config import EncoderConfig
from sanreid.errors import ImageError, WeightsError
from sanreid.images import Color, load_crop
from sanreid.utils.arguments import as_count, check_choice, check_flag
from sanreid.utils.vectors import normalize_rows

__all__ = ["Batch", "Failure", "Options", "default_workers", "embed_in_batches", "map_ahead"]

logger = logging.getLogger(__name__)


_BATCHES_AHEAD = 2  # beside the one in the network: one ready, one being read


@dataclass(frozen=True, slots=True)
class Options:
    """How images are embedded; checked when made."""

    batch_size: int
    flip: bool
    normalize: bool
    color: Color

    def __post_init__(self) -> None:
        object.__setattr__(self, "batch_size", as_count(self.batch_size, "batch_size"))
        check_flag(self.flip, "flip")
        check_flag(self.normalize, "normalize")
        check_choice(self.color, "color", ("rgb", "bgr"))


@dataclass(frozen=True, slots=True)
class Batch:
    """Embeddings of some of the images, (n, D), with their indices among all."""

    indices: list[int]
    rows: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Failure:
    """An image that could not be read: its index among all, and why."""

    index: int
    error: ImageError


def embed_in_batches(
    images: Iterable[object],
    backend: Backend,
    config: EncoderConfig,
    options: Options,
    *,
    name_positions: bool,
    in_order: bool = False,
) -> Generator[Batch | Failure, None, None]:
    """Read, batch and embed; a failure is yielded when it is met.

    Args:
        images: What to embed, read in the caller's thread.
        backend: The network.
        config: For the size of the crops and of the embeddings.
        options: How to embed.
        name_positions: Messages name the position of an image; otherwise there is one image, or
            its path is enough.
        in_order: Embed what waits for its batch before yielding a failure, or before raising what
            ``images`` raises.

    Raises:
        WeightsError: The network gives NaN, infinity or another number of dimensions.
    """
    embedder = _Embedder(backend, config, options)

    def prepare(index: int, image: object) -> NDArray[np.uint8] | ImageError:
        position = f"image {index} of the input" if name_positions else None
        try:
            return load_crop(image, config.input_size, color=options.color, position=position)
        except ImageError as error:
            return error

    ahead = _BATCHES_AHEAD * options.batch_size
    prepared = map_ahead(prepare, images, workers=default_workers(), ahead=ahead)
    with closing(prepared):
        try:
            for index, crop in enumerate(prepared):
                if isinstance(crop, ImageError):
                    if in_order:
                        yield from embedder.finish()
                    yield Failure(index, crop)
                else:
                    yield from embedder.add(index, crop)
        except Exception:  # of the images' iterator
            if in_order:
                yield from embedder.finish()
            raise
        yield from embedder.finish()


class _Embedder:
    """The crops that wait for their batch, and the batch that the backend has not finished."""

    def __init__(self, backend: Backend, config: EncoderConfig, options: Options) -> None:
        self._backend = backend
        self._config = config
        self._options = options
        self._waiting: list[tuple[int, NDArray[np.uint8]]] = []
        self._in_flight: deque[Callable[[], Batch]] = deque()
        # A backend that works on its own computes one batch while the next is read; a batch of
        # one crop is for somebody who waits for it.
        self._held = 1 if hasattr(backend, "submit") and options.batch_size > 1 else 0

    def add(self, index: int, crop: NDArray[np.uint8]) -> Iterator[Batch]:
        """Take a crop; yield the batches that this finishes."""
        self._waiting.append((index, crop))
        if len(self._waiting) == self._options.batch_size:
            self._embed()
        while len(self._in_flight) > self._held:
            yield self._in_flight.popleft()()

    def finish(self) -> Iterator[Batch]:
        """Embed what waits; give all batches."""
        if self._waiting:
            self._embed()
        while self._in_flight:
            yield self._in_flight.popleft()()

    def _embed(self) -> None:
        indices, crops = zip(*self._waiting, strict=True)
        self._waiting.clear()
        self._in_flight.append(
            _start(self._backend, list(indices), np.stack(crops), self._options, self._config)
        )


def _start(
    backend: Backend,
    indices: list[int],
    crops: NDArray[np.uint8],
    options: Options,
    config: EncoderConfig,
) -> Callable[[], Batch]:
    """Submit the crops; the returned function waits for their embeddings."""
    passes = [crops]
    if options.flip:
        passes.append(np.ascontiguousarray(crops[:, :, ::-1]))
    submit = getattr(backend, "submit", None)
    started = [submit(part) if submit else partial(backend, part) for part in passes]
    return lambda: _finished([part() for part in started], indices, options, config.embedding_dim)


def _finished(
    parts: list[NDArray[np.float32]], indices: list[int], options: Options, embedding_dim: int
) -> Batch:
    rows = parts[0] if len(parts) == 1 else (parts[0] + parts[1]) * np.float32(0.5)
    if rows.shape != (len(indices), embedding_dim):
        raise WeightsError(
            f"The network gave {rows.shape} for {len(indices)} crops; its configuration says "
            f"embedding_dim {embedding_dim}."
        )
    broken = np.flatnonzero(~np.isfinite(rows).all(axis=1))
    if len(broken):
        raise WeightsError(
            f"The network gave NaN or infinity for image {indices[broken[0]]} of the input "
            f"({len(broken)} of {len(rows)} in its batch): its weights are damaged, or its "
            "precision overflows; try dtype='float32'."
        )
    if not options.normalize:
        return Batch(indices, rows)
    zeros = int((~rows.any(axis=1)).sum())
    if zeros:
        logger.warning("%d embeddings are all zero and cannot be normalised.", zeros)
    return Batch(indices, normalize_rows(rows))


T = TypeVar("T")


R = TypeVar("R")


def default_workers() -> int:
    """Threads for decoding: one per usable core, at most 8; more keep no network busier."""
    usable = getattr(os, "sched_getaffinity", None)  # only on Linux
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
        workers: Threads, at least 1. A single item is computed without a thread.
        ahead: Items in flight, at least 1.
    """
    errors: list[Exception] = []
    ahead = min(ahead, sys.maxsize)  # more than islice counts to
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
    if len(first) < 2:  # a single image: a thread would cost more than it saves
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
