"""Person re-identification data sets: folders and file names to paths, pids and camids.

Nothing here opens an image, needs torch or downloads anything: the data sets have terms that
their users accept with their makers.
"""

from __future__ import annotations

from sanreid.datasets.crops import CropSet, Dataset, merge_crops, split_by_camera
from sanreid.datasets.cuhk03 import read_cuhk03
from sanreid.datasets.market1501 import read_market1501
from sanreid.datasets.msmt17 import read_msmt17
from sanreid.datasets.names import NameScheme, list_images, read_crops
from sanreid.datasets.occluded import read_occluded_reid, read_partial_ilids, read_partial_reid
from sanreid.datasets.registry import DATASETS, read_dataset, read_split
from sanreid.datasets.tables import read_csv, read_folders, read_splits_csv
from sanreid.datasets.two_cameras import read_cuhk01, read_pku_reid, read_viper

__all__ = [
    "DATASETS",
    "CropSet",
    "Dataset",
    "NameScheme",
    "list_images",
    "merge_crops",
    "read_crops",
    "read_csv",
    "read_cuhk01",
    "read_cuhk03",
    "read_dataset",
    "read_folders",
    "read_market1501",
    "read_msmt17",
    "read_occluded_reid",
    "read_partial_ilids",
    "read_partial_reid",
    "read_pku_reid",
    "read_split",
    "read_splits_csv",
    "read_viper",
    "split_by_camera",
]
