"""Embedding with Ray Data: a pool of actors, each with one encoder."""

from __future__ import annotations

import copy
import logging
import os
from typing import TYPE_CHECKING, Any

from sanreid.backends.device import parse_device
from sanreid.backends.interface import BackendName
from sanreid.backends.runtimes import resolve
from sanreid.encoder import SANEncoder
from sanreid.errors import InputError
from sanreid.images import Color
from sanreid.inference.batches import Options
from sanreid.scale.batches import EmbedCrops, check_column
from sanreid.utils.arguments import as_count, as_number, check_flag
from sanreid.utils.arrays import shown
from sanreid.utils.extras import require_extra

if TYPE_CHECKING:
    import ray.data

__all__ = ["embed", "load_ray"]

logger = logging.getLogger(__name__)

_BATCHES_PER_BLOCK = {"cpu": 1, "gpu": 8}


def embed(
    dataset: ray.data.Dataset,
    column: str = "image",
    *,
    encoder: SANEncoder | str | os.PathLike[str] | None = None,
    device: str = "auto",
    dtype: str | None = None,
    backend: BackendName = "torch",
    batch_size: int = 64,
    flip: bool = False,
    normalize: bool = True,
    color: Color = "rgb",
    keep_images: bool = False,
    actors: int | tuple[int, int] | None = None,
    num_cpus: float | None = None,
    num_gpus: float = 0,
    rows_per_block: int | None = None,
) -> ray.data.Dataset:
    """Embed a column of a data set of Ray Data, lazily, in a pool of actors.

    Rows keep their other columns. A row whose crop cannot be read has a null ``embedding`` and its
    reason under ``error``. Where an actor or a machine dies, Ray computes its blocks again
    elsewhere; no row is lost or doubled. Rows come in any order, unless
    ``DataContext.execution_options.preserve_order`` is set.

    Args:
        dataset: With ``column``: paths that every machine can read, the bytes of image files (as
            ``ray.data.read_binary_files`` returns them), or images (``ray.data.read_images``).
        column: The column with the crops.
        encoder: What :meth:`~sanreid.SANEncoder.from_pretrained` takes: every machine loads the
            weights. Or an encoder, a copy of which is sent to the actors and moved to ``device``.
        device: Where an actor computes: ``"auto"`` is the GPU that Ray lends it, if any.
        dtype: How precisely. None: as an encoder that is sent has it, ``"auto"`` for weights.
        backend: As in :meth:`~sanreid.SANEncoder.from_pretrained`, for weights.
        batch_size: As in :meth:`~sanreid.SANEncoder.encode`.
        flip: As there.
        normalize: As there.
        color: As there; for images.
        keep_images: Keep ``column`` in the result. Paths are always kept.
        actors: How many, or (least, most) for a pool that grows and shrinks. None: from one to as
            many as there is room for.
        num_cpus: CPUs of an actor, which are its threads; 1 when None.
        num_gpus: GPUs of an actor; a fraction lets several share one.
        rows_per_block: Rows that an actor takes at a time. A data set is cut into blocks of as
            many, so that a small one, too, is spread over the actors. When None: one batch, or
            eight on a GPU.

    Returns:
        The data set with ``embedding`` list<float32> and ``error`` string, not computed yet.

    Raises:
        InputError: An argument is wrong; at once. A device, a precision or weights that an actor
            does not have, and a column that the data set lacks, fail there, inside Ray.
        MissingExtraError: Ray is not installed.
    """
    ray_data = load_ray("ray.data")
    if not isinstance(dataset, ray_data.Dataset):
        raise InputError(f"dataset must be a ray.data.Dataset; got {shown(dataset)}.")
    # checked here, not on another machine
    check_column(column)
    parse_device(device)
    runs_on = encoder.backend if isinstance(encoder, SANEncoder) else backend
    resolve(runs_on, "cpu", "auto" if dtype is None else dtype)
    batch_size = Options(batch_size, flip, normalize, color).batch_size
    check_flag(keep_images, "keep_images")
    cpus = 1.0 if num_cpus is None else _amount(num_cpus, "num_cpus")
    num_gpus = _amount(num_gpus, "num_gpus")
    if rows_per_block is None:
        rows_per_block = batch_size * _BATCHES_PER_BLOCK["gpu" if num_gpus else "cpu"]
    rows_per_block = as_count(rows_per_block, "rows_per_block")
    pool = _pool(actors)
    _warn_if_starved(pool.min_size, cpus)
    return dataset.repartition(target_num_rows_per_block=rows_per_block).map_batches(
        _EmbedCrops,
        batch_size=rows_per_block,
        batch_format="pyarrow",
        compute=pool,
        num_cpus=cpus,
        num_gpus=num_gpus or None,
        udf_modifying_row_count=False,
        fn_constructor_args=(_sendable(encoder),),
        fn_constructor_kwargs={
            "column": column,
            "device": device,
            "dtype": dtype,
            "backend": backend,
            "batch_size": batch_size,
            "flip": flip,
            "normalize": normalize,
            "color": color,
            "keep_images": keep_images,
        },
    )


def load_ray(module: str = "ray") -> Any:  # noqa: ANN401 - a module
    """Import Ray or one of its modules, of the extra ``ray``."""
    return require_extra(module, purpose="sanreid.scale", install="sanreid[ray]")


class _EmbedCrops(EmbedCrops):
    """What an actor holds: an encoder that was sent is a reference, fetched once."""

    def __init__(self, encoder: Any, **options: Any) -> None:  # noqa: ANN401 - those of EmbedCrops
        ray = load_ray()
        super().__init__(
            ray.get(encoder) if isinstance(encoder, ray.ObjectRef) else encoder, **options
        )


def _sendable(encoder: object) -> object:
    """Return weights by name, or a reference to an encoder on the CPU, stored once."""
    if not isinstance(encoder, SANEncoder):
        if encoder is not None and not isinstance(encoder, str | os.PathLike):
            raise InputError(
                "encoder must be an encoder, or the name or path of weights; got "
                f"{shown(encoder)}."
            )
        return encoder
    if encoder.device.type != "cpu":  # a machine without a GPU could not receive it
        encoder = copy.deepcopy(encoder).to("cpu")
    return load_ray().put(encoder)


def _amount(value: object, name: str) -> float:
    number = as_number(value, name)
    if number < 0:
        raise InputError(f"{name} must be at least 0; got {number:g}.")
    return number


def _pool(actors: object) -> Any:  # noqa: ANN401 - ActorPoolStrategy
    strategy = load_ray("ray.data").ActorPoolStrategy
    if actors is None:
        return strategy(min_size=1)
    if isinstance(actors, tuple | list) and len(actors) == 2:
        least, most = (as_count(count, "actors") for count in actors)
        if least > most:
            raise InputError(f"actors must be (least, most); got ({least}, {most}).")
        return strategy(min_size=least, max_size=most)
    return strategy(size=as_count(actors, "actors"))


def _warn_if_starved(actors: int, cpus: float) -> None:
    """Warn where a checkpointed data set cannot start beside its actors."""
    ray = load_ray()
    context = load_ray("ray.data").DataContext.get_current()
    if getattr(context, "checkpoint_config", None) is None or not ray.is_initialized():
        return
    free = ray.cluster_resources().get("CPU", 0.0) - actors * cpus
    if free < 2:
        logger.warning(
            "%d actors leave %g CPUs of the cluster: a data set with checkpoints needs 2 more, to "
            "read and to filter, and may wait for ever. Take fewer actors.",
            actors, free,
        )  # fmt: skip
