"""FAISS, imported where it is used: it costs time, and exact search does without it."""

from __future__ import annotations

from importlib import import_module
from typing import Any

__all__ = ["load_faiss"]


def load_faiss() -> Any:  # noqa: ANN401 - its types do not know its Python layer
    """Import FAISS."""
    return import_module("faiss")
