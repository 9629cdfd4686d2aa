"""What the readers of whole data sets share: finding the root, matching names, counting crops."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sanreid.datasets.crops import CropSet, Dataset
from sanreid.datasets.names import examples, list_images
from sanreid.errors import DatasetError
from sanreid.utils.paths import as_path, is_folder

__all__ = ["Layout", "check_counts", "match_names"]


@dataclass(frozen=True, slots=True)
class Layout:
    """The folders of one data set.

    Args:
        title: The data set's name, for messages.
        inside: Folder names that the archive may unpack to, tried inside the root.
        source: Where the data set comes from.
    """

    title: str
    inside: tuple[str, ...]
    source: str

    def locate(self, root: str | Path, wanted: Sequence[str]) -> Path:
        """Find the folder that holds everything ``wanted``: the root or one inside it.

        Raises:
            DatasetError: No such folder; says what is missing and where to get it.
        """
        base = as_path(root, f"the folder of {self.title}")
        if not is_folder(base):
            raise self.error(f"{base} is not a folder", wanted)
        folders = [base, *(base / name for name in self.inside if is_folder(base / name))]
        for folder in folders:
            if all((folder / name).exists() for name in wanted):
                return folder
        there = sorted(entry.name for entry in folders[-1].iterdir())
        missing = [name for name in wanted if not (folders[-1] / name).exists()]
        raise self.error(
            f"{folders[-1]} has no {' and no '.join(missing)}; it holds "
            f"{examples(there, 5) if there else 'nothing'}",
            wanted,
        )

    def error(self, problem: str, wanted: Sequence[str] = ()) -> DatasetError:
        """Return an error that says what was looked for and where to get it."""
        looked_for = f" Looked for {', '.join(wanted)}." if wanted else ""
        return DatasetError(
            f"This is no complete copy of {self.title}: {problem}.{looked_for}\n"
            f"sanreid downloads no data set; ask its makers: {self.source}"
        )

    def read(
        self,
        base: Path,
        folder: str,
        pattern: str,
        read: Callable[[re.Match[str]], tuple[int, int]],
        *,
        key_prefix: str,
        looks_like: str,
        split: str = "",
        nested: bool = False,
        ignored_pids: tuple[int, ...] = (-1,),
    ) -> CropSet:
        """Read one folder of crops whose names all fit ``pattern``."""
        files = list_images(base / folder, nested=nested)
        if not files:
            raise self.error(f"there are no images in {base / folder}", [looks_like])
        return match_names(
            base / folder,
            files,
            re.compile(pattern),
            read,
            name=self.title,
            key_prefix=f"{key_prefix}/{folder}" if folder else key_prefix,
            looks_like=f"those of {self.title} are ({looks_like})",
            split=split,
            ignored_pids=ignored_pids,
        )


def match_names(
    root: Path,
    files: list[str],
    pattern: re.Pattern[str],
    read: Callable[[re.Match[str]], tuple[int, int]],
    *,
    name: str,
    key_prefix: str,
    looks_like: str,
    split: str = "",
    ignored_pids: tuple[int, ...] = (-1,),
) -> CropSet:
    """Make a set of files that must all fit one pattern.

    Args:
        root: The folder that ``files`` are relative to.
        files: Relative paths with ``/``.
        pattern: What the whole relative path must match.
        read: Returns pid and camid of a match.
        name: The set's name.
        key_prefix: What the keys begin with.
        looks_like: How the pattern is described in messages.
        split: The set's split.
        ignored_pids: As in :class:`CropSet`.

    Raises:
        DatasetError: Some files do not fit, or a number is too large.
    """
    matches = [pattern.fullmatch(file) for file in files]
    strange = [file for file, match in zip(files, matches, strict=True) if match is None]
    if strange:
        raise DatasetError(
            f"{len(strange)} of {len(files)} images in {root} are not named as {looks_like}; "
            f"found {examples(strange)}. Give another scheme, or move these files away."
        )
    try:
        numbers = np.array([read(m) for m in matches if m is not None], dtype=np.int64)
    except OverflowError:
        raise DatasetError(
            f"A person or camera of {name} in {root} has a number of more than 64 bits."
        ) from None
    numbers = numbers.reshape(-1, 2)
    return CropSet(
        name=name,
        paths=tuple(root / file for file in files),
        pids=numbers[:, 0],
        camids=numbers[:, 1],
        keys=tuple(f"{key_prefix}/{file}" for file in files),
        split=split,
        ignored_pids=ignored_pids,
    )


def check_counts(dataset: Dataset, expected: Mapping[str, int], layout: Layout) -> Dataset:
    """Return the data set if every split has as many crops as published.

    Raises:
        DatasetError: A split has another number of crops.
    """
    wrong = [
        f"{split} has {len(getattr(dataset, split)):,} crops instead of {count:,}"
        for split, count in expected.items()
        if len(getattr(dataset, split)) != count
    ]
    if wrong:
        raise layout.error(
            f"{'; '.join(wrong)} (complete=False reads it nevertheless, but results on a part "
            "must not be called by the data set's name)"
        )
    return dataset
