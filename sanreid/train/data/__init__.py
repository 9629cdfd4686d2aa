"""The data path of training: decoded crops, P x K batches, synthetic pairs, augmentation."""

from __future__ import annotations

from typing import Any

from sanreid.train.data.cuhk03_mat import extract_cuhk03
from sanreid.train.data.sampling import PKSampler
from sanreid.train.data.store import CropStore
from sanreid.train.renamed import look_up

__all__ = [
    "CropStore",
    "PKSampler",
    "extract_cuhk03",
]


def __getattr__(name: str) -> Any:  # noqa: ANN401 - any public object
    return look_up(__name__, name, "textures.format textures.store textures.writer")
