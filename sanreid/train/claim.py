"""One run at a time in a folder."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from sanreid.errors import InputError, TrainingError
from sanreid.train import runtime
from sanreid.utils.locks import DirectoryLock

__all__ = ["claimed"]


@contextmanager
def claimed(folder: Path, device: torch.device) -> Iterator[None]:
    """Hold the folder of a run, so that no other run writes there meanwhile.

    The main process holds it; all of them must call this together.

    Args:
        folder: It must exist.
        device: The device of this process.

    Raises:
        TrainingError: Another run holds it; raised in all processes.
    """
    lock: DirectoryLock | None = None
    refusal = f"{folder} is being written by another run."
    if runtime.is_main():
        try:
            lock = DirectoryLock(folder / ".lock")
        except InputError as error:
            refusal = str(error)
    is_held = torch.tensor(float(lock is not None), device=device)
    if not runtime.all_sum(is_held):
        raise TrainingError(refusal)
    try:
        yield
    finally:
        if lock is not None:
            lock.release()
