"""PIT without strings: image-texture pairs of synthetic people, rendered from a free body model.

``python -m sanreid.train pit render OUT`` makes a data set, :class:`PITDataset` reads it, which
needs no more than NumPy and Pillow. Rendering needs the extra ``pit``: the body model Anny
(Apache-2.0, assets CC0) and Embree's rays (``embreex``).
"""

from __future__ import annotations

from sanreid.train.pit.dataset import PITDataset, PITSample

__all__ = ["PITDataset", "PITSample"]
