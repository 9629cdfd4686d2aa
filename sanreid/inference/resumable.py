"""Embedding into shards, which resumes after whatever stopped it."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sanreid.errors import InputError
from sanreid.images.sources import expand_paths
from sanreid.inference.batches import Batch, Failure
from sanreid.utils.arguments import check_flag
from sanreid.utils.arrays import shown
from sanreid.utils.paths import as_path, is_text
from sanreid.utils.progress import progress_bar
from sanreid.utils.shards import ShardRow, ShardWriter

__all__ = ["EncodedShards", "Label", "embed_into_shards"]

Label = tuple[int | str | None, int | None]
"""Person and camera of a file."""

Embed = Callable[[Sequence[Path]], Generator[Batch | Failure, None, None]]


@dataclass(frozen=True, slots=True)
class EncodedShards:
    """What a directory of shards holds after a call.

    Attributes:
        directory: Where the shards are.
        embedded: Files embedded by this call.
        resumed: Files that the directory held before, with or without an embedding.
        failures: (path, reason) of the files that this call could not read.
        earlier_failures: The same of earlier calls; these files are not tried again.
    """

    directory: Path
    embedded: int
    resumed: int
    failures: list[tuple[Path, str]]
    earlier_failures: list[tuple[Path, str]]


def embed_into_shards(
    directory: object,
    paths: object,
    *,
    embed: Embed,
    fingerprint: str,
    dim: int,
    flip: bool,
    normalize: bool,
    dtype: str,
    backend: str,
    resume: bool,
    labels: object,
    rows_per_shard: int,
    progress: bool | None,
) -> EncodedShards:
    """Embed files and folders into a directory of shards, whatever embeds them.

    Args:
        directory: As in :meth:`sanreid.SANEncoder.encode_to`.
        paths: As there.
        embed: From the paths that the directory does not hold to embeddings and failures, by
            their indices.
        fingerprint: That of the encoder.
        dim: D, the length of an embedding.
        flip: As there; a directory is resumed with the options it was begun with.
        normalize: As ``flip``.
        dtype: The arithmetic of the encoder, such as "float32"; as ``flip``.
        backend: What runs its network; as ``flip``.
        resume: As there.
        labels: As there.
        rows_per_shard: As there.
        progress: As there.

    Raises:
        InputError: As there.
        MissingExtraError: ``pyarrow`` is not installed.
    """
    check_flag(resume, "resume")
    check_flag(progress, "progress", optional=True)  # before the directory is begun
    target = as_path(directory, "a directory for the shards")
    known = _checked_labels(labels)
    files, failures = expand_paths(paths, collect=True)
    _check_names_are_text([*files, *(path for path, _ in failures)])
    writer = ShardWriter(
        target,
        fingerprint=fingerprint,
        dim=dim,
        options={"flip": flip, "normalize": normalize, "dtype": dtype, "backend": backend},
        resume=resume,
        rows_per_shard=rows_per_shard,
    )
    held = len(writer.done)
    earlier = [(Path(path), reason) for path, reason in writer.failed.items()]
    with progress_bar(progress, total=len(files)) as bar:
        embedded, failed = _write_embeddings(
            writer, files, failures, embed=embed, labels=known, report=bar.update
        )
    return EncodedShards(target, embedded, held, failed, earlier)


def _checked_labels(labels: object) -> dict[Path, Label]:
    """Return person and camera by path, of a caller's mapping; None is an empty one.

    Raises:
        InputError: It is no mapping from paths to (pid, camid).
    """
    if labels is None:
        return {}
    if not isinstance(labels, Mapping):
        raise InputError(f"labels must map paths to (pid, camid); got {shown(labels)}.")
    return {as_path(path, "labels by path"): _label(path, one) for path, one in labels.items()}


def _check_names_are_text(paths: Iterable[Path]) -> None:
    """Refuse paths that a column of text cannot hold.

    Raises:
        InputError: A name is not UTF-8; names it.
    """
    for path in paths:
        if not is_text(str(path)):
            raise InputError(
                f"The name {str(path)!a} is not UTF-8, so a shard cannot keep it. Rename the file."
            )


def _label(path: object, label: object) -> Label:
    came = shown(label)
    if isinstance(label, tuple | list) and len(label) == 2:
        pid, camid = (one.item() if isinstance(one, np.generic) else one for one in label)
        came = f"({shown(pid)}, {shown(camid)})"
        pid_fits = pid is None or _is_int(pid) or (isinstance(pid, str) and is_text(pid))
        camid_fits = camid is None or (_is_int(camid) and -(2**63) <= camid < 2**63)
        if pid_fits and camid_fits:
            return pid, camid
    raise InputError(
        f"The label of {shown(str(path))} must be (pid, camid), an int, str or None and an int or "
        f"None; got {came}."
    )


def _write_embeddings(
    writer: ShardWriter,
    files: Sequence[Path],
    failures: Sequence[tuple[Path, str]],
    *,
    embed: Embed,
    labels: Mapping[Path, Label],
    report: Callable[[int], object],
) -> tuple[int, list[tuple[Path, str]]]:
    """Embed the files that a writer has not seen; each path is in the shards once.

    Args:
        writer: Open; what it holds already is skipped.
        files: The images.
        failures: (path, reason) of sources that are no images.
        embed: From paths to embeddings and failures, by their indices.
        labels: Person and camera by path, as far as they are known.
        report: Called with the number of files that are done.

    Returns:
        The number of files embedded, and (path, reason) of those that could not be.
    """
    failed: list[tuple[Path, str]] = []
    embedded = 0

    def add_failure(path: Path, reason: str) -> None:
        pid, camid = labels.get(path, (None, None))
        writer.add(ShardRow(str(path), None, reason, pid, camid))
        failed.append((path, reason))

    with writer:
        for path, reason in dict(failures).items():
            if str(path) not in writer.done:
                add_failure(path, reason)
        pending = [path for path in dict.fromkeys(files) if str(path) not in writer.done]
        with closing(embed(pending)) as steps:
            for step in steps:
                if isinstance(step, Failure):
                    add_failure(pending[step.index], step.error.reason)
                    report(1)
                    continue
                for index, row in zip(step.indices, step.rows, strict=True):
                    path = pending[index]
                    pid, camid = labels.get(path, (None, None))
                    writer.add(ShardRow(str(path), row, None, pid, camid))
                embedded += len(step.rows)
                report(len(step.rows))
    return embedded, failed


def _is_int(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
