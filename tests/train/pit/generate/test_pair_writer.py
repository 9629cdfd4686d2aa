"""Making a data set: the same bytes, gone on with, and every way it can go wrong."""

from __future__ import annotations

import errno
import json
import logging
import os
import re
from concurrent.futures import Executor, Future
from concurrent.futures.process import BrokenProcessPool
from types import SimpleNamespace

import numpy as np
import pytest

from sanreid.errors import DatasetError, InputError
from sanreid.train.pit import PITDataset
from sanreid.train.pit.generate import pair_writer, processes
from sanreid.train.pit.generate.atlas import sample
from sanreid.train.pit.generate.pair_writer import render_dataset
from sanreid.train.pit.generate.pairs import (
    PairSettings,
    make_identity,
    make_pair,
)
from sanreid.train.pit.generate.scenes.backdrop import photo_backdrop
from sanreid.train.pit.generate.shard_writer import write_shard
from sanreid.train.pit.shards import IDENTITIES_PER_SHARD
from tests.train.pit.command import main
from tests.train.pit.conftest import a_pair

FILES = ("index.json", "settings.json", "shards/00000.tar", "shards/00001.tar")


def contents(folder):
    return [(folder / name).read_bytes() for name in FILES]


@pytest.fixture
def quick(monkeypatch):
    """Pairs of noise, made in this process: what surrounds the rendering, without it.

    ``quick.made`` counts the identities; ``quick.fail`` is raised in place of one.
    """
    state = SimpleNamespace(made=[], fail={})

    class Here(Executor):
        def __init__(self, workers, **_):
            state.workers = workers

        def submit(self, call, *arguments):
            future = Future()
            try:
                future.set_result(call(*arguments))
            except (OSError, BrokenProcessPool) as error:
                future.set_exception(error)
            return future

    def rows(_studio, settings, identities):
        for identity in identities:
            if identity in state.fail:
                raise state.fail[identity]
            rng = np.random.default_rng([settings.seed, identity])
            texture = rng.integers(0, 256, (256, 256, 3)).astype(np.float32) / 255
            person = SimpleNamespace(describe=lambda: {"garments": []}, is_patterned=False)
            pairs = [a_pair(rng)[1] for _ in range(settings.images_per_identity)]
            state.made.append(identity)
            yield identity, SimpleNamespace(texture=texture, person=person), pairs

    monkeypatch.setattr(processes, "ProcessPoolExecutor", Here)
    monkeypatch.setattr(pair_writer, "_rows", rows)
    monkeypatch.setattr(pair_writer, "shared_studio", lambda: None)
    monkeypatch.setattr(pair_writer, "load_body", lambda: None)
    monkeypatch.setattr(pair_writer, "check_pit_extra", lambda: None)
    return state


SETTINGS = PairSettings(IDENTITIES_PER_SHARD + 1, 1, seed=4)


def test_a_run_that_failed_goes_on_where_it_stopped(quick, tmp_path):
    whole = render_dataset(tmp_path / "whole", SETTINGS).parent
    quick.made.clear()
    quick.fail[IDENTITIES_PER_SHARD] = OSError(errno.ENOSPC, "No space left on device")
    out = tmp_path / "out"
    with pytest.raises(DatasetError, match="cannot be made in .*No space left on device"):
        render_dataset(out, SETTINGS)
    assert sorted(path.name for path in (out / "shards").iterdir()) == ["00000.json", "00000.tar"]
    with pytest.raises(DatasetError, match="finish making them"):
        PITDataset(out)
    quick.fail.clear()
    quick.made.clear()
    theirs = out / "shards" / f".00000.tar.elsewhere-{os.getpid()}-y.part"
    theirs.write_bytes(b"not yet whole: another process writes it")
    render_dataset(out, SETTINGS)
    assert quick.made == [IDENTITIES_PER_SHARD]
    assert contents(out) == contents(whole)
    assert list((out / "shards").glob("*.part")) == [theirs]
    quick.made.clear()
    render_dataset(out, SETTINGS)
    assert quick.made == []


def test_other_settings_are_refused_and_change_nothing(quick, tmp_path):
    render_dataset(tmp_path, SETTINGS)
    before = contents(tmp_path)
    for other in (
        PairSettings(SETTINGS.identities + 1, 1, seed=4),
        PairSettings(SETTINGS.identities, 2, seed=4),
        PairSettings(SETTINGS.identities, 1, seed=5),
        PairSettings(SETTINGS.identities, 1, seed=4, adults_only=True),
    ):
        with pytest.raises(DatasetError, match="other settings"):
            render_dataset(tmp_path, other)
    assert contents(tmp_path) == before
    (tmp_path / "settings.json").write_text("{")
    with pytest.raises(DatasetError, match="no settings file"):
        render_dataset(tmp_path, SETTINGS)


def test_foreign_and_damaged_shards_are_refused(quick, tmp_path):
    render_dataset(tmp_path / "mine", SETTINGS)
    render_dataset(tmp_path / "other", PairSettings(2 * IDENTITIES_PER_SHARD, 2, seed=4))
    mine, other = (tmp_path / name / "shards" for name in ("mine", "other"))
    shard, listing = mine / "00000.tar", mine / "00000.json"
    good = shard.read_bytes(), listing.read_bytes()
    for tar, rows in (
        ((other / "00000.tar").read_bytes(), (other / "00000.json").read_bytes()),
        (good[0][: len(good[0]) // 2], good[1]),
        (good[0], b"[]"),
        (good[0], b'[{"identity": 0}]'),
        (good[0], b"not JSON"),
        (good[0], None),
    ):
        shard.write_bytes(tar)
        listing.unlink() if rows is None else listing.write_bytes(rows)
        with pytest.raises(DatasetError, match="00000.tar is truncated or belongs to another"):
            render_dataset(tmp_path / "mine", SETTINGS)
    shard.unlink()  # as the message says
    render_dataset(tmp_path / "mine", SETTINGS)
    assert (shard.read_bytes(), listing.read_bytes()) == good


def test_a_killed_process_is_said(quick, tmp_path):
    quick.fail[0] = BrokenProcessPool("killed")
    with pytest.raises(DatasetError, match=r"memory runs out.*--processes"):
        render_dataset(tmp_path, SETTINGS)


def test_a_place_that_cannot_be_written_is_said(quick, tmp_path, capsys):
    (tmp_path / "file").write_text("mine")
    for out in (tmp_path / "file", tmp_path / "file" / "pairs"):
        assert main(["render", str(out), "--identities", "1"]) == 1
        error = capsys.readouterr().err
        assert error.startswith("sanreid: The pairs cannot be made in")
        assert error.count("\n") == 1
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--identities", "0"], "at least 1 identity"),
        (["--images-per-identity", "0"], "1 image of each"),
        (["--seed", "-1"], "a seed from 0 on"),
        (["--processes", "0"], "At least 1 process is needed; got 0"),
        (["--backgrounds", "nowhere"], "No pictures .* are in nowhere"),
    ],
)
def test_wrong_options_are_refused_before_anything_is_written(
    quick, options, message, tmp_path, capsys
):
    assert main(["render", str(tmp_path / "out"), *options]) == 1
    assert re.search(message, capsys.readouterr().err)
    assert list(tmp_path.iterdir()) == []


def test_no_more_processes_than_shards(quick, tmp_path):
    render_dataset(tmp_path, SETTINGS, processes=7)
    assert quick.workers == 2


def test_a_damaged_photograph_is_named(tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"no picture")
    with pytest.raises(DatasetError, match=r"The background .*a.jpg cannot be read"):
        photo_backdrop(tmp_path / "a.jpg", np.random.default_rng(0))


def test_a_written_pair_gives_the_colors_before_light_again(studio, tmp_path):
    settings = PairSettings(1, 2, seed=6)
    dressed = make_identity(studio, settings, 0)
    pairs = [make_pair(studio, settings, dressed, 0, n) for n in range(2)]
    (tmp_path / "shards").mkdir()
    write_shard(tmp_path / "shards" / "00000.tar", [(0, dressed, pairs)])
    rows = json.loads((tmp_path / "shards" / "00000.json").read_text())
    (tmp_path / "index.json").write_text(json.dumps({"format": 1, "rows": rows}))
    for pair, read in zip(pairs, PITDataset(tmp_path), strict=True):
        on = read.uv[..., 0] >= 0
        assert 0.05 < on.mean() < 0.9
        colors = sample(read.texture.astype(np.float32), read.uv[on])
        assert np.abs(colors - pair.picture.unlit[on] * 255).max() <= 0.51
        texel = np.floor(read.uv[on] * 256).astype(int).clip(0, 255)
        assert (read.seen | ~studio.atlas.valid)[texel[:, 1], texel[:, 0]].all()


@pytest.mark.slow
def test_bytes_do_not_depend_on_processes_and_runs_resume(studio, tmp_path, caplog):
    settings = PairSettings(10, 2, seed=1)
    with caplog.at_level(logging.INFO):
        render_dataset(tmp_path / "one", settings, processes=1)
        render_dataset(tmp_path / "two", settings, processes=2)
    assert "2 of 2 shards" in caplog.text
    first, second = (contents(tmp_path / name) for name in ("one", "two"))
    assert first == second
    kept = tmp_path / "two" / "shards" / "00000.tar"
    stamp = kept.stat().st_mtime_ns
    (tmp_path / "two" / "shards" / "00001.tar").unlink()
    render_dataset(tmp_path / "two", settings, processes=1)
    assert kept.stat().st_mtime_ns == stamp
    assert contents(tmp_path / "two") == first
    assert len(PITDataset(tmp_path / "two")) == 20


def test_wrong_settings_are_refused():
    with pytest.raises(InputError, match="got 0, 10 and 0"):
        PairSettings(0, 10)
