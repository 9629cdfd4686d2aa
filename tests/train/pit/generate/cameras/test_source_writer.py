"""A data set of people under cameras: what is written, resumed and refused."""

from __future__ import annotations

import json
import os
from concurrent.futures import Executor, Future
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from sanreid.datasets import read_crops
from sanreid.errors import DatasetError
from sanreid.train.pit.generate import processes
from sanreid.train.pit.generate.cameras import source_writer
from sanreid.train.pit.generate.cameras.crops import Crop
from sanreid.train.pit.generate.cameras.sightings import PeopleSettings
from sanreid.train.pit.generate.cameras.source_writer import render_people
from sanreid.train.pit.people_sheet import people_sheet
from sanreid.train.textures.store import TextureStore
from tests.train.pit.command import main

SETTINGS = PeopleSettings(11, 4, seed=3)


def contents(folder):
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    return {str(p.relative_to(folder)): p.read_bytes() for p in files}


@pytest.fixture
def quick(monkeypatch):
    """People of one color, drawn in this process; ``quick.fail`` is raised before an identity."""
    state = SimpleNamespace(made=[], fail=None)

    class Here(Executor):
        def __init__(self, workers, **_):
            pass

        def submit(self, call, *arguments):
            future = Future()
            try:
                future.set_result(call(*arguments))
            except OSError as error:
                future.set_exception(error)
            return future

    def identity(_studio, settings, number):
        if number == state.fail:
            raise OSError(28, "No space left on device")
        state.made.append(number)
        texture = np.full((256, 256, 3), number / 20, np.float32)
        return SimpleNamespace(texture=texture, person=SimpleNamespace(describe=dict))

    def crops(_studio, settings, dressed, number, sighting):
        from io import BytesIO

        buffer = BytesIO()
        Image.new("RGB", (32, 64), (number * 20, sighting.camera * 40, 0)).save(buffer, "JPEG")
        return [Crop(buffer.getvalue(), {"shown": 1.0}) for _ in sighting.frames]

    monkeypatch.setattr(processes, "ProcessPoolExecutor", Here)
    for name, stand_in in (
        ("draw_identity", identity),
        ("photograph", crops),
        ("shared_studio", lambda: None),
        ("load_body", lambda: None),
        ("check_pit_extra", lambda: None),
    ):
        monkeypatch.setattr(source_writer, name, stand_in)
    return state


def test_a_folder_is_a_source_with_cameras_and_textures(quick, tmp_path):
    folder = render_people(tmp_path, SETTINGS)
    crops = read_crops(folder, names="market1501")
    assert crops.identities.tolist() == list(range(1, 12))
    assert set(crops.camids.tolist()) == {1, 2, 3, 4}
    with TextureStore(tmp_path / "textures.tex") as store:
        assert not store.missing(crops.keys)
        textures = store.batch(crops.keys).textures.float().mean((1, 2, 3))
    wanted = torch.from_numpy((crops.pids - 1) / 20 * 255).float()
    torch.testing.assert_close(textures, wanted, atol=1.5, rtol=0)
    rows = json.loads((tmp_path / "crops.json").read_text())
    assert [row["name"] for row in rows] == [path.name for path in crops.paths]
    assert set(json.loads((tmp_path / "cameras.json").read_text())) == {"1", "2", "3", "4"}


def test_a_run_that_failed_resumes(quick, tmp_path):
    render_people(tmp_path / "whole", SETTINGS)
    quick.made.clear()
    quick.fail = 10
    with pytest.raises(DatasetError, match="cannot be made in .*No space left on device"):
        render_people(tmp_path / "out", SETTINGS)
    assert not (tmp_path / "out" / "textures.tex").exists()
    quick.fail = None
    quick.made.clear()
    render_people(tmp_path / "out", SETTINGS)
    assert quick.made == [10]
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")


def test_crops_that_were_lost_are_rendered_again(quick, tmp_path):
    folder = render_people(tmp_path, SETTINGS)
    whole = contents(tmp_path)
    first, *_, last = sorted(folder.iterdir())
    texture = tmp_path / "parts" / "000011.png"
    for spoilt, made in ((first, list(range(10))), (last, [10]), (texture, [10])):
        spoilt.unlink()
        if spoilt is last:
            spoilt.touch()
        quick.made.clear()
        render_people(tmp_path, SETTINGS)
        assert quick.made == made
        assert contents(tmp_path) == whole


def test_files_that_another_process_writes_are_left_alone(quick, tmp_path):
    render_people(tmp_path, SETTINGS)
    theirs = tmp_path / "crops" / f".x.jpg.elsewhere-{os.getpid()}-y.part"
    theirs.write_bytes(b"not yet whole")
    render_people(tmp_path, SETTINGS)
    assert theirs.exists()


def test_other_settings_are_refused_and_change_nothing(quick, tmp_path):
    render_people(tmp_path, SETTINGS)
    before = contents(tmp_path)
    for other in (PeopleSettings(12, 4, 3), PeopleSettings(11, 5, 3), PeopleSettings(11, 4, 4)):
        with pytest.raises(DatasetError, match="other settings"):
            render_people(tmp_path, other)
    assert contents(tmp_path) == before
    (tmp_path / "settings.json").write_text("{")
    with pytest.raises(DatasetError, match="not a settings file"):
        render_people(tmp_path, SETTINGS)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--cameras", "1"], "2 cameras"),
        (["--identities", "0"], "at least 1 identity"),
        (["--processes", "0"], "At least 1 process is needed; got 0"),
    ],
)
def test_wrong_options_are_refused_before_anything_is_written(
    quick, options, message, tmp_path, capsys
):
    assert main(["people", str(tmp_path / "out"), *options]) == 1
    assert message in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_sheet_has_a_row_per_identity_and_a_column_per_camera(quick, tmp_path):
    folder = render_people(tmp_path / "out", SETTINGS)
    sheet = people_sheet(folder, identities=3, cameras=2, cell=(64, 32))
    assert sheet.shape == (3 * 64, 2 * 32, 3)
    crops = read_crops(folder, names="market1501")
    both = [p for p in crops.identities if set(crops.camids[crops.pids == p]) >= {1, 2}]
    for row, pid in enumerate(both[:3]):
        for column in (0, 1):
            middle = sheet[row * 64 + 32, column * 32 + 16]
            np.testing.assert_allclose(middle, [(pid - 1) * 20, (column + 1) * 40, 0], atol=6)
    picture = tmp_path / "sheet.png"
    assert main(["people-sheet", str(folder), str(picture), "--cameras", "2"]) == 0
    with Image.open(picture) as opened:
        assert opened.size == (2 * 64, 11 * 128)
    assert main(["people-sheet", str(folder), str(picture), "--cameras", "0"]) == 1


@pytest.mark.slow
def test_bytes_do_not_depend_on_processes_and_runs_resume(studio, tmp_path):
    settings = PeopleSettings(11, 3, seed=1)
    render_people(tmp_path / "one", settings, processes=1)
    render_people(tmp_path / "two", settings, processes=2)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")
    (tmp_path / "two" / "parts" / "00001.json").unlink()
    render_people(tmp_path / "two", settings, processes=1)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")
