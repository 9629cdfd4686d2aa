"""EmbedCrops: Arrow batches of crops in, the same batches with embeddings out."""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import closing
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sanreid.backends.interface import BackendName
from sanreid.encoder import SANEncoder
from sanreid.errors import ImageError, InputError
from sanreid.images import Color, load_crop
from sanreid.inference.batches import Options, default_workers, map_ahead
from sanreid.scale.columns import embeddings_column, holds_paths, images_of
from sanreid.utils.arguments import check_flag
from sanreid.utils.arrays import shown
from sanreid.utils.shards import load_pyarrow

__all__ = ["EmbedCrops", "check_column"]

# In a batch whose size is a multiple of this, a row's embedding depends on nothing but its crop;
# matrix kernels compute the last rows of other sizes in another order.
_GRANULE = 8


class EmbedCrops:
    """A callable that holds one encoder and adds embeddings to Arrow tables.

    It is what :func:`sanreid.scale.embed` runs in its actors, and it knows nothing of Ray: any
    engine that hands out ``pyarrow`` tables or record batches can call it. A crop that cannot be
    read costs no other row: its embedding is null and ``error`` says why.

    Embeddings do not depend on how the crops are batched. On a CPU they equal those of
    :meth:`~sanreid.SANEncoder.encode` to the bit, except for what ``encode`` itself rounds
    differently in a last batch whose size is no multiple of 8.

    Args:
        encoder: An encoder, or what :meth:`~sanreid.SANEncoder.from_pretrained` takes; None: the
            default weights.
        column: The column with the crops: paths, the bytes of image files, or tensors
            (H, W, 3) or (H, W).
        device: Where to compute. None: an encoder stays where it is, and weights that are loaded
            go where ``"auto"`` says. Another value moves an encoder, in place.
        dtype: How precisely; None likewise.
        backend: What computes, for weights that are loaded.
        batch_size: As in :meth:`~sanreid.SANEncoder.encode`.
        flip: As there.
        normalize: As there.
        color: As there; for tensors.
        keep_images: Keep ``column`` in the result. Paths are always kept.

    Raises:
        InputError: An argument is wrong.
        WeightsError: The weights cannot be had.
        MissingExtraError: ``pyarrow`` is not installed.
    """

    def __init__(
        self,
        encoder: SANEncoder | str | os.PathLike[str] | None = None,
        *,
        column: str = "image",
        device: str | None = None,
        dtype: str | None = None,
        backend: BackendName = "torch",
        batch_size: int = 64,
        flip: bool = False,
        normalize: bool = True,
        color: Color = "rgb",
        keep_images: bool = False,
    ) -> None:
        load_pyarrow("pyarrow")
        check_column(column)
        check_flag(keep_images, "keep_images")
        self._options = Options(batch_size, flip, normalize, color)
        self._column, self._keep_images = column, keep_images
        if isinstance(encoder, SANEncoder):
            if device is not None or dtype is not None:
                encoder.to(device, dtype)
        else:
            encoder = SANEncoder.from_pretrained(
                encoder, device=device or "auto", dtype=dtype or "auto", backend=backend
            )
        self._encoder = encoder

    @property
    def encoder(self) -> SANEncoder:
        """What embeds."""
        return self._encoder

    def __call__(self, batch: Any) -> Any:  # noqa: ANN401 - pyarrow has no types
        """Embed one batch.

        Args:
            batch: A ``pyarrow.Table`` or ``RecordBatch`` of N rows with the column of crops.

        Returns:
            The same kind, with its other columns and ``embedding`` list<float32> (null where a
            crop cannot be read) and ``error`` string (null for the others). The crops' column is
            left out if it holds pictures, unless ``keep_images``.

        Raises:
            InputError: There is no such column, it holds something else, or there are columns
                ``embedding`` or ``error`` already.
            WeightsError: The network gives NaN or infinity.
        """
        pyarrow = load_pyarrow("pyarrow")
        images = self._images(batch)
        errors: list[str | None] = [None] * len(images)
        rows = self._embed(images, errors)
        if not self._keep_images and not holds_paths(batch.column(self._column)):
            batch = batch.drop_columns([self._column])
        known = [error is None for error in errors]
        batch = batch.append_column("embedding", embeddings_column(rows, known))
        return batch.append_column("error", pyarrow.array(errors, type=pyarrow.string()))

    def _images(self, batch: Any) -> list[object]:  # noqa: ANN401
        names = getattr(getattr(batch, "schema", None), "names", None)
        if names is None or not hasattr(batch, "append_column"):
            raise InputError(
                f"A batch must be a pyarrow.Table or RecordBatch; got {shown(batch)}. In Ray "
                "Data: map_batches(..., batch_format='pyarrow')."
            )
        if self._column not in names:
            raise InputError(
                f"There is no column {self._column!r}; the batch has {', '.join(names) or 'none'}."
            )
        for name in ("embedding", "error"):
            if name in names:
                raise InputError(f"The batch has a column {name!r} already; rename or drop it.")
        return images_of(batch.column(self._column), self._column)

    def _embed(self, images: list[object], errors: list[str | None]) -> NDArray[np.float32]:
        """Return (M, D), the embeddings of the readable images; note the others' errors."""
        if not images:
            return np.empty((0, self._encoder.embedding_dim), np.float32)
        options, rows = self._options, []
        with closing(self._crops(images, errors)) as crops:
            for _, row in self._encoder.encode_stream(
                crops,
                batch_size=options.batch_size,
                flip=options.flip,
                normalize=options.normalize,
                progress=False,
            ):
                rows.append(row)
        count = sum(error is None for error in errors)
        if not count:
            return np.empty((0, self._encoder.embedding_dim), np.float32)
        return np.stack(rows[:count])

    def _crops(
        self, images: list[object], errors: list[str | None]
    ) -> Generator[NDArray[np.uint8], None, None]:
        """Yield the crops that can be read; then the last one again, up to the granule."""
        size, color = self._encoder.input_size, self._options.color

        def read(_: int, image: object) -> NDArray[np.uint8] | ImageError:
            try:
                return load_crop(image, size, color=color)
            except ImageError as error:
                return error

        count = 0
        crop: NDArray[np.uint8] | None = None
        ahead = 2 * self._options.batch_size
        with closing(map_ahead(read, images, workers=default_workers(), ahead=ahead)) as found:
            for index, one in enumerate(found):
                if isinstance(one, ImageError):
                    errors[index] = one.reason
                    continue
                crop, count = one, count + 1
                yield crop
        while crop is not None and count % _GRANULE:
            count += 1
            yield crop


def check_column(column: object) -> None:
    """Refuse what names no column.

    Raises:
        InputError: It is no text, or empty.
    """
    if not isinstance(column, str) or not column:
        raise InputError(f"column must be the name of a column; got {shown(column)}.")
