"""A progress bar for people: on a terminal or in a notebook, and for long work alone."""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

__all__ = ["Bar", "progress_bar"]

_PATIENCE_S = 3.0  # shorter work shows no bar


class Bar(Protocol):
    """What the work tells the bar."""

    def update(self, n: int = 1) -> object:
        """Count ``n`` more images as done."""


class _NoBar:
    """Not a disabled tqdm: that one starts a thread all the same."""

    def update(self, n: int = 1) -> None:
        """Show nothing."""


def progress_bar(progress: bool | None, *, total: int | None) -> AbstractContextManager[Bar]:
    """Give a tqdm bar on standard error; ``None`` shows it where a person watches.

    Args:
        progress: True: always. False: never. None: on a terminal or in a notebook, once the
            work has lasted some seconds.
        total: Images to come, if known.
    """
    if not (_is_watched() if progress is None else progress):
        return nullcontext(_NoBar())
    from tqdm.auto import tqdm  # noqa: PLC0415 - costs time, and most calls show no bar

    bar: AbstractContextManager[Bar] = tqdm(
        total=total,
        unit="image",
        desc="Encoding",
        delay=_PATIENCE_S if progress is None else 0.0,
        dynamic_ncols=True,
    )
    return bar


def _is_watched() -> bool:
    in_notebook = "ipykernel" in sys.modules  # its streams are not terminals
    return in_notebook or (sys.stderr is not None and sys.stderr.isatty())
