"""A whole data set of image-texture pairs: any number of processes, the same bytes.

A shard of eight identities takes its name only when it is complete, so an interrupted run resumes
where it stopped.
"""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from sanreid.errors import DatasetError, InputError
from sanreid.train.pit.generate.pairs import Pair, PairSettings, make_identity, make_pair
from sanreid.train.pit.generate.people.body import check_pit_extra, load_body
from sanreid.train.pit.generate.processes import in_processes, shared_studio
from sanreid.train.pit.generate.scenes.backdrop import list_backgrounds
from sanreid.train.pit.generate.shard_writer import write_shard
from sanreid.train.pit.generate.studio import Dressed, Studio
from sanreid.train.pit.shards import FORMAT, IDENTITIES_PER_SHARD
from sanreid.utils.files import atomic_write_text

__all__ = ["render_dataset"]

logger = logging.getLogger(__name__)


def render_dataset(
    out: str | Path, settings: PairSettings, *, processes: int | None = None
) -> Path:
    """Render a data set, or what is missing from it.

    Args:
        out: The folder; created where it is missing.
        settings: What to render; those of the interrupted run when one is resumed.
        processes: How many at once; all cores when None. The bytes do not depend on it.

    Returns:
        The path of the index.

    Raises:
        DatasetError: The folder holds a data set of other settings, or a damaged one; it cannot
            be written; there are no backgrounds; a process was killed.
        InputError: ``processes`` is below 1.
        MissingExtraError: The extra ``pit`` is not installed; nothing was written then.
    """
    if processes is not None and processes < 1:
        raise InputError(f"At least 1 process is needed; got {processes}.")
    out = Path(out)
    check_pit_extra()
    if settings.backgrounds is not None:
        list_backgrounds(Path(settings.backgrounds))
    try:
        _claim(out, settings)
        count = -(-settings.identities // IDENTITIES_PER_SHARD)
        missing = [n for n in range(count) if not _shard(out, n).exists()]
        for number in set(range(count)) - set(missing):
            _listing(out, settings, number)
        if missing:
            load_body()  # build it once, before the workers ask for it
            _make_shards(out, settings, missing, processes or os.cpu_count() or 1)
        return _write_index(out, settings, count)
    except OSError as error:
        raise DatasetError(f"The pairs cannot be made in {out}: {error}.") from error


def _make_shards(out: Path, settings: PairSettings, missing: list[int], processes: int) -> None:
    """Make these shards; an error, or an interrupt, stops at the next one."""
    count = -(-settings.identities // IDENTITIES_PER_SHARD)
    started, done = time.monotonic(), count - len(missing)
    for _ in in_processes(_make_shard, [(out, settings, n) for n in missing], processes):
        done += 1
        logger.info("%d of %d shards, %.0f s", done, count, time.monotonic() - started)


def _make_shard(out: Path, settings: PairSettings, number: int) -> None:
    """Make one shard; the work of another process."""
    write_shard(
        _shard(out, number), _rows(shared_studio(), settings, _identities(settings, number))
    )


def _identities(settings: PairSettings, shard: int) -> range:
    first = shard * IDENTITIES_PER_SHARD
    return range(first, min(first + IDENTITIES_PER_SHARD, settings.identities))


def _rows(
    studio: Studio, settings: PairSettings, identities: range
) -> Iterator[tuple[int, Dressed, list[Pair]]]:
    for identity in identities:
        dressed = make_identity(studio, settings, identity)
        images = range(settings.images_per_identity)
        yield (
            identity,
            dressed,
            [make_pair(studio, settings, dressed, identity, i) for i in images],
        )


def _shard(out: Path, number: int) -> Path:
    return out / "shards" / f"{number:05d}.tar"


def _claim(out: Path, settings: PairSettings) -> None:
    """Write the settings to the folder, or check that they are the ones there."""
    path = out / "settings.json"
    wanted = {"format": FORMAT, **asdict(settings)}
    if wanted["backgrounds"] is not None:
        wanted["backgrounds"] = Path(str(wanted["backgrounds"])).name
    (out / "shards").mkdir(parents=True, exist_ok=True)
    if not path.exists():
        atomic_write_text(path, json.dumps(wanted, indent=2, sort_keys=True) + "\n")
        return
    try:
        there = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DatasetError(f"{path} is no settings file of pairs: {error}.") from error
    if there != wanted:
        raise DatasetError(
            f"{out} holds pairs made with other settings.\n  there   {there}\n"
            f"  wanted  {wanted}\nName another folder, or delete that one."
        )


def _listing(out: Path, settings: PairSettings, number: int) -> list[dict[str, Any]]:
    """Read a shard's own list of rows, and check that both belong to this data set."""
    shard = _shard(out, number)
    images = range(settings.images_per_identity)
    wanted = [(i, n) for i in _identities(settings, number) for n in images]
    try:
        rows: list[dict[str, Any]] = json.loads(shard.with_suffix(".json").read_text("utf-8"))
        whole = [(row["identity"], row["image"]) for row in rows] == wanted
        ends = [sum(row[name]) for row in rows for name in ("texture", "crop", "facts")]
        whole = whole and shard.stat().st_size >= max(ends)
    except (OSError, ValueError, KeyError, TypeError):
        whole = False
    if not whole:
        raise DatasetError(
            f"{shard} is truncated or belongs to another data set. Delete it and run the "
            "same command again to render it anew."
        )
    return rows


def _write_index(out: Path, settings: PairSettings, count: int) -> Path:
    """Join the shards' own lists into the data set's."""
    rows = [row for number in range(count) for row in _listing(out, settings, number)]
    index = {"format": FORMAT, "seed": settings.seed, "rows": rows}
    path = out / "index.json"
    atomic_write_text(path, json.dumps(index, separators=(",", ":")) + "\n")
    return path
