"""Person re-identification data sets: folders and file names to paths, pids and camids.

Nothing here opens an image, needs torch or downloads anything: the data sets have terms that
their users accept with their makers. Names are loaded when first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sanreid.datasets.catalog import (
        DATASETS,
        read_cuhk01,
        read_cuhk03,
        read_dataset,
        read_market1501,
        read_msmt17,
        read_occluded_reid,
        read_partial_ilids,
        read_partial_reid,
        read_pku_reid,
        read_split,
        read_viper,
        register_dataset,
    )
    from sanreid.datasets.combining import merge_crops, split_by_camera
    from sanreid.datasets.crops import CropSet, Dataset
    from sanreid.datasets.csv import read_csv, read_splits_csv
    from sanreid.datasets.folders import read_folders
    from sanreid.datasets.names import list_images, read_crops
    from sanreid.datasets.schemes import NameScheme

_HOME = {
    "DATASETS": "catalog",
    "CropSet": "crops",
    "Dataset": "crops",
    "NameScheme": "schemes",
    "list_images": "names",
    "merge_crops": "combining",
    "read_crops": "names",
    "read_csv": "csv",
    "read_cuhk01": "catalog",
    "read_cuhk03": "catalog",
    "read_dataset": "catalog",
    "read_folders": "folders",
    "read_market1501": "catalog",
    "read_msmt17": "catalog",
    "read_occluded_reid": "catalog",
    "read_partial_ilids": "catalog",
    "read_partial_reid": "catalog",
    "read_pku_reid": "catalog",
    "read_split": "catalog",
    "read_splits_csv": "csv",
    "read_viper": "catalog",
    "register_dataset": "catalog",
    "split_by_camera": "combining",
}

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
    "register_dataset",
    "split_by_camera",
]


def __getattr__(name: str) -> Any:  # noqa: ANN401 - any public object
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return __all__
