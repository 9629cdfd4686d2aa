"""Values of other libraries as NumPy arrays and plain Python values.

Whether a value is an array is decided by what it offers (``__array__``, a tensor's methods)
before anything is iterated: a data set of h5py or a tensor is one array, not a list of rows. No
other library is imported for that.
"""

from __future__ import annotations

import datetime as dt
import re
import reprlib
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sanreid.errors import InputError
from sanreid.utils.paths import is_text, shorten

__all__ = [
    "NAIVE",
    "as_array",
    "as_seconds",
    "check_int64",
    "check_time_zones",
    "elements",
    "listed",
    "plain",
    "plain_values",
    "reads_as_number",
    "shown",
    "shown_with_type",
    "whole",
    "wrong_value",
]

NAIVE = (
    "has no time zone. Localise it first, for example with "
    'datetime.replace(tzinfo=datetime.UTC) or Series.dt.tz_localize("Europe/Berlin").'
)

_PLAIN = (int, str, float, bool, type(None))
_MISSING = ("NAType", "NaTType", "MaskedConstant")  # of pandas and NumPy
_CONTAINERS = (list, tuple, dict, set, frozenset)
_EXACT = 2**53  # whole numbers up to here are exact in float64
_INT64 = np.iinfo(np.int64)


class _FirstElements(reprlib.Repr):
    """The ``repr`` of a container's first elements."""

    def repr_int(self, number: int, level: int) -> str:  # noqa: ARG002 - of the base class
        try:
            text = repr(number)
        except ValueError:  # of more digits than Python prints
            return "<int>"
        return text if len(text) <= self.maxlong else f"{text[:18]}...{text[-19:]}"


_FIRST_ELEMENTS = _FirstElements()
_FIRST_ELEMENTS.maxstring = _FIRST_ELEMENTS.maxother = 60


def as_array(values: Any, name: str) -> NDArray[Any] | None:  # noqa: ANN401 - as passed
    """Return ``values`` as a NumPy array if it is an array of some library, else None.

    Tensors are detached and copied to the CPU; types that NumPy lacks, such as bfloat16, become
    float32.

    Raises:
        InputError: It is an array that cannot be read.
    """
    if isinstance(values, np.ndarray):
        array: NDArray[Any] = values
    elif isinstance(values, type):
        return None
    else:
        try:
            if hasattr(values, "detach") and hasattr(values, "cpu"):
                array = _from_tensor(values)
            elif hasattr(values, "__array__"):
                array = np.asarray(values)
            else:
                return None
        except Exception as error:
            raise InputError(f"{name} cannot be read as an array: {error}") from error
    foreign = array.dtype.isbuiltin != 1  # a name is only made, at a cost, for such types
    return array.astype(np.float32) if foreign and array.dtype.name == "bfloat16" else array


def _from_tensor(tensor: Any) -> NDArray[Any]:  # noqa: ANN401 - torch is not imported
    tensor = tensor.detach().cpu()
    try:
        return np.asarray(tensor)
    except TypeError:  # bfloat16 and other types that NumPy lacks
        return np.asarray(tensor.float())


def elements(values: Any, name: str) -> tuple[list[Any], str]:  # noqa: ANN401 - as passed
    """Return the values of a column and, for an array, its dtype's kind, else "".

    Missing values of pandas, of pyarrow and of masked arrays become None. Elements of lists and
    masked times stay as they are; :func:`plain` reads them.

    Raises:
        InputError: Not a sequence, of several dimensions, or a set, which has no order.
    """
    array = None if callable(getattr(values, "to_pylist", None)) else as_array(values, name)
    if array is None:
        unordered = isinstance(values, (str, bytes, bytearray, Mapping, AbstractSet))
        if unordered or not isinstance(values, Iterable):
            raise InputError(
                f"{name} must be a sequence with one value per row; got {shown_with_type(values)}."
            )
        return _iterated(values, name), ""
    if array.ndim != 1:
        raise InputError(f"{name} must have one dimension; got shape {array.shape}.")
    # tolist() would turn times into ints of their unit; it turns masked elements into None
    column = list(array) if array.dtype.kind in "mM" else array.tolist()
    missing = getattr(values, "isna", None)  # of pandas
    if callable(missing):
        for row in np.flatnonzero(np.asarray(missing())):
            column[row] = None
    return column, array.dtype.kind


def plain_values(values: Any, name: str) -> list[Any]:  # noqa: ANN401 - as passed
    """Return the values of a column as Python's own, missing ones as None.

    Whole numbers of a float array, which pandas makes of a column of ints with gaps, become ints.

    Raises:
        InputError: As in :func:`elements`.
    """
    column, kind = elements(values, name)
    return [whole(plain(value)) if kind == "f" else plain(value) for value in column]


def listed(values: Any, count: int, name: str) -> list[Any]:  # noqa: ANN401 - as passed
    """Return the ``count`` values of a column, whole floats of an array as ints.

    None is a column of None.

    Raises:
        InputError: As in :func:`elements`, or another number of values.
    """
    if values is None:
        return [None] * count
    column, kind = elements(values, name)
    if len(column) != count:
        raise InputError(
            f"{name} must have one value per row: {count} rows, {len(column)} values."
        )
    return [whole(value) for value in column] if kind == "f" else column


def wrong_value(
    name: str,
    wanted: str,
    row: int,
    value: Any,  # noqa: ANN401 - any
    *,
    optional: bool = True,
) -> InputError:
    """Return the error for a row's value of the wrong kind; ``optional`` columns may hold None."""
    hint = ""
    if optional and isinstance(value, float) and value != value:  # noqa: PLR0124 - NaN
        hint = " Pass None for a row without one."
    elif isinstance(value, str) and reads_as_number(value):
        hint = " It reads as a number: pass an int."
    elif isinstance(value, str) and not is_text(value):
        hint = " It is no Unicode text: UTF-8 cannot encode it."
    return InputError(f"{name} must be {wanted}; row {row} is {shown_with_type(value)}.{hint}")


def reads_as_number(text: str) -> bool:
    """Return whether a text is a number, as far as cameras go, whose names are none."""
    if text.isdigit():
        return True
    try:
        float(text)
    except ValueError:
        return False
    return "_" not in text  # Python reads 1_2 as 12; a camera may well be called so


def check_int64(value: int, row: int, name: str, *, least: int = _INT64.min) -> int:
    """Return a row's value if it is from ``least`` to the largest int64, else raise InputError."""
    if not least <= value <= _INT64.max:
        bounds = f"from {least} to {_INT64.max}"
        raise InputError(f"{name} must fit in 64 bits, {bounds}; row {row} is {shown(value)}.")
    return value


def _iterated(values: Any, name: str) -> list[Any]:  # noqa: ANN401 - any iterable
    try:
        return values.to_pylist() if hasattr(values, "to_pylist") else list(values)
    except TypeError as error:  # says that it is iterable and is not
        raise InputError(f"{name} cannot be read as a sequence: {error}") from error


def plain(value: Any) -> Any:  # noqa: ANN401 - any value
    """Return a scalar of NumPy or of a tensor as Python's own; missing ones become None.

    Times and whatever is no scalar stay as they are.
    """
    if type(value) in _PLAIN or isinstance(value, type):
        return value
    if isinstance(value, np.ndarray) and not value.ndim:
        value = value[()]
    if type(value).__name__ in _MISSING:
        return None
    if isinstance(value, (np.datetime64, np.timedelta64)):
        return None if np.isnat(value) else value
    if isinstance(value, np.floating):
        return float(value)
    try:
        is_scalar = isinstance(value, np.generic) or getattr(value, "shape", None) == ()
        return value.item() if is_scalar else value
    except Exception:  # noqa: BLE001 - code of another library; the reader will refuse it
        return value


def as_seconds(value: Any) -> Any:  # noqa: ANN401 - any value
    """Return a datetime with a time zone as seconds of UTC, anything else as a plain value."""
    value = plain(value)
    if isinstance(value, np.datetime64):
        return float((value - np.datetime64(0, "s")) / np.timedelta64(1, "s"))
    if isinstance(value, dt.datetime) and value.utcoffset() is not None:
        return value.timestamp()
    return value


def check_time_zones(times: Any, name: str) -> None:  # noqa: ANN401 - as passed
    """Refuse a column of pandas without a time zone: NumPy takes its values for UTC.

    Raises:
        InputError: It is one.
    """
    dtype = getattr(times, "dtype", None)
    if getattr(dtype, "kind", None) != "M" or not hasattr(times, "isna"):
        return
    of_arrow = getattr(dtype, "pyarrow_dtype", None)  # a date of Arrow is of kind "M", too
    if isinstance(dtype, np.dtype) or getattr(of_arrow, "tz", "") is None:
        raise InputError(f"{name}: the column of type {dtype} {NAIVE}")


def whole(value: Any) -> Any:  # noqa: ANN401 - any value
    """Return a float that is a whole number as an int, anything else as it is."""
    if isinstance(value, float) and value.is_integer() and abs(value) <= _EXACT:
        return int(value)
    return value


def shown(value: object) -> str:
    """Return the beginning of a value's ``repr`` on one line, for a message; of arrays the shape.

    It never raises, and a list of millions costs no more than its first elements.
    """
    try:
        simple = plain(value)
        shape = getattr(simple, "shape", None)
        if isinstance(shape, tuple) and shape:
            return f"{type(value).__name__} of shape {tuple(shape)}"
        if type(simple) in _CONTAINERS:
            text = _FIRST_ELEMENTS.repr(simple)
        else:
            text = repr(value if simple is None else simple)
    except Exception:  # noqa: BLE001 - an int of too many digits, or code of another library
        return f"<{type(value).__name__}>"
    return shorten(re.sub(r"\s*\n\s*", " ", text))  # one line, also of modules and tables


def shown_with_type(value: object) -> str:
    """Return a value as :func:`shown` and its type: ``'7' of type str``."""
    text, kind = shown(value), type(value).__name__
    return text if text.startswith(f"{kind} of shape ") else f"{text} of type {kind}"
