"""What a terminal shows that a file does not: colours, and tables that fit."""

from __future__ import annotations

import argparse
import io
import os
import re
from contextlib import contextmanager, redirect_stderr, redirect_stdout

import pytest

from sanreid.cli import main
from sanreid.cli.output import print_rows
from sanreid.cli.style import has_colors, paint, room

TABLE = argparse.Namespace(csv=False)
ROWS = [
    {"query": "a long way/to/the/query.jpg", "rank": rank, "path": f"gallery/of/many/{rank}.jpg"}
    for rank in (1, 2)
]


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def xterm(monkeypatch):
    """The surroundings of a terminal of 44 columns that shows colours."""
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("WT_SESSION", "1")  # what tells it on Windows
    monkeypatch.setenv("COLUMNS", "44")
    monkeypatch.delenv("NO_COLOR", raising=False)


@contextmanager
def terminal():
    """Standard output and error are a terminal."""
    screen = Terminal()
    with redirect_stdout(screen), redirect_stderr(screen):
        yield screen


def without_colours(text):
    return re.sub(r"\x1b\[[\d;]*m", "", text)


def test_a_terminal_has_colours_unless_it_is_told_not_to(xterm, monkeypatch):
    with terminal() as screen:
        assert has_colors(screen)
        assert paint("a", "bold") == "\x1b[1ma\x1b[0m"
        assert paint("", "bold") == ""
        monkeypatch.setenv("NO_COLOR", "")  # empty is as good as not set
        assert has_colors(screen)
        monkeypatch.setenv("NO_COLOR", "1")
        assert not has_colors(screen)
        assert paint("a", "bold") == "a"


@pytest.mark.skipif(os.name == "nt", reason="TERM says nothing on Windows")
def test_a_dumb_terminal_has_none(xterm, monkeypatch):
    monkeypatch.setenv("TERM", "dumb")
    with terminal() as screen:
        assert not has_colors(screen)


def test_a_file_has_neither_colours_nor_an_end_of_line():
    file = io.StringIO()
    assert not has_colors(file)
    assert not has_colors(None)
    assert paint("a", "red", file) == "a"
    assert room() is None  # under a test, standard output is a file


def test_a_table_fits_the_terminal_and_names_keep_their_end(xterm):
    with terminal() as screen:
        print_rows(ROWS, ("query", "rank", "path"), TABLE, group="query")
    lines = without_colours(screen.getvalue()).splitlines()
    assert max(map(len, lines)) == 44
    assert lines[2].startswith("…")
    assert "query.jpg" in lines[2]
    assert lines[2].endswith("1.jpg")
    assert lines[3].split() == ["2", lines[3].split()[-1]]  # the query is not said again
    assert "\x1b[1m" in screen.getvalue()


def test_a_file_gets_whole_names(capsys):
    print_rows(ROWS, ("query", "rank", "path"), TABLE, group="query")
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert out.count("a long way/to/the/query.jpg") == 1
    assert "gallery/of/many/2.jpg" in out
    print_rows(ROWS, ("query", "rank", "path"), argparse.Namespace(csv=True), group="query")
    assert capsys.readouterr().out.count("a long way/to/the/query.jpg") == 2


def test_columns_are_not_cut_to_nothing(xterm):
    with terminal() as screen:
        print_rows([dict.fromkeys("abcde", "x" * 30)], list("abcde"), TABLE)
    widths = {len(text) for text in without_colours(screen.getvalue()).splitlines()[2].split()}
    assert widths == {12}


def test_names_cannot_move_the_cursor(capsys):
    rows = [{"path": "a\x1b[2Jb\nc\udcff.jpg"}]
    print_rows(rows, ["path"], TABLE)
    assert capsys.readouterr().out.splitlines()[2] == r"a\x1b[2Jb\nc\udcff.jpg"


def test_an_error_is_marked(xterm, tmp_path):
    with terminal() as screen:
        assert main(["gallery", "info", str(tmp_path)]) == 1
    assert screen.getvalue().startswith("\x1b[1;31msanreid:\x1b[0m There is no gallery")
