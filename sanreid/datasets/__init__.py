"""Person re-identification data sets: folders and file names to paths, pids and camids.

Nothing here opens an image, needs torch or downloads anything: the data sets have terms that
their users accept with their makers.
"""

from __future__ import annotations

from sanreid.datasets.crops import CropSet, Dataset, merge_crops, split_by_camera
from sanreid.datasets.names import NameScheme, list_images, read_crops

__all__ = [
    "CropSet",
    "Dataset",
    "NameScheme",
    "list_images",
    "merge_crops",
    "read_crops",
    "split_by_camera",
]
