"""Embedding on engines for data that is larger than a machine: Ray Data, and others by Arrow.

Needs the extra ``ray``; :class:`EmbedCrops` alone needs only ``parquet``, which brings pyarrow.
"""

from __future__ import annotations

from sanreid.scale.batches import EmbedCrops
from sanreid.scale.files import embed_files
from sanreid.scale.ray_data import embed

__all__ = ["EmbedCrops", "embed", "embed_files"]
