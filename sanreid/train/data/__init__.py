"""The data path of training: decoded crops, P x K batches, target textures."""

from __future__ import annotations

from sanreid.train.data.cuhk03_mat import extract_cuhk03
from sanreid.train.data.sampler import PKSampler
from sanreid.train.data.store import CropStore
from sanreid.train.data.texture_format import TextureHeader
from sanreid.train.data.texture_store import TextureBatch, TextureStore
from sanreid.train.data.texture_writer import TextureWriter

__all__ = [
    "CropStore",
    "PKSampler",
    "TextureBatch",
    "TextureHeader",
    "TextureStore",
    "TextureWriter",
    "extract_cuhk03",
]
