"""Which crops form a batch: P x K batches, and shares of groups of people in them."""

from __future__ import annotations

from sanreid.train.data.sampling.sampler import PKSampler

__all__ = ["PKSampler"]
