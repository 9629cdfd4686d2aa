"""MSMT17: fifteen cameras, twelve of them outdoors, four days of different weather.

Source: Wei et al., "Person Transfer GAN to Bridge Domain Gap for Person Re-identification",
CVPR 2018. Version 2 has the faces blurred and other folder names::

    MSMT17_V1/  train/  test/              list_train.txt  list_val.txt
    MSMT17_V2/  mask_train_v2/  mask_test_v2/   list_query.txt  list_gallery.txt

A line of a list is ``0000/0000_000_01_0303morning_0008_0.jpg 0``: path inside train or test,
pid; the third number of the file name is the camera.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from sanreid.datasets.crops import CropSet, Dataset
from sanreid.datasets.names import examples, list_images
from sanreid.datasets.published.layouts import Layout, check_counts
from sanreid.datasets.registry import register_dataset

__all__ = ["read_msmt17"]

_LAYOUT = Layout(
    title="MSMT17",
    inside=("MSMT17_V1", "MSMT17_V2", "MSMT17", "msmt17"),
    source="https://www.pkuvmc.com/dataset.html",
)
_LISTS = ("list_train.txt", "list_val.txt", "list_query.txt", "list_gallery.txt")
_COUNTS = {"train": 30_248, "query": 11_659, "gallery": 82_161}
_NUM_VAL = 2_373
_FILE = re.compile(r"(?:[^/]+/)*\d+_\d+_(\d{1,18})_[^/]*")  # 18 digits fit in int64
_PID = re.compile(r"-?\d{1,18}")


@register_dataset("msmt17")
def read_msmt17(root: str | Path, *, with_val: bool = False, complete: bool = True) -> Dataset:
    """Read MSMT17, version 1 or 2.

    Args:
        root: The unpacked archive, or the folder it lies in.
        with_val: Add the validation list, other crops of the training people, to the training
            split. Published results say which they did; without is the usual protocol.
        complete: Refuse a copy whose splits have not as many crops as published.

    Returns:
        pids as named. Those of the training people and of the test people both begin at 0 and
        are not the same people.

    Raises:
        DatasetError: The folder is not the data set, or not all of it.
    """
    base = _LAYOUT.locate(root, _LISTS)
    versions = (("mask_train_v2", "mask_test_v2"), ("train", "test"))
    found = [pair for pair in versions if all((base / folder).is_dir() for folder in pair)]
    if not found:
        raise _LAYOUT.error(
            f"{base} has the lists and no crops",
            ["train and test (version 1)", "mask_train_v2 and mask_test_v2 (version 2)"],
        )
    train_folder, test_folder = found[0]
    there = {
        folder: set(list_images(base / folder, nested=True))
        for folder in (train_folder, test_folder)
    }
    lists = ["list_train.txt", "list_val.txt"] if with_val else ["list_train.txt"]
    train = _read(base, lists, train_folder, there[train_folder], "train")
    query = _read(base, ["list_query.txt"], test_folder, there[test_folder], "query")
    gallery = _read(base, ["list_gallery.txt"], test_folder, there[test_folder], "gallery")
    dataset = Dataset("MSMT17", train, query, gallery)
    if not complete:
        return dataset
    counts = _COUNTS | {"train": _COUNTS["train"] + _NUM_VAL * with_val}
    return check_counts(dataset, counts, _LAYOUT)


def _read(base: Path, lists: list[str], folder: str, there: set[str], split: str) -> CropSet:
    """Read the crops that some lists name; ``there`` are the files of the folder."""
    files: list[str] = []
    numbers: list[tuple[int, int]] = []
    for name in lists:
        for row, line in enumerate(_lines(base / name), 1):
            if not line.strip():
                continue
            file, _, pid = line.strip().rpartition(" ")
            match = _FILE.fullmatch(file)
            if match is None or not _PID.fullmatch(pid):
                raise _LAYOUT.error(
                    f"line {row} of {base / name} is {line!r}, not a path and a number such as "
                    "'0000/0000_000_01_0303morning_0008_0.jpg 0'"
                )
            files.append(file)
            numbers.append((int(pid), int(match[1])))
    missing = [file for file in files if file not in there]
    if missing:
        raise _LAYOUT.error(
            f"{len(missing):,} of the {len(files):,} crops of {', '.join(lists)} are not in "
            f"{base / folder}, for example {examples(missing)}"
        )
    table = np.array(numbers, dtype=np.int64).reshape(-1, 2)
    return CropSet(
        name="MSMT17",
        paths=tuple(base / folder / file for file in files),
        pids=table[:, 0],
        camids=table[:, 1],
        keys=tuple(f"msmt17/{folder}/{file}" for file in files),
        split=split,
    )


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise _LAYOUT.error(f"{path} cannot be read as text in UTF-8 ({error})") from error
