"""The teacher's embeddings of the training crops, each computed once and kept on disk.

A file for each teacher holds one float16 row for every crop it has ever embedded, under a hash
of the contents of the crop's file. Another selection of crops, or a copy of them elsewhere, finds
its rows again; missing rows are computed and added in parts, so that an interrupt loses little.
"""

from __future__ import annotations

import hashlib
import logging
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sanreid.datasets import CropSet
from sanreid.errors import DatasetError, ImageError, WeightsError
from sanreid.metrics.vectors import unit_rows
from sanreid.train.config import TeacherConfig
from sanreid.train.teacher.models import Teacher, open_teacher
from sanreid.utils.files import atomic_write

__all__ = ["TaughtCrops", "teacher_embeddings"]

logger = logging.getLogger(__name__)

_PART = 64  # crops at a time
_SAVE_EVERY_S = 60.0


@dataclass(frozen=True, slots=True)
class TaughtCrops:
    """The teacher's embeddings of N crops.

    Args:
        rows: (N, T) float16, each of L2 norm 1, in the order of the crops.
        digest: Digest of the teacher.
    """

    rows: Tensor
    digest: str


def teacher_embeddings(
    config: TeacherConfig, crops: CropSet, cache_dir: Path | None = None
) -> TaughtCrops:
    """Embed clean crops with the teacher, or read the embeddings it computed before.

    Args:
        config: The teacher.
        crops: N crops.
        cache_dir: Where the rows are kept; None: nowhere.

    Raises:
        WeightsError: There is no such teacher, or its embeddings are not finite.
        ImageError: A crop cannot be read.
        DatasetError: The file of kept rows is damaged.
    """
    teacher = open_teacher(config)
    path = None if cache_dir is None else cache_dir / f"teacher-{teacher.digest[:24]}.npz"
    known = _Known.empty() if path is None or not path.is_file() else _Known.read(path)
    wanted = np.array([_fingerprint(one) for one in crops.paths], dtype="S32")
    different, first = np.unique(wanted, return_index=True)
    missing = np.sort(first[~np.isin(different, known.crops)])
    if len(missing):
        logger.info("Embedding %d of %d crops with %s.", len(missing), len(crops), config.weights)
    began = saved = time.monotonic()
    done = 0
    fresh: list[tuple[NDArray[np.bytes_], NDArray[np.float16]]] = []  # crops and rows to be kept

    def keep() -> None:
        nonlocal known
        if fresh:
            names, rows = (np.concatenate(parts) for parts in zip(*fresh, strict=True))
            known = known.with_more(names, rows)
            fresh.clear()
            if path is not None:
                if path.is_file():  # another run may have added rows meanwhile
                    kept = _Known.read(path)
                    known = known.with_more(kept.crops, kept.rows)
                known.write(path)

    try:
        for begin in range(0, len(missing), _PART):
            some = missing[begin : begin + _PART]
            rows = _unit(teacher, [crops.paths[index] for index in some.tolist()], config)
            fresh.append((wanted[some], rows))
            done += len(some)
            now = time.monotonic()
            if now - saved > _SAVE_EVERY_S or done == len(missing):
                pace = done / (now - began)
                logger.info("%d of %d crops, %.1f per second", done, len(missing), pace)
                keep()
                saved = now
    finally:  # also what was done before an interrupt
        keep()
        if path is not None and 0 < done < len(missing):
            logger.warning(
                "Stopped after %d of %d crops; their embeddings are kept in %s, and the same "
                "command continues from there.", done, len(missing), path,
            )  # fmt: skip
    return TaughtCrops(torch.from_numpy(known.rows_of(wanted)), teacher.digest)


@dataclass(frozen=True, slots=True)
class _Known:
    """Rows by the fingerprints of their crops, which are sorted."""

    crops: NDArray[np.bytes_]  # (M,)
    rows: NDArray[np.float16]  # (M, T)

    @classmethod
    def empty(cls) -> Self:
        return cls(np.zeros(0, dtype="S32"), np.zeros((0, 0), dtype=np.float16))

    @classmethod
    def read(cls, path: Path) -> Self:
        try:
            with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
                return cls(file["crops"], file["rows"])
        except Exception as error:  # NumPy and zlib raise kinds of their own
            raise DatasetError(
                f"{path} is damaged ({type(error).__name__}). Delete it: the embeddings are then "
                "computed again."
            ) from error

    def write(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(path) as file:
            np.savez(file, crops=self.crops, rows=self.rows)

    def with_more(self, crops: NDArray[np.bytes_], rows: NDArray[np.float16]) -> _Known:
        names = np.concatenate([self.crops, crops])
        both = np.concatenate([self.rows, rows]) if len(self.rows) else rows
        unique, first = np.unique(names, return_index=True)
        return _Known(unique, both[first])

    def rows_of(self, crops: NDArray[np.bytes_]) -> NDArray[np.float16]:
        return self.rows[np.searchsorted(self.crops, crops)]


def _unit(teacher: Teacher, paths: list[Path], config: TeacherConfig) -> NDArray[np.float16]:
    rows = teacher.embed(paths)
    sound = np.isfinite(rows).all(axis=1) & rows.any(axis=1)
    if not sound.all():
        hint = "; are loss.teacher.input and loss.teacher.color right?"
        raise WeightsError(
            f"The embedding of {paths[int(np.argmin(sound))]} by {config.weights} is zero or not "
            f"finite{'.' if config.input == 'own' else hint}"
        )
    return unit_rows(rows, "teacher").astype(np.float16)


def _fingerprint(path: Path) -> bytes:
    """Hash the contents of a file, so that a copy elsewhere finds its row."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()[:32].encode()
    except OSError as error:
        raise ImageError(f"{path} cannot be read: {error.strerror}.") from error
