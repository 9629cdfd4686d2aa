"""What callers pass to the metrics and to re-ranking, checked; every fault is an InputError."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sanreid.errors import InputError
from sanreid.utils import arrays

__all__ = ["as_array", "check_unmasked"]


def as_array(values: ArrayLike, name: str) -> NDArray[Any]:
    """View ``values`` as an array, whatever it holds; InputError where NumPy sees none in it.

    Tensors are detached and copied to the CPU; those of a type that NumPy lacks, such as
    bfloat16, become float32.
    """
    array = arrays.as_array(values, name)
    if array is not None:
        return array
    try:
        return np.asarray(values)
    except Exception as error:  # ragged lists, arrays of other libraries
        raise InputError(f"{name} cannot be read as an array: {error}") from error


def check_unmasked(array: NDArray[Any], name: str) -> None:
    """Raise InputError if numbers are masked: what stands behind the mask would be counted."""
    if isinstance(array, np.ma.MaskedArray) and array.mask.any():
        raise InputError(f"{name} hold masked numbers; every one is needed.")
