"""Embedding into shards, which resumes after whatever stopped it."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from sanreid.inference.batches import Batch, Failure
from sanreid.utils.shards import ShardRow, ShardWriter

__all__ = ["EncodedShards", "Label", "write_embeddings"]

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
    """

    directory: Path
    embedded: int
    resumed: int
    failures: list[tuple[Path, str]]


def write_embeddings(
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
        writer.add(ShardRow(str(path), None, reason, _text(pid), camid))
        failed.append((path, reason))

    with writer:
        for path, reason in dict(failures).items():
            if str(path) not in writer.done:
                add_failure(path, reason)
        pending = [path for path in dict.fromkeys(files) if str(path) not in writer.done]
        with closing(embed(pending)) as steps:
            for step in steps:
                if isinstance(step, Failure):
                    path = pending[step.index]
                    add_failure(path, str(step.error).removeprefix(f"Cannot read '{path}': "))
                    report(1)
                    continue
                for index, row in zip(step.indices, step.rows, strict=True):
                    path = pending[index]
                    pid, camid = labels.get(path, (None, None))
                    writer.add(ShardRow(str(path), row, None, _text(pid), camid))
                embedded += len(step.rows)
                report(len(step.rows))
    return embedded, failed


def _text(pid: int | str | None) -> str | None:
    return None if pid is None else str(pid)
