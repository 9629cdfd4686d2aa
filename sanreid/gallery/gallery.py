"""The Gallery that users meet: the core, and what stands on it.

Images through an encoder, tracklets, identity or unknown, and files to hand on.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sanreid.errors import InputError
from sanreid.gallery import tracklets
from sanreid.gallery import validation as checks
from sanreid.gallery.calibration import Calibration, calibrate_pairs
from sanreid.gallery.core import GalleryCore, Where
from sanreid.gallery.open_set import (
    Group,
    Identification,
    OpenSetReport,
    identify,
    open_set_report,
)
from sanreid.gallery.results import SearchResult

if TYPE_CHECKING:
    from sanreid.datasets import NameScheme
    from sanreid.gallery.images import Encoder

__all__ = ["Gallery"]


class Gallery(GalleryCore):
    """A searchable set of embeddings, in memory; :meth:`open` keeps one on disk.

    Several threads may search while one changes it: each search sees one state, whole.

    Args:
        dim: D, the width of the embeddings.
        index: "flat" is exact, and so is "auto", which says so in the log when an approximate
            index would be quicker. "ivf" and "hnsw" are approximate from 10,000 entries on;
            "-sq8" or "-pq" behind them, or behind "flat", keeps 8 bits a number or product
            codes. What an index proposes is scored again with the stored embeddings.
        encoder_fingerprint: The encoder all embeddings must come from, as
            ``SANEncoder.fingerprint`` gives it. None takes the first one it is told.

    >>> gallery = Gallery(2)
    >>> gallery.add([[1.0, 0.0], [0.0, 2.0]], pids=[7, "guest"], camids=[1, 2])
    array([0, 1])
    >>> gallery.search([3.0, 1.0], k=1)[0][0].pid
    7
    """

    @classmethod
    def from_folder(
        cls,
        encoder: Encoder,
        folder: str | Path,
        *,
        names: NameScheme | Literal["auto"] = "auto",
        **options: Any,  # noqa: ANN401 - the encoder's own
    ) -> Self:
        """Embed a folder of crops into a new gallery in memory.

        Args:
            encoder: A ``SANEncoder``, or anything that encodes files as it does.
            folder: One sub-folder a person, or reID file names. A person named by a number is
                that number (``0007`` is 7), others are named by their text.
            names: The naming, as :func:`sanreid.datasets.read_crops` takes it.
            options: Passed to the encoder's ``encode_files``.
        """
        from sanreid.gallery.images import add_folder  # noqa: PLC0415 - with an encoder only

        gallery = cls(encoder.embedding_dim, encoder_fingerprint=encoder.fingerprint)
        add_folder(gallery, encoder, folder, names=names, options=options)
        return gallery

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
        """Embed images and add them; the path of a file goes into its metadata as "path".

        Args:
            encoder: A ``SANEncoder``; one other than the gallery's is refused.
            images: What ``encoder.encode`` takes: one image or a sequence. Where all are paths,
                what ``encoder.encode_files`` takes: files and folders.
            pids: As in :meth:`add`, one for each image; so are the other columns.
            camids: As in :meth:`add`.
            timestamps: As in :meth:`add`.
            metadata: As in :meth:`add`; a "path" of your own is kept.
            ids: As in :meth:`add`.
            options: Passed to the encoder; with ``on_error="collect"`` files that cannot be read
                are left out, and so are their values.
        """
        from sanreid.gallery.images import encoded, with_paths  # noqa: PLC0415 - as above

        self._check_fingerprint(checks.checked_fingerprint(encoder.fingerprint))
        columns: dict[str, Any] = {
            "pids": pids,
            "camids": camids,
            "timestamps": timestamps,
            "metadata": metadata,
            "ids": ids,
        }
        embeddings, listed, columns = encoded(encoder, images, columns, options)
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
        self._check_fingerprint(checks.checked_fingerprint(encoder.fingerprint))
        from sanreid.images import iterate_images  # noqa: PLC0415 - with an encoder only

        listed = list(iterate_images(images))
        found = self.search(
            encoder.encode(listed), k, encoder_fingerprint=encoder.fingerprint, **options
        )
        return found.with_queries(listed)

    def _repr_html_(self) -> str:
        """Give counts and sample crops for notebooks; every value is escaped."""
        from sanreid.viz.notebook import gallery_html  # noqa: PLC0415 - when one is shown

        return gallery_html(self)

    def add_tracklets(
        self,
        embeddings: ArrayLike,
        tracklet_names: Sequence[Any],
        *,
        pids: Iterable[Any] | None = None,
        camids: Iterable[Any] | None = None,
        timestamps: Iterable[Any] | None = None,
        metadata: Sequence[Mapping[str, Any] | None] | None = None,
        quality: Sequence[float] | None = None,
        encoder_fingerprint: str | None = None,
    ) -> NDArray[np.int64]:
        """Pool the crops of each track into one entry, linked to its crops.

        The entry's embedding is the mean of its crops', its timestamp the earliest. Its metadata
        holds "tracklet", the track's name, and "crops", the metadata and timestamp of each crop.

        Args:
            embeddings: (N, D), one row a crop.
            tracklet_names: (N,) int or str, the track of each crop.
            pids: (N,) as in :meth:`add`; the same throughout a track.
            camids: (N,) as in :meth:`add`; the same throughout a track.
            timestamps: (N,) as in :meth:`add`.
            metadata: (N,) as in :meth:`add`, of the crops.
            quality: (N,) at least 0; the mean is weighted by it.
            encoder_fingerprint: As in :meth:`add`.

        Returns:
            (T,) ids, tracks in the order of their first crop.

        Raises:
            InputError: As in :meth:`add`, or a track has several people or cameras, or its
                crops cancel out.
        """
        rows = checks.checked_embeddings(embeddings, self.dim, name="embeddings")
        count = len(rows)
        groups = tracklets.grouped(tracklet_names, count)
        camid_column = checks.checked_camids(camids, count).tolist()
        seconds = checks.checked_timestamps(timestamps, count)
        known = checks.checked_metadata(metadata, count)
        firsts = [
            None if np.isnan(seconds[members]).all() else float(np.nanmin(seconds[members]))
            for members in groups.values()
        ]
        return self.add(
            tracklets.pooled(rows, groups, quality),
            pids=tracklets.agreed(checks.checked_pids(pids, count), groups, "pids"),
            camids=[
                None if camid == checks.NO_CAMID else camid
                for camid in tracklets.agreed(camid_column, groups, "camids")
            ],
            timestamps=firsts,
            metadata=tracklets.linked(groups, known, seconds),
            encoder_fingerprint=encoder_fingerprint,
        )

    @property
    def calibration(self) -> Calibration | None:
        """The threshold stored by :meth:`calibrate`, and what is known of it."""
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

        Use crops of people like those the gallery will meet, best from its own cameras; they
        need not be in the gallery. The calibration is stored with the gallery.

        Args:
            embeddings: (N, D), one row a crop.
            pids: (N,) who they show; rows of None are left out.
            camids: (N,) only pairs across cameras count then.
            false_match_rate: The share of pairs of two people that may reach the threshold.
            confidence: Of the reported interval.
            encoder_fingerprint: As in :meth:`add`.

        Raises:
            InputError: Too few people or pairs for the rate, or bad input as in :meth:`add`.
        """
        self._check_fingerprint(checks.checked_fingerprint(encoder_fingerprint))
        rows = checks.checked_embeddings(embeddings, self.dim, name="embeddings")
        calibration = calibrate_pairs(
            rows,
            checks.checked_pids(pids, len(rows)),
            None if camids is None else checks.checked_camids(camids, len(rows)),
            false_match_rate=checks.checked_similarity(false_match_rate, "false_match_rate"),
            confidence=checks.checked_similarity(confidence, "confidence"),
        )
        settings = self._store.settings
        self._store.set_settings(replace(settings, calibration=calibration.to_dict()))
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
        encoder_fingerprint: str | None = None,
    ) -> list[Identification]:
        """Say who each query shows, or that it is unknown.

        Args:
            queries: As in :meth:`search`.
            group: A person's similarity: "best" is that of the nearest entry, "mean" the mean
                of the ``top`` nearest (of all, where there are fewer).
            top: See ``group``.
            threshold: At least this similar; the calibrated threshold when None.
            where: Only entries that match; entries without a pid never count.
            query_pids: With ``query_camids`` as in :meth:`search`.
            query_camids: As in :meth:`search`.
            encoder_fingerprint: As in :meth:`search`.

        Raises:
            InputError: There is no threshold, or bad input as in :meth:`search`.
        """
        if threshold is None:
            if self.calibration is None:
                raise InputError(
                    "This gallery is not calibrated: call calibrate() with crops of known "
                    "people, or give a threshold."
                )
            threshold = self.calibration.threshold
        self._check_fingerprint(checks.checked_fingerprint(encoder_fingerprint))
        if group not in ("best", "mean"):
            raise InputError(f'group must be "best" or "mean"; got {group!r}.')
        return identify(
            self._store,
            self._request(queries, 1, where, query_pids, query_camids, None),
            threshold=checks.checked_similarity(threshold, "threshold"),
            group=group,
            top=checks.checked_count(top, "top"),
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
            queries: (Q, D), some of people in the gallery, some of strangers.
            pids: (Q,) who they show.
            camids: (Q,) entries of the same person under the same camera are left out then; a
                query whose person has no others is one of a stranger.
            false_alarm_rates: Shares of strangers that may be given an identity.
            group: As in :meth:`identify`.
            top: As in :meth:`identify`.
            where: As in :meth:`identify`.

        Raises:
            InputError: The queries are all of enrolled people or all of strangers, or bad input
                as in :meth:`identify`.
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
        people = checks.checked_pids(pids, len(found))
        cameras = checks.checked_camids(camids, len(found)).tolist()
        seen = list(zip(people, cameras, strict=True))
        enrolled = {one for one in set(seen) if self._knows(*one, where)}
        return open_set_report(found, people, [one in enrolled for one in seen], false_alarm_rates)

    def _knows(self, pid: checks.Pid, camid: int, where: Where | None) -> bool:
        """Whether a query of this person under this camera may find an entry of the person."""
        if pid is None:
            return False
        wanted: list[Where] = [{"pid": pid}]
        if camid != checks.NO_CAMID:
            wanted.append({"camid": {"$ne": camid}})
        if where is not None:
            wanted.append(where)
        return len(self.find({"$and": wanted})) > 0

    def export(self, path: str | Path) -> None:
        """Write all entries to one ``.npz`` file, without pickle.

        Arrays, N entries: ``embeddings`` (N, D) float32, ``ids`` (N,) int64, ``camids`` (N,)
        int64 with ``camids_given`` (N,) bool, ``timestamps`` (N,) float64 with NaN for none,
        ``pids`` (N,) JSON as UTF-8 bytes, ``metadata`` uint8, N such texts one behind the other,
        with ``metadata_ends`` (N,) int64, ``encoder_fingerprint`` () str, empty for none.

        Raises:
            InputError: The name ends otherwise.
            GalleryError: The disk refuses.
        """
        from sanreid.gallery.exchange import write_npz  # noqa: PLC0415 - rarely used

        write_npz(_npz(path), self._store.snapshot())

    def import_from(self, path: str | Path, *, keep_ids: bool = True) -> NDArray[np.int64]:
        """Add the entries of an ``.npz`` file, all or none.

        Args:
            path: Written by :meth:`export`, or any with an ``embeddings`` array.
            keep_ids: Take the file's ids; else new ones.

        Raises:
            GalleryError: Not such a file, or of another encoder.
            InputError: Its rows do not fit, or an id is in the gallery already.
        """
        from sanreid.gallery.exchange import read_npz  # noqa: PLC0415 - rarely used

        columns = read_npz(_npz(path))
        if not keep_ids:
            columns.pop("ids", None)
        return self.add(**columns)


def _npz(path: str | Path) -> Path:
    if Path(path).suffix != ".npz":
        raise InputError(f"{path} must end in .npz.")
    return Path(path)
