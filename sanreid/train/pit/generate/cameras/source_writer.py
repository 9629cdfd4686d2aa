"""A data set of people under rendered cameras: crops with reID names and their textures.

A folder holds

- ``crops/``: ``000123_c07s2_031415_00.jpg`` is person 123 before camera 7 at hour 2, frame 31415;
- ``textures.tex``: the texture of each crop, which is that of its person, as a source's
  ``textures`` takes it;
- ``cameras.json``, ``crops.json``: what was drawn for each camera and each crop;
- ``parts/``: what has been done, so that an interrupted run resumes.

What is drawn depends only on the settings and the numbers of camera and identity, so the bytes
do not depend on the number of processes.
"""

from __future__ import annotations

import io
import json
import logging
import os
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from sanreid.errors import DatasetError, InputError
from sanreid.train.pit.generate.cameras.crops import draw_identity, photograph
from sanreid.train.pit.generate.cameras.sightings import (
    PeopleSettings,
    draw_sightings,
    the_camera,
)
from sanreid.train.pit.generate.people.body import check_pit_extra, load_body
from sanreid.train.pit.generate.processes import in_processes, shared_studio
from sanreid.train.textures.format import TextureHeader
from sanreid.train.textures.writer import TextureWriter
from sanreid.utils.files import atomic_write, atomic_write_text

__all__ = ["render_people"]

logger = logging.getLogger(__name__)

FORMAT = 1
IDENTITIES_PER_PART = 10


def render_people(
    out: str | Path, settings: PeopleSettings, *, processes: int | None = None
) -> Path:
    """Render a data set, or what is missing from it.

    Args:
        out: The folder; created where it is missing.
        settings: What to render; those of the interrupted run when one is resumed.
        processes: How many at once; all cores when None. The bytes do not depend on it.

    Returns:
        The folder of the crops; beside it lies ``textures.tex``.

    Raises:
        DatasetError: The folder holds a data set of other settings; it cannot be written; a
            process was killed.
        InputError: ``processes`` is below 1.
        MissingExtraError: The extra ``pit`` is not installed; nothing was written then.
    """
    if processes is not None and processes < 1:
        raise InputError(f"At least 1 process is needed; got {processes}.")
    out = Path(out)
    check_pit_extra()
    try:
        _claim(out, settings)
        count = -(-settings.identities // IDENTITIES_PER_PART)
        missing = [n for n in range(count) if not _is_complete(out, n)]
        if missing:
            load_body()  # build it once, before the workers ask for it
            started, done = time.monotonic(), count - len(missing)
            jobs = [(out, settings, number) for number in missing]
            for _ in in_processes(_render_part, jobs, processes or os.cpu_count() or 1):
                done += 1
                logger.info("%d of %d parts, %.0f s", done, count, time.monotonic() - started)
        rows = [
            row for number in range(count) for row in json.loads(_part(out, number).read_text())
        ]
        _write_textures(out, rows)
        cameras = {str(n): the_camera(settings, n).describe() for n in _numbers(settings)}
        atomic_write_text(out / "cameras.json", json.dumps(cameras, indent=1) + "\n")
        atomic_write_text(out / "crops.json", json.dumps(rows, separators=(",", ":")) + "\n")
    except OSError as error:
        raise DatasetError(f"The crops cannot be made in {out}: {error}.") from error
    return out / "crops"


def _numbers(settings: PeopleSettings) -> range:
    return range(1, settings.cameras + 1)


def _part(out: Path, number: int) -> Path:
    return out / "parts" / f"{number:05d}.json"


def _is_complete(out: Path, number: int) -> bool:
    """Return whether a part is done, and its crops and textures are still there."""
    try:
        names = [row["name"] for row in json.loads(_part(out, number).read_text())]
        textures = {out / "parts" / f"{name.partition('_')[0]}.png" for name in names}
        files = [*textures, *(out / "crops" / name for name in names)]
        return all(file.stat().st_size for file in files)
    except FileNotFoundError:
        return False


def _render_part(out: Path, settings: PeopleSettings, number: int) -> None:
    """Render the identities of one part; the work of another process."""
    studio = shared_studio()
    first = number * IDENTITIES_PER_PART
    width = max(2, len(str(settings.cameras)))
    rows: list[dict[str, Any]] = []
    for identity in range(first, min(first + IDENTITIES_PER_PART, settings.identities)):
        dressed = draw_identity(studio, settings, identity)
        texture = Image.fromarray((dressed.texture * 255 + 0.5).astype(np.uint8))
        buffer = io.BytesIO()
        texture.save(buffer, "PNG", compress_level=4)
        _write(out / "parts" / f"{identity + 1:06d}.png", buffer.getvalue())
        person = dressed.person.describe()
        for sighting in draw_sightings(settings, identity):
            crops = photograph(studio, settings, dressed, identity, sighting)
            for name, crop in zip(sighting.names(identity, width=width), crops, strict=True):
                _write(out / "crops" / name, crop.jpeg)
                rows.append({"name": name, **crop.facts, "person": person})
    atomic_write_text(_part(out, number), json.dumps(rows, separators=(",", ":")) + "\n")


def _write(path: Path, data: bytes) -> None:
    with atomic_write(path) as file:
        file.write(data)


def _claim(out: Path, settings: PeopleSettings) -> None:
    """Write the settings to the folder, or check that they are the ones there."""
    path = out / "settings.json"
    wanted = {"format": FORMAT, "kind": "people under cameras", **asdict(settings)}
    for name in ("crops", "parts"):
        (out / name).mkdir(parents=True, exist_ok=True)
    if not path.exists():
        atomic_write_text(path, json.dumps(wanted, indent=2, sort_keys=True) + "\n")
        return
    try:
        there = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DatasetError(
            f"{path} is not a settings file of rendered people: {error}."
        ) from error
    if there != wanted:
        raise DatasetError(
            f"{out} holds people rendered with other settings.\n  there   {there}\n"
            f"  wanted  {wanted}\nName another folder, or delete that one."
        )


def _write_textures(out: Path, rows: list[dict[str, Any]]) -> None:
    """Write the store of textures from those of the people, one entry per crop."""
    header = TextureHeader(quality=92, about={"generator": "rendered people under cameras"})
    with TextureWriter(out / "textures.tex", header) as writer:
        of_person: dict[str, list[str]] = {}
        for row in rows:
            key = f"crops/{row['name']}"
            if key not in writer:
                of_person.setdefault(row["name"].partition("_")[0], []).append(key)
        for person, keys in of_person.items():
            with Image.open(out / "parts" / f"{person}.png") as opened:
                texture = torch.from_numpy(np.array(opened.convert("RGB"))).permute(2, 0, 1)
            writer.add_shared(keys, texture)
