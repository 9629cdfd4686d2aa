"""``sanreid demo``, with the bundled weights."""

from __future__ import annotations

import argparse

from PIL import Image

from sanreid.cli import demo, output
from sanreid.gallery.results import Hit


def test_the_demo_ranks_and_draws(run, tmp_path):
    picture = tmp_path / "ranking.png"
    status, text, err = run("demo", "--output", picture)
    assert (status, err) == (0, "")
    assert "Embedded 32 crops of 8 people" in text
    # Persons 3 and 4 both wear purple; whichever weights are the default find most people.
    rank1 = int(text.partition("rank-1 ")[2].partition("%")[0])
    assert rank1 >= 75
    assert f"The ranking is drawn in {picture}" in text
    with Image.open(picture) as image:
        assert image.format == "PNG"
    assert [path.name for path in tmp_path.iterdir()] == ["ranking.png"]


def test_a_terminal_of_80_columns_shows_who_was_found(capsys, monkeypatch):
    monkeypatch.setattr(output, "room", lambda: 80)
    hits = [Hit(i, s, 4, 2, None, {}) for i, s in enumerate((0.98, 0.5, 0.2, -0.03, -0.12))]
    rows = demo._rows([4], [hits])
    output.print_rows(rows, list(rows[0]), argparse.Namespace(csv=False))
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    for cell in ("person 4", "4* 0.98 c2", "4* 0.50 c2", "4* -0.12 c2"):
        assert cell in lines[2]


def test_the_demo_refuses_a_wrong_picture_first(run, tmp_path):
    for name, message in (("a.gif", "A picture is written as"), ("no/a.png", "does not exist")):
        status, text, err = run("demo", "--output", tmp_path / name)
        assert (status, text) == (1, "")
        assert message in err
