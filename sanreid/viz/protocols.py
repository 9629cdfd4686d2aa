"""What a picture is drawn of, by the attributes that drawing reads.

The rooms that hold these objects draw themselves in notebooks by this one, so this one cannot
import them: a gallery is whatever has ``ids``, ``get`` and ``search``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from sanreid.cameras import CameraNormalizer
from sanreid.config import EncoderConfig

__all__ = [
    "Calibration",
    "Clustering",
    "Encoder",
    "Entry",
    "Gallery",
    "Hit",
    "Report",
    "SearchResult",
]

Pid = int | str | None


class Hit(Protocol):
    """One entry found by a search, as :class:`sanreid.gallery.Hit`."""

    @property
    def id(self) -> int: ...

    @property
    def pid(self) -> Pid: ...

    @property
    def camid(self) -> int | str | None: ...

    @property
    def timestamp(self) -> float | None: ...

    @property
    def metadata(self) -> dict[str, Any]: ...

    @property
    def similarity(self) -> float: ...


class Entry(Protocol):
    """One row of a gallery, as :class:`sanreid.gallery.Entry`."""

    @property
    def id(self) -> int: ...

    @property
    def pid(self) -> Pid: ...

    @property
    def camid(self) -> int | str | None: ...

    @property
    def timestamp(self) -> float | None: ...

    @property
    def metadata(self) -> dict[str, Any]: ...

    @property
    def embedding(self) -> NDArray[np.float32]: ...


class SearchResult(Protocol):
    """Hits of each query, as :class:`sanreid.SearchResult`."""

    @property
    def counts(self) -> NDArray[np.int64]: ...

    @property
    def ids(self) -> NDArray[np.int64]: ...

    @property
    def similarities(self) -> NDArray[np.float32]: ...

    @property
    def query_pids(self) -> tuple[Pid, ...] | None: ...

    @property
    def query_camids(self) -> tuple[int | str | None, ...] | None: ...

    @property
    def query_images(self) -> tuple[Any, ...] | None: ...

    def __len__(self) -> int: ...

    def __getitem__(self, query: int, /) -> Sequence[Hit]: ...

    def summary(self) -> str: ...


class Calibration(Protocol):
    """A threshold and what it costs, as :class:`sanreid.gallery.Calibration`."""

    @property
    def threshold(self) -> float: ...

    @property
    def false_match_rate(self) -> float: ...

    @property
    def false_non_match_rate(self) -> float: ...

    @property
    def thresholds(self) -> Any: ...

    @property
    def num_genuine(self) -> int: ...

    @property
    def num_impostor(self) -> int: ...

    @property
    def genuine_histogram(self) -> Any: ...

    @property
    def impostor_histogram(self) -> Any: ...


class Clustering(Protocol):
    """Crops grouped into people, as :class:`sanreid.Clustering`."""

    @property
    def labels(self) -> NDArray[np.int64]: ...

    @property
    def confidence(self) -> NDArray[np.float32]: ...

    @property
    def medoids(self) -> NDArray[np.int64]: ...

    @property
    def cameras(self) -> tuple[tuple[int | str, ...], ...]: ...

    @property
    def times(self) -> NDArray[np.float64]: ...

    @property
    def threshold(self) -> float: ...

    @property
    def images(self) -> tuple[Any, ...] | None: ...

    def __len__(self) -> int: ...

    def members(self, cluster: int, /) -> NDArray[np.int64]: ...


class Gallery(Protocol):
    """Entries to look at, as :class:`sanreid.Gallery`."""

    @property
    def dim(self) -> int: ...

    @property
    def ids(self) -> NDArray[np.int64]: ...

    @property
    def calibration(self) -> Calibration | None: ...

    @property
    def camera_names(self) -> Mapping[int, str]: ...

    @property
    def camera_normalizer(self) -> CameraNormalizer | None: ...

    def get(self, ids: NDArray[np.int64], /) -> Sequence[Entry]: ...

    def find(self, where: dict[str, Any], /) -> NDArray[np.int64]: ...

    def search(
        self,
        queries: NDArray[np.float32],
        k: int,
        /,
        *,
        where: dict[str, Any] | None,
        query_camids: Sequence[int | str | None],
        same_camera: Literal["exclude", "keep"],
    ) -> SearchResult: ...

    def stats(self) -> dict[str, Any]: ...

    def counts(self, field: Literal["pid", "camid"], /) -> Mapping[Pid, int]: ...


class Report(Protocol):
    """Figures of an evaluation, as :class:`sanreid.EvaluationReport`."""

    @property
    def protocol(self) -> str: ...

    @property
    def mAP(self) -> float: ...

    @property
    def mINP(self) -> float: ...

    @property
    def cmc(self) -> NDArray[np.float64]: ...

    @property
    def num_valid_queries(self) -> int: ...

    @property
    def num_queries(self) -> int: ...

    @property
    def num_gallery(self) -> int: ...


class Encoder(Protocol):
    """A network to look into, as :class:`sanreid.SANEncoder`."""

    @property
    def module(self) -> Any: ...

    @property
    def input_size(self) -> tuple[int, int]: ...

    @property
    def config(self) -> EncoderConfig: ...
