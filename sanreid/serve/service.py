"""What a service does, without HTTP: one encoder, one gallery, a few threads.

Everything is opened by :meth:`Service.start`, not before, so that a process that is forked after
the application was made opens its own.
"""

from __future__ import annotations

import logging
import math
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from sanreid.errors import (
    GalleryError,
    InputError,
    NoGalleryError,
    UnknownIdError,
    UnsupportedError,
)
from sanreid.gallery import Gallery, Hit
from sanreid.gallery.images import Encoder, as_encoder
from sanreid.serve.metrics import Metrics
from sanreid.serve.pictures import checked
from sanreid.serve.settings import Limits

if TYPE_CHECKING:
    from sanreid.serve.bodies import EnrolBody, ForgetBody, IdentifyBody, SearchBody

__all__ = ["ReadOnlyError", "Service"]

logger = logging.getLogger(__name__)
T = TypeVar("T")


class ReadOnlyError(GalleryError):
    """A change was sent to a process that only reads the gallery."""


class Service:
    """A gallery and its encoder, for many threads.

    Args:
        path: The gallery's directory, or its address on Milvus.
        encoder: An encoder, or the name or directory of weights to load at the start; None for
            the bundled ones.
        read_only: Read, and :meth:`refresh` before each answer; another process writes.
        create: Create the gallery if there is none.
        wait_s: Seconds to wait at the start for another writer to end; None: 10, or 0 on Milvus.
        limits: What a request may ask.
    """

    def __init__(
        self,
        path: str | Path,
        encoder: Encoder | str | os.PathLike[str] | None = None,
        *,
        read_only: bool = False,
        create: bool = False,
        wait_s: float | None = None,
        limits: Limits | None = None,
    ) -> None:
        self.read_only, self.limits, self.metrics = read_only, limits or Limits(), Metrics()
        self._path, self._wait_s, self._create = path, wait_s, create
        self._source = encoder
        self._opened: tuple[Encoder, Gallery, ThreadPoolExecutor] | None = None
        self._forgetting = threading.Lock()

    def start(self) -> None:
        """Load the encoder and open the gallery, once.

        Raises:
            GalleryError: There is none, it is of another encoder, or another process writes it.
            WeightsError: The weights cannot be had.
        """
        if self._opened is not None:
            return
        encoder = _loaded(self._source)
        try:
            gallery = Gallery.open(
                self._path,
                dim=encoder.embedding_dim if self._create and not self.read_only else None,
                mode="r" if self.read_only else "rw",
                encoder_fingerprint=encoder.fingerprint,
                wait=_waiting(self._path) if self._wait_s is None else self._wait_s,
            )
        except NoGalleryError as error:
            advice = "" if self.read_only else "To create one, pass create=True."
            raise NoGalleryError(error.place, advice) from None
        pool = ThreadPoolExecutor(self.limits.threads, thread_name_prefix="sanreid-serve")
        self._opened = encoder, gallery, pool

    def stop(self) -> None:
        """Let work in progress end, then close the gallery."""
        if self._opened is not None:
            _, gallery, pool = self._opened
            pool.shutdown(wait=True)
            gallery.close()
            self._opened = None

    @property
    def pool(self) -> ThreadPoolExecutor:
        """The threads that do the work."""
        return self._running()[2]

    def refresh(self) -> None:
        """Let a reader see what the writer has committed; a writer sees its own changes."""
        _, gallery, _ = self._running()
        if self.read_only:
            gallery.refresh()

    def check_readable(self) -> None:
        """Find out whether the gallery can be read; a reader sees what was committed, too.

        Raises:
            GalleryError: It was deleted or is damaged, or its server does not answer.
        """
        self._running()[1].refresh()

    def num_entries(self) -> int:
        """Return the number of entries."""
        return len(self._running()[1])

    def embed(self, images: list[bytes]) -> tuple[NDArray[np.float32], str]:
        """Return (N, D) embeddings, and the fingerprint of their encoder."""
        encoder, _, _ = self._running()
        pictures = checked(images, self.limits)
        embeddings = encoder.encode(pictures)
        self.metrics.count("crops_embedded", len(pictures))
        return embeddings, encoder.fingerprint

    def search(self, images: list[bytes], body: SearchBody) -> list[list[dict[str, Any]]]:
        """Return the hits of each image."""
        embeddings, fingerprint = self.embed(images)
        self.refresh()
        result = self._running()[1].search(
            embeddings,
            body.k,
            where=body.where,
            query_camids=body.camids,
            same_camera=body.same_camera,
            **_travel(body),
            min_similarity=body.min_similarity,
            rerank=body.rerank,
            expand=body.expand,
            encoder_fingerprint=fingerprint,
        )
        return [[_hit(hit) for hit in hits] for hits in result]

    def identify(self, images: list[bytes], body: IdentifyBody) -> list[dict[str, Any]]:
        """Return the person of each image, or unknown."""
        embeddings, fingerprint = self.embed(images)
        self.refresh()
        found = self._running()[1].identify(
            embeddings,
            group=body.group,
            top=body.top,
            threshold=body.threshold,
            where=body.where,
            query_camids=body.camids,
            same_camera=body.same_camera,
            **_travel(body),
            encoder_fingerprint=fingerprint,
        )
        return [
            {
                "pid": one.pid,
                "similarity": _number(one.similarity),
                "margin": _number(one.margin),
                "candidate": one.candidate,
                "entry_ids": list(one.entry_ids),
            }
            for one in found
        ]

    def enrol(self, images: list[bytes], body: EnrolBody) -> list[int]:
        """Add crops of one person; return their ids once they are on disk."""
        gallery = self._writable()
        embeddings, fingerprint = self.embed(images)
        ids = gallery.add(
            embeddings,
            pids=[body.pid] * len(embeddings),
            camids=body.camids,
            timestamps=body.timestamps,
            metadata=body.metadata,
            encoder_fingerprint=fingerprint,
        )
        self.metrics.count("entries_added", len(ids))
        return [int(one) for one in ids]

    def forget(self, body: ForgetBody) -> tuple[int, str | None]:
        """Remove a person, or entries, and rewrite the files without them.

        If the process ends between the two steps, the same request, sent again, does the second
        one, even though it then finds nobody.

        Returns:
            How many entries were removed, and why files may still hold them: None, except on
            Milvus Lite, which cannot be told to rewrite its files.

        Raises:
            UnknownIdError: There is no such person or entry.
        """
        gallery, removed, trace = self._writable(), 0, None
        with self._forgetting:
            try:
                if body.ids is not None:
                    removed = gallery.remove(body.ids)
                else:
                    removed = gallery.remove(where={"pid": body.pid})
                if not removed:
                    raise UnknownIdError("The gallery has no entries of that person.")
            finally:
                if removed or gallery.stats()["removed_rows"] != 0:  # None: a server does not tell
                    trace = _compacted(gallery)
        self.metrics.count("entries_removed", removed)
        return removed, trace

    def _running(self) -> tuple[Encoder, Gallery, ThreadPoolExecutor]:
        if self._opened is None:
            raise GalleryError("The service is not running: it has not started, or was stopped.")
        return self._opened

    def _writable(self) -> Gallery:
        if self.read_only:
            raise ReadOnlyError("This process only reads: send changes to the one that writes.")
        return self._running()[1]


def _loaded(source: Encoder | str | os.PathLike[str] | None) -> Encoder:
    if source is None or isinstance(source, (str, os.PathLike)):
        from sanreid.encoder import SANEncoder  # noqa: PLC0415 - torch, only where it is needed

        return SANEncoder.from_pretrained(source)
    return as_encoder(source)


def _travel(body: SearchBody | IdentifyBody) -> dict[str, Any]:
    """Return when the queries were taken, and the possible gaps, as the gallery takes them.

    Raises:
        InputError: A pair of cameras is named twice.
    """
    gaps: dict[str, Any] = {"min_gap_s": body.min_gap_s, "max_gap_s": body.max_gap_s}
    for name, gap in gaps.items():
        if isinstance(gap, list):
            gaps[name] = {pair.camids: pair.seconds for pair in gap}
            if len(gaps[name]) < len(gap):
                raise InputError(f"{name} names a pair of cameras twice.")
    return {"query_timestamps": body.timestamps, **gaps}


def _compacted(gallery: Gallery) -> str | None:
    """Rewrite a gallery's files; return why that is not possible, if so."""
    try:
        gallery.compact()
    except UnsupportedError as error:
        logger.warning("Removed entries stay in the files for now: %s", error)
        return (
            "The entries are in no answer any more. This gallery's storage decides itself when "
            "their rows leave its files."
        )
    return None


def _waiting(path: str | Path) -> float:
    from sanreid.gallery.milvus.address import is_address  # noqa: PLC0415 - rarely one

    return 0.0 if is_address(path) else 10.0


def _hit(hit: Hit) -> dict[str, Any]:
    return {
        "id": hit.id,
        "similarity": hit.similarity,
        "pid": hit.pid,
        "camid": hit.camid,
        "timestamp": hit.timestamp,
        "metadata": hit.metadata,
    }


def _number(value: float) -> float | None:
    return None if math.isnan(value) else value
