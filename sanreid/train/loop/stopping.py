"""SIGTERM and Ctrl-C: before the first step they interrupt, then they are granted after a step."""

from __future__ import annotations

import logging
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import torch

from sanreid.train import runtime

__all__ = ["StopRequest", "sigterm_interrupts"]

logger = logging.getLogger(__name__)


class StopRequest:
    """Whether the run was asked to stop.

    Attributes:
        signal: The number of the signal that asked; None if there was none.
    """

    def __init__(self) -> None:
        self.signal: int | None = None

    def is_set(self) -> bool:
        """Return whether this process was asked."""
        return self.signal is not None

    def is_set_anywhere(self, device: torch.device) -> bool:
        """Return whether any process was asked; every process must call this in the same step."""
        if runtime.world_size() > 1:
            flag = torch.tensor(float(self.is_set()), device=device)
            if bool(runtime.all_sum(flag)) and self.signal is None:
                self.signal = int(signal.SIGTERM)  # another process received it
        return self.is_set()

    @contextmanager
    def recorded(self) -> Iterator[None]:
        """Record signals inside the block; a second one stops at once, by KeyboardInterrupt."""

        def record(number: int, _: FrameType | None) -> None:
            if self.signal is not None:
                raise KeyboardInterrupt(number)
            self.signal = number
            logger.warning(
                "Signal %d: saving after this step. Send it again to stop at once.", number
            )

        try:
            before = {n: signal.signal(n, record) for n in (signal.SIGTERM, signal.SIGINT)}
        except ValueError:  # not the main thread: signals are the caller's business
            yield
            return
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


@contextmanager
def sigterm_interrupts() -> Iterator[None]:
    """Let SIGTERM do what Ctrl-C does inside the block: raise KeyboardInterrupt, with its number.

    For what comes before the first step, where there is nothing to save but files half done.
    """

    def interrupt(number: int, _: FrameType | None) -> None:
        raise KeyboardInterrupt(number)

    try:
        before = signal.signal(signal.SIGTERM, interrupt)
    except ValueError:  # not the main thread, as above
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
