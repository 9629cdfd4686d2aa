"""What a forked child must do: let locks go, and renew mutexes that the parent's threads held."""

from __future__ import annotations

import contextlib
import os
import weakref
from typing import Protocol

__all__ = ["ForkAware", "watch_forks"]


class ForkAware(Protocol):
    """Something that a forked child must treat differently."""

    def after_fork(self) -> None:
        """Run in the child, before anything else does."""
        ...


_watched: weakref.WeakSet[ForkAware] = weakref.WeakSet()
_hooked: list[bool] = []


def watch_forks(one: ForkAware) -> None:
    """Call ``one.after_fork()`` in every child forked while it lives."""
    if not _hooked and hasattr(os, "register_at_fork"):
        _hooked.append(True)
        os.register_at_fork(after_in_child=_after_fork)
    _watched.add(one)


def _after_fork() -> None:
    for one in list(_watched):
        with contextlib.suppress(OSError):
            one.after_fork()
