"""Figures: they show the given data, without pyplot; clear errors without matplotlib."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from sanreid import Gallery, evaluate
from sanreid.errors import InputError
from sanreid.gallery.results import Hit
from tests.people import rendered_person

matplotlib = pytest.importorskip("matplotlib", reason="the viz extra is not installed")

from matplotlib.colors import to_hex  # noqa: E402 - after the check
from matplotlib.figure import Figure  # noqa: E402 - as above

from sanreid import viz  # noqa: E402 - as above
from sanreid.viz.drawing import BLUE, GREEN, GREY, VERMILION, fitting  # noqa: E402 - as above
from sanreid.viz.figures.scatter import principal_components  # noqa: E402 - as above


def python(code):
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def report():
    rng = np.random.default_rng(0)
    pids = np.repeat(np.arange(1, 11), 4)
    centres = rng.standard_normal((11, 8))
    queries = centres[1:11] + rng.normal(0, 0.8, (10, 8))
    gallery = centres[pids] + rng.normal(0, 0.8, (40, 8))
    return evaluate(queries, np.arange(1, 11), np.ones(10, int), gallery, pids, np.full(40, 2))


@pytest.fixture(scope="module")
def calibration():
    rng = np.random.default_rng(1)
    pids = np.repeat(np.arange(12), 5)
    rows = rng.standard_normal((12, 8))[pids] + rng.normal(0, 0.4, (60, 8))
    return Gallery(8).calibrate(rows, pids, false_match_rate=0.05)


def test_importing_viz_is_light_and_figures_do_not_use_pyplot():
    out = python(
        "import sys, sanreid.viz, numpy as np\n"
        "print([m for m in ('torch', 'faiss', 'PIL', 'matplotlib') if m in sys.modules])\n"
        "from sanreid.viz import gallery_map\n"
        "from sanreid import Gallery\n"
        "g = Gallery(2); g.add(np.eye(2))\n"
        "assert gallery_map(g)._repr_png_()[:4] == b'\\x89PNG'\n"
        "print('matplotlib.pyplot' in sys.modules, 'torch' in sys.modules)"
    )
    assert out.split("\n")[:2] == ["[]", "False False"]


def test_without_matplotlib_the_error_names_the_extra():
    out = python(
        "import sys; sys.modules['matplotlib.axes'] = None\n"
        "from sanreid.errors import MissingExtraError\n"
        "import sanreid.viz\n"
        "try: sanreid.viz.cmc_figure\n"
        "except MissingExtraError as error: print(error)\n"
        "print(sanreid.viz.ranked_list.__name__)"
    )
    assert "pip install 'sanreid[viz]'" in out
    assert out.endswith("ranked_list\n")


def test_every_public_name_of_viz_exists():
    for name in viz.__all__:
        assert callable(getattr(viz, name))
    assert set(viz.__all__) <= set(dir(viz))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        viz.nothing  # noqa: B018 - the access is the test


def test_a_cmc_curve_shows_the_report(report):
    figure = viz.cmc_figure({"a $1": report, "b": report}, max_rank=7)
    first, second = figure.axes[0].get_lines()
    assert np.array_equal(first.get_ydata(), report.cmc[:7])
    assert np.array_equal(first.get_xdata(), np.arange(1, 8))
    assert first.get_color() != second.get_color()
    assert first.get_linestyle() != second.get_linestyle()
    labels = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert labels[1] == f"b: rank-1 {report.rank1 * 100:.1f} %, mAP {report.mAP * 100:.1f} %"
    assert labels[0].startswith(r"a \$1: ")
    assert figure.axes[0].get_xticks()[0] == 1
    figure.savefig("/dev/null", format="svg")  # a dollar sign in a name does not start a formula


@pytest.mark.parametrize("wrong", [{}, [1]])
def test_curves_need_a_report(wrong):
    with pytest.raises(InputError, match="mapping from name to report"):
        viz.cmc_figure(wrong)


@pytest.mark.parametrize("wrong", [0, 2.5, "a"])
def test_ranks_are_whole_numbers(report, wrong):
    with pytest.raises(InputError, match="max_rank must be"):
        viz.cmc_figure(report, max_rank=wrong)


def test_the_area_under_precision_and_recall_is_the_map(report):
    figure = viz.precision_recall_figure(report)
    (line,) = figure.axes[0].get_lines()
    recall, precision = line.get_data()
    assert recall[0] == 0
    assert recall[-1] == 1
    # Four matches per query divide a hundred recalls evenly, so the mean of the steps is exact.
    assert precision[1:].mean() == pytest.approx(report.mAP, abs=1e-12)


def test_precision_at_recall_equals_its_definition(report):
    recall, precision = report.precision_recall(num_points=7)
    for level, value in zip(recall, precision, strict=True):
        found, start = [], 0
        for count in report.num_matches:
            ranks = report.match_places[start : start + count]
            nth = next(n for n in range(1, count + 1) if n / count >= level - 1e-12)
            found.append(nth / ranks[nth - 1])
            start += count
        assert value == pytest.approx(np.mean(found), abs=1e-12)
    assert start == len(report.match_places)
    with pytest.raises(InputError, match="num_points"):
        report.precision_recall(num_points=0)


def test_the_histogram_contains_all_pairs_and_the_threshold(calibration):
    figure = viz.similarity_histogram(calibration)
    ax = figure.axes[0]
    assert ax.get_lines()[0].get_xdata()[0] == calibration.threshold
    drawn = [patch.get_data() for patch in ax.patches]
    assert len(drawn) == 4  # an area and its outline for each distribution
    for data in drawn:
        assert data.values.sum() == pytest.approx(1)
        assert len(data.values) <= 32
    impostor = drawn[0]
    above = impostor.values[impostor.edges[:-1] >= calibration.threshold].sum()
    assert above <= calibration.false_match_rate + 1e-9


def test_the_legend_of_the_histogram_covers_no_data(calibration):
    figure = viz.similarity_histogram(calibration, title="T")
    figure.draw_without_rendering()
    ax = figure.axes[0]
    legend, title = ax.get_legend().get_window_extent(), ax._left_title.get_window_extent()
    assert ax.bbox.y1 <= legend.y0
    assert legend.y1 <= title.y0
    assert legend.x1 <= figure.bbox.x1


def test_figures_are_drawn_on_the_given_axes(report, calibration):
    mine = Figure()
    axes = mine.subplots(1, 3)
    assert viz.cmc_figure(report, ax=axes[0]) is mine
    assert viz.precision_recall_figure(report, ax=axes[1]) is mine
    assert viz.similarity_histogram(calibration, ax=axes[2], title="T") is mine
    assert [len(ax.get_lines()) for ax in axes] == [1, 1, 1]
    assert axes[2].get_title(loc="left") == "T"
    axes[0].remove()
    with pytest.raises(InputError, match="removed"):
        viz.cmc_figure(report, ax=axes[0])


def hit(entry, pid, path=None):
    return Hit(entry, 0.5, pid, 2, None, {} if path is None else {"path": path})


def test_a_ranked_list_frames_right_and_wrong(tmp_path):
    crop = rendered_person(1, size=(64, 32))
    crop.save(tmp_path / "a.png")
    hits = [hit(0, 7, str(tmp_path / "a.png")), hit(1, 8), hit(2, None)]
    figure = viz.ranked_list_figure([crop, crop], [hits, []], query_pids=[7, None])
    ax = figure.axes[0]
    colors = [to_hex(patch.get_edgecolor()).upper() for patch in ax.patches]
    assert colors == [BLUE, GREEN, VERMILION, GREY, BLUE]
    pictures = [image.get_array() for image in ax.images]
    assert np.array_equal(pictures[0], pictures[1])
    assert (pictures[2] == 241).all()
    words = [text.get_text() for text in ax.texts]
    assert words.count("no picture") == 2
    assert {"query", "1", "3", "0.500 ✓", "0.500 ✗", "person 8\ncam 2"} <= set(words)
    of_numpy = viz.ranked_list_figure([crop], [hits], query_camids=np.array([3]))
    assert "cam 3" in [text.get_text() for text in of_numpy.axes[0].texts]
    unknown = viz.ranked_list_figure([crop], [hits])
    assert to_hex(unknown.axes[0].patches[1].get_edgecolor()).upper() == GREY
    assert viz.ranked_list_figure([], []).axes
    with pytest.raises(InputError, match=r"result must be one a query; got 1 for 2\."):
        viz.ranked_list_figure([crop] * 2, [hits])
    with pytest.raises(InputError, match=r"query_pids must be one a query; got 1 for 2\."):
        viz.ranked_list_figure([crop] * 2, [hits, hits], query_pids=[1])


def test_captions_are_short_and_taken_literally():
    assert fitting("a $x$\nb", 10) == r"a \$x\$ b"
    assert fitting("x" * 30, 10) == "x" * 9 + "…"


def test_textures_are_shown_next_to_their_crops():
    crops = [rendered_person(i, size=(64, 32)) for i in (1, 2, 3)]
    painted = np.linspace(-1, 1, 3 * 8 * 8, dtype=np.float32).reshape(3, 8, 8)
    whole = np.zeros((8, 8, 3), np.uint8)
    figure = viz.texture_sheet(
        crops, [painted] * 3, targets=[whole] * 3, labels=["a", "b", "c"], columns=2
    )
    pictures = [image.get_array() for image in figure.axes[0].images]
    assert len(pictures) == 9
    assert pictures[1].min() == 0
    assert pictures[1].max() == 255
    expected = np.rint((painted.transpose(1, 2, 0) + 1) * 127.5)
    assert np.array_equal(pictures[1], expected)
    assert (pictures[2] == 0).all()
    heads = [text.get_text() for text in figure.axes[0].texts]
    assert heads.count("painted") == heads.count("true") == 2
    single = viz.texture_sheet(crops[:1], [whole])
    assert [text.get_text() for text in single.axes[0].texts] == ["crop", "texture"]
    with pytest.raises(InputError, match=r"reaches from .* to 3; a float texture lies in"):
        viz.texture_sheet(crops[:1], [painted * 3])
    with pytest.raises(InputError, match="textures must be one a picture; got 1 for 2"):
        viz.texture_sheet(crops[:2], [whole])
    with pytest.raises(InputError, match="columns must be an int of at least 1; got 2.5"):
        viz.texture_sheet(crops[:1], [whole], columns=2.5)
    with pytest.raises(InputError, match="columns must be at least 1"):
        viz.texture_sheet(crops[:1], [whole], columns=0)
    with pytest.raises(InputError, match="labels must be texts; got 7 at index 0"):
        viz.texture_sheet(crops[:1], [whole], labels=[7])


def test_a_single_picture_is_not_a_sequence():
    crop, whole = rendered_person(1, size=(64, 32)), np.zeros((8, 8, 3), np.uint8)
    for call in (
        lambda: viz.texture_sheet("crop.jpg", [whole] * 8),
        lambda: viz.texture_sheet([crop] * 8, whole),
        lambda: viz.texture_sheet([crop] * 8, [whole] * 8, targets=whole),
        lambda: viz.ranked_list_figure("crop.jpg", [[]] * 8),
    ):
        with pytest.raises(InputError, match="wants a sequence; put one image into a list"):
            call()


def test_principal_components_preserve_points_in_a_plane():
    rng = np.random.default_rng(2)
    flat = rng.standard_normal((20, 2)) * (3, 1)
    plane = np.linalg.qr(rng.standard_normal((6, 2)))[0].T
    rows = (flat @ plane + rng.standard_normal(6)).astype(np.float32)
    points, shares = principal_components(rows)

    def distances(x):
        return np.linalg.norm(x[:, None] - x[None], axis=2)

    np.testing.assert_allclose(distances(points), distances(flat), atol=1e-5)
    assert shares.sum() == pytest.approx(1)
    assert shares[0] > shares[1]
    again, _ = principal_components(rows[::-1])
    np.testing.assert_allclose(again, points[::-1], atol=1e-5)  # signs do not depend on order


def test_a_map_shows_each_entry_in_its_color(tmp_path):
    rng = np.random.default_rng(3)
    gallery = Gallery(8)
    gallery.add(rng.standard_normal((9, 8)), pids=[1, "1", None] * 3, camids=[1] * 8 + [None])
    figure = viz.gallery_map(gallery)
    names = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert names == ["person 1", "person 1", "nobody"]
    sizes = [len(points.get_offsets()) for points in figure.axes[0].collections]
    assert sizes == [3, 3, 3]
    cameras = viz.gallery_map(gallery, color="camid")
    assert [len(p.get_offsets()) for p in cameras.axes[0].collections] == [8, 1]
    some = viz.gallery_map(gallery, max_entries=4, seed=1)
    assert sum(len(p.get_offsets()) for p in some.axes[0].collections) == 4
    chosen = viz.gallery_map(gallery, ids=[0, 3], pictures=True)
    assert len(chosen.axes[0].artists) == 2
    with pytest.raises(InputError, match="at least 2 entries; got 0"):
        viz.gallery_map(Gallery(2))
    for wrong in ({"method": "mds"}, {"color": "hat"}, {"max_entries": 1}, {"max_entries": 2.5},
                  {"seed": -1}, {"seed": "a"}):  # fmt: skip
        with pytest.raises(InputError, match="must be"):
            viz.gallery_map(gallery, **wrong)


def test_framed_crops_of_many_people_are_distinguishable():
    gallery = Gallery(4)
    gallery.add(np.random.default_rng(0).standard_normal((24, 4)), pids=list(range(1, 25)))
    ax = viz.gallery_map(gallery, pictures=True).axes[0]

    def frames(patches):
        return {(to_hex(patch.get_edgecolor()), str(patch._dash_pattern)) for patch in patches}

    drawn = frames(artist.patch for artist in ax.artists)
    assert len(drawn) == 24
    assert frames(ax.get_legend().get_patches()) == drawn


def test_missing_umap_is_named(monkeypatch):
    from sanreid.errors import MissingExtraError

    monkeypatch.setitem(sys.modules, "umap", None)
    gallery = Gallery(2)
    gallery.add(np.eye(2))
    with pytest.raises(MissingExtraError, match="pip install umap-learn"):
        viz.gallery_map(gallery, method="umap")


def test_umap_is_called_with_cosine(monkeypatch):
    class Umap:
        def UMAP(self, **options):  # noqa: N802 - umap's name
            self.options = options
            return self

        def fit_transform(self, rows):
            return rows[:, :2]

    fake = Umap()
    monkeypatch.setitem(sys.modules, "umap", fake)
    gallery = Gallery(3)
    gallery.add(np.eye(3))
    figure = viz.gallery_map(gallery, method="umap", seed=5)
    assert fake.options["metric"] == "cosine"
    assert fake.options["random_state"] == 5
    assert figure.axes[0].get_xlabel() == "UMAP 1"


@pytest.mark.slow
def test_a_map_is_drawn_by_what_is_installed(monkeypatch):
    pytest.importorskip("sklearn")
    gallery = Gallery(6)
    rows = np.repeat(np.eye(6)[:3], 12, axis=0) + np.random.default_rng(0).random((36, 6)) / 9
    gallery.add(rows, pids=np.repeat([1, 2, 3], 12))
    monkeypatch.setitem(sys.modules, "umap", None)
    ax = viz.gallery_map(gallery).axes[0]
    assert ax.get_xlabel() == "t-SNE 1"
    points = np.concatenate([one.get_offsets() for one in ax.collections])
    groups = points.reshape(3, 12, 2)  # neighbours stay together: people do not mix
    centres = groups.mean(axis=1)
    nearest = np.linalg.norm(points[:, None] - centres, axis=2).argmin(axis=1)
    assert nearest.tolist() == [0] * 12 + [1] * 12 + [2] * 12
    monkeypatch.setitem(sys.modules, "sklearn", None)
    assert viz.gallery_map(gallery).axes[0].get_xlabel().startswith("component 1")
    few = viz.gallery_map(gallery, ids=range(29)).axes[0]
    assert few.get_xlabel().startswith("component 1")


@pytest.mark.parametrize(
    ("lowest", "highest", "wanted"),
    [
        (0.31, 0.83, (0.3, 0.9)),
        (0.1, 0.95, (0.0, 1.0)),
        (0.92, 0.985, (0.9, 1.0)),
        (0.981, 0.992, (0.98, 1.0)),
        (1.0, 1.0, (0.9, 1.0)),
        (0.0, 0.0, (0.0, 0.1)),
        (0.63, 0.63, (0.5, 0.7)),
        (0.62, 0.78, (0.6, 0.8)),
    ],
)
def test_the_axis_of_a_cmc_fits_its_curves(lowest, highest, wanted):
    from sanreid.viz.figures.plots import cmc_range

    assert cmc_range(lowest, highest) == wanted


def test_curves_that_differ_fill_the_axis(report):
    curves = {"a": np.array([0.90, 0.95]), "b": np.array([0.92, 0.96])}
    near = {name: replace(report, cmc=cmc) for name, cmc in curves.items()}
    low, high = viz.cmc_figure(near).axes[0].get_ylim()
    assert 0.88 <= low < 0.9
    assert 0.96 < high < 0.99
