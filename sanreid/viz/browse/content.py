"""What a page holds of a gallery: facts as JSON, similarities as numbers, crops as pictures."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sanreid.utils.progress import progress_bar
from sanreid.viz.thumbnails import thumbnail

if TYPE_CHECKING:
    from sanreid.viz.protocols import Clustering, Entry, Gallery

__all__ = [
    "base64_of",
    "clusters",
    "compared",
    "embedded",
    "facts",
    "json_block",
    "linked",
    "neighbours",
    "quantised",
]

NEIGHBOURS = 32  # of each entry, where the embeddings do not travel with the page
_QUERIES_AT_A_TIME = 1024
_SAFE = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~/")

# Height and width in pixels, quality, and about how many bytes a crop then takes.
_SIZES = (((192, 96), 76, 5200), ((128, 64), 72, 2600), ((96, 48), 66, 1600), ((64, 32), 60, 900))


def facts(entries: Sequence[Entry]) -> dict[str, Any]:
    """Return what is known of each entry, in columns; people by their index in a list."""
    numbers: dict[tuple[type, object], int] = {}
    for entry in entries:
        if entry.pid is not None:
            numbers.setdefault((type(entry.pid), entry.pid), len(numbers))
    times = [entry.timestamp for entry in entries]
    return {
        "ids": [str(entry.id) for entry in entries],  # JavaScript rounds numbers above 2^53
        "people": [str(name) for _, name in numbers],
        "numbered": [kind is int for kind, _ in numbers],
        "pids": [
            None if entry.pid is None else numbers[type(entry.pid), entry.pid] for entry in entries
        ],
        "camids": [entry.camid for entry in entries],
        "times": times if any(time is not None for time in times) else None,
        "paths": [str(entry.metadata.get("path", ""))[:300] for entry in entries],
        "notes": [_note(entry.metadata) for entry in entries],
        "qualities": _qualities(entries),
    }


def clusters(clustering: Clustering, entries: Sequence[Entry]) -> dict[str, Any]:
    """Return clusters as lists of indices of entries, and the confidence of each entry.

    The most typical crop of a cluster is its first, then come the surest; crops that are alone
    follow the clusters, each by itself. Entries that are not on the page are left out.
    """
    index_of = {entry.id: index for index, entry in enumerate(entries)}
    ids: NDArray[np.int64] = clustering.ids  # type: ignore[attr-defined] # of a gallery's
    indices = [index_of.get(number, -1) for number in ids.tolist()]
    rows = [
        [medoid, *(row for row in clustering.members(number).tolist() if row != medoid)]
        for number, medoid in enumerate(clustering.medoids.tolist())
    ]
    rows += [[row] for row in np.flatnonzero(clustering.labels < 0).tolist()]
    shown = [[indices[row] for row in members if indices[row] >= 0] for members in rows]
    confidence: list[float | None] = [None] * len(entries)
    for index, value in zip(indices, clustering.confidence.tolist(), strict=True):
        if index >= 0:
            confidence[index] = round(value, 3)
    return {"clusters": [members for members in shown if members], "confidence": confidence}


def compared(entries: Sequence[Entry], gallery: Gallery) -> NDArray[np.float32]:
    """Return (N, D) the embeddings of the entries as the gallery compares them."""
    rows = np.array([entry.embedding for entry in entries], np.float32).reshape(-1, gallery.dim)
    normalizer = gallery.camera_normalizer
    if normalizer is None or not len(rows):
        return rows
    numbers: dict[Any, int] = {name: number for number, name in gallery.camera_names.items()}
    camids = [numbers.get(entry.camid, entry.camid) for entry in entries]
    return normalizer(rows, np.array(camids, dtype=object))


def _qualities(entries: Sequence[Entry]) -> list[float | None] | None:
    """Return the number under "quality" in each entry's metadata; None where no entry has one."""
    found = [entry.metadata.get("quality") for entry in entries]
    numbers = [
        float(one)
        if isinstance(one, (int, float)) and not isinstance(one, bool) and 0 <= one <= 1
        else None
        for one in found
    ]
    return numbers if any(number is not None for number in numbers) else None


def _note(metadata: dict[str, Any]) -> str:
    rest = {key: value for key, value in metadata.items() if key != "path"}
    return json.dumps(rest, ensure_ascii=False)[:300] if rest else ""


def json_block(value: object) -> str:
    """Return JSON that may stand inside a script element, whatever texts are in it."""
    text = json.dumps(value, ensure_ascii=True, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def base64_of(array: NDArray[Any]) -> str:
    """Return an array's bytes, little endian."""
    little = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
    return base64.b64encode(little.tobytes()).decode("ascii")


def quantised(rows: NDArray[np.float32]) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Return (N, D) rows as 8-bit numbers, and the (N,) factor of each row."""
    largest = np.abs(rows).max(axis=1, initial=0)
    factors = (np.where(largest > 0, largest, 1) / 127).astype(np.float32)
    return np.rint(rows / factors[:, None]).astype(np.int8), factors


def neighbours(
    gallery: Gallery, entries: Sequence[Entry], where: dict[str, Any] | None
) -> tuple[NDArray[np.int32], NDArray[np.int16]]:
    """Return the indices of the nearest entries of each, -1 where there are fewer, and cosines.

    Cosines are in steps of 1/32767.
    """
    index_of = {entry.id: index for index, entry in enumerate(entries)}
    indices = np.full((len(entries), NEIGHBOURS), -1, dtype=np.int32)
    cosines = np.zeros((len(entries), NEIGHBOURS), dtype=np.int16)
    for start in range(0, len(entries), _QUERIES_AT_A_TIME):
        part = entries[start : start + _QUERIES_AT_A_TIME]
        found = gallery.search(
            np.stack([entry.embedding for entry in part]),
            NEIGHBOURS + 1,
            where=where,
            query_camids=[entry.camid for entry in part],
            same_camera="keep",
        )
        for row, entry in enumerate(part):
            hits = [
                (index_of[number], similarity)
                for number, similarity in zip(
                    found.ids[row].tolist(), found.similarities[row].tolist(), strict=True
                )
                if number != entry.id and number in index_of
            ][:NEIGHBOURS]
            if hits:
                near, cosine = zip(*hits, strict=True)
                indices[start + row, : len(hits)] = near
                cosines[start + row, : len(hits)] = np.rint(np.clip(cosine, -1, 1) * 32767)
    return indices, cosines


def embedded(entries: Sequence[Entry], budget: int, *, progress: bool | None) -> list[str]:
    """Return each entry's crop as base64 of a JPEG, "" where there is none or no room is left.

    The pictures are the larger the fewer they are.

    Args:
        entries: With paths in their metadata.
        budget: Bytes for all of them.
        progress: As in ``SANEncoder.encode``.
    """
    each = budget * 3 / 4 / max(len(entries), 1)  # base64 takes four bytes for three
    size, quality, _ = next((one for one in _SIZES if one[2] <= each), _SIZES[-1])

    def small(entry: Entry) -> str:
        jpeg = thumbnail(entry.metadata.get("path"), size, quality=quality)
        return "" if jpeg is None else base64.b64encode(jpeg).decode("ascii")

    pictures: list[str] = []
    with (
        ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as threads,
        progress_bar(progress, total=len(entries), doing="Pictures") as bar,
    ):
        for picture in threads.map(small, entries):
            budget -= len(picture)
            pictures.append(picture if budget >= 0 else "")
            bar.update(1)
    return pictures


def linked(entries: Iterable[Entry], page: Path) -> list[str]:
    """Return the address of each entry's crop, relative to the page, "" where there is no file."""
    return [_address(entry.metadata.get("path"), page) for entry in entries]


def _address(path: object, page: Path) -> str:
    if not isinstance(path, str):
        return ""
    try:
        if not Path(path).is_file():
            return ""
        relative = os.path.relpath(Path(path).absolute(), page.absolute().parent)
    except (OSError, ValueError):  # a name that no file can have; another drive on Windows
        return ""
    raw = os.fsencode(relative.replace(os.sep, "/"))
    return "./" + "".join(chr(byte) if byte in _SAFE else f"%{byte:02X}" for byte in raw)
