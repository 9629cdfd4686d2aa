"""What the readers of whole data sets share: finding the root, counting, saying what is wrong."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sanreid.datasets.crops import CropSet, Dataset
from sanreid.datasets.names import examples, list_images, match_names
from sanreid.errors import DatasetError

__all__ = ["Layout", "check_counts"]


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
        base = Path(root)
        if not base.is_dir():
            raise self.error(f"{base} is not a folder", wanted)
        places = [base, *(base / name for name in self.inside if (base / name).is_dir())]
        for place in places:
            if all((place / name).exists() for name in wanted):
                return place
        there = sorted(entry.name for entry in places[-1].iterdir())
        missing = [name for name in wanted if not (places[-1] / name).exists()]
        raise self.error(
            f"{places[-1]} has no {' and no '.join(missing)}; it holds "
            f"{examples(there, 5) if there else 'nothing'}",
            wanted,
        )

    def error(self, problem: str, wanted: Sequence[str] = ()) -> DatasetError:
        """Give an error that says what was looked for and where to get it."""
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


def check_counts(dataset: Dataset, expected: Mapping[str, int], layout: Layout) -> Dataset:
    """Give the data set back if every split has as many crops as published.

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
