"""The core of the Gallery: entries in, entries out, search, and the life on disk.

It checks what it is given and lays out what it gives back; the entries are kept and searched by
a :class:`~sanreid.gallery.store.Store`. What stands on it is :class:`sanreid.Gallery`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sanreid.errors import GalleryError, InputError
from sanreid.gallery import validation as checks
from sanreid.gallery.filters import Condition, matches_all, parse
from sanreid.gallery.index.manager import INDEX_KINDS
from sanreid.gallery.results import Entry, SearchResult
from sanreid.gallery.storage.disk import Disk
from sanreid.gallery.storage.filenames import LOCK, is_gallery
from sanreid.gallery.storage.local import LocalStore, in_memory
from sanreid.gallery.storage.locks import WriterLock
from sanreid.gallery.storage.rewriting import create_directory, write_snapshot
from sanreid.gallery.storage.table import Settings
from sanreid.gallery.store import NewRows, Revision, SearchRequest

__all__ = ["GalleryCore", "Where"]

Where = Mapping[str, Any]
_MAX_PLACES = 1 << 28  # of a result; each takes about 40 bytes


class GalleryCore:
    """Entries and search; its arguments are those of :class:`sanreid.Gallery`."""

    def __init__(
        self, dim: int, *, index: str = "auto", encoder_fingerprint: str | None = None
    ) -> None:
        checks.checked_dim(dim)
        settings = Settings(checks.checked_fingerprint(encoder_fingerprint))
        self._store = LocalStore(int(dim), settings=settings, index=_checked_index(index))

    @classmethod
    def open(
        cls,
        path: str | Path,
        *,
        dim: int | None = None,
        mode: Literal["rw", "r"] = "rw",
        index: str = "auto",
        encoder_fingerprint: str | None = None,
    ) -> Self:
        """Open a gallery kept on disk; with ``dim``, make it if it is not there.

        When ``add``, ``remove`` or ``update`` returns, the change survives a crash and a power
        cut; an interrupted call leaves no trace. There is one writer at a time and any number of
        readers, which see the state at opening until they :meth:`refresh`.

        Args:
            path: Its directory.
            dim: Wanted to make a gallery; checked if it is there already.
            mode: "rw" to read and write, "r" only to read.
            index: As in :class:`Gallery`.
            encoder_fingerprint: As in :class:`Gallery`; must agree with the stored one.

        Raises:
            GalleryError: Not there (without ``dim``), damaged, foreign, of a newer format,
                of another dim or encoder, or open for writing elsewhere.
        """
        return cls._open(path, dim, mode, index, encoder_fingerprint, Disk())

    @classmethod
    def _open(
        cls,
        path: str | Path,
        dim: int | None,
        mode: str,
        index: str,
        encoder_fingerprint: str | None,
        disk: Disk,
    ) -> Self:
        if mode not in ("rw", "r"):
            raise InputError(f'mode must be "rw" or "r"; got {mode!r}.')
        if dim is not None:
            checks.checked_dim(dim)
        folder, index = Path(path), _checked_index(index)
        fingerprint = checks.checked_fingerprint(encoder_fingerprint)
        if not is_gallery(folder):
            if dim is None or mode == "r":
                raise GalleryError(
                    f"There is no gallery at {folder}."
                    + ("" if mode == "r" else " To make one, give its dim.")
                )
            create_directory(folder, int(dim), Settings(fingerprint), disk)
        store = LocalStore(dim or 0, folder=folder, write=mode == "rw", disk=disk, index=index)
        try:
            _check_stored(store, dim, fingerprint)
        except BaseException:
            store.close()
            raise
        return cls(store.dim)._with_store(store)  # noqa: SLF001 - its own class

    @classmethod
    def load(
        cls, path: str | Path, *, index: str = "auto", encoder_fingerprint: str | None = None
    ) -> Self:
        """Read a gallery from disk into memory; all that is read is checked.

        Raises:
            GalleryError: Not there, damaged, foreign, of a newer format or another encoder's.
        """
        index = _checked_index(index)
        with cls.open(path, mode="r", encoder_fingerprint=encoder_fingerprint) as stored:
            snapshot = stored._store.snapshot()  # noqa: SLF001 - of this class
            store = in_memory(snapshot, index=index)
        _check_stored(store, None, encoder_fingerprint)
        return cls(store.dim)._with_store(store)  # noqa: SLF001 - its own class

    def _with_store(self, store: LocalStore) -> Self:
        self._store = store
        return self

    @property
    def dim(self) -> int:
        """D, the width of the embeddings."""
        return self._store.dim

    @property
    def encoder_fingerprint(self) -> str | None:
        """The encoder the embeddings come from, if it was told."""
        return self._store.settings.encoder_fingerprint

    @property
    def ids(self) -> NDArray[np.int64]:
        """Ids of all entries, rising."""
        return self._store.ids()

    def __len__(self) -> int:
        return len(self._store)

    def __contains__(self, number: object) -> bool:
        if isinstance(number, (bool, np.bool_)) or not isinstance(number, (int, np.integer)):
            return False
        return int(number) in self._store

    def __repr__(self) -> str:
        where = "in memory" if self._store.folder is None else f"at {self._store.folder}"
        kind = self._store.keeper.kind
        return f"Gallery({len(self):,} entries, dim={self.dim}, {where}, index={kind!r})"

    def add(
        self,
        embeddings: ArrayLike,
        *,
        pids: Iterable[Any] | None = None,
        camids: Iterable[Any] | None = None,
        timestamps: Iterable[Any] | None = None,
        metadata: Sequence[Mapping[str, Any] | None] | None = None,
        ids: Iterable[Any] | None = None,
        encoder_fingerprint: str | None = None,
    ) -> NDArray[np.int64]:
        """Add entries, all of them or, on bad input, none.

        Args:
            embeddings: (N, D) numbers; rows are L2-normalised.
            pids: (N,) int, str or None, mixed; 7 and "7" are different people.
            camids: (N,) int or None.
            timestamps: (N,) seconds or None.
            metadata: One JSON-able dict or None a row; it is copied. The path of a crop's
                picture goes under "path".
            ids: (N,) int of at least 0, none of them in the gallery; by default the numbers
                after the highest ever used.
            encoder_fingerprint: The encoder's that made the embeddings; refused if the gallery
                knows another.

        Returns:
            (N,) the entries' ids.

        Raises:
            InputError: Something of the above does not hold; the message names the row.
            GalleryError: Another encoder's embeddings; a gallery that cannot be written.
        """
        self._check_fingerprint(checks.checked_fingerprint(encoder_fingerprint))
        rows = checks.checked_embeddings(embeddings, self.dim, name="embeddings")
        count = len(rows)
        given = None if ids is None else checks.checked_new_ids(ids)
        if given is not None and len(given) != count:
            raise InputError(f"ids must have one value a row: {count} rows, {len(given)} values.")
        return self._store.add(
            NewRows(
                embeddings=rows,
                pids=checks.checked_pids(pids, count),
                camids=checks.checked_camids(camids, count),
                timestamps=checks.checked_timestamps(timestamps, count),
                metadata=checks.checked_metadata(metadata, count),
                ids=given,
                encoder_fingerprint=encoder_fingerprint,
            )
        )

    def update(
        self,
        ids: Iterable[Any] | int,
        embeddings: ArrayLike | None = None,
        *,
        pids: Iterable[Any] | None = None,
        camids: Iterable[Any] | None = None,
        timestamps: Iterable[Any] | None = None,
        metadata: Sequence[Mapping[str, Any] | None] | None = None,
        encoder_fingerprint: str | None = None,
    ) -> None:
        """Change entries, all of them or, on bad input, none.

        What is not given stays; a None inside a list clears that entry's value. Metadata is
        replaced, not merged.

        Raises:
            UnknownIdError: An id is not in the gallery.
            InputError: As in :meth:`add`, or an id is given twice.
        """
        self._check_fingerprint(checks.checked_fingerprint(encoder_fingerprint))
        which = checks.checked_ids(ids)
        count = len(which)
        if len(np.unique(which)) < count:
            raise InputError("ids must differ: one is given more than once.")
        rows = None
        if embeddings is not None:
            rows = checks.checked_embeddings(embeddings, self.dim, name="embeddings")
            if len(rows) != count:
                raise InputError(f"{count} ids, but {len(rows)} rows of embeddings.")
        self._store.revise(
            Revision(
                ids=which,
                embeddings=rows,
                pids=None if pids is None else checks.checked_pids(pids, count),
                camids=None if camids is None else checks.checked_camids(camids, count),
                timestamps=(
                    None if timestamps is None else checks.checked_timestamps(timestamps, count)
                ),
                metadata=None if metadata is None else checks.checked_metadata(metadata, count),
                encoder_fingerprint=encoder_fingerprint,
            )
        )

    def remove(self, ids: Iterable[Any] | int | None = None, *, where: Where | None = None) -> int:
        """Remove entries by their ids, or all that match ``where``; give how many.

        Raises:
            UnknownIdError: An id is not in the gallery; nothing was removed.
            InputError: Neither or both are given, or ``where`` compares nothing, as ``{}`` does.
        """
        if (ids is None) == (where is None):
            raise InputError("Give either ids or where to remove().")
        if ids is not None:
            return self._store.remove(checks.checked_ids(ids))
        condition = parse(where)
        if matches_all(condition):
            raise InputError(
                "An empty where matches every entry. To remove them all, say so: "
                'remove(where={"id": {"$gte": 0}}).'
            )
        return self._store.remove(condition)

    def get(self, ids: Iterable[Any] | int) -> list[Entry]:
        """Give the entries of these ids, in their order.

        Raises:
            UnknownIdError: An id is not in the gallery.
        """
        return self._store.entries(checks.checked_ids(ids))

    def find(self, where: Where) -> NDArray[np.int64]:
        """Give the ids of the entries that match, rising. See :mod:`sanreid.gallery.filters`."""
        return self._store.select(parse(where))

    def search(
        self,
        queries: ArrayLike,
        k: int = 10,
        *,
        where: Where | None = None,
        query_pids: Iterable[Any] | None = None,
        query_camids: Iterable[Any] | None = None,
        min_similarity: float | None = None,
        encoder_fingerprint: str | None = None,
    ) -> SearchResult:
        """Find the k entries most similar to each query.

        Every rule acts before ranking, so k admissible entries come back whenever that many
        exist.

        Args:
            queries: (Q, D) numbers, or (D,) for one query; they are L2-normalised.
            k: Entries wanted per query, at least 1.
            where: Only entries that match. See :mod:`sanreid.gallery.filters`.
            query_pids: (Q,) with ``query_camids``: entries of the same person under the same
                camera are left out, the Market-1501 rule. A None leaves out nothing.
            query_camids: (Q,) alone: entries of the query's camera are left out.
            min_similarity: Only entries at least this similar.
            encoder_fingerprint: The encoder's that made the queries; refused if the gallery
                knows another.

        Returns:
            Q rows of k places by falling cosine similarity, ties by rising id.

        Raises:
            InputError: A shape, a norm, k or a rule is wrong.
            GalleryError: Another encoder's queries; a damaged file was met.

        Source:
            Zheng et al., "Scalable Person Re-identification: A Benchmark", ICCV 2015, for the
            rule of same person and camera.
        """
        self._check_fingerprint(checks.checked_fingerprint(encoder_fingerprint))
        request = self._request(queries, k, where, query_pids, query_camids, min_similarity)
        if request.k > len(self) and request.k * len(request.queries) > _MAX_PLACES:
            raise InputError(
                f"k={request.k} for {len(request.queries)} queries is more places than fit in "
                f"memory; the gallery has {len(self)} entries: k={max(len(self), 1)} gives all."
            )
        camids = request.exclude_camids
        return self._store.search(request).with_queries(
            pids=request.exclude_pids,
            camids=None if camids is None else checks.camids_or_none(camids),
        )

    def _request(
        self,
        queries: ArrayLike,
        k: int,
        where: Where | None,
        query_pids: Iterable[Any] | None,
        query_camids: Iterable[Any] | None,
        min_similarity: float | None,
    ) -> SearchRequest:
        """Give the checked form of a search's arguments."""
        k = checks.checked_count(k, "k")
        rows = checks.checked_embeddings(queries, self.dim, name="queries")
        if query_pids is not None and query_camids is None:
            raise InputError("query_pids need query_camids; query_camids alone is a rule too.")
        return SearchRequest(
            queries=rows,
            k=k,
            condition=None if where is None else _some(parse(where)),
            exclude_pids=(
                None
                if query_pids is None
                else checks.checked_pids(query_pids, len(rows), name="query_pids")
            ),
            exclude_camids=(
                None
                if query_camids is None
                else checks.checked_camids(query_camids, len(rows), name="query_camids")
            ),
            min_similarity=(
                None
                if min_similarity is None
                else np.clip(checks.checked_similarity(min_similarity, "min_similarity"), -2, 2)
            ),
        )

    def save(self, path: str | Path) -> None:
        """Write a snapshot to ``path``; a gallery that is there is replaced in one step.

        Raises:
            GalleryError: Something else is there, or the disk refuses; what was there stays.
        """
        folder, snapshot, disk = Path(path), self._store.snapshot(), Disk()
        if not is_gallery(folder):
            create_directory(folder, self.dim, snapshot, disk)
            return
        if self._store.folder is not None and self._store.folder.samefile(folder):
            raise GalleryError(f"The gallery is kept at {folder} itself: nothing to save.")
        writer = WriterLock(folder / LOCK)
        try:
            write_snapshot(folder, snapshot, self.dim, disk)
        finally:
            writer.release()

    def compact(self) -> None:
        """Drop what was removed or replaced; on disk no trace of it is left.

        Raises:
            GalleryError: Open for reading only, or the disk refuses; nothing was lost.
        """
        self._store.compact()

    def verify(self) -> None:
        """Check every stored byte against its checksum; a gallery in memory has none.

        Raises:
            GalleryError: Bytes are flipped, missing or foreign; the message says where.
        """
        self._store.verify()

    def build_index(self, *, progress: bool | None = None) -> None:
        """Train and fill the approximate index now, rather than at the next search.

        A gallery of 10,000 entries and more builds the index it was asked for at its first
        search and takes new entries in as they come. Train again once it has grown manyfold.
        With "auto" and "flat", or fewer entries, search is exact and there is nothing to build.

        Args:
            progress: Show a bar: True always, False never, None on a terminal for long work.
        """
        self._store.build_index(progress=progress)

    def recall(self, k: int = 10, sample: int = 256, *, seed: int = 0) -> float:
        """Measure the index against exact search; 1.0 where search is exact.

        Args:
            k: Neighbours of each entry, itself left out.
            sample: Entries asked for theirs, drawn at random.
            seed: Of the draw.

        Returns:
            The share of the true neighbours found, in [0, 1].
        """
        return self._store.recall(
            checks.checked_count(k, "k"), checks.checked_count(sample, "sample"), seed
        )

    def refresh(self) -> None:
        """Let a reader see what the writer has committed since."""
        self._store.refresh()

    def close(self) -> None:
        """Close a gallery kept on disk; one in memory has nothing to close."""
        self._store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def stats(self) -> dict[str, Any]:
        """Count entries, people and cameras; say how they are kept and searched."""
        snapshot = self._store.snapshot()
        rows, count = snapshot.alive_rows(), snapshot.num_rows
        codes = np.unique(snapshot.table.pid_codes.first(count)[rows])
        camids = np.unique(snapshot.table.camids.first(count)[rows])
        return {
            "entries": snapshot.num_entries,
            "removed_rows": snapshot.num_dead,
            "dim": self.dim,
            "pids": int((codes > 0).sum()),
            "camids": int((camids != checks.NO_CAMID).sum()),
            **self._store.keeper.facts(snapshot),
            "encoder_fingerprint": snapshot.settings.encoder_fingerprint,
            "path": None if self._store.folder is None else str(self._store.folder),
            "vector_bytes": snapshot.num_rows * self.dim * 4,
        }

    def counts(self, field: Literal["pid", "camid"]) -> dict[checks.Pid, int]:
        """Count the entries of each person, or of each camera.

        Args:
            field: "pid" or "camid".

        Returns:
            Entries by value, most first, equal numbers in the order of adding; None stands for
            entries without one.

        Raises:
            InputError: Another field.
        """
        snapshot = self._store.snapshot()
        rows, table = snapshot.alive_rows(), snapshot.table
        if field == "pid":
            codes = table.pid_codes.first(snapshot.num_rows)[rows]
            values: Sequence[checks.Pid] = table.pid_values
        elif field == "camid":
            camids, codes = np.unique(
                table.camids.first(snapshot.num_rows)[rows], return_inverse=True
            )
            values = checks.camids_or_none(camids)
        else:
            raise InputError(f'field must be "pid" or "camid"; got {field!r}.')
        numbers = np.bincount(codes, minlength=1)
        order = np.argsort(-numbers, kind="stable")
        return {values[code]: int(numbers[code]) for code in order if numbers[code]}

    def _check_fingerprint(self, fingerprint: str | None) -> None:
        checks.check_encoder(self.encoder_fingerprint, fingerprint)


def _checked_index(index: Any) -> str:  # noqa: ANN401 - whatever the caller passed
    if not isinstance(index, str) or index not in INDEX_KINDS:
        raise InputError(f"index must be one of {', '.join(INDEX_KINDS)}; got {index!r}.")
    return index


def _check_stored(store: LocalStore, dim: int | None, fingerprint: str | None) -> None:
    """Check what was asked for against what is there; a fingerprint not yet known is kept."""
    if dim is not None and store.dim != dim:
        raise GalleryError(
            f"The gallery {store.folder} has dim {store.dim}; dim={dim} was asked for."
        )
    checks.check_encoder(store.settings.encoder_fingerprint, fingerprint)
    if fingerprint is not None and store.settings.encoder_fingerprint is None and store.write:
        store.set_settings(Settings(fingerprint, store.settings.calibration))


def _some(condition: Condition) -> Condition | None:
    return None if matches_all(condition) else condition
