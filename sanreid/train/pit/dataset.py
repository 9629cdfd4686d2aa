"""Reading PIT: image-texture pairs for training the texture generator."""

from __future__ import annotations

import hashlib
import io
import json
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sanreid.errors import DatasetError, InputError
from sanreid.train.pit.shards import FORMAT, read_seen, read_uv
from sanreid.utils.arguments import check_choice

__all__ = ["PITDataset", "PITSample"]

_Array = TypeVar("_Array", bound=NDArray[Any])


class PITSample(NamedTuple):
    """One pair."""

    crop: NDArray[np.uint8]  # (256, 128, 3) RGB
    texture: NDArray[np.uint8]  # (256, 256, 3) RGB, whole
    seen: NDArray[np.bool_]  # (256, 256) texels that the crop shows
    uv: NDArray[np.float32]  # (256, 128, 2) texture coordinates, v down; -1 off the body
    identity: int


class PITDataset:
    """The pairs of a folder that ``python -m sanreid.train pit render`` made.

    It has a length and items, so a PyTorch ``DataLoader`` takes it as it is.

    Args:
        folder: The folder.
        split: ``"train"`` leaves the last ``held_out`` identities to ``"val"``; ``"all"``.
        held_out: How many identities are held out.

    Raises:
        DatasetError: The folder has no finished data set of this format.
        InputError: An unknown split, or as many held out as there are.
    """

    def __init__(
        self,
        folder: str | Path,
        *,
        split: Literal["all", "train", "val"] = "all",
        held_out: int = 60,
    ) -> None:
        self.folder = Path(folder)
        path = self.folder / "index.json"
        try:
            index = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise DatasetError(
                f"{self.folder} has no readable index.json ({error}). Make the pairs, or finish "
                "making them: python -m sanreid.train pit render FOLDER."
            ) from error
        if not isinstance(index, dict) or index.get("format") != FORMAT:
            found = index.get("format") if isinstance(index, dict) else None
            raise DatasetError(f"{path} is of format {found}; {FORMAT} is read here.")
        rows: list[dict[str, Any]] = index["rows"]
        identities = sorted({row["identity"] for row in rows})
        check_choice(split, "split", ("all", "train", "val"))
        if split != "all":
            if not 0 < held_out < len(identities):
                raise InputError(f"Cannot hold out {held_out} of {len(identities)} identities.")
            last = set(identities[-held_out:])
            rows = [row for row in rows if (row["identity"] in last) == (split == "val")]
        self.rows = rows

    def __len__(self) -> int:
        """Return the number of pairs."""
        return len(self.rows)

    def __getitem__(self, number: int) -> PITSample:
        """Read one pair.

        Raises:
            DatasetError: A shard is missing, cut short or damaged.
        """
        return PITSample(
            crop=self.crop(number),
            texture=self.texture(number),
            seen=self.seen(number),
            uv=self.uv(number),
            identity=int(self.rows[number]["identity"]),
        )

    def crop(self, number: int) -> NDArray[np.uint8]:
        """Read only the crop of a pair, (256, 128, 3) RGB."""
        return self._read(number, "crop", _picture)

    def texture(self, number: int) -> NDArray[np.uint8]:
        """Read only the texture of a pair, (256, 256, 3) RGB; it is its identity's."""
        return self._read(number, "texture", _picture)

    def seen(self, number: int) -> NDArray[np.bool_]:
        """Read which texels the crop of a pair shows, (256, 256)."""
        return self._read(number, "seen", read_seen)

    def uv(self, number: int) -> NDArray[np.float32]:
        """Read only the texture coordinates of a pair's pixels, (256, 128, 2)."""
        return self._read(number, "uv", read_uv)

    def jpeg(self, number: int) -> bytes:
        """Return the crop of a pair as JPEG bytes."""
        return self._member(self.rows[number], "crop")

    def _read(self, number: int, name: str, read: Callable[[bytes], _Array]) -> _Array:
        """Read one member of a pair.

        Raises:
            DatasetError: A shard is missing, cut short or damaged.
        """
        row = self.rows[number]
        member = self._member(row, name)
        try:
            return read(member)
        except (OSError, ValueError, SyntaxError, zlib.error) as error:  # Pillow has all three
            raise DatasetError(
                f"The shard {row['shard']} of {self.folder} is damaged at image {row['image']} of "
                f"identity {row['identity']}: {error}."
            ) from error

    def facts(self, number: int) -> dict[str, Any]:
        """Return what was drawn for a pair: pose, camera, person."""
        facts: dict[str, Any] = json.loads(self._member(self.rows[number], "facts"))
        return facts

    @property
    def identities(self) -> NDArray[np.int64]:
        """The identity of each pair, (N,)."""
        return np.array([row["identity"] for row in self.rows], np.int64)

    @property
    def patterned(self) -> NDArray[np.bool_]:
        """Whether each pair's person wears something patterned, (N,)."""
        return np.array([row["patterned"] for row in self.rows], bool)

    @property
    def digest(self) -> str:
        """A hex digest of the index: identities, offsets and sizes in the shards."""
        return hashlib.sha256(json.dumps(self.rows, sort_keys=True).encode()).hexdigest()

    def _member(self, row: dict[str, Any], name: str) -> bytes:
        path = self.folder / "shards" / row["shard"]
        start, size = row[name]
        try:
            with path.open("rb") as file:
                file.seek(start)
                data: bytes = file.read(size)
        except OSError as error:
            raise DatasetError(f"The shard {path} cannot be read: {error}.") from error
        if len(data) != size:
            raise DatasetError(f"The shard {path} is cut short: {name} of {row['identity']}.")
        return data


def _picture(data: bytes) -> NDArray[np.uint8]:
    with Image.open(io.BytesIO(data)) as opened:
        return np.array(opened.convert("RGB"))  # a copy: loaders want arrays of their own
