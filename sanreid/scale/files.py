"""Image files into Parquet shards, embedded by Ray: it resumes, whatever was killed."""

from __future__ import annotations

import os
from collections.abc import Generator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from sanreid.backends.device import parse_device, resolve_dtype
from sanreid.backends.runtimes import resolve
from sanreid.encoder import SANEncoder
from sanreid.errors import ImageError, SanreidError
from sanreid.inference.batches import Batch, Failure
from sanreid.inference.resumable import (
    EncodedShards,
    Label,
    embed_into_shards,
)
from sanreid.scale.columns import embeddings_of
from sanreid.scale.ray_data import embed, load_ray
from sanreid.utils.arguments import check_kind
from sanreid.utils.shards import load_pyarrow

__all__ = ["embed_files"]


def embed_files(
    directory: str | os.PathLike[str],
    paths: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    *,
    encoder: SANEncoder,
    resume: bool = False,
    labels: Mapping[Path, Label] | Mapping[str, Label] | None = None,
    rows_per_shard: int = 4096,
    device: str = "auto",
    dtype: str | None = None,
    batch_size: int = 64,
    flip: bool = False,
    normalize: bool = True,
    actors: int | tuple[int, int] | None = None,
    num_cpus: float | None = None,
    num_gpus: float = 0,
    progress: bool | None = None,
) -> EncodedShards:
    """Do what :meth:`sanreid.SANEncoder.encode_to` does, in the actors of a Ray cluster.

    The directory is the same: what one of the two began, the other resumes. This process writes
    the shards; actors and machines may die meanwhile, and after this process was killed the next
    call resumes, so that each path is there once.

    Args:
        directory: For the shards; only this process writes there.
        paths: Files and folders, as in :meth:`~sanreid.SANEncoder.encode_files`; every machine
            of the cluster must see them under the same absolute paths.
        encoder: What embeds; a copy is sent to the actors.
        resume: As in :meth:`~sanreid.SANEncoder.encode_to`.
        labels: As there.
        rows_per_shard: As there; a driver that is killed loses at most as many.
        device: As in :func:`embed`.
        dtype: How precisely. None: as the encoder has it. Where that is ``"auto"``, it is chosen
            once for all actors: on GPUs as for a GPU of this machine, bfloat16 where it has none
            (pass "float32" for GPUs older than compute capability 8); on CPUs as for this one.
        batch_size: As in :func:`embed`.
        flip: As in :func:`embed`.
        normalize: As in :func:`embed`.
        actors: As in :func:`embed`.
        num_cpus: As in :func:`embed`.
        num_gpus: As in :func:`embed`.
        progress: As in :meth:`~sanreid.SANEncoder.encode`.

    Returns:
        How many files this call embedded, how many were there, and what failed.

    Raises:
        InputError: As :meth:`~sanreid.SANEncoder.encode_to` says.
        MissingExtraError: Ray is not installed.
        SanreidError: The work failed inside Ray; the shards written before stay, and ``resume``
            goes on from them.
    """
    load_ray("ray.data")
    check_kind(encoder, "encoder", SANEncoder, "a SANEncoder")
    precision, dtype = _precision(encoder, dtype, device=device, num_gpus=num_gpus)

    def through_ray(pending: Sequence[Path]) -> Generator[Batch | Failure, None, None]:
        return _rows_of(
            pending,
            encoder,
            device=device,
            dtype=dtype,
            batch_size=batch_size,
            flip=flip,
            normalize=normalize,
            actors=actors,
            num_cpus=num_cpus,
            num_gpus=num_gpus,
        )

    return embed_into_shards(
        directory,
        paths,
        embed=through_ray,
        fingerprint=encoder.fingerprint,
        dim=encoder.embedding_dim,
        flip=flip,
        normalize=normalize,
        dtype=_name_of(precision),
        backend=encoder.backend,
        resume=resume,
        labels=labels,
        rows_per_shard=rows_per_shard,
        progress=progress,
    )


def _precision(
    encoder: SANEncoder, dtype: str | None, *, device: str, num_gpus: float
) -> tuple[torch.dtype, str | None]:
    """Return the precision to note, and what to ask of the actors, so that both are the same."""
    if encoder.backend != "torch":
        asked = encoder.dtype if dtype is None else resolve(encoder.backend, "cpu", dtype)[1]
        if encoder.dtype == torch.int8:  # of a quantised file, whatever is asked
            return encoder.dtype, dtype
        return asked, _name_of(asked)
    if dtype is None:
        dtype = "auto" if encoder.chooses_dtype else str(encoder.dtype)
    on_gpu = bool(num_gpus) if device == "auto" else parse_device(device).type == "cuda"
    if dtype == "auto" and on_gpu and not torch.cuda.is_available():
        dtype = "bfloat16"
    precision = resolve_dtype(dtype, torch.device("cuda" if on_gpu else "cpu"))
    return precision, _name_of(precision)


def _name_of(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _rows_of(
    paths: Sequence[Path],
    encoder: SANEncoder,
    **options: Any,  # noqa: ANN401 - those of embed(), checked there
) -> Generator[Batch | Failure, None, None]:
    """Yield embeddings and failures of files by their indices, as blocks are done."""
    if not paths:
        return
    pyarrow, ray_data = load_pyarrow("pyarrow"), load_ray("ray.data")
    exceptions = load_ray("ray.exceptions")
    table = pyarrow.table(
        {"index": range(len(paths)), "path": [os.path.abspath(path) for path in paths]}  # noqa: PTH100 - links stay as they are written
    )
    dataset = embed(ray_data.from_arrow(table), "path", encoder=encoder, **options)
    try:
        for block in dataset.iter_batches(batch_format="pyarrow", batch_size=None):
            rows = embeddings_of(block.column("embedding"), encoder.embedding_dim)
            indices = block.column("index").to_pylist()
            errors = block.column("error").to_pylist()
            for index, reason in zip(indices, errors, strict=True):
                if reason is not None:
                    message = f"Cannot read '{paths[index]}': {reason}"
                    yield Failure(index, ImageError(message, reason=reason))
            read = [i for i, reason in zip(indices, errors, strict=True) if reason is None]
            if read:
                yield Batch(read, rows)
    except exceptions.RayError as error:
        raise SanreidError(
            f"Ray could not go on: {_reason(error)} What was done is in the directory: resume it."
        ) from error


def _reason(error: Exception) -> str:
    """Return what an actor said, out of the tracebacks that Ray makes one text of."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    for line in reversed(lines):
        kind, _, words = line.partition(": ")
        if kind.startswith("sanreid.errors."):
            return words
    last = lines[-1].rstrip(".") if lines else "no reason given"
    return f"{type(error).__name__}: {last}."
