"""A progress bar for people: on a terminal or in a notebook, and only for long tasks."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol

from sanreid.utils.arguments import check_flag

__all__ = ["Bar", "progress_bar"]

_PATIENCE_S = 3.0  # shorter work shows no bar


class Bar(Protocol):
    """What the work reports to the bar."""

    def update(self, n: int = 1) -> object:
        """Count ``n`` more units as done."""

    def set_postfix(self, values: Mapping[str, str], *, refresh: bool = True) -> object:
        """Show figures behind the bar."""


class _NoBar:
    """Not a disabled tqdm: that one starts a thread all the same."""

    def update(self, n: int = 1) -> None:
        """Show nothing."""

    def set_postfix(self, values: Mapping[str, str], *, refresh: bool = True) -> None:
        """Show nothing."""


def progress_bar(
    progress: bool | None,
    *,
    total: int | None,
    doing: str = "Encoding",
    unit: str = "image",
    initial: int = 0,
    leave: bool = True,
) -> AbstractContextManager[Bar]:
    """Return a tqdm bar on standard error; ``None`` shows it where a person watches.

    Args:
        progress: True: always. False: never. None: on a terminal or in a notebook, once the
            work has lasted some seconds.
        total: Units of work, if known.
        doing: What is done, the word before the bar.
        unit: What is counted.
        initial: Units done before.
        leave: Whether the bar stays when the work is done.
    """
    check_flag(progress, "progress", optional=True)
    if not (_is_watched() if progress is None else progress):
        return nullcontext(_NoBar())
    tqdm = _bar_kind()
    bar: AbstractContextManager[Bar] = tqdm(
        total=total,
        initial=initial,
        unit=unit,
        desc=doing,
        leave=leave,
        delay=_PATIENCE_S if progress is None else 0.0,
        dynamic_ncols=True,
    )
    return bar


def _bar_kind() -> Any:  # noqa: ANN401 - tqdm has no types
    """Return the notebook's bar where its widgets are installed, else the terminal's, silently."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="IProgress not found")
        from tqdm.auto import tqdm  # noqa: PLC0415 - costs time, and most calls show no bar
    return tqdm


def _is_watched() -> bool:
    in_notebook = "ipykernel" in sys.modules  # its streams are not terminals
    return in_notebook or (sys.stderr is not None and sys.stderr.isatty())
