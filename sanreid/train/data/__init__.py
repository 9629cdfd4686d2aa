"""The data path of training: decoded crops, P x K batches, target textures."""

from __future__ import annotations

from sanreid.train.data.cuhk03_mat import extract_cuhk03
from sanreid.train.data.sampler import PKSampler
from sanreid.train.data.store import CropStore

__all__ = [
    "CropStore",
    "PKSampler",
    "extract_cuhk03",
]
