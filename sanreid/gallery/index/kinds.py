"""The kinds of approximate index: one class per family, one row of :data:`KINDS` per name.

A kind of your own is another object with these methods: ``register_index_kind(MyKind())``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

from sanreid.errors import InputError
from sanreid.gallery.index.faiss_module import load_faiss
from sanreid.utils.arguments import check_choice

__all__ = ["KINDS", "IndexKind", "as_index_kind", "index_kinds", "register_index_kind"]

FaissObject: TypeAlias = Any  # FAISS has no types

EXACT_KINDS = ("auto", "flat")
_WIDEST_GRAPH = 1024  # neighbours an HNSW search holds at most
_TRAIN_PER_LIST = 32


class IndexKind(Protocol):
    """How one kind of FAISS index is named, made and searched."""

    @property
    def name(self) -> str:
        """What ``Gallery(index=...)`` calls it."""
        ...

    def recipe(self, dim: int, num_rows: int) -> str:
        """Return the string for ``faiss.index_factory``."""
        ...

    def min_training_rows(self, num_rows: int) -> int:
        """Return how many rows training needs."""
        ...

    def max_width(self, index: FaissObject) -> int:
        """Return the width at which a search is exhaustive."""
        ...

    def parameters(self, width: int, count: int, selector: FaissObject) -> FaissObject:
        """Return FAISS's parameters of a search for ``count`` rows among the selected ones."""
        ...


@dataclass(frozen=True)
class FlatKind:
    """Every row is looked at, in a code of 8 bits per number."""

    name: str = "flat-sq8"

    def recipe(self, dim: int, num_rows: int) -> str:
        """Return the string for ``faiss.index_factory``."""
        del dim, num_rows
        return "SQ8"

    def min_training_rows(self, num_rows: int) -> int:
        """Return how many rows training needs."""
        del num_rows
        return 1

    def max_width(self, index: FaissObject) -> int:
        """Return 1: it is always exhaustive."""
        del index
        return 1

    def parameters(self, width: int, count: int, selector: FaissObject) -> FaissObject:
        """Return FAISS's parameters of a search."""
        del width, count
        return load_faiss().SearchParameters(sel=selector)


@dataclass(frozen=True)
class ListsKind:
    """Inverted lists: rows are grouped by centroid, the lists of the nearest centroids searched.

    Source: Sivic and Zisserman, "Video Google", ICCV 2003; product codes: Jegou et al., "Product
    Quantization for Nearest Neighbor Search", TPAMI 2011.
    """

    name: str
    code: str = "Flat"  # or SQ8, PQ
    one_list: bool = False  # all rows in one list: FAISS's plain PQ index knows no filters

    def recipe(self, dim: int, num_rows: int) -> str:
        """Return the string for ``faiss.index_factory``."""
        return f"IVF{self._num_lists(num_rows)},{_coded(self.code, dim)}"

    def min_training_rows(self, num_rows: int) -> int:
        """Return how many rows training needs."""
        return _TRAIN_PER_LIST * self._num_lists(num_rows)

    def max_width(self, index: FaissObject) -> int:
        """Return the number of lists."""
        return int(index.nlist)

    def parameters(self, width: int, count: int, selector: FaissObject) -> FaissObject:
        """Return FAISS's parameters: ``width`` lists are looked at."""
        del count
        return load_faiss().SearchParametersIVF(nprobe=width, sel=selector)

    def _num_lists(self, num_rows: int) -> int:
        if self.one_list:
            return 1
        return int(min(65_536, max(1, round(4 * math.sqrt(num_rows)))))


@dataclass(frozen=True)
class GraphKind:
    """A hierarchical navigable small world graph: neighbours of neighbours are looked at.

    Source: Malkov and Yashunin, arXiv:1603.09320.
    """

    name: str
    code: str = "Flat"

    def recipe(self, dim: int, num_rows: int) -> str:
        """Return the string for ``faiss.index_factory``."""
        del num_rows
        return f"HNSW32,{_coded(self.code, dim)}"

    def min_training_rows(self, num_rows: int) -> int:
        """Return how many rows training needs."""
        del num_rows
        return 1

    def max_width(self, index: FaissObject) -> int:
        """Return how many neighbours a search holds at most."""
        del index
        return _WIDEST_GRAPH

    def parameters(self, width: int, count: int, selector: FaissObject) -> FaissObject:
        """Return FAISS's parameters: ``width`` neighbours are held, at least ``count``."""
        return load_faiss().SearchParametersHNSW(efSearch=max(width, count), sel=selector)


KINDS: dict[str, IndexKind] = {
    kind.name: kind
    for kind in (
        FlatKind(),
        ListsKind("flat-pq", "PQ", one_list=True),
        ListsKind("ivf"),
        ListsKind("ivf-sq8", "SQ8"),
        ListsKind("ivf-pq", "PQ"),
        GraphKind("hnsw"),
        GraphKind("hnsw-sq8", "SQ8"),
        GraphKind("hnsw-pq", "PQ"),
    )
}


def register_index_kind(kind: IndexKind) -> None:
    """Make a kind known by its name.

    Raises:
        InputError: The name is taken.
    """
    if kind.name in index_kinds():
        raise InputError(f"An index kind named {kind.name!r} is registered already.")
    KINDS[kind.name] = kind


def index_kinds() -> tuple[str, ...]:
    """Return the names that ``Gallery(index=...)`` takes."""
    return (*EXACT_KINDS, *KINDS)


def as_index_kind(index: str) -> str:
    """Return ``index`` if it is one of :func:`index_kinds`.

    Raises:
        InputError: It is not.
    """
    check_choice(index, "index", index_kinds())
    return index


def _coded(code: str, dim: int) -> str:
    """Return FAISS's name of a code; product codes have at least four numbers per part."""
    if code != "PQ":
        return code
    parts = range(1, max(1, dim // 4) + 1)
    return f"PQ{max(count for count in parts if dim % count == 0)}"
