"""Making a data set of image-texture pairs: any number of processes, the same bytes.

What is drawn for an identity or an image depends on the seed and its number alone. A shard of
eight identities is written beside its place and then moved there, so an interrupted run goes on
where it stopped.
"""

from __future__ import annotations

import json
import logging
import multiprocessing
import os
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sanreid.errors import DatasetError, InputError
from sanreid.train.pit.generate.people.body import Array, check_pit_extra, load_body
from sanreid.train.pit.generate.people.identity import draw_person
from sanreid.train.pit.generate.people.poses import draw_pose
from sanreid.train.pit.generate.render import Dressed, Figure, Picture, Studio, render, seen_texels
from sanreid.train.pit.generate.scenes.backdrop import (
    list_backgrounds,
    photo_backdrop,
    stage_backdrop,
)
from sanreid.train.pit.generate.scenes.degradation import degrade, occlude
from sanreid.train.pit.generate.scenes.props import draw_props
from sanreid.train.pit.generate.scenes.scene import Camera, draw_camera, draw_light, draw_stage
from sanreid.train.pit.shards import FORMAT, IDENTITIES_PER_SHARD, write_shard
from sanreid.utils.files import atomic_write_text

__all__ = ["MakingSettings", "Pair", "make_identity", "make_pair", "render_dataset"]

logger = logging.getLogger(__name__)

_PHOTO_SHARE = 0.7  # of the images, where a folder of photographs is given
_BYSTANDER_SHARE = 0.12  # of the images, with another person somewhere behind or beside
_BYSTANDERS = 12  # people of the data set who are seen as bystanders
_MOST = 60  # processes at once: Windows waits for no more than 61


@dataclass(frozen=True, slots=True)
class MakingSettings:
    """What decides the bytes of a data set.

    Attributes:
        identities: How many people.
        images_per_identity: Images of each.
        seed: Of everything drawn.
        backgrounds: A folder of photographs; procedural grounds and walls alone when None.
        adults_only: Leave out children and youths.
    """

    identities: int
    images_per_identity: int
    seed: int = 0
    backgrounds: str | None = None
    adults_only: bool = False

    def __post_init__(self) -> None:
        if self.identities < 1 or self.images_per_identity < 1 or self.seed < 0:
            raise InputError(
                f"A data set needs at least 1 identity and 1 image of each and a seed from 0 on; "
                f"got {self.identities}, {self.images_per_identity} and {self.seed}."
            )


@dataclass(frozen=True, slots=True)
class Pair:
    """One image of an identity and what is known of it; the texture is the identity's."""

    jpeg: bytes  # the crop, 256 x 128, as a camera would have kept it
    picture: Picture  # before occluders and the camera's faults
    uv: Array  # (256, 128, 2) after occluders; -1 off the body
    seen: NDArray[np.bool_]  # (256, 256), after occluders
    facts: dict[str, Any]


def make_identity(studio: Studio, settings: MakingSettings, identity: int) -> Dressed:
    """Draw, paint and shape the identity of this number."""
    rng = np.random.default_rng([settings.seed, identity])
    return studio.dress(draw_person(rng, adults_only=settings.adults_only))


def make_pair(
    studio: Studio, settings: MakingSettings, dressed: Dressed, identity: int, image: int
) -> Pair:
    """Make one image of an identity."""
    rng = np.random.default_rng([settings.seed, identity, image + 1])
    pose = draw_pose(rng)
    figure = studio.pose(dressed, pose)
    person = len(figure.meshes)
    figure = draw_props(rng, studio, figure, pose)
    camera = draw_camera(rng, np.concatenate([m.vertices for m in figure.meshes[:person]]))
    light = draw_light(rng)
    stage = draw_stage(rng)
    if rng.random() < _BYSTANDER_SHARE:
        figure = _with_bystander(rng, studio, settings, figure, camera)
    backdrop, behind = stage_backdrop(stage, camera), stage.kind
    if settings.backgrounds is not None and rng.random() < _PHOTO_SHARE:
        photos = _photos(settings.backgrounds)
        backdrop, behind = photo_backdrop(photos[rng.integers(len(photos))], rng), "photograph"
    picture = render(figure, dressed.texture, camera, light, backdrop)
    crop, uv, occluder = occlude(picture.crop, picture.uv, rng)
    jpeg, faults = degrade(crop, rng)
    facts = {
        "activity": pose.activity,
        "angles_deg": {name: round(angle, 1) for name, angle in pose.angles.items()},
        "light": light.describe(),
        "background": behind,
        "camera": camera.describe(),
        "occluder": occluder,
        "quality": faults,
    }
    return Pair(jpeg, picture, uv, seen_texels(uv, studio.atlas.valid), facts)


def _with_bystander(
    rng: np.random.Generator,
    studio: Studio,
    settings: MakingSettings,
    figure: Figure,
    camera: Camera,
) -> Figure:
    """Add another person, farther from the camera and to one side; no texel of it counts."""
    other = int(rng.integers(_BYSTANDERS))
    key = (settings.seed, int(settings.adults_only), other)
    if key not in studio.kept:
        studio.kept[key] = make_identity(studio, settings, 1_000_000 + other)
    away = camera.axes[2] * np.array([1, 1, 0], np.float32)
    away /= np.linalg.norm(away)
    aside = camera.axes[0] * rng.choice([-1, 1]) * rng.uniform(0.3, 0.7)
    place = (away * rng.uniform(0.5, 2.5) + aside) * np.array([1, 1, 0])
    turn = rng.uniform(0, 2 * np.pi)
    cos, sin = np.cos(turn), np.sin(turn)
    spin = np.array([[cos, sin, 0], [-sin, cos, 0], [0, 0, 1]])
    dressed = studio.kept[key]
    meshes = [
        replace(
            mesh,
            vertices=(mesh.vertices @ spin + place).astype(np.float32),
            texture=dressed.texture,
        )
        for mesh in studio.pose(dressed, draw_pose(rng)).meshes
    ]
    return Figure((*figure.meshes, *meshes), figure.posed)


def render_dataset(
    out: str | Path, settings: MakingSettings, *, processes: int | None = None
) -> Path:
    """Make a whole data set, or what is missing of it.

    Args:
        out: The folder; made where it is not there.
        settings: What to make; must be those of an interrupted run that is gone on with.
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


@lru_cache(maxsize=4)
def _photos(folder: str) -> list[Path]:
    return list_backgrounds(Path(folder))


def _make_shards(out: Path, settings: MakingSettings, missing: list[int], processes: int) -> None:
    """Make these shards; an error, or an interrupt, stops at the next one."""
    count = -(-settings.identities // IDENTITIES_PER_SHARD)
    started, done = time.monotonic(), count - len(missing)
    context = multiprocessing.get_context("spawn")
    with (
        _one_thread_each(),
        ProcessPoolExecutor(min(processes, len(missing), _MOST), mp_context=context) as pool,
    ):
        try:
            jobs = [pool.submit(_make_shard, out, settings, number) for number in missing]
            for job in as_completed(jobs):
                job.result()
                done += 1
                logger.info("%d of %d shards, %.0f s", done, count, time.monotonic() - started)
        except BrokenProcessPool as error:
            raise DatasetError(
                "A process that rendered was killed, as happens when memory runs out. What is "
                "whole was kept: run the same command again, perhaps with fewer --processes."
            ) from error
        finally:
            pool.shutdown(cancel_futures=True)


def _make_shard(out: Path, settings: MakingSettings, number: int) -> None:
    """Make one shard; the work of another process."""
    write_shard(_shard(out, number), _rows(_studio(), settings, _identities(settings, number)))


@lru_cache(maxsize=1)
def _studio() -> Studio:
    """The body, opened once in each process."""
    return Studio.open()


def _identities(settings: MakingSettings, shard: int) -> range:
    first = shard * IDENTITIES_PER_SHARD
    return range(first, min(first + IDENTITIES_PER_SHARD, settings.identities))


def _rows(
    studio: Studio, settings: MakingSettings, identities: range
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


def _claim(out: Path, settings: MakingSettings) -> None:
    """Write the settings to the folder, or check that they are the ones there."""
    path = out / "settings.json"
    wanted = {"format": FORMAT, **asdict(settings)}
    if wanted["backgrounds"] is not None:
        wanted["backgrounds"] = Path(str(wanted["backgrounds"])).name
    (out / "shards").mkdir(parents=True, exist_ok=True)
    for left in (out / "shards").glob("*.part"):  # of a run that was killed
        left.unlink(missing_ok=True)
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


def _listing(out: Path, settings: MakingSettings, number: int) -> list[dict[str, Any]]:
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
            f"{shard} is cut short, or is none of this data set's. Delete it and run the same "
            "command again: it is made anew."
        )
    return rows


def _write_index(out: Path, settings: MakingSettings, count: int) -> Path:
    """Join the shards' own lists into the data set's."""
    rows = [row for number in range(count) for row in _listing(out, settings, number)]
    index = {"format": FORMAT, "seed": settings.seed, "rows": rows}
    path = out / "index.json"
    atomic_write_text(path, json.dumps(index, separators=(",", ":")) + "\n")
    return path


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """Let processes started within use one thread for matrix products."""
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    before = {name: os.environ.get(name) for name in names}
    os.environ.update(dict.fromkeys(names, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
