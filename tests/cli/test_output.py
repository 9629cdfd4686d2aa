"""Tables, CSV, JSON, and files that are whole or not there."""

from __future__ import annotations

import argparse
import csv
import io
import json
import stat
import tempfile

import pytest

from sanreid.cli.output import check_writable, print_json, print_rows, printable, say
from sanreid.errors import InputError
from sanreid.utils.files import atomic_write

ROWS = [
    {"who": "anna", "count": 7, "share": 0.25, "unused": 0},
    {"who": "b, c", "count": None, "share": 1.0, "unused": 0},
]
COLUMNS = ("who", "count", "share")


def test_a_table_lines_up_numbers_at_the_right(capsys):
    print_rows(ROWS, COLUMNS, argparse.Namespace(csv=False))
    assert capsys.readouterr().out.splitlines() == [
        "who   count   share",
        "----  -----  ------",
        "anna      7  0.2500",
        "b, c      -  1.0000",
    ]


def test_a_table_without_rows_has_its_head(capsys):
    print_rows([], COLUMNS, argparse.Namespace(csv=False))
    assert capsys.readouterr().out.splitlines()[0].split() == list(COLUMNS)


def test_csv_keeps_every_digit_and_quotes(capsys):
    print_rows(ROWS, COLUMNS, argparse.Namespace(csv=True))
    assert capsys.readouterr().out == 'who,count,share\nanna,7,0.25\n"b, c",,1.0\n'


def test_json_refuses_nan(capsys):
    print_json({"a": [1, None]})
    assert json.loads(capsys.readouterr().out) == {"a": [1, None]}
    with pytest.raises(ValueError, match="JSON compliant"):
        print_json({"a": float("nan")})


def test_notes_go_to_standard_error(capsys):
    say("a note")
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "sanreid: a note\n")


def test_what_moves_the_cursor_is_escaped_and_letters_stay(capsys):
    assert printable("f\u00fcr/\u4eba.jpg") == "f\u00fcr/\u4eba.jpg"
    say("a\x1b[2Jb\nc")
    assert capsys.readouterr().err == "sanreid: a\\x1b[2Jb\\nc\n"


def test_an_atomic_write_appears_only_when_complete(tmp_path):
    place = tmp_path / "a.bin"
    with atomic_write(place) as file:
        file.write(b"new")
        assert not place.exists()
    assert place.read_bytes() == b"new"
    assert stat.S_IMODE(place.stat().st_mode) & 0o400
    assert [path.name for path in tmp_path.iterdir()] == ["a.bin"]


def fail_halfway(place, error):
    with atomic_write(place) as file:
        file.write(b"new")
        raise error


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError("full")])
def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path, error):
    place = tmp_path / "a.bin"
    place.write_bytes(b"old")
    with pytest.raises(type(error)):
        fail_halfway(place, error)
    assert place.read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["a.bin"]


def test_a_place_that_cannot_be_written_is_told_early(tmp_path):
    check_writable(tmp_path / "a.bin")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(InputError, match="it is a folder"):
        check_writable(tmp_path)
    with pytest.raises(InputError, match="the folder .*no.* does not exist"):
        check_writable(tmp_path / "no" / "a.bin")


def test_a_refusal_of_the_system_names_the_file(tmp_path, monkeypatch):
    def refuse(**_):
        raise PermissionError(13, "Permission denied", "a name nobody has asked for")

    monkeypatch.setattr(tempfile, "NamedTemporaryFile", refuse)
    with pytest.raises(InputError, match=r"Cannot write .*a\.bin: Permission denied\."):
        check_writable(tmp_path / "a.bin")


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("=cmd|' /C calc'!A0", "'=cmd|' /C calc'!A0"),
        ("+1+1", "'+1+1"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("-2+3", "'-2+3"),
        (" =1", "' =1"),
        ("\t=1", "'\\t=1"),
        ("\uff1d1", "'\uff1d1"),
        ("-1", "-1"),
        (-0.5, "-0.5"),
        ("a=b", "a=b"),
        ("a\x1b[2Jb", "a\\x1b[2Jb"),
        ("\u202egnp.exe", "\\u202egnp.exe"),
        ("x\ny", "x\\ny"),
    ],
)
def test_csv_runs_no_formula_and_moves_no_cursor(capsys, value, written):
    print_rows([{"a": value}], ["a"], argparse.Namespace(csv=True))
    (_, (cell,)) = csv.reader(io.StringIO(capsys.readouterr().out))
    assert cell == written


@pytest.mark.parametrize("is_csv", [True, False])
def test_a_closed_standard_output_takes_no_rows(monkeypatch, is_csv):
    monkeypatch.setattr("sys.stdout", None)
    print_rows(ROWS, COLUMNS, argparse.Namespace(csv=is_csv))
