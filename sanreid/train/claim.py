"""One run at a time in a folder."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from sanreid.errors import InputError, TrainingError
from sanreid.train import runtime
from sanreid.utils.locks import DirectoryLock

__all__ = ["claimed", "last_written"]


def last_written(folder: Path) -> int | None:
    """Return when a run last wrote a checkpoint into its folder, None where none has."""
    file = folder / "last.ckpt"
    return file.stat().st_mtime_ns if file.exists() else None


@contextmanager
def claimed(folder: Path, device: torch.device, *, written: int | None) -> Iterator[None]:
    """Hold the folder of a run, so that no other run writes there meanwhile.

    The main process holds it; all of them must call this together.

    Args:
        folder: It must exist.
        device: The device of this process.
        written: What :func:`last_written` returned when this run was prepared.

    Raises:
        TrainingError: The folder cannot be written, another run holds it, or one wrote there
            since; raised in all processes.
    """
    lock: DirectoryLock | None = None
    refusal = f"The main process could not take {folder}."
    if runtime.is_main():
        try:
            lock = _take(folder, written)
        except TrainingError as error:
            refusal = str(error)
    is_held = torch.tensor(float(lock is not None), device=device)
    if not runtime.all_sum(is_held):
        raise TrainingError(refusal)
    try:
        yield
    finally:
        if lock is not None:
            lock.release()


def _take(folder: Path, written: int | None) -> DirectoryLock:
    try:
        lock = DirectoryLock(folder / ".lock")
    except InputError as error:
        raise TrainingError(str(error)) from error
    except OSError as error:
        raise TrainingError(f"{folder} cannot be written: {error}.") from error
    if last_written(folder) != written:
        lock.release()
        raise TrainingError(
            f"Another run wrote in {folder} while this one was being prepared. Resume that run, "
            "or start this one in another folder."
        )
    return lock
