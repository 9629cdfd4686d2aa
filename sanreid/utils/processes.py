"""Whether a process of this machine still runs."""

from __future__ import annotations

import os

__all__ = ["is_running"]


def is_running(pid: int | str) -> bool:
    """Return whether the process ``pid`` exists; True where the system cannot be asked."""
    if os.name == "nt":
        return True  # os.kill() would end it
    try:
        os.kill(int(pid), 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:
        return True
    return True
