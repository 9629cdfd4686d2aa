"""``sanreid gallery build TABLE.csv``: crops, people, cameras and times from a table."""

from __future__ import annotations

import datetime as dt
import re

import pytest

from sanreid.gallery import Gallery
from tests.people import rendered_person

HEADER = "FILE;WHO;CAMERA;TIME;FLOOR\n"
COLUMNS = "path=FILE,pid=WHO,camid=CAMERA,timestamp=TIME,floor=FLOOR"
NOON = dt.datetime(2026, 5, 1, 12, tzinfo=dt.UTC).timestamp()


@pytest.fixture
def table(tmp_path):
    """A function that writes a table beside three crops."""
    (tmp_path / "crops").mkdir()
    for number in range(3):
        rendered_person(number, size=(64, 32)).save(tmp_path / "crops" / f"{number}.png")

    def write(lines, header=HEADER):
        path = tmp_path / "crops.csv"
        path.write_text(header + "".join(f"{line}\n" for line in lines), encoding="utf-8")
        return path

    return write


def test_a_table_names_people_cameras_and_times(run, run_json, table, tiny, tmp_path):
    lines = [
        "crops/0.png;0007;north gate;2026-05-01T12:00Z;2",
        "crops/1.png;anna;3;2026-05-01T14:00+02:00;",
        "crops/2.png;;;;1",
    ]
    path, built = table(lines), tmp_path / "g"
    status, text, err = run(
        "gallery", "build", path, built, "--columns", COLUMNS, "--weights", tiny
    )
    assert (status, err) == (0, "")
    assert text == f"{built}: 3 added (2 people by the table), 3 entries\n"
    gallery = Gallery.open(built, mode="r")
    entries = gallery.get(gallery.ids)
    assert [entry.pid for entry in entries] == [7, "anna", None]
    assert [entry.camid for entry in entries] == ["north gate", 3, None]
    assert [entry.timestamp for entry in entries] == [NOON, NOON, None]
    assert [entry.metadata.get("floor") for entry in entries] == ["2", None, "1"]
    query = tmp_path / "crops" / "0.png"
    (row,) = run_json("gallery", "search", built, query, "--camid", "north gate",
                      "--same-camera", "exclude", "--weights", tiny)  # fmt: skip
    assert {hit["camid"] for hit in row["hits"]} == {3, None}


def test_columns_with_the_names_of_the_fields_need_no_option(run, table, tiny, tmp_path):
    path = table(["crops/0.png,1,5"], header="path,pid,other\n")
    status, text, _ = run("gallery", "build", path, tmp_path / "g", "--weights", tiny)
    assert (status, text) == (0, f"{tmp_path / 'g'}: 1 added (1 person by the table), 1 entry\n")
    assert Gallery.load(tmp_path / "g").get(0)[0].camid is None


def test_the_home_directory_is_expanded(run, table, tiny, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    path = table(["~/crops/0.png,anna"], header="path,pid\n")
    assert run("gallery", "build", path, tmp_path / "g", "--weights", tiny)[0] == 0
    (entry,) = Gallery.load(tmp_path / "g").get([0])
    assert (entry.pid, entry.metadata["path"]) == ("anna", str(tmp_path / "crops" / "0.png"))


def test_numbers_of_a_column_with_gaps_and_junk(run, table, tiny, tmp_path):
    path = table(["crops/0.png,7.0,2.0", "crops/1.png,-1,-3", "crops/2.png,v1.0,"],
                 header="path,pid,camid\n")  # fmt: skip
    assert run("gallery", "build", path, tmp_path / "g", "--weights", tiny)[0] == 0
    entries = Gallery.load(tmp_path / "g").get([0, 1, 2])
    assert [(entry.pid, entry.camid) for entry in entries] == [(7, 2), (None, -3), ("v1.0", None)]


def test_an_empty_table_is_called_empty(run, table, tiny, tmp_path):
    status, _, err = run("gallery", "build", table([], header=""), tmp_path / "g",
                         "--weights", tiny)  # fmt: skip
    assert status == 1
    assert "crops.csv is empty; wanted a first line that names the columns" in err


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["crops/0.png;1;1;yesterday;"], "Line 2 of .*'yesterday' is neither seconds nor a time"),
        (["crops/0.png;1;1;2026-05-01T12:00;"], "Line 2 of .* has no zone"),
        (["crops/0.png;1;1;inf;"], "Line 2 of .*'inf' is not a time"),
        (["crops/0.png;1;1;;", "crops/0.png;2;1;;"], "Line 3 of .* names .*0.png once more"),
        ([";1;1;;"], "Line 2 of .* names no file"),
        ([], "lists no crops"),
        (["crops/0.png;NaN;1;;"], "Line 2 of .*'NaN' is no person; leave the cell"),
        (["crops/0.png;1;nan;;"], "Line 2 of .*'nan' is no camera, which is a whole number"),
        (["crops/0.png;1;1.5;;"], "Line 2 of .*'1.5' is no camera"),
        (["crops/none.png;1;1;;"], "none.png"),
        (["crops/0.png;1;1;;", "crops;2;1;;"], "Line 3 of .* names a folder, .*crops; wanted a f"),
    ],
)
def test_a_wrong_table_is_refused_and_nothing_is_built(run, table, tiny, tmp_path, lines, message):
    path, built = table(lines), tmp_path / "g"
    status, text, err = run(
        "gallery", "build", path, built, "--columns", COLUMNS, "--weights", tiny
    )
    assert (status, text) == (1, "")
    assert re.search(message, err)
    assert not built.exists()


@pytest.mark.parametrize(
    "columns", ["FILE", "pid=WHO", "path=", "path=a,path=b", "path=a,sha256=b"]
)
def test_wrong_columns_are_wrong_usage(run, table, tmp_path, columns, capsys):
    with pytest.raises(SystemExit) as caught:
        run("gallery", "build", table([]), tmp_path / "g", "--columns", columns)
    assert caught.value.code == 2
    assert "argument --columns" in capsys.readouterr().err


def test_a_table_without_people_says_so(run, table, tiny, tmp_path):
    build = ("gallery", "build", table(["crops/0.png"], header="path\n"), tmp_path / "g")
    status, text, _ = run(*build, "--weights", tiny)
    assert status == 0
    assert text.endswith("1 added (nobody named by the table), 1 entry\n")


def test_a_table_without_files_or_with_another_column_is_refused(run, table, tiny, tmp_path):
    build = ("gallery", "build", table([], header="FILE,pid\n"), tmp_path / "g", "--weights", tiny)
    status, _, err = run(*build)
    assert status == 1
    assert "has no column called path, but FILE, pid" in err
    status, _, err = run(*build, "--columns", "path=FILE,camid=CAM")
    assert status == 1
    assert "lacks the column CAM" in err


@pytest.mark.parametrize("action", ["build", "search"])
def test_a_table_is_not_read_by_a_scheme_of_names(run, table, tmp_path, action, capsys):
    path = table(["crops/0.png,1"], header="path,pid\n")
    Gallery(2).save(tmp_path / "g")
    arguments = (path, tmp_path / "new") if action == "build" else (tmp_path / "g", path)
    with pytest.raises(SystemExit) as end:
        run("gallery", action, *arguments, "--names", "cuhk03")
    assert end.value.code == 2
    assert "--names is about the names of files" in capsys.readouterr().err
