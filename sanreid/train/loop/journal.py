"""The log of a run: one JSON line per event, optional TensorBoard, a bar, shares of the time."""

from __future__ import annotations

import json
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from sanreid.utils.extras import require_extra
from sanreid.utils.files import atomic_write_text

__all__ = ["Journal", "Meter", "Stopwatch", "read_journal"]


def read_journal(path: Path) -> list[dict[str, Any]]:
    """Read a JSONL log; a last line that a crash truncated is ignored."""
    rows: list[dict[str, Any]] = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError:
            break
    return rows


class Journal:
    """Write ``log.jsonl`` and, if wanted, TensorBoard files beside it.

    Args:
        folder: The run's folder.
        resume_step: Keep the lines up to this step and drop later ones, whose steps will be
            taken again; None: start a new log.
        repeated: Kinds of lines that are written again at ``resume_step``, because the
            evaluation there, say, is not complete; those at that step are dropped.
        tensorboard: Also write TensorBoard files.
        enabled: Whether to write at all; only one of several processes does.

    Raises:
        MissingExtraError: TensorBoard is wanted and not installed.
    """

    def __init__(
        self,
        folder: Path,
        *,
        resume_step: int | None,
        tensorboard: bool,
        repeated: Collection[str] = (),
        enabled: bool = True,
    ) -> None:
        self._file = None
        self._board: Any = None
        if not enabled:
            return
        if tensorboard:
            later = None if resume_step is None else resume_step + 1
            self._board = _summary_writer(folder / "tensorboard", purge_step=later)
        path = folder / "log.jsonl"
        kept = [] if resume_step is None or not path.is_file() else read_journal(path)
        last = resume_step or 0
        kept = [
            row for row in kept
            if row["step"] < last
            or (row["step"] == last and row["kind"] not in repeated)
        ]  # fmt: skip
        atomic_write_text(path, "".join(json.dumps(row) + "\n" for row in kept))
        self._file = path.open("a", encoding="utf-8")

    def write(self, kind: str, step: int, values: Mapping[str, Any]) -> None:
        """Write one event; numbers also go to TensorBoard."""
        if self._file is None:
            return
        row = {"kind": kind, "step": step, **values}
        self._file.write(json.dumps(row) + "\n")
        self._file.flush()
        if self._board is not None:
            for name, value in values.items():
                if isinstance(value, int | float):
                    self._board.add_scalar(f"{kind}/{name}", value, step)

    def picture(self, name: str, step: int, pixels: Any) -> None:  # noqa: ANN401 - (H, W, 3) array
        """Show a picture in TensorBoard, if it is on."""
        if self._board is not None:
            self._board.add_image(name, pixels, step, dataformats="HWC")

    def close(self) -> None:
        """Close the files."""
        if self._file is not None:
            self._file.close()
        if self._board is not None:
            self._board.close()


class Stopwatch:
    """Measure where the time goes, by the name of the part.

    Args:
        device: On CUDA each part waits for the device, which makes the shares correct and the
            run a little slower; ``every`` keeps that rare.
        every: Measure one step in every so many.
    """

    def __init__(self, device: torch.device, *, every: int = 1) -> None:
        self._wait = device.type == "cuda"
        self._every = every
        self._steps = 0
        self.seconds: dict[str, float] = {}

    def next_step(self) -> None:
        """Mark the beginning of a step."""
        self._steps += 1

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Add the block's time under ``name``."""
        if self._steps % self._every:
            yield
            return
        started = self._now()
        yield
        self.seconds[name] = self.seconds.get(name, 0.0) + self._now() - started

    def shares(self) -> dict[str, float]:
        """Return each part's share of the measured time; the shares add up to 1."""
        total = sum(self.seconds.values())
        return {name: round(s / total, 4) for name, s in self.seconds.items()} if total else {}

    def _now(self) -> float:
        if self._wait:
            torch.cuda.synchronize()
        return time.perf_counter()


class Meter:
    """The means of the terms since the last line of the log, and crops per second.

    The mean of a term is over the steps that had it.
    """

    def __init__(self) -> None:
        self._sums: dict[str, float] = {}
        self._counts: dict[str, int] = {}
        self._crops = 0
        self._seconds = 0.0

    def add(self, terms: dict[str, float], *, crops: int, seconds: float) -> None:
        """Add one step."""
        for name, value in terms.items():
            self._sums[name] = self._sums.get(name, 0.0) + value
            self._counts[name] = self._counts.get(name, 0) + 1
        self._crops += crops
        self._seconds += seconds

    def means(self) -> dict[str, float]:
        """Return the means, including ``lr``, and ``images_per_s``."""
        means = {name: value / self._counts[name] for name, value in self._sums.items()}
        return {**means, "images_per_s": self._crops / max(self._seconds, 1e-9)}

    def shown(self) -> dict[str, str]:
        """Return the means as a progress bar shows them."""
        return {name: f"{value:.3g}" for name, value in self.means().items() if name != "lr"}


def _summary_writer(folder: Path, *, purge_step: int | None) -> Any:  # noqa: ANN401 - optional
    tensorboard = require_extra(
        "torch.utils.tensorboard", purpose="run.tensorboard", install="sanreid[train]"
    )
    return tensorboard.SummaryWriter(str(folder), purge_step=purge_step)
