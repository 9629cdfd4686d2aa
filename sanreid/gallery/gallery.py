"""The gallery that users meet.

This file is longer than others because it is the public class, with the documentation of every
method. The methods are thin: arguments are checked in :mod:`~sanreid.gallery.requests` and
:mod:`~sanreid.gallery.validation`, entries are kept and searched by a
:class:`~sanreid.gallery.store.Store`, and each topic has its module beside this one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sanreid.cameras import CameraNormalizer
from sanreid.datasets.cameras import named, read_names
from sanreid.errors import GalleryError, InputError
from sanreid.gallery import requests, validation
from sanreid.gallery.calibration import Calibration, calibrate_pairs
from sanreid.gallery.camera_means import (
    check_normalizer,
    fit_to_entries,
    normalized,
)
from sanreid.gallery.camera_names import named_entries, named_result
from sanreid.gallery.filters import parse
from sanreid.gallery.identification import Group, Identification, identify
from sanreid.gallery.open_set import OpenSetReport, open_set_report
from sanreid.gallery.people import naming, tracklets
from sanreid.gallery.people.naming import Assignment
from sanreid.gallery.requests import Where
from sanreid.gallery.results import Entry, SearchResult
from sanreid.gallery.storage.files.folder import resolved
from sanreid.gallery.storage.memory_store import MemoryStore
from sanreid.gallery.storage.opening import load_store, open_store
from sanreid.gallery.store import SearchRequest, Settings, Store
from sanreid.gallery.travel import Gap
from sanreid.utils.arguments import check_flag
from sanreid.utils.paths import as_path

if TYPE_CHECKING:
    import pandas as pd

    from sanreid.datasets.schemes import Names
    from sanreid.gallery.images import Encoder
    from sanreid.gallery.people.clusters import EntryClustering
    from sanreid.gallery.people.decisions import Decisions
    from sanreid.gallery.people.doubt import DoubtfulPair
    from sanreid.gallery.people.person import Person
    from sanreid.quality import CropQuality

__all__ = ["Gallery"]


class Gallery:
    """A searchable set of embeddings, in memory; :meth:`open` keeps one on disk.

    Several threads may search while one changes it: each search sees one consistent state.

    Args:
        dim: D, the number of dimensions of the embeddings.
        index: "flat" is exact, and so is "auto", which suggests an approximate index in the log
            when that would be quicker. "ivf" and "hnsw" are approximate from 10,000 entries on;
            with "-sq8" or "-pq" appended to them or to "flat", an index keeps 8 bits per
            number or product codes. Candidates of an index are scored again with the stored
            embeddings.
        encoder_fingerprint: The encoder all embeddings must come from, as
            ``SANEncoder.fingerprint`` returns it. None adopts the first one passed to a method.

    >>> gallery = Gallery(2)
    >>> gallery.add([[1.0, 0.0], [0.0, 2.0]], pids=[7, "guest"], camids=[1, 2])
    array([0, 1])
    >>> gallery.search([3.0, 1.0], k=1)[0][0].pid
    7
    """

    def __init__(
        self, dim: int, *, index: str = "auto", encoder_fingerprint: str | None = None
    ) -> None:
        settings = Settings(validation.as_fingerprint(encoder_fingerprint))
        self._store: Store = MemoryStore(
            validation.as_count(dim, "dim"), settings=settings, index=index
        )

    @classmethod
    def open(
        cls,
        path: str | Path,
        *,
        dim: int | None = None,
        mode: Literal["rw", "r"] = "rw",
        index: str = "auto",
        encoder_fingerprint: str | None = None,
        wait: float = 0.0,
    ) -> Self:
        """Open a gallery kept on disk; with ``dim``, create it if it does not exist.

        When ``add``, ``remove`` or ``update`` returns, the change survives a crash and a power
        cut; an interrupted call leaves no trace. There is one writer at a time and any number of
        readers, which see the state at opening until they :meth:`refresh`.

        Args:
            path: The gallery's directory, or its address on Milvus (extra ``milvus``), such as
                ``"milvus://host:19530/people"``; what differs there is in *A gallery on Milvus*.
            dim: Needed to create a gallery; compared with that of an existing one.
            mode: "rw" to read and write, "r" to read only.
            index: As in :class:`Gallery`.
            encoder_fingerprint: As in :class:`Gallery`; must agree with the stored one.
            wait: Seconds to wait for another writer to close the gallery; a reader never waits.
                On Milvus a new writer takes over, so there is nothing to wait for.

        Raises:
            InputError: An argument is wrong, or ``wait`` is given on Milvus.
            GalleryLockedError: Another writer has it open, and still had after ``wait`` seconds;
                ``holder`` is its process id.
            NoGalleryError: It does not exist, and no ``dim`` is given.
            GalleryError: It is damaged, foreign, of a newer format, or of another dim or encoder.
        """
        store = open_store(
            path,
            dim=None if dim is None else validation.as_count(dim, "dim"),
            mode=mode,
            index=index,
            fingerprint=validation.as_fingerprint(encoder_fingerprint),
            wait_s=validation.as_wait(wait),
        )
        return cls._of_store(store)

    @classmethod
    def load(
        cls, path: str | Path, *, index: str = "auto", encoder_fingerprint: str | None = None
    ) -> Self:
        """Read a gallery from disk into memory, checking every byte that is read.

        Raises:
            NoGalleryError: It does not exist.
            GalleryError: It is damaged, foreign, of a newer format or of another encoder.
        """
        store = load_store(
            path,
            index=index,
            fingerprint=validation.as_fingerprint(encoder_fingerprint),
        )
        return cls._of_store(store)

    @classmethod
    def from_folder(
        cls,
        encoder: Encoder,
        folder: str | Path,
        *,
        names: Names = "auto",
        **options: Any,  # noqa: ANN401 - the encoder's own
    ) -> Self:
        """Embed a folder of crops into a new gallery in memory.

        Args:
            encoder: A ``SANEncoder``, or anything that encodes files as it does.
            folder: One sub-folder per person, or reID file names. A person named by a number is
                that number (``0007`` is 7), others are named by their text.
            names: The naming scheme, as :func:`sanreid.datasets.read_crops` takes it.
            options: Passed to the encoder's ``encode_files``.
        """
        from sanreid.gallery.images import (  # noqa: PLC0415 - with an encoder only
            as_encoder,
            folder_entries,
        )

        encoder = as_encoder(encoder)
        gallery = cls(encoder.embedding_dim, encoder_fingerprint=encoder.fingerprint)
        gallery.add(**folder_entries(encoder, folder, names=names, options=options))
        return gallery

    @classmethod
    def from_dataframe(
        cls,
        frame: pd.DataFrame,
        *,
        embedding: str = "embedding",
        index: str = "auto",
        encoder_fingerprint: str | None = None,
    ) -> Self:
        """Add the rows of a table to a new gallery in memory.

        Args:
            frame: One row per crop. Its columns "pid", "camid", "timestamp" and "id" are read as
                by :meth:`add`, where it has them; all others become metadata, missing values
                left out.
            embedding: The column of embeddings, (D,) each.
            index: As in :class:`Gallery`.
            encoder_fingerprint: As in :class:`Gallery`.

        Raises:
            InputError: There is no such column, no row, or bad input as in :meth:`add`.
        """
        from sanreid.gallery.exchange.frames import columns_of  # noqa: PLC0415 - rarely used

        columns = columns_of(frame, embedding)
        rows = columns["embeddings"]
        if not len(rows):
            raise InputError("The frame has no rows, so the embeddings' dimensions are unknown.")
        gallery = cls(np.size(rows[0]), index=index, encoder_fingerprint=encoder_fingerprint)
        gallery.add(**columns)
        return gallery

    @classmethod
    def _of_store(cls, store: Store) -> Self:
        """Wrap a store that is open already."""
        gallery = cls.__new__(cls)
        gallery._store = store  # noqa: SLF001 - of this class
        return gallery

    @property
    def dim(self) -> int:
        """D, the number of dimensions of the embeddings."""
        return self._store.dim

    @property
    def encoder_fingerprint(self) -> str | None:
        """The fingerprint of the encoder that made the embeddings; None if not known."""
        return self._store.settings.encoder_fingerprint

    @property
    def ids(self) -> NDArray[np.int64]:
        """Ids of all entries, rising."""
        return self._store.ids()

    def __len__(self) -> int:
        return len(self._store)

    def __contains__(self, number: object) -> bool:
        number = validation.plain(number)
        return isinstance(number, int) and not isinstance(number, bool) and number in self._store

    def __repr__(self) -> str:
        location, kind = self._store.location, self._store.index
        where = "in memory" if location is None else f"at {location}"
        try:
            return f"Gallery({len(self):,} entries, dim={self.dim}, {where}, index={kind!r})"
        except GalleryError:  # a traceback or a debugger shows closed ones too
            return f"Gallery(closed, {where})"

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
            pids: (N,) int, str or None, mixed; 7 and "7" are different people. This and every
                other column may be a list, an array, a tensor or a pandas Series, whose
                missing values are None.
            camids: (N,) int, a text or None. A camera that was added by its name, such as
                "north gate", is returned by it, and found by it in ``where`` and
                ``query_camids``.
            timestamps: (N,) seconds, datetimes with a time zone, or None; kept as seconds of UTC.
            metadata: One JSON-serialisable dict or None per row; it is copied. The path of a
                crop's image belongs under "path".
            ids: (N,) int of at least 0, none of them in the gallery; by default the numbers
                after the highest ever used.
            encoder_fingerprint: That of the encoder that made the embeddings; refused if the
                gallery's is another.

        Returns:
            (N,) int64, the ids of the new entries.

        Raises:
            InputError: An argument has the wrong shape, type or range; the message names the row.
            GalleryError: The embeddings come from another encoder, or the gallery cannot be
                written.
        """
        self._check_fingerprint(encoder_fingerprint)
        rows = requests.new_rows(
            embeddings,
            self.dim,
            pids=pids,
            camids=camids,
            timestamps=timestamps,
            metadata=metadata,
            ids=ids,
            encoder_fingerprint=encoder_fingerprint,
        )
        return self._store.add(rows)

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

        Columns that are not given stay as they are; a None inside a list clears that entry's
        value. Metadata is replaced, not merged.

        Raises:
            UnknownIdError: An id is not in the gallery.
            InputError: As in :meth:`add`, or an id is given twice.
        """
        self._check_fingerprint(encoder_fingerprint)
        update = requests.entry_update(
            ids,
            embeddings,
            self.dim,
            pids=pids,
            camids=camids,
            timestamps=timestamps,
            metadata=metadata,
            encoder_fingerprint=encoder_fingerprint,
        )
        self._store.update(update)

    def remove(self, ids: Iterable[Any] | int | None = None, *, where: Where | None = None) -> int:
        """Remove entries by their ids, or all that match ``where``; return how many.

        Raises:
            UnknownIdError: An id is not in the gallery; nothing was removed.
            InputError: Neither or both are given, or ``where`` compares nothing, like ``{}``.
        """
        return self._store.remove(requests.removal(ids, where))

    def get(self, ids: Iterable[Any] | int) -> list[Entry]:
        """Return the entries with these ids, in the order of the ids.

        Raises:
            UnknownIdError: An id is not in the gallery.
        """
        entries = self._store.entries(validation.as_ids(ids))
        return named_entries(entries, self._store.settings.camera_names)

    def find(self, where: Where) -> NDArray[np.int64]:
        """Return the ids of the entries that match, rising; see :mod:`sanreid.gallery.filters`."""
        return self._store.select(parse(where))

    def search(
        self,
        queries: ArrayLike,
        k: int = 10,
        *,
        where: Where | None = None,
        query_pids: Iterable[Any] | None = None,
        query_camids: Iterable[Any] | None = None,
        same_camera: Literal["exclude", "keep"] = "exclude",
        query_timestamps: Iterable[Any] | None = None,
        min_gap_s: Gap | None = None,
        max_gap_s: Gap | None = None,
        min_similarity: float | None = None,
        rerank: bool | int = False,
        expand: int = 0,
        encoder_fingerprint: str | None = None,
    ) -> SearchResult:
        """Find the k entries most similar to each query.

        Filters and exclusions act before ranking, so k admissible entries come back whenever
        that many exist.

        Args:
            queries: (Q, D) numbers, or (D,) for one query; they are L2-normalised.
            k: Entries wanted per query, at least 1.
            where: Only entries that match. See :mod:`sanreid.gallery.filters`.
            query_pids: (Q,) with ``query_camids``: entries of the same person under the same
                camera are left out, the Market-1501 rule. A None leaves out nothing.
            query_camids: (Q,) without ``query_pids``: entries of the query's camera are left out.
                In a gallery that normalises by cameras, queries are normalised by theirs; if None,
                by the mean over cameras.
            same_camera: "keep" leaves nothing out: the rules above do not hold, and
                ``query_camids`` only says which cameras the queries come from.
            query_timestamps: (Q,) with ``query_camids`` and a gap: when the queries were taken, as
                ``timestamps`` of :meth:`add`.
            min_gap_s: The least seconds on the way between two cameras: entries of another
                camera nearer in time than that are left out. One number for all pairs of two
                cameras, or a mapping of pairs ``(camid, camid)``, in either order, to seconds;
                pairs that it does not name have no rule. Entries and queries without a time or
                a camera are not left out.
            max_gap_s: The most seconds on the way, likewise.
            min_similarity: Only entries at least this similar.
            rerank: Re-rank each query's best hits by whether they have the same neighbours as
                the query, among each other: as many as this number says, or 5 k and at least 100
                when True. Similarities stay cosines, and fall no longer. It helps where people
                have several entries each, and may harm where they have one.
            expand: Search again with the mean of the query and this many of its best hits,
                weighted by the third power of their similarity; similarities are those to that
                mean.
            encoder_fingerprint: That of the encoder that made the queries; refused if the
                gallery's is another.

        Returns:
            Q rows of up to k hits by falling cosine similarity, ties by rising id.

        Raises:
            InputError: A shape, a norm, k or a rule is wrong.
            GalleryError: The queries come from another encoder, or a stored file is damaged.

        Source:
            Zheng et al., "Scalable Person Re-identification: A Benchmark", ICCV 2015, for the
            rule of same person and camera.
        """
        self._check_fingerprint(encoder_fingerprint)
        query_camids, asked = read_names(query_camids, name="query_camids")
        request = self._request(
            queries, k, where, query_pids, query_camids, same_camera, min_similarity,
            query_timestamps=query_timestamps, min_gap_s=min_gap_s, max_gap_s=max_gap_s,
        )  # fmt: skip
        camids, candidates, expand = (
            request.query_camids,
            *requests.looks(request.k, rerank, expand),
        )
        result = self._search(request, candidates, expand)
        names = self._store.settings.camera_names  # after the search, whose hits it must name
        return named_result(result, names).with_queries(
            pids=request.query_pids,
            camids=None
            if camids is None
            else named(validation.camids_or_none(camids), {**names, **asked}),
        )

    def _search(self, request: SearchRequest, candidates: int, expand: int) -> SearchResult:
        if not candidates and not expand:
            return self._store.search(request)
        from sanreid.gallery.refinement import refined_search  # noqa: PLC0415 - when asked for

        return refined_search(self._store, request, candidates=candidates, expand=expand)

    def _request(
        self,
        queries: ArrayLike,
        k: int,
        where: Where | None,
        query_pids: Iterable[Any] | None,
        query_camids: Iterable[Any] | None,
        same_camera: str,
        min_similarity: float | None = None,
        **travel: Any,  # noqa: ANN401 - see search()
    ) -> SearchRequest:
        return requests.search_request(
            queries,
            self.dim,
            k,
            where=where,
            query_pids=query_pids,
            query_camids=query_camids,
            same_camera=same_camera,
            min_similarity=min_similarity,
            num_entries=len(self),
            **travel,
        )

    def add_images(
        self,
        encoder: Encoder,
        images: Any,  # noqa: ANN401 - what the encoder takes
        *,
        pids: Iterable[Any] | None = None,
        camids: Iterable[Any] | None = None,
        timestamps: Iterable[Any] | None = None,
        metadata: Sequence[Mapping[str, Any] | None] | None = None,
        ids: Iterable[Any] | None = None,
        **options: Any,  # noqa: ANN401 - the encoder's own
    ) -> NDArray[np.int64]:
        """Embed images and add them; a file's path is kept in its metadata under "path".

        Args:
            encoder: A ``SANEncoder``; one other than the gallery's is refused.
            images: What ``encoder.encode`` takes: one image or a sequence. Where all are paths,
                what ``encoder.encode_files`` takes: files and folders.
            pids: As in :meth:`add`, one per image, like the other columns.
            camids: As in :meth:`add`.
            timestamps: As in :meth:`add`.
            metadata: As in :meth:`add`; a "path" given here is kept.
            ids: As in :meth:`add`.
            options: Passed to the encoder; with ``on_error="collect"`` files that cannot be read
                are left out, and so are their values, with a warning in the log.
        """
        from sanreid.gallery.images import (  # noqa: PLC0415 - as above
            as_encoder,
            encode_with_columns,
            with_paths,
        )

        encoder = as_encoder(encoder)
        self._check_fingerprint(encoder.fingerprint)
        columns: dict[str, Any] = {
            "pids": pids,
            "camids": camids,
            "timestamps": timestamps,
            "metadata": metadata,
            "ids": ids,
        }
        embeddings, listed, columns = encode_with_columns(encoder, images, columns, options)
        columns["metadata"] = with_paths(columns["metadata"], listed)
        return self.add(embeddings, encoder_fingerprint=encoder.fingerprint, **columns)

    def search_images(
        self,
        encoder: Encoder,
        images: Any,  # noqa: ANN401 - what the encoder takes
        k: int = 10,
        **options: Any,  # noqa: ANN401 - those of search()
    ) -> SearchResult:
        """Embed query images and :meth:`search`; ``options`` are that method's.

        Raises:
            GalleryError: The gallery's embeddings come from another encoder.
        """
        from sanreid.gallery.images import as_encoder  # noqa: PLC0415 - as above
        from sanreid.images import iterate_images  # noqa: PLC0415 - as above

        encoder = as_encoder(encoder)
        self._check_fingerprint(encoder.fingerprint)
        listed = list(iterate_images(images))
        found = self.search(
            encoder.encode(listed), k, encoder_fingerprint=encoder.fingerprint, **options
        )
        return found.with_queries(listed)

    def add_tracklets(
        self,
        embeddings: ArrayLike,
        tracklet_names: Sequence[Any],
        *,
        pids: Iterable[Any] | None = None,
        camids: Iterable[Any] | None = None,
        timestamps: Iterable[Any] | None = None,
        metadata: Sequence[Mapping[str, Any] | None] | None = None,
        quality: CropQuality | Sequence[float] | None = None,
        encoder_fingerprint: str | None = None,
    ) -> NDArray[np.int64]:
        """Pool the crops of each tracklet into one entry that refers to its crops.

        The entry's embedding is the mean over its crops, its timestamp the earliest. Its metadata
        holds "tracklet", the tracklet's name, and "crops", the metadata and timestamp of each
        crop.

        Args:
            embeddings: (N, D), one row per crop.
            tracklet_names: (N,) int or str, the tracklet of each crop.
            pids: (N,) as in :meth:`add`; the same throughout a tracklet.
            camids: (N,) as in :meth:`add`; the same throughout a tracklet.
            timestamps: (N,) as in :meth:`add`.
            metadata: (N,) as in :meth:`add`, of the crops.
            quality: (N,) weights of at least 0 for the mean, or what
                :func:`sanreid.crop_quality` returned for the crops, whose scores are the weights.
            encoder_fingerprint: As in :meth:`add`.

        Returns:
            (T,) ids, tracklets in the order of their first crop.

        Raises:
            InputError: As in :meth:`add`, or a tracklet has several people or cameras, or its
                crops cancel out.
        """
        rows = validation.as_embeddings(embeddings, self.dim, name="embeddings")
        count = len(rows)
        groups = tracklets.grouped(tracklet_names, count)
        camids, names = read_names(camids)
        camid_column = validation.camids_or_none(validation.as_camids(camids, count))
        seconds = validation.as_timestamps(timestamps, count)
        known = validation.as_metadata(metadata, count)
        firsts = [
            None if np.isnan(seconds[members]).all() else float(np.nanmin(seconds[members]))
            for members in groups.values()
        ]
        return self.add(
            tracklets.pooled(rows, groups, quality),
            pids=tracklets.agreed(validation.as_pids(pids, count), groups, "pids"),
            camids=tracklets.agreed(named(camid_column, names), groups, "camids"),
            timestamps=firsts,
            metadata=tracklets.linked(groups, known, seconds),
            encoder_fingerprint=encoder_fingerprint,
        )

    @property
    def camera_names(self) -> dict[int, str]:
        """The names of cameras that have one, by the numbers that stand for them in arrays."""
        return dict(self._store.settings.camera_names)

    @property
    def camera_normalizer(self) -> CameraNormalizer | None:
        """What takes the cameras' means out of similarities; None while it is off."""
        return self._store.settings.camera_normalizer

    def normalize_cameras(
        self,
        normalizer: CameraNormalizer | Literal["fit"] | None = "fit",
        *,
        shrinkage: float | Literal["auto"] = "auto",
    ) -> CameraNormalizer | None:
        """Take each camera's mean embedding out of all similarities, from now on.

        Crops of different people under one camera resemble each other; without the mean of
        their camera they do so less. :meth:`search`, :meth:`identify`, :meth:`calibrate` and
        :meth:`evaluate_open_set` then answer with the similarities of normalised embeddings.
        Stored embeddings stay as they are. New entries are normalised by the same means until
        they are fitted again; ``stats()["camera_means_moved"]`` says how far the means have
        moved meanwhile. The normalizer is stored with the gallery. A calibration is dropped: its
        threshold is one of other similarities.

        Args:
            normalizer: "fit" fits one to the entries (to 262,144 of them at random where there
                are more); a fitted one is used as it is; None turns normalisation off.
            shrinkage: As in :meth:`sanreid.CameraNormalizer.fit`.

        Returns:
            The normalizer in use.

        Raises:
            InputError: The entries come from fewer than two cameras, or the normalizer has
                another dim.
            GalleryError: The gallery cannot be written.
        """
        if isinstance(normalizer, str) and normalizer == "fit":
            normalizer = fit_to_entries(self._store, shrinkage)
        check_normalizer(normalizer, self.dim)
        fitted = normalizer
        self._store.change_settings(
            lambda settings: replace(settings, camera_normalizer=fitted, calibration=None)
        )
        return fitted

    @property
    def calibration(self) -> Calibration | None:
        """The threshold stored by :meth:`calibrate`, with its error rates; None without one."""
        fields = self._store.settings.calibration
        return None if fields is None else Calibration.from_dict(fields)

    def calibrate(
        self,
        embeddings: ArrayLike,
        pids: Iterable[Any],
        camids: Iterable[Any] | None = None,
        *,
        false_match_rate: float = 0.01,
        confidence: float = 0.95,
        encoder_fingerprint: str | None = None,
    ) -> Calibration:
        """Set the threshold between identity and unknown from crops of known people.

        Use crops of people like those that will be searched for, ideally from the gallery's own
        cameras; they need not be in the gallery. The calibration is stored with the gallery.

        Args:
            embeddings: (N, D), one row per crop.
            pids: (N,) the person each crop shows; rows of None are left out.
            camids: (N,) with them, only pairs across cameras count.
            false_match_rate: The share of pairs of two people that may reach the threshold.
            confidence: Confidence level of the reported interval.
            encoder_fingerprint: As in :meth:`add`.

        Raises:
            InputError: There are too few people or pairs for the rate, or bad input as in
                :meth:`add`.
        """
        self._check_fingerprint(encoder_fingerprint)
        rows = validation.as_embeddings(embeddings, self.dim, name="embeddings")
        camids, names = read_names(camids)
        cameras = None if camids is None else validation.as_camids(camids, len(rows))
        calibration = calibrate_pairs(
            normalized(rows, cameras, self.camera_normalizer),
            validation.as_pids(pids, len(rows)),
            cameras,
            false_match_rate=validation.as_number(false_match_rate, "false_match_rate"),
            confidence=validation.as_number(confidence, "confidence"),
            camera_names=names,
        )
        self._keep_calibration(calibration)
        return calibration

    def calibrate_tracklets(
        self,
        embeddings: ArrayLike,
        tracklet_names: Sequence[Any],
        *,
        camids: Iterable[Any] | None = None,
        timestamps: Iterable[Any],
        false_match_rate: float = 0.01,
        confidence: float = 0.95,
        encoder_fingerprint: str | None = None,
    ) -> Calibration:
        """Set the threshold between identity and unknown from tracklets, without labels.

        Two crops of a tracklet are of one person. Two tracklets with crops in the same frame, of
        one camera and one time, are two people, and so are all their crops. Both kinds of pairs
        come from one camera each, where people resemble each other more than across cameras and
        crops of one person do so much more: across cameras the false-match rate is lower than
        measured, and many more genuine pairs are missed. :meth:`normalize_cameras` first brings
        both closer. The calibration is stored with the gallery; its ``source`` is "tracklets".

        Args:
            embeddings: (N, D), one row per crop.
            tracklet_names: (N,) int or str, the tracklet of each crop.
            camids: (N,) as in :meth:`add`; the same throughout a tracklet.
            timestamps: (N,) as in :meth:`add`; equal for the crops of one frame.
            false_match_rate: As in :meth:`calibrate`.
            confidence: As in :meth:`calibrate`.
            encoder_fingerprint: As in :meth:`add`.

        Raises:
            InputError: There are too few pairs for the rate, a tracklet has two crops in one frame
                or several cameras, or bad input as in :meth:`add`.
        """
        from sanreid.gallery.people.tracklet_pairs import (  # noqa: PLC0415 - rarely used
            calibrate_tracklets,
        )

        self._check_fingerprint(encoder_fingerprint)
        rows = validation.as_embeddings(embeddings, self.dim, name="embeddings")
        groups = tracklets.grouped(tracklet_names, len(rows))
        camids, names = read_names(camids)
        cameras = validation.as_camids(camids, len(rows))
        tracklets.agreed(named(validation.camids_or_none(cameras), names), groups, "camids")
        calibration = calibrate_tracklets(
            normalized(rows, cameras, self.camera_normalizer),
            groups,
            cameras,
            validation.as_timestamps(timestamps, len(rows)),
            false_match_rate=validation.as_number(false_match_rate, "false_match_rate"),
            confidence=validation.as_number(confidence, "confidence"),
            camera_names=names,
        )
        self._keep_calibration(calibration)
        return calibration

    def identify(
        self,
        queries: ArrayLike,
        *,
        group: Group = "best",
        top: int = 3,
        threshold: float | None = None,
        where: Where | None = None,
        query_pids: Iterable[Any] | None = None,
        query_camids: Iterable[Any] | None = None,
        same_camera: Literal["exclude", "keep"] = "exclude",
        query_timestamps: Iterable[Any] | None = None,
        min_gap_s: Gap | None = None,
        max_gap_s: Gap | None = None,
        encoder_fingerprint: str | None = None,
    ) -> list[Identification]:
        """Identify the person of each query, or report it as unknown.

        Args:
            queries: As in :meth:`search`.
            group: How a person's similarity follows from the entries: "best" is that of the
                nearest entry, "mean" the mean over the ``top`` nearest (over all, where there
                are fewer).
            top: See ``group``.
            threshold: Least similarity of a match; the calibrated threshold when None.
            where: Only entries that match; entries without a pid never count.
            query_pids: With ``query_camids`` as in :meth:`search`.
            query_camids: As in :meth:`search`.
            same_camera: As in :meth:`search`.
            query_timestamps: As in :meth:`search`.
            min_gap_s: As in :meth:`search`: entries that the query's person cannot have travelled
                from, or to, never count.
            max_gap_s: As in :meth:`search`.
            encoder_fingerprint: As in :meth:`search`.

        Raises:
            InputError: There is no threshold, or bad input as in :meth:`search`.
        """
        if threshold is None:
            if self.calibration is None:
                raise InputError(
                    "This gallery is not calibrated: call calibrate() with crops of known "
                    "people or calibrate_tracklets() with tracklets, or pass a threshold, such as "
                    "the encoder's default_threshold.similarity."
                )
            threshold = self.calibration.threshold
        self._check_fingerprint(encoder_fingerprint)
        validation.check_choice(group, "group", ("best", "mean"))
        return identify(
            self._store,
            self._request(
                queries,
                1,
                where,
                query_pids,
                query_camids,
                same_camera,
                query_timestamps=query_timestamps,
                min_gap_s=min_gap_s,
                max_gap_s=max_gap_s,
            ),
            threshold=validation.as_number(threshold, "threshold"),
            group=group,
            top=validation.as_count(top, "top"),
        )

    def evaluate_open_set(
        self,
        queries: ArrayLike,
        pids: Iterable[Any],
        camids: Iterable[Any] | None = None,
        *,
        false_alarm_rates: Sequence[float] = (0.001, 0.01, 0.1),
        group: Group = "best",
        top: int = 3,
        where: Where | None = None,
    ) -> OpenSetReport:
        """Measure detection and identification at given false-alarm rates.

        Args:
            queries: (Q, D), some of people in the gallery, some of people who are not enrolled.
            pids: (Q,) the person each query shows.
            camids: (Q,) with them, entries of the same person under the same camera are left
                out; a query whose person has no other entries counts as non-enrolled.
            false_alarm_rates: Shares of non-enrolled queries that may be given an identity.
            group: As in :meth:`identify`.
            top: As in :meth:`identify`.
            where: As in :meth:`identify`.

        Raises:
            InputError: All queries or none are of enrolled people, or bad input as in
                :meth:`identify`.
        """
        pids = list(pids) if isinstance(pids, Iterator) else pids  # both are read twice
        camids = list(camids) if isinstance(camids, Iterator) else camids
        found = self.identify(
            queries,
            group=group,
            top=top,
            threshold=-1.0,
            where=where,
            query_pids=None if camids is None else pids,
            query_camids=camids,
        )
        people = validation.as_pids(pids, len(found))
        cameras = validation.as_camids(camids, len(found)).tolist()
        seen = list(zip(people, cameras, strict=True))
        enrolled = {one for one in set(seen) if self._knows(*one, where)}
        return open_set_report(found, people, [one in enrolled for one in seen], false_alarm_rates)

    def _knows(self, pid: validation.Pid, camid: int, where: Where | None) -> bool:
        """Return whether a query of this person under this camera may find the person."""
        if pid is None:
            return False
        wanted: list[Where] = [{"pid": pid}]
        if camid != validation.NO_CAMID:
            wanted.append({"camid": {"$ne": camid}})
        if where is not None:
            wanted.append(where)
        return len(self.find({"$and": wanted})) > 0

    def cluster(
        self,
        where: Where | None = None,
        *,
        threshold: float | None = None,
        tracklet_key: str | None = None,
        must_link: ArrayLike | None = None,
        cannot_link: ArrayLike | None = None,
    ) -> EntryClustering:
        """Propose who is who: group entries into people without labels.

        Nothing is changed until the proposal is passed to :meth:`assign`. People that entries
        have already are not looked at in grouping; they name the groups.

        Args:
            where: Only entries that match.
            threshold: As in :func:`sanreid.cluster_identities`; the calibrated one when None
                and the gallery is calibrated by people. One calibrated by tracklets is not used:
                it is measured under one camera at a time, and too high across cameras.
            tracklet_key: A metadata key; entries with the same value are one person.
            must_link: (M, 2) ids of entries that are one person.
            cannot_link: (M, 2) ids of entries that are two people.

        Returns:
            The groups, with ``ids`` of the entries and the ``pids`` proposed for them: entries
            that have a person keep it, others take the most frequent person of their group, or
            a new number.

        Raises:
            InputError: Fewer than two entries, or bad input as in
                :func:`sanreid.cluster_identities`.
            MissingExtraError: The extra ``cluster`` is not installed.
        """
        from sanreid.gallery.people.clusters import cluster_entries  # noqa: PLC0415 - rarely used

        return cluster_entries(
            self._store,
            None if where is None else parse(where),
            threshold=threshold,
            tracklet_key=tracklet_key,
            must_link=must_link,
            cannot_link=cannot_link,
        )

    def assign(self, clustering: EntryClustering | Assignment) -> Assignment:
        """Assign entries the people of a proposal, in one durable change.

        Where the gallery has changed since :meth:`cluster`, entries that were given another person
        keep it, a person who was renamed is followed, and a number or name that is somebody
        else's by now becomes a new number.

        Args:
            clustering: What :meth:`cluster` returned; or what this method, :meth:`merge`,
                :meth:`split`, :meth:`rename` or :meth:`decide` returned, to undo that.

        Returns:
            The people that the changed entries had before.

        Raises:
            UnknownIdError: An entry has been removed meanwhile; nothing is changed.
            InputError: It does not say which entries it is about.
        """
        ids, pids = getattr(clustering, "ids", None), getattr(clustering, "pids", None)
        if not isinstance(ids, np.ndarray) or not isinstance(pids, tuple):
            raise InputError(
                "assign() takes what cluster(), assign(), merge(), split(), rename() or decide() "
                f"returned; got {type(clustering).__name__}."
            )
        return naming.assign(self._store, ids, pids, before=getattr(clustering, "before", None))

    def merge(self, pids: Iterable[Any], *, into: int | str) -> Assignment:
        """Make several people one, in one durable change; :meth:`assign` undoes it.

        Args:
            pids: The people whose entries are moved.
            into: The person who gets them: one of these, another, or a new one.

        Returns:
            The people that the changed entries had before.

        Raises:
            InputError: One of the people has no entries.
        """
        return naming.merge(self._store, pids, into)

    def split(self, ids: Iterable[Any] | int, *, pid: int | str | None = None) -> Assignment:
        """Move entries to another person, in one durable change; :meth:`assign` undoes it.

        Args:
            ids: The entries that are not who they were taken for.
            pid: A person without other entries; a new number when None.

        Returns:
            The people that the changed entries had before.

        Raises:
            UnknownIdError: An id is not in the gallery.
            InputError: The person has other entries.
        """
        return naming.split(self._store, ids, pid)

    def rename(self, pid: int | str, to: int | str) -> Assignment:
        """Rename a person, in one durable change; :meth:`assign` undoes it.

        Raises:
            InputError: The person has no entries, or the name is another person's.
        """
        return naming.rename(self._store, pid, to)

    def decide(self, decisions: str | Path | Mapping[str, Any] | Decisions) -> Assignment:
        """Apply what a person decided about entries, in one durable change.

        Entries that are "same" become one person: the one whom most of them have, or a new one.
        Those with a "name" become that person. Of two that are "different" and have one person,
        the first becomes a new one. All entries that are named have a person then, and no others
        are changed. :meth:`assign` undoes it.

        Args:
            decisions: A JSON file as the browsable page saves it, or its content; see
                :mod:`sanreid.gallery.people.decisions`.

        Returns:
            The people that the changed entries had before.

        Raises:
            InputError: It is no file of decisions, contradicts itself, or is about another
                gallery; nothing is changed.
            UnknownIdError: An entry is not in the gallery; nothing is changed.
        """
        from sanreid.gallery.people.decisions import (  # noqa: PLC0415 - rarely used
            read_decisions,
            resolved,
        )

        wanted = resolved(self._store, read_decisions(decisions))
        return naming.assign(self._store, wanted.ids, wanted.pids)

    def doubtful(self, k: int = 10, *, threshold: float | None = None) -> list[DoubtfulPair]:
        """Return the pairs of entries whose answer, one person or two, would teach most.

        They are near neighbours whose similarity is closest to the threshold; each pair of
        people is asked about once. Answer with :meth:`merge` or :meth:`split`.

        Args:
            k: Pairs wanted at most.
            threshold: Between one person and two; the calibrated one when None, or 0.475 in a
                gallery that is not calibrated.
        """
        from sanreid.gallery.people.doubt import doubtful_pairs  # noqa: PLC0415 - rarely used

        if threshold is not None:
            threshold = validation.as_number(threshold, "threshold")
        return doubtful_pairs(self._store, validation.as_count(k, "k"), threshold)

    def stats(self) -> dict[str, Any]:
        """Count entries, people and cameras; describe how they are kept and searched."""
        normalizer = self.camera_normalizer
        return self._store.stats() | {
            "normalized_cameras": 0 if normalizer is None else len(normalizer.camids),
        }

    def person(self, pid: int | str) -> Person:
        """Return where and when a person was seen, and the entry that shows them best.

        Raises:
            InputError: Nobody is called that.
        """
        from sanreid.gallery.people.person import person_of  # noqa: PLC0415 - rarely used

        return person_of(self._store, pid)

    def to_pandas(self, *, embeddings: bool = False) -> pd.DataFrame:
        """Return a table with one row per entry, in the order of adding or last updating.

        On Milvus they come by rising id. Its columns are "id", "pid", "camid", "timestamp",
        "embedding" if wanted, and one for each key of the metadata: keys of nested dicts are
        joined by dots, and a key named like a column is "metadata." and its name.
        :meth:`from_dataframe` reads it back.

        Raises:
            MissingExtraError: pandas is not installed.
        """
        from sanreid.gallery.exchange.frames import to_frame  # noqa: PLC0415 - rarely used

        check_flag(embeddings, "embeddings")
        return to_frame(self._store, embeddings=bool(embeddings))

    def counts(self, field: Literal["pid", "camid"]) -> dict[validation.Pid, int]:
        """Count the entries of each person, or of each camera.

        Args:
            field: "pid" or "camid".

        Returns:
            Number of entries by value, most first, equal numbers in any order; the key None
            counts entries without one.

        Raises:
            InputError: Another field.
        """
        validation.check_choice(field, "field", ("pid", "camid"))
        counts = self._store.counts(field)
        if field == "pid":
            return counts
        names = self._store.settings.camera_names
        return dict(zip(named(counts, names), counts.values(), strict=True))

    def save(self, path: str | Path) -> None:
        """Write a snapshot to ``path``; an existing gallery is replaced in one step.

        Raises:
            GalleryError: Something else exists there, or writing fails; what was there stays.
        """
        self._store.save(resolved(path))

    def export(self, path: str | Path) -> None:
        """Write all entries to one file, ``.npz`` or ``.parquet``, without pickle.

        A Parquet file (extra ``parquet``) has the columns that
        :mod:`sanreid.gallery.exchange.parquet` names. Arrays of an ``.npz`` file, N entries:
        ``embeddings`` (N, D) float32, ``ids`` (N,) int64, ``camids`` (N,) int64 with
        ``camids_given`` (N,) bool, ``timestamps`` (N,) float64 with NaN for none, ``pids`` (N,)
        JSON as UTF-8 bytes, ``metadata`` uint8, N such texts concatenated, with
        ``metadata_ends`` (N,) int64, ``encoder_fingerprint`` () str, empty for none.

        Raises:
            InputError: The path ends in neither.
            GalleryError: The file cannot be written.
            MissingExtraError: ``pyarrow`` is not installed.
        """
        file = as_path(path, "the path of a file")
        if file.suffix == ".parquet":
            from sanreid.gallery.exchange.parquet import write_parquet  # noqa: PLC0415 - rare

            write_parquet(file, self._store)
            return
        from sanreid.gallery.exchange.npz import write_npz  # noqa: PLC0415 - rarely used

        write_npz(_npz(file), self._store)

    def import_from(self, path: str | Path, *, keep_ids: bool = True) -> NDArray[np.int64]:
        """Add the entries of an ``.npz`` file, all or none, or those of Parquet files.

        Parquet is read some thousand rows at a time, each added in one step, in bounded memory.
        Rows that the gallery holds already are skipped, by their id, or by their path if the
        files have no ids; so an interrupted import is resumed by the same call. The log says how
        many paths are skipped, those that stand twice in the files among them. With
        ``keep_ids=False`` all rows of files that have ids are added, at every call.

        Args:
            path: A file written by :meth:`export`, any ``.npz`` with an ``embeddings`` array, a
                directory written by :meth:`sanreid.SANEncoder.encode_to`, or Parquet files with a
                column ``embedding``: ``"x.parquet"``, ``"folder/*.parquet"``.
            keep_ids: Keep the ids of the file; otherwise assign new ones.

        Returns:
            (N,) the ids of the entries that were added.

        Raises:
            GalleryError: It is not there, damaged or something else, comes from another encoder,
                or the gallery cannot be written.
            InputError: Its rows do not fit, or an id of an ``.npz`` file is in the gallery
                already.
            MissingExtraError: ``pyarrow`` is not installed.
        """
        from sanreid.gallery.exchange.parquet import (  # noqa: PLC0415 - rarely used
            is_parquet,
            new_rows,
        )

        if is_parquet(as_path(path, "the path of a file")):
            parts = new_rows(path, self._store, keep_ids=keep_ids)
            added = [np.empty(0, dtype=np.int64), *(self.add(**rows) for rows in parts)]
            return np.concatenate(added)
        from sanreid.gallery.exchange.npz import read_npz  # noqa: PLC0415 - rarely used

        columns = read_npz(_npz(path))
        if not keep_ids:
            columns.pop("ids", None)
        return self.add(**columns)

    def compact(self) -> None:
        """Drop removed and replaced entries; on disk no trace of them is left.

        Raises:
            GalleryError: The gallery is open for reading only, or writing fails; nothing is lost.
        """
        self._store.compact()

    def verify(self) -> None:
        """Check every stored byte against its checksum; a gallery in memory has none.

        Raises:
            GalleryError: Bytes are changed, missing or foreign; the message says where.
        """
        self._store.verify()

    def build_index(self, *, progress: bool | None = None) -> None:
        """Train and fill the approximate index now, rather than at the next search.

        A gallery of 10,000 or more entries builds its index at the first search and adds new
        entries to it as they come. Build it again once the gallery has grown manyfold. With
        "auto" and "flat", or fewer entries, search is exact and there is nothing to build.

        Args:
            progress: Show a progress bar: True always, False never, None on a terminal for long
                work.
        """
        self._store.build_index(progress=progress)

    def recall(self, k: int = 10, sample: int = 256, *, seed: int = 0) -> float:
        """Measure the index against exact search; 1.0 where search is exact.

        Args:
            k: Number of neighbours per entry, itself left out.
            sample: Number of entries, drawn at random, whose neighbours are searched.
            seed: Seed of the draw.

        Returns:
            The share of the true neighbours found, in [0, 1].
        """
        return self._store.recall(
            validation.as_count(k, "k"),
            validation.as_count(sample, "sample"),
            validation.as_seed(seed),
        )

    def refresh(self) -> None:
        """Let a reader see what the writer has committed since.

        A writer sees its own changes, and finds out whether the gallery is still there.

        Raises:
            GalleryError: The gallery was deleted, is damaged, or its server does not answer.
        """
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

    def _repr_html_(self) -> str:
        """Return counts and sample crops for notebooks; every value is escaped."""
        from sanreid.viz.notebook import gallery_html  # noqa: PLC0415 - when one is shown

        return gallery_html(self)

    def _keep_calibration(self, calibration: Calibration) -> None:
        fields = calibration.to_dict()
        self._store.change_settings(lambda settings: replace(settings, calibration=fields))

    def _check_fingerprint(self, fingerprint: str | None) -> None:
        validation.check_encoder(self.encoder_fingerprint, validation.as_fingerprint(fingerprint))


def _npz(path: str | Path) -> Path:
    file = as_path(path, "the path of an .npz file")
    if file.suffix != ".npz":
        raise InputError(f"{file} must end in .npz or .parquet.")
    return file
