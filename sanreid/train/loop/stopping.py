"""A wish to stop, by SIGTERM or Ctrl-C, noted and granted after the step in hand."""

from __future__ import annotations

import logging
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import torch

from sanreid.train.loop import distributed

__all__ = ["StopWish"]

logger = logging.getLogger(__name__)


class StopWish:
    """Whether somebody wants the run to stop.

    Attributes:
        signal: The signal's number; None when nobody does.
    """

    def __init__(self) -> None:
        self.signal: int | None = None

    def is_there(self) -> bool:
        """Whether this process was asked."""
        return self.signal is not None

    def is_shared(self, device: torch.device) -> bool:
        """Whether any of the processes was asked; all of them must ask at the same place."""
        if distributed.world_size() > 1:
            flag = torch.tensor(float(self.is_there()), device=device)
            if bool(distributed.all_sum(flag)) and self.signal is None:
                self.signal = int(signal.SIGTERM)  # another process got it
        return self.is_there()

    @contextmanager
    def noting(self) -> Iterator[None]:
        """Note signals inside the block; a second one stops at once, by KeyboardInterrupt."""

        def note(number: int, _: FrameType | None) -> None:
            if self.signal is not None:
                raise KeyboardInterrupt
            self.signal = number
            logger.warning("Signal %d: saving after this step. Once more stops at once.", number)

        try:
            before = {n: signal.signal(n, note) for n in (signal.SIGTERM, signal.SIGINT)}
        except ValueError:  # not the main thread: signals are the caller's business
            yield
            return
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
