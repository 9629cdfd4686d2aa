"""What a network draws in a step: dropout, say, by torch's global generators."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from sanreid.train import runtime

__all__ = ["own_draws"]


@contextmanager
def own_draws(seed: int, number: int, device: torch.device) -> Iterator[None]:
    """Seed torch's generators from the run's seed, the number of the batch and the rank.

    So a resumed run draws what the uninterrupted one would have drawn. The generators are
    restored afterwards.

    Args:
        seed: Of the run.
        number: Of the batch.
        device: Its generator is seeded beside the CPU's; on CUDA it has a number.
    """
    digest = hashlib.sha256(f"{seed} {number} {runtime.rank()}".encode()).digest()
    own = int.from_bytes(digest[:7], "big")
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.default_generator.manual_seed(own)  # torch.manual_seed() is for every device
        if device.type == "cuda":
            torch.cuda.default_generators[device.index].manual_seed(own)
        yield
