"""Sheets: sizes, frames, missing crops, and error messages."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image, ImageFont

from sanreid.errors import InputError
from sanreid.gallery.results import Hit
from sanreid.viz import contact_sheet, ranked_list
from sanreid.viz.sheets import CAPTION, EMPTY, FRAME, FRAMES, GAP, HEADER, MARGIN, TITLE
from tests.people import rendered_person

SIZE = (64, 32)
STEP = (32 + 2 * FRAME + GAP, 64 + 2 * FRAME + CAPTION + GAP)


def hit(entry: int, *, pid=None, camid=None, path=None) -> Hit:
    metadata = {} if path is None else {"path": str(path)}
    return Hit(entry, 0.5, pid, camid, None, metadata)


def frame_at(sheet: Image.Image, column: int, row: int = 0, *, top: int, apart: int = 0):
    """Return the color in the middle of a crop's left frame."""
    x = MARGIN + column * STEP[0] + (apart if column else 0) + FRAME // 2
    return sheet.getpixel((x, top + row * STEP[1] + 40))


def test_a_contact_sheet_is_a_grid():
    crops = [rendered_person(i, size=SIZE) for i in range(1, 6)]
    sheet = contact_sheet(crops, columns=3, crop_size=SIZE)
    assert sheet.size == (2 * MARGIN + 3 * STEP[0] - GAP, 2 * MARGIN + 2 * STEP[1] - GAP)
    inner = MARGIN + FRAME
    shown = sheet.crop((inner, inner, inner + 32, inner + 64))
    assert np.array_equal(np.asarray(shown), np.asarray(crops[0]))


def test_fewer_crops_than_columns_give_a_narrow_sheet():
    sheet = contact_sheet([rendered_person(1, size=SIZE)], columns=8, crop_size=SIZE)
    assert sheet.width == 2 * MARGIN + STEP[0] - GAP


def test_marks_determine_the_frame():
    marks = ["right", "wrong", "query", "none"]
    sheet = contact_sheet(
        [rendered_person(1, size=SIZE)] * 4, marks=marks, labels=["a\nb"] * 4, crop_size=SIZE
    )
    seen = [frame_at(sheet, column, top=MARGIN) for column in range(4)]
    assert seen == [FRAMES[mark] for mark in marks]


def test_an_empty_sheet_is_still_a_picture():
    assert contact_sheet([]).width > 0


def test_a_long_title_widens_the_sheet_and_a_long_label_is_shortened():
    crop = rendered_person(1, size=SIZE)
    plain = contact_sheet([crop], crop_size=SIZE)
    titled = contact_sheet([crop], crop_size=SIZE, title="A title wider than one crop")
    assert titled.width > plain.width
    assert titled.height == plain.height + TITLE
    labelled = contact_sheet([crop], crop_size=SIZE, labels=["a label far too long for it"])
    strip = np.asarray(labelled)[-MARGIN - CAPTION :, : MARGIN - GAP]
    assert (strip == 255).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"labels": ["only one"]}, "labels must be one a picture; got 1 for 2"),
        ({"labels": ["a", 7]}, "labels must be texts; got 7 at index 1"),
        ({"marks": ["right"] * 3}, "marks must be one a picture; got 3 for 2"),
        (
            {"marks": ["right", "green"]},
            "marks are right, wrong, doubtful, query, none; got 'green' at",
        ),
        ({"font": "no-such.ttf"}, "font 'no-such.ttf' cannot be read .*name a .ttf or .otf"),
        ({"labels": 7}, "labels must be a sequence, one a picture; got 7"),
        ({"columns": 0}, "columns must be at least 1; got 0"),
        ({"columns": 2.5}, "columns must be an int of at least 1; got 2.5"),
        ({"crop_size": (0, 10)}, r"crop_size must be \(height, width\), .*; got \(0, 10\)"),
        ({"crop_size": 100}, "crop_size must be .*; got 100"),
        ({"crop_size": (64, 32, 3)}, "crop_size must be"),
        ({"crop_size": (64, 10**9)}, "whole numbers from 1 to 4,096"),
        ({"title": 7}, "title must be a text or None; got 7"),
    ],
)
def test_error_messages_of_a_contact_sheet(arguments, message):
    with pytest.raises(InputError, match=message):
        contact_sheet([rendered_person(1, size=SIZE)] * 2, **arguments)


@pytest.mark.parametrize("one", ["crop.jpg", Path("crop.jpg"), Image.new("RGB", (4, 8))])
def test_a_single_picture_is_not_a_sequence(one):
    for call in (lambda: contact_sheet(one), lambda: ranked_list(one, [[]] * 8)):
        with pytest.raises(InputError, match="wants a sequence; put one image into a list"):
            call()


def test_what_is_read_once_is_no_sequence():
    one = Image.new("RGB", (4, 8))
    for call in (
        lambda: contact_sheet(iter([one])),
        lambda: contact_sheet(None),
        lambda: ranked_list(iter([one]), [[]]),
    ):
        with pytest.raises(InputError, match="must be a sequence of images; got"):
            call()
    with pytest.raises(InputError, match="result must be a search result, or a list of hits"):
        ranked_list([one], None)


def test_a_custom_font_draws_characters_missing_in_the_default():
    matplotlib = pytest.importorskip("matplotlib", reason="the viz extra is not installed")
    font = Path(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf")

    def sheet(name, **options):
        hits = [[hit(0, pid=name)]]
        return ranked_list([Image.new("RGB", (32, 64))], hits, crop_size=(128, 64), **options)

    assert sheet("\u0410\u043d\u043d\u0430") == sheet(
        "\u0411\u0435\u043b\u0430"
    )  # both drawn as four boxes
    anna, bela = (
        sheet(name, font=font) for name in ("\u0410\u043d\u043d\u0430", "\u0411\u0435\u043b\u0430")
    )
    assert anna != bela


def test_a_long_name_is_cut_before_it_is_measured(monkeypatch):
    measured = []
    length = ImageFont.FreeTypeFont.getlength

    def getlength(font, text, *rest):
        measured.append(text)
        return length(font, text, *rest)

    monkeypatch.setattr(ImageFont.FreeTypeFont, "getlength", getlength)
    label = "much\t white\r\n" + "x" * 100_000
    contact_sheet([Image.new("RGB", (32, 64))], labels=[label], title=label, crop_size=SIZE)
    assert max(map(len, measured)) < 200
    assert not any("\t" in text or "\n" in text for text in measured)


def test_a_ranked_list_frames_right_and_wrong(tmp_path):
    crop = rendered_person(1, size=SIZE)
    crop.save(tmp_path / "crop.png")
    hits = [hit(0, pid=7, camid=2, path=tmp_path / "crop.png"), hit(1, pid=8), hit(2)]
    sheet = ranked_list([crop], [hits], query_pids=[7], query_camids=[1], crop_size=SIZE)
    top, apart = MARGIN + HEADER, 2 * GAP
    seen = [frame_at(sheet, column, top=top, apart=apart) for column in range(4)]
    assert seen == [FRAMES[mark] for mark in ("query", "right", "wrong", "none")]
    left = MARGIN + STEP[0] + apart + FRAME
    shown = np.asarray(sheet.crop((left, top + FRAME + 24, left + 32, top + FRAME + 64)))
    assert np.array_equal(shown, np.asarray(crop)[24:])  # below the mark in the corner


def test_a_result_with_queries_needs_no_query_arguments():
    from sanreid import Gallery

    crop = rendered_person(1, size=SIZE)
    gallery = Gallery(2)
    gallery.add([[1, 0], [1, 1]], pids=[7, 8])
    result = gallery.search([[1, 0]]).with_queries(pids=[7], camids=[1])
    assert ranked_list([crop], result, crop_size=SIZE) == ranked_list(
        [crop], result, query_pids=[7], query_camids=[1], crop_size=SIZE
    )
    top, apart = MARGIN + HEADER, 2 * GAP
    sheet = ranked_list([crop], result, crop_size=SIZE)
    assert frame_at(sheet, 1, top=top, apart=apart) == FRAMES["right"]


@pytest.mark.parametrize(
    "column",
    [np.array, np.float64, pd.Series, lambda values: pd.Series(values, dtype="Int64")],
    ids=["ints", "floats", "pandas", "Int64"],
)
def test_people_and_cameras_are_columns_of_any_library(column):
    crop = rendered_person(1, size=SIZE)
    hits = [[hit(0, pid=np.int64(7), camid=np.int64(2))], [hit(0, pid=8, camid=2)]]
    known = {"query_pids": column([7, 9]), "query_camids": column([2, 3])}
    plain = [[hit(0, pid=7, camid=2)], [hit(0, pid=8, camid=2)]]
    assert ranked_list([crop] * 2, hits, crop_size=SIZE, **known) == ranked_list(
        [crop] * 2, plain, crop_size=SIZE, query_pids=[7, 9], query_camids=[2, 3]
    )


def test_a_missing_person_of_pandas_is_nobody():
    crop = rendered_person(1, size=SIZE)
    sheet = ranked_list(
        [crop] * 2, [[hit(0, pid=7)]] * 2, query_pids=pd.Series([7, None]), crop_size=SIZE
    )
    seen = [frame_at(sheet, 1, row, top=MARGIN + HEADER, apart=2 * GAP) for row in (0, 1)]
    assert seen == [FRAMES["right"], FRAMES["none"]]


def test_a_result_of_other_queries_is_named():
    from sanreid import Gallery

    gallery = Gallery(2)
    gallery.add([[1, 0], [1, 1]], pids=[7, 8])
    result = gallery.search(np.eye(2)[[0, 1, 1]]).with_queries(pids=[7, 8, 8], camids=[1] * 3)
    with pytest.raises(InputError, match="result must be one a query; got 3 for 2"):
        ranked_list([Image.new("RGB", (4, 8))] * 2, result)


def test_without_pids_nobody_is_right_or_wrong():
    crop = rendered_person(1, size=SIZE)
    sheet = ranked_list([crop], [[hit(0, pid=7)]], crop_size=SIZE)
    assert frame_at(sheet, 1, top=MARGIN + HEADER, apart=2 * GAP) == FRAMES["none"]


@pytest.mark.parametrize("path", [None, "moved away.jpg"])
def test_a_missing_crop_is_drawn_as_an_empty_box(path):
    crop = rendered_person(1, size=SIZE)
    sheet = ranked_list([crop], [[hit(0, path=path)]], crop_size=SIZE)
    x = MARGIN + STEP[0] + 2 * GAP + FRAME + 3
    assert sheet.getpixel((x, MARGIN + HEADER + FRAME + 3)) == EMPTY


def test_given_images_take_precedence_over_metadata():
    red = Image.new("RGB", (32, 64), (250, 0, 0))
    sheet = ranked_list([red], [[hit(5, path="moved away.jpg")]], images={5: red}, crop_size=SIZE)
    x = MARGIN + STEP[0] + 2 * GAP + FRAME + 3
    assert sheet.getpixel((x, MARGIN + HEADER + FRAME + 3)) == (250, 0, 0)


def test_queries_without_hits_and_rankings_of_unequal_length():
    crop = rendered_person(1, size=SIZE)
    sheet = ranked_list([crop, crop], [[], [hit(0), hit(1)]], crop_size=SIZE)
    assert sheet.width == 2 * MARGIN + 3 * STEP[0] - GAP + 2 * GAP
    assert ranked_list([crop], [[]], crop_size=SIZE).width == 2 * MARGIN + STEP[0] - GAP


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"query_pids": [1]}, "query_pids must be one a query; got 1 for 2"),
        ({"query_camids": [1, 2, 3]}, "query_camids must be one a query; got 3 for 2"),
    ],
)
def test_error_messages_of_a_ranked_list(arguments, message):
    crop = rendered_person(1, size=SIZE)
    with pytest.raises(InputError, match=message):
        ranked_list([crop] * 2, [[], []], **arguments)
    with pytest.raises(InputError, match="result must be one a query; got 1 for 2"):
        ranked_list([crop] * 2, [[]])
