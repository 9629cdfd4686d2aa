"""CUHK03: five pairs of cameras on a campus, boxes drawn by hand (labeled) and by a detector.

Sources: Li et al., "DeepReID: Deep Filter Pairing Neural Network for Person Re-identification",
CVPR 2014, for the data and the classic protocol: twenty test sets of 100 people, one gallery
crop each (``evaluate(..., protocol="cuhk03")``); Zhong et al., "Re-ranking Person
Re-identification with k-reciprocal Encoding", CVPR 2017, for the new one: 767 people for
training, 700 for testing, evaluated as Market-1501 is.

The crops lie inside ``cuhk-03.mat``; :func:`sanreid.train.data.extract_cuhk03` takes them out
once. The layout then::

    cuhk03/
        images_labeled/    1_001_1_01.png ...    pair, person of the pair, view, shot
        images_detected/
        testsets.json                            the classic protocol
        cuhk03_new_protocol_config_labeled.mat   the new protocol
        cuhk03_new_protocol_config_detected.mat

CUHK03-NP, the same crops sorted by the new protocol, is read too::

    cuhk03-np/labeled/  bounding_box_train/  query/  bounding_box_test/   0001_c1_2.png ...
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from sanreid.datasets.crops import CropSet, Dataset
from sanreid.datasets.names import examples
from sanreid.datasets.published.layouts import Layout, check_counts
from sanreid.datasets.published.matfile import read_mat
from sanreid.datasets.registry import register_dataset
from sanreid.utils.arguments import as_count, check_choice
from sanreid.utils.paths import as_path, is_file, is_folder

__all__ = ["read_cuhk03"]

_LAYOUT = Layout(
    title="CUHK03",
    inside=("cuhk03", "CUHK03", "cuhk03_release", "cuhk03-np"),
    source=(
        "http://www.ee.cuhk.edu.hk/~xgwang/CUHK_identification.html (crops) and "
        "https://github.com/zhunzhong07/person-re-ranking (new protocol)"
    ),
)
_NEW_COUNTS = {
    "labeled": {"train": 7_368, "query": 1_400, "gallery": 5_328},
    "detected": {"train": 7_365, "query": 1_400, "gallery": 5_332},
}
_NUM_CROPS = {"labeled": 14_096, "detected": 14_097}
_NP_FOLDERS = {"train": "bounding_box_train", "query": "query", "gallery": "bounding_box_test"}
_FILE = r"(\d)_(\d{3})_([12])_(\d\d)\.png"


@register_dataset("cuhk03")
def read_cuhk03(
    root: str | Path,
    *,
    boxes: Literal["labeled", "detected"] = "labeled",
    protocol: Literal["new", "classic"] = "new",
    split: int = 0,
    complete: bool = True,
) -> Dataset:
    """Read CUHK03.

    Args:
        root: The folder of the layout above, or the folder it lies in.
        boxes: Drawn by hand, or by a detector.
        protocol: ``"new"`` (767/700) or ``"classic"``, whose queries and gallery are the same
            crops of 100 people and whose training split is everybody else.
        split: Which of the twenty classic test sets, from 0.
        complete: Refuse a copy that has not as many crops as published.

    Returns:
        pids are the new protocol's labels, or 1000 x pair + person in the classic one; cameras
        are 0 and 1, the two of each pair.

    Raises:
        DatasetError: The folder is not the data set, or not all of it.
        InputError: An option is out of range.
    """
    check_choice(boxes, "boxes", ("labeled", "detected"))
    check_choice(protocol, "protocol", ("new", "classic"))
    folder = as_path(root, "the folder of CUHK03")
    sorted_copy = _sorted_copy(folder, boxes)
    if sorted_copy is not None and protocol == "new":
        return _read_np(sorted_copy, boxes, complete=complete)
    images = f"images_{boxes}"
    rules = "testsets.json"
    if protocol == "new":
        rules = f"cuhk03_new_protocol_config_{boxes}.mat"
    _explain_extraction(folder, images)
    base = _LAYOUT.locate(root, (images, rules))
    crops = _LAYOUT.read(
        base, images, _FILE,
        lambda match: (1000 * int(match[1]) + int(match[2]), int(match[3]) - 1),
        key_prefix="cuhk03", looks_like="1_001_1_01.png",
    )  # fmt: skip
    if complete and len(crops) != _NUM_CROPS[boxes]:
        raise _LAYOUT.error(
            f"{base / images} has {len(crops):,} crops instead of {_NUM_CROPS[boxes]:,} "
            "(complete=False reads it nevertheless)"
        )
    if protocol == "classic":
        return _classic(crops, base / rules, boxes, split)
    dataset = _new(crops, base / rules, boxes)
    return check_counts(dataset, _NEW_COUNTS[boxes], _LAYOUT) if complete else dataset


def _classic(crops: CropSet, rules: Path, boxes: str, split: int) -> Dataset:
    """Test on the people of one test set, train on everybody else."""
    try:
        testsets = [
            [1000 * int(pair) + int(person) for pair, person in testset]
            for testset in json.loads(rules.read_text(encoding="utf-8"))
        ]
    except (TypeError, ValueError, OverflowError) as error:
        raise _LAYOUT.error(f"{rules} cannot be read ({error}); extract it again") from error
    if not testsets or not all(testsets):
        raise _LAYOUT.error(f"{rules} cannot be read (an empty test set); extract it again")
    split = as_count(split, "split", least=0, most=len(testsets) - 1)
    pids = testsets[split]
    absent = sorted(set(pids) - set(crops.pids.tolist()))
    if absent:
        raise _LAYOUT.error(f"{len(absent)} people of test set {split} have no crops")
    test = crops.of_pids(pids)
    return Dataset(
        f"CUHK03 {boxes}, classic split {split}",
        replace(crops.without_pids(pids), split="train"),
        replace(test, split="query"),
        replace(test, split="gallery"),
    )


def _new(crops: CropSet, rules: Path, boxes: str) -> Dataset:
    """Read the new protocol's lists; its indices count from 1."""
    table = read_mat(rules)
    wanted = ("filelist", "labels", "train_idx", "query_idx", "gallery_idx")
    missing = [name for name in wanted if name not in table]
    if missing:
        raise _LAYOUT.error(f"{rules} has no {' and no '.join(missing)}", wanted)
    files = [str(name) for name in np.ravel(table["filelist"])]
    labels = np.ravel(table["labels"]).astype(np.int64)
    row_of = {path.name: row for row, path in enumerate(crops.paths)}
    absent = [file for file in files if file not in row_of]
    if absent or len(files) != len(labels):
        raise _LAYOUT.error(
            f"{len(absent):,} of the {len(files):,} crops that {rules.name} lists are not there, "
            f"for example {examples(absent)}"
        )

    def part(split: str) -> CropSet:
        chosen = _indices(table[f"{split}_idx"], len(files), rules)
        selected = crops.select(np.array([row_of[files[i]] for i in chosen], dtype=np.int64))
        return replace(selected, pids=labels[chosen], split=split)

    return Dataset(f"CUHK03 {boxes}, 767/700", part("train"), part("query"), part("gallery"))


def _indices(values: Any, count: int, rules: Path) -> NDArray[np.int64]:  # noqa: ANN401 - any array
    indices = np.ravel(values).astype(np.int64) - 1
    if indices.size and not 0 <= indices.min() <= indices.max() < count:
        raise _LAYOUT.error(f"{rules} counts to {indices.max() + 1} in a list of {count}")
    return indices


def _sorted_copy(root: Path, boxes: str) -> Path | None:
    """Find CUHK03-NP: in the root, in a folder named so, or the root itself."""
    for base in (root / boxes, root / "cuhk03-np" / boxes, root):
        if all(is_folder(base / folder) for folder in _NP_FOLDERS.values()):
            return base
    return None


def _read_np(base: Path, boxes: str, *, complete: bool) -> Dataset:
    parts = {
        split: _LAYOUT.read(
            base, folder, r"(\d+)_c([12])_\d+\.\w+",
            lambda match: (int(match[1]), int(match[2]) - 1),
            key_prefix=f"cuhk03-np/{boxes}", looks_like="0001_c1_2.png", split=split,
        )
        for split, folder in _NP_FOLDERS.items()
    }  # fmt: skip
    dataset = Dataset(f"CUHK03 {boxes}, 767/700", **parts)
    return check_counts(dataset, _NEW_COUNTS[boxes], _LAYOUT) if complete else dataset


def _explain_extraction(root: Path, images: str) -> None:
    """Return how to extract the crops if only the original file exists."""
    bases = (root, *(root / name for name in _LAYOUT.inside))
    if any(is_folder(base / images) for base in bases):
        return
    for mat in (root, *(base for base in bases if is_folder(base))):
        for file in (mat / "cuhk-03.mat", mat / "cuhk03_release" / "cuhk-03.mat"):
            if is_file(file):
                raise _LAYOUT.error(
                    f"there is no {images}; the crops still lie inside {file}. Take them out once:"
                    f' python -c "from sanreid.train.data import extract_cuhk03; '
                    f"extract_cuhk03('{file}', '{root}')\""
                )
