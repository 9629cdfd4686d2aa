"""The one list of data sets, which each reader joins by a decorator."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias, TypeVar

from sanreid.datasets.crops import Dataset
from sanreid.errors import InputError

__all__ = ["REGISTERED", "DatasetReader", "register_dataset"]

DatasetReader: TypeAlias = Callable[..., Dataset]
R = TypeVar("R", bound=DatasetReader)

REGISTERED: dict[str, DatasetReader] = {}


def register_dataset(name: str) -> Callable[[R], R]:
    """Make a reader a data set that configurations and command lines know by ``name``.

    The reader takes the root as its first argument and options by keyword, and returns a
    :class:`Dataset`.

    Args:
        name: Letters, digits, ``_`` and ``-``.

    Raises:
        InputError: The name is taken by another reader, or is no such name.

    >>> from pathlib import Path
    >>> from sanreid.datasets import CropSet, Dataset, read_dataset
    >>> @register_dataset("two-doors")
    ... def read_two_doors(root, *, night=False):
    ...     crops = [CropSet(s, (Path(root, s, "a.jpg"),), [7], [0]) for s in "tqg"]
    ...     return Dataset("Two doors by night" if night else "Two doors", *crops)
    >>> read_dataset("two-doors", "data", {"night": True}).name
    'Two doors by night'
    """
    if not isinstance(name, str) or not name.replace("_", "").replace("-", "").isalnum():
        raise InputError(f"A data set's name is letters, digits, _ and -; got {name!r}.")

    def register(reader: R) -> R:
        known = REGISTERED.get(name)
        if known is not None and _origin(known) != _origin(reader):  # a cell run again may
            raise InputError(
                f"{name!r} is a data set already, read by {'.'.join(_origin(known))}."
            )
        REGISTERED[name] = reader
        return reader

    return register


def _origin(reader: DatasetReader) -> tuple[str, str]:
    return reader.__module__, reader.__qualname__
