"""From images to embeddings, batch by batch: read in threads, embed, normalise.

A step is a batch of embeddings or one image that could not be read, so that each caller decides
what a failure means to it.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Generator, Iterable
from contextlib import closing
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sanreid._inference import Backend
from sanreid._pipeline import default_workers, map_ahead
from sanreid.config import EncoderConfig
from sanreid.errors import ImageError, InputError, WeightsError
from sanreid.images import Color, load_crop

__all__ = ["Batch", "Failure", "Options", "embed_in_batches"]

logger = logging.getLogger(__name__)

_BATCHES_AHEAD = 2  # beside the one in the network: one ready, one being read


@dataclass(frozen=True, slots=True)
class Options:
    batch_size: int
    flip: bool
    normalize: bool
    color: Color

    def __post_init__(self) -> None:
        if isinstance(self.batch_size, bool) or not isinstance(self.batch_size, int | np.integer):
            raise InputError(f"batch_size must be a whole number; got {self.batch_size!r}.")
        if self.batch_size < 1:
            raise InputError(f"batch_size must be at least 1; got {self.batch_size}.")
        if self.color not in ("rgb", "bgr"):
            raise InputError(f"color must be 'rgb' or 'bgr'; got {self.color!r}.")


@dataclass(frozen=True, slots=True)
class Batch:
    indices: list[int]
    rows: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Failure:
    index: int
    error: ImageError


def embed_in_batches(
    images: Iterable[object],
    backend: Backend,
    config: EncoderConfig,
    options: Options,
    *,
    alone: bool,
    in_order: bool = False,
) -> Generator[Batch | Failure, None, None]:
    """Read, batch and embed; a failure is given when it is met.

    Args:
        images: What to embed, read in the caller's thread.
        backend: The network.
        config: For the size of the crops and of the embeddings.
        options: How to embed.
        alone: Messages name no place: there is one image, or the paths are enough.
        in_order: Embed what waits for its batch before giving a failure, or before raising what
            ``images`` raises.

    Raises:
        WeightsError: The network gives NaN, infinity or another number of dimensions.
    """
    waiting: list[tuple[int, NDArray[np.uint8]]] = []

    def prepare(index: int, image: object) -> NDArray[np.uint8] | ImageError:
        place = None if alone else f"image {index} of the input"
        try:
            return load_crop(image, config.input_size, color=options.color, place=place)
        except ImageError as error:
            return error

    def embed() -> Batch:
        indices, crops = zip(*waiting, strict=True)
        waiting.clear()
        return _embed(backend, list(indices), np.stack(crops), options, config.embedding_dim)

    ahead = min(_BATCHES_AHEAD * int(options.batch_size), sys.maxsize)
    prepared = map_ahead(prepare, images, workers=default_workers(), ahead=ahead)
    with closing(prepared):
        try:
            for index, crop in enumerate(prepared):
                if isinstance(crop, ImageError):
                    if in_order and waiting:
                        yield embed()
                    yield Failure(index, crop)
                    continue
                waiting.append((index, crop))
                if len(waiting) == options.batch_size:
                    yield embed()
        except Exception:  # of the images' iterator
            if in_order and waiting:
                yield embed()
            raise
        if waiting:
            yield embed()


def _embed(
    backend: Backend,
    indices: list[int],
    crops: NDArray[np.uint8],
    options: Options,
    embedding_dim: int,
) -> Batch:
    rows = backend(crops)
    if options.flip:
        mirrored = np.ascontiguousarray(crops[:, :, ::-1])
        rows = (rows + backend(mirrored)) * np.float32(0.5)
    if rows.shape != (len(crops), embedding_dim):
        raise WeightsError(
            f"The network gave {rows.shape} for {len(crops)} crops; its configuration says "
            f"embedding_dim {embedding_dim}."
        )
    broken = np.flatnonzero(~np.isfinite(rows).all(axis=1))
    if len(broken):
        raise WeightsError(
            f"The network gave NaN or infinity for image {indices[broken[0]]} of the input "
            f"({len(broken)} of {len(rows)} in its batch): its weights are damaged, or its "
            "precision overflows; try dtype='float32'."
        )
    return Batch(indices, _normalized(rows) if options.normalize else rows)


def _normalized(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    norms: NDArray[np.float32] = np.linalg.norm(rows, axis=1, keepdims=True)
    zeros = int((norms == 0).sum())
    if zeros:
        logger.warning("%d embeddings are all zero and cannot be normalised.", zeros)
    norms[norms == 0] = 1
    return rows / norms
