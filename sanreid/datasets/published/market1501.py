"""Market-1501: six cameras on a campus, boxes from a detector, distractors and junk.

Source: Zheng et al., "Scalable Person Re-identification: A Benchmark", ICCV 2015. The layout::

    Market-1501-v15.09.15/
        bounding_box_train/  0002_c1s1_000451_03.jpg ...   12,936 crops, 751 people
        query/               0001_c1s1_001051_00.jpg ...    3,368 crops, 750 people
        bounding_box_test/   -1_c1s1_000401_03.jpg ...     19,732 crops, 750 people,
                                                           distractors (0000), junk (-1)
"""

from __future__ import annotations

from pathlib import Path

from sanreid.datasets.crops import CropSet, Dataset
from sanreid.datasets.published.layouts import Layout, check_counts
from sanreid.datasets.registry import register_dataset

__all__ = ["read_market1501"]

_LAYOUT = Layout(
    title="Market-1501",
    inside=("Market-1501-v15.09.15", "market1501", "Market-1501"),
    source="http://www.liangzheng.org/Project/project_reid.html",
)
_FOLDERS = {"train": "bounding_box_train", "query": "query", "gallery": "bounding_box_test"}
_COUNTS = {"train": 12_936, "query": 3_368, "gallery": 19_732}


@register_dataset("market1501")
def read_market1501(root: str | Path, *, complete: bool = True) -> Dataset:
    """Read Market-1501.

    Args:
        root: The unpacked archive, or the folder it lies in.
        complete: Refuse a copy whose splits have not as many crops as published.

    Returns:
        pids as named; junk (-1) and distractors (0) are in the gallery, and ``ignored_pids``.

    Raises:
        DatasetError: The folder is not the data set, or not all of it.
    """
    base = _LAYOUT.locate(root, tuple(_FOLDERS.values()))
    dataset = Dataset(
        "Market-1501", **{split: _read(base, folder, split) for split, folder in _FOLDERS.items()}
    )
    return check_counts(dataset, _COUNTS, _LAYOUT) if complete else dataset


def _read(base: Path, folder: str, split: str) -> CropSet:
    return _LAYOUT.read(
        base,
        folder,
        r"(-1|\d{4})_c([1-6])s\d_\d+_\d+\.jpg(?:\.jpg)?",  # a few of the originals end twice
        lambda match: (int(match[1]), int(match[2])),
        key_prefix="market1501",
        looks_like="PPPP_cCsS_FFFFFF_NN.jpg",
        split=split,
        ignored_pids=(-1, 0),
    )
