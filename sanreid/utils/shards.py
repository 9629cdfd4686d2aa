"""Embeddings as Parquet shards: files that are written whole, and a manifest that names them.

A directory of shards holds ``manifest.json`` and ``part-00000.parquet``, ``part-00001.parquet``,
... with one row per file: ``path`` string, ``embedding`` list<float32> (null for a file that could
not be read), ``error`` string (null for the others), ``pid`` string, ``pid_is_text`` bool (7 and
"7" are two people), ``camid`` int64, ``timestamp`` float64 seconds, ``fingerprint`` string, the
encoder's. What the manifest does not name is not there: a process that is killed at any moment
leaves whole shards, and the next one resumes after them.

Needs the extra ``parquet``.
"""

from __future__ import annotations

import glob
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from sanreid.errors import InputError
from sanreid.utils.arguments import as_count
from sanreid.utils.extras import require_extra
from sanreid.utils.files import atomic_write, atomic_write_text, errors_of_writing, make_folder
from sanreid.utils.locks import DirectoryLock
from sanreid.utils.paths import as_path, is_file, is_folder

__all__ = ["MANIFEST", "ShardRow", "ShardWriter", "load_pyarrow", "read_shards", "shard_files"]

MANIFEST = "manifest.json"
_LOCK = ".lock"
_FORMAT, _KIND = 1, "sanreid-embeddings"
_SHARD = re.compile(r"part-[0-9]{5,}\.parquet")


@dataclass(frozen=True, slots=True)
class ShardRow:
    """One file: its embedding, or the reason why it has none; and what is known about it."""

    path: str
    embedding: NDArray[np.float32] | None  # (D,)
    error: str | None = None
    pid: int | str | None = None
    camid: int | None = None
    timestamp: float | None = None


class ShardWriter:
    """Write rows into shards of a directory, each whole, in the order in which they come.

    Args:
        directory: Made if it is not there.
        fingerprint: The encoder's.
        dim: D, the length of an embedding.
        options: What else decides the embeddings, such as ``{"flip": False}``. A directory that
            was begun with others is not resumed.
        resume: Continue what is there. Without it the directory must be empty.
        rows_per_shard: Rows in a shard; a process that is killed loses at most as many.

    Attributes:
        done: The paths that the directory holds already.
        failed: Which of them have no embedding, with the reason.

    Raises:
        InputError: The directory is not empty and ``resume`` is False, holds something else,
            is being written, cannot be, or was begun with another encoder or other options.
        MissingExtraError: ``pyarrow`` is not installed.
    """

    def __init__(
        self,
        directory: Path,
        *,
        fingerprint: str,
        dim: int,
        options: Mapping[str, Any],
        resume: bool = False,
        rows_per_shard: int = 4096,
    ) -> None:
        load_pyarrow("pyarrow")
        self._directory = directory
        self._rows_per_shard = as_count(rows_per_shard, "rows_per_shard")
        self._manifest: dict[str, Any] = {
            "kind": _KIND,
            "format_version": _FORMAT,
            "fingerprint": fingerprint,
            "dim": dim,
            "options": dict(options),
        }
        self._shards: list[dict[str, Any]] = []
        self._rows: list[ShardRow] = []
        with errors_of_writing(directory):
            make_folder(directory)
        if not _is_new(directory, resume=resume):
            _read_manifest(directory)  # before a lock is put beside something else
        with errors_of_writing(directory):
            self._lock = DirectoryLock(directory / _LOCK)
        self.done: set[str] = set()
        self.failed: dict[str, str] = {}
        try:
            if _is_new(directory, resume=resume):  # now that nobody else can begin it
                self._write_manifest(self._shards)
            else:
                self._shards = self._resumed()
            for shard in self._shards:
                columns = _read(directory / shard["file"], columns=["path", "error"])
                paths, errors = (columns.column(name).to_pylist() for name in ("path", "error"))
                self.done.update(paths)
                pairs = zip(paths, errors, strict=True)
                self.failed |= {path: reason for path, reason in pairs if reason is not None}
        except BaseException:
            self._lock.release()
            raise

    def add(self, row: ShardRow) -> None:
        """Add a row; a shard is written when it is full."""
        self._rows.append(row)
        if len(self._rows) >= self._rows_per_shard:
            self.flush()

    def flush(self) -> None:
        """Write the rows that wait as a shard of their own, and name it in the manifest."""
        if not self._rows:
            return
        name = f"part-{len(self._shards):05d}.parquet"
        parquet = load_pyarrow("pyarrow.parquet")
        table = self._table()
        with (
            errors_of_writing(self._directory),
            atomic_write(self._directory / name, durable=True) as file,
        ):
            parquet.write_table(table, file)
        shards = [*self._shards, {"file": name, "rows": len(self._rows)}]
        self._write_manifest(shards)  # where that fails, the rows wait for the next try
        self._shards, self._rows = shards, []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self.flush()  # after an error too: these rows are done
        finally:
            self._lock.release()

    def _write_manifest(self, shards: list[dict[str, Any]]) -> None:
        text = json.dumps(self._manifest | {"shards": shards}, indent=1)
        with errors_of_writing(self._directory):
            atomic_write_text(self._directory / MANIFEST, text + "\n")

    def _resumed(self) -> list[dict[str, Any]]:
        found = _read_manifest(self._directory)
        for key, wanted in self._manifest.items():
            if key != "options" and found.get(key) != wanted:
                raise InputError(
                    f"{self._directory} was begun with {key} {found.get(key)!r}, not {wanted!r}. "
                    "Name another directory."
                )
        self._check_options(found.get("options"))
        shards: list[dict[str, Any]] = found["shards"]
        return shards

    def _check_options(self, begun: object) -> None:
        """Refuse other options than the shards were begun with; older ones name fewer.

        Raises:
            InputError: An option is another.
        """
        wanted = self._manifest["options"]
        begun = begun if isinstance(begun, dict) else {}
        others = [name for name in wanted if name in begun and begun[name] != wanted[name]]
        if others:
            then, now = (
                ", ".join(f"{name} {options[name]!r}" for name in others)
                for options in (begun, wanted)
            )
            raise InputError(
                f"{self._directory} was begun with options that differ: {then}, not {now}. The "
                "embeddings of a directory come from one setting: resume with that one, or name "
                "another directory."
            )
        self._manifest["options"] = begun | wanted

    def _table(self) -> Any:  # noqa: ANN401 - pyarrow.Table, which has no types
        pyarrow = load_pyarrow("pyarrow")
        rows = self._rows
        columns = {
            "path": ([row.path for row in rows], pyarrow.string()),
            "embedding": ([row.embedding for row in rows], pyarrow.list_(pyarrow.float32())),
            "error": ([row.error for row in rows], pyarrow.string()),
            "pid": ([None if row.pid is None else str(row.pid) for row in rows], pyarrow.string()),
            "pid_is_text": ([isinstance(row.pid, str) for row in rows], pyarrow.bool_()),
            "camid": ([row.camid for row in rows], pyarrow.int64()),
            "timestamp": ([row.timestamp for row in rows], pyarrow.float64()),
            "fingerprint": ([self._manifest["fingerprint"]] * len(rows), pyarrow.string()),
        }
        return pyarrow.table(
            {name: pyarrow.array(values, type=kind) for name, (values, kind) in columns.items()}
        )


def shard_files(source: str | Path) -> list[Path]:
    """Return the Parquet files that a name stands for.

    Args:
        source: A directory of shards, a pattern such as ``"out/*.parquet"``, or one file.

    Raises:
        InputError: There are none, or the directory was not written by :class:`ShardWriter`.
    """
    path = as_path(source, "Parquet files")
    if is_folder(path):
        return [path / shard["file"] for shard in _read_manifest(path)["shards"]]
    files = [path] if is_file(path) else sorted(Path(one) for one in glob.glob(str(path)))  # noqa: PTH207 - a pattern with its folder
    if not files:
        raise InputError(f"There is no Parquet file {source}.")
    return files


def read_shards(
    files: Sequence[Path], *, batch_rows: int = 8192
) -> Iterator[dict[str, list[Any]]]:
    """Yield the columns of Parquet files as Python lists, some thousand rows at a time.

    Args:
        files: As :func:`shard_files` returns them; any Parquet file with these columns will do.
        batch_rows: Rows at a time at most.

    Raises:
        InputError: A file is not Parquet, is damaged, or lacks ``embedding``.
    """
    parquet = load_pyarrow("pyarrow.parquet")
    for file in files:
        try:
            with parquet.ParquetFile(file) as opened:
                _check_column(file, opened.schema_arrow)
                for batch in opened.iter_batches(batch_size=batch_rows):
                    columns = batch.to_pydict()
                    flat = batch.column("embedding")
                    columns["embedding"] = _rows(flat)
                    yield columns
        except InputError:
            raise
        except (OSError, ValueError) as error:  # pyarrow's ArrowInvalid is a ValueError
            raise InputError(f"{file} cannot be read as Parquet: {error}") from error


def _check_column(file: Path, schema: Any) -> None:  # noqa: ANN401 - pyarrow.Schema
    if "embedding" not in schema.names:
        raise InputError(f"{file} has no column 'embedding'.")
    kind, types = schema.field("embedding").type, load_pyarrow("pyarrow.types")
    is_list = types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind)
    if not is_list or not (
        types.is_floating(kind.value_type) or types.is_integer(kind.value_type)
    ):
        raise InputError(
            f"The column 'embedding' of {file} holds {kind}; wanted a list of numbers per row."
        )


def _rows(column: Any) -> list[NDArray[np.float32] | None]:  # noqa: ANN401 - pyarrow.Array
    """Return list-typed embeddings as arrays, without a Python number for each value."""
    pyarrow = load_pyarrow("pyarrow")
    if pyarrow.types.is_fixed_size_list(column.type):  # which has no offsets
        column = column.cast(pyarrow.list_(column.type.value_type))
    values = column.values.to_numpy(zero_copy_only=False).astype(np.float32, copy=False)
    offsets = column.offsets.to_pylist()
    known = column.is_valid().to_pylist()
    return [
        values[offsets[index] : offsets[index + 1]] if is_known else None
        for index, is_known in enumerate(known)
    ]


def _read(file: Path, *, columns: list[str]) -> Any:  # noqa: ANN401 - pyarrow.Table
    try:
        return load_pyarrow("pyarrow.parquet").read_table(file, columns=columns)
    except (OSError, ValueError) as error:
        raise InputError(f"{file} cannot be read as Parquet: {error}") from error


def _is_new(directory: Path, *, resume: bool) -> bool:
    """Whether nothing but a lock is there.

    Raises:
        InputError: There is more, and nobody said to resume it.
    """
    with errors_of_writing(directory):
        is_new = all(path.name == _LOCK for path in directory.iterdir())
    if not is_new and not resume:
        raise InputError(
            f"{directory} is not empty. Resume what was begun there (resume=True, --resume), or "
            "name another directory."
        )
    return is_new


def _read_manifest(directory: Path) -> dict[str, Any]:
    path = directory / MANIFEST
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{directory} is no directory of embeddings: {path}: {error}") from error
    if not isinstance(found, dict) or found.get("kind") != _KIND or "shards" not in found:
        raise InputError(f"{directory} is no directory of embeddings: {path} is something else.")
    if found.get("format_version") != _FORMAT:
        raise InputError(
            f"{path} has format version {found.get('format_version')!r}; this version of sanreid "
            f"reads {_FORMAT}."
        )
    shards = found["shards"]
    if not isinstance(shards, list) or not all(map(_is_shard, shards)):
        raise InputError(f"{path} is damaged: it does not list shards.")
    return found


def _is_shard(value: object) -> bool:
    """Whether a row of the manifest names a file of its own directory."""
    file = value.get("file") if isinstance(value, dict) else None
    return isinstance(file, str) and _SHARD.fullmatch(file) is not None


def load_pyarrow(module: str) -> Any:  # noqa: ANN401 - a module
    """Import ``pyarrow`` or one of its modules, of the extra ``parquet``."""
    return require_extra(module, purpose="Reading and writing Parquet", install="sanreid[parquet]")
