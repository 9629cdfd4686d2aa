"""Results in notebooks: valid, small HTML in which all data is escaped text."""

from __future__ import annotations

import re
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from sanreid import Gallery, evaluate
from sanreid.errors import InputError
from sanreid.viz.figures.plots import cmc_plot
from sanreid.viz.markup import mark_of
from sanreid.viz.palette import BLUE, GREEN, GREY, VERMILION
from tests.people import rendered_person
from tests.viz.hostile import HOSTILE, parsed_fragment


def check_harmless(tree):
    """Check that no element or attribute is active and that all addresses are data URLs."""
    for element in tree.iter():
        assert element.tag in {
            "html", "head", "meta", "title", "body", "div", "span", "img", "table", "caption",
            "thead", "tbody", "tr", "th", "td", "svg", "line", "text", "polyline", "circle",
        }, element.tag  # fmt: skip
        for name, value in element.attrib.items():
            assert not name.startswith("on")
            if name in ("src", "href"):
                assert value.startswith("data:image/jpeg;base64,")


@pytest.fixture
def crops(tmp_path):
    paths = []
    for person in range(1, 7):
        paths.append(str(tmp_path / f"{person}.jpg"))
        rendered_person(person, size=(128, 64)).save(paths[-1])
    return paths


def test_right_and_wrong_are_framed(crops):
    gallery = Gallery(2)
    gallery.add(
        [[1, 0], [1, 0.1], [1, 0.2], [1, 0.3]],
        pids=[7, 8, 7, None],
        camids=[2, 2, 3, 2],
        metadata=[{"path": crops[0]}, {"path": crops[1]}, {"path": "gone.jpg"}, {}],
    )
    result = gallery.search([[1, 0]], query_pids=[7], query_camids=[1])
    assert result.query_pids == (7,)
    assert result.query_camids == (1,)
    html = result.with_queries([crops[0]])._repr_html_()
    frames = re.findall(r"border:3px solid (#\w+)", html)
    assert frames == [BLUE, GREEN, VERMILION, GREEN, GREY]  # the last has no pid
    assert html.count("<img") == 3
    assert html.count("no picture") == 2
    tree = parsed_fragment(html)
    words = [text.strip() for text in tree.itertext() if text.strip()]
    assert words[1:6] == ["1 query, k=10, 4 hits", "query", "person 7", "cam 1", "1.000 ✓"]
    assert words[words.index("person 8") + 1] == "cam 2"
    alt = [image.get("alt") for image in tree.iter("img")]
    assert (
        alt[1] == f"rank 1, similarity 1.0000, entry 0, person 7, cam 2, right, {crops[0]}"[:300]
    )
    plain = gallery.search([[1, 0]])._repr_html_()
    assert set(re.findall(r"border:3px solid (#\w+)", plain)) == {GREY}
    gone = result.with_queries(["gone.jpg"])._repr_html_()
    assert gone.count("no picture") == 3


@pytest.mark.parametrize(
    ("found", "asked", "mark"),
    [
        (7, 7, "right"), ("anna", "anna", "right"), (0, 0, "right"), (8, 7, "wrong"),
        ("7", 7, "wrong"), (None, 7, "none"), (7, None, "none"), (None, None, "none"),
    ],
)  # fmt: skip
def test_a_hit_is_right_wrong_or_neither(found, asked, mark):
    assert mark_of(found, asked) == mark


def test_pid_string_7_differs_from_number_7(crops):
    gallery = Gallery(2)
    gallery.add([[1, 0]], pids=["7"], metadata=[{"path": crops[0]}])
    html = gallery.search([[1, 0]]).with_queries(pids=[7])._repr_html_()
    assert VERMILION in html
    assert GREEN not in html
    assert "no picture" not in html  # the query never had one


@pytest.mark.parametrize("with_path", [True, False])
def test_hostile_values_are_escaped(with_path, crops):
    gallery = Gallery(2)
    gallery.add(
        np.ones((len(HOSTILE), 2)),
        pids=HOSTILE,
        metadata=[
            {"path" if with_path else "note": value, value[:50]: [value]} for value in HOSTILE
        ],
    )
    result = gallery.search([[1, 1]]).with_queries(pids=[HOSTILE[0]])
    for html in (result._repr_html_(), gallery._repr_html_()):
        tree = parsed_fragment(html)
        check_harmless(tree)
        assert len(html) < 30_000
        for sign in ("\u2028", "\u2029", "\u202e", "\x00", "\x1b"):
            assert sign not in html
        assert "&lt;script&gt;window.hacked" in html


def test_a_hundred_hits_stay_small(tmp_path):
    rng = np.random.default_rng(0)
    noise = tmp_path / "noise.png"
    Image.fromarray(rng.integers(0, 256, (256, 128, 3), np.uint8)).save(noise)
    gallery = Gallery(4)
    gallery.add(rng.standard_normal((200, 4)), metadata=[{"path": str(noise)}] * 200)
    queries = rng.standard_normal((300, 4))
    one = gallery.search(queries[:1], k=150).with_queries([noise])
    assert one._repr_html_().count("<img") == 101
    many = gallery.search(queries, k=150).with_queries([noise] * 300)
    assert many._repr_html_().count("<img") == 10 * 11
    assert len(many.query_images) == 10  # a large batch is not kept alive
    for result in (one, many):
        assert len(result._repr_html_()) < 2_000_000  # with noise, which does not compress
    assert "the first 10 queries and 10 hits are shown" in many._repr_html_()
    assert "the first 100 hits are shown" in one._repr_html_()


def test_without_pictures_a_table_is_shown():
    gallery = Gallery(2)
    gallery.add([[1, 0], [0, 1]], pids=["<b>", None], metadata=[{"floor": 2}, None])
    html = gallery.search([[1, 0], [-1, -1]], min_similarity=0.5)._repr_html_()
    tree = parsed_fragment(html)
    rows = [[cell.text for cell in row] for row in tree.iter("tr")]
    assert rows[1:] == [
        ["0", "1", "0", "1.0000", "<b>", None, None, "{'floor': 2}"],
        ["1", None, None, "no hits", None, None, None, None],
    ]


def test_no_hits_and_no_queries(crops):
    gallery = Gallery(2)
    for result in (gallery.search([[1, 0]]), gallery.search(np.empty((0, 2)))):
        assert "0 hits" in result._repr_html_()
        parsed_fragment(result._repr_html_())
    html = gallery.search([[1, 0]]).with_queries([crops[0]])._repr_html_()
    assert html.count("<img") == 1
    assert "no hits" in html


def test_with_queries_requires_one_value_per_query():
    result = Gallery(2).search([[1, 0], [0, 1]])
    for name in ("images", "pids", "camids"):
        with pytest.raises(
            InputError, match=f"{name} must have one value per query: 2 queries, 1"
        ):
            result.with_queries(**{name: [1]})


def test_search_images_keeps_its_queries(tiny_encoder, crops):
    gallery = Gallery(16)
    gallery.add_images(tiny_encoder, crops)
    assert gallery.search_images(tiny_encoder, crops[0]).query_images == (crops[0],)
    result = gallery.search_images(tiny_encoder, (path for path in crops[:2]), k=1)
    assert result.query_images == tuple(crops[:2])
    assert result.ids.tolist() == [[0], [1]]
    assert result._repr_html_().count("<img") == 4


def test_a_gallery_shows_its_counts_and_crops(crops):
    gallery = Gallery(2)
    assert "0 entries, 0 people, 0 cameras" in gallery._repr_html_()
    gallery.add(
        np.ones((20, 2)),
        pids=[1] * 5 + [None] * 2 + [f"<i>{i}" for i in range(13)],
        camids=[1] * 12 + [2] * 7 + [None],
        metadata=[{"path": crops[i % 6]} for i in range(20)],
    )
    gallery.remove([19])
    assert gallery.counts("camid") == {1: 12, 2: 7}
    assert list(gallery.counts("pid").items())[:3] == [(1, 5), (None, 2), ("<i>0", 1)]
    html = gallery._repr_html_()
    tree = parsed_fragment(html)
    check_harmless(tree)
    words = list(tree.itertext())
    assert "Gallery in memory: 19 entries, 13 people, 2 cameras, dim 2" in words
    index = words.index("camera 1")
    assert words[index + 1] == "12"
    assert words[words.index("2 more") + 1] == "2"
    assert html.count("<img") == 10
    with pytest.raises(InputError, match="field must be 'pid' or 'camid'"):
        gallery.counts("floor")


def test_a_report_shows_its_metrics_and_the_curve():
    report = evaluate([[1, 0], [0, 1]], [1, 2], [1, 1], [[1, 0.1], [1, 0.5]], [1, 2], [2, 2])
    html = report._repr_html_()
    tree = parsed_fragment(html)
    words = list(tree.itertext())
    for name, value in (("mAP", report.mAP), ("rank-1", report.rank1), ("mINP", report.mINP)):
        assert words[words.index(name) - 1] == f"{value * 100:.1f} %"
    (line,) = tree.iter("polyline")
    assert len(line.get("points").split()) == 20
    check_harmless(tree)


def test_the_curve_rises_where_the_cmc_does():
    tree = parsed_fragment(cmc_plot(np.array([0.2, 0.6, 1.0])))
    (line,) = tree.iter("polyline")
    points = np.array([point.split(",") for point in line.get("points").split()], float)
    assert (np.diff(points[:, 0]) > 0).all()
    heights = points[0, 1] - points[:, 1]
    assert heights[2] == pytest.approx(2 * heights[1], abs=0.2)
    assert parsed_fragment(cmc_plot(np.array([1.0]))) is not None


def test_displaying_does_not_import_torch():
    code = (
        "import sys, numpy as np; from sanreid import Gallery\n"
        "g = Gallery(2); g.add(np.eye(2), metadata=[{'path': 'gone'}] * 2)\n"
        "g.search(np.eye(2))._repr_html_(); g._repr_html_()\n"
        "sys.exit('torch' in sys.modules or 'matplotlib' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
