from __future__ import annotations

import sys

import numpy as np
import pytest

from sanreid.errors import MissingExtraError
from sanreid.gallery import Gallery, Hit


@pytest.fixture
def result():
    gallery = Gallery(2)
    gallery.add(
        [[1, 0], [1, 1], [0, 1]],
        pids=[7, "<b>&", None],
        camids=[1, None, 3],
        timestamps=[0.5, None, 2.0],
        metadata=[{"path": "<script>alert(1)</script>"}, {"n": 1}, None],
    )
    return gallery.search([[1, 0], [-1, -1]], k=2, min_similarity=0.5)


def test_hits_hold_everything(result):
    first, second = result[0]
    assert first == Hit(0, 1.0, 7, 1, 0.5, {"path": "<script>alert(1)</script>"})
    assert (second.pid, second.camid, second.timestamp) == ("<b>&", None, None)
    assert second.metadata == {"n": 1}
    assert type(first.id) is int
    assert type(first.similarity) is float
    assert result[1] == []


def test_results_are_sequences_of_lists(result):
    assert len(result) == 2
    assert [len(hits) for hits in result] == [2, 0]
    assert result[-1] == []
    assert result[np.int64(0)] == result[0]
    with pytest.raises(IndexError):
        result[2]
    with pytest.raises(TypeError, match="one query's number"):
        result[0:1]


def test_a_result_stays_what_it_was():
    gallery = Gallery(2)
    gallery.add([[1, 0]], pids=[1], metadata=[{"a": 1}])
    result = gallery.search([[1, 0]], k=1)
    assert repr(result).startswith("SearchResult(1 query, k=1, 1 hit)")
    gallery.update([0], pids=[2], metadata=[{"a": 2}])
    gallery.remove([0])
    gallery.compact()
    assert (result[0][0].pid, result[0][0].metadata) == (1, {"a": 1})


def test_repr_shows_the_best_and_html_escapes(result):
    assert repr(result).splitlines() == [
        "SearchResult(2 queries, k=2, 2 hits)",
        "  [0] 1.000 id=0 pid=7, 0.707 id=1 pid='<b>&'",
        "  [1] no hits",
    ]
    page = result._repr_html_()
    assert "&lt;b&gt;&amp;" in page
    assert "<script" not in page
    assert "no hits" in page


def test_long_results_are_cut_in_shown_forms():
    gallery = Gallery(2)
    gallery.add(np.ones((20, 2)))
    result = gallery.search(np.ones((12, 2)), k=15)
    assert repr(result).splitlines()[1].endswith("...")
    assert repr(result).splitlines()[-1] == "  ..."
    assert "the first 10 queries and 10 hits are shown" in result._repr_html_()


def test_to_pandas_is_one_line_a_hit(result):
    pandas = pytest.importorskip("pandas", reason="the viz extra is not installed")
    frame = result.to_pandas()
    assert isinstance(frame, pandas.DataFrame)
    assert frame["rank"].tolist() == [1, 2]
    assert frame["query"].tolist() == [0, 0]
    assert frame["pid"].tolist() == [7, "<b>&"]
    assert frame["metadata"].tolist()[1] == {"n": 1}
    plain = Gallery(2)
    plain.add([[1, 0], [1, 1]], pids=[2**53 + 1, None], camids=[1, None])
    frame = plain.search([[1, 0]], k=2).to_pandas()
    assert frame["pid"].tolist() == [2**53 + 1, None]
    assert frame["camid"].tolist() == [1, None]
    assert frame["timestamp"].isna().all()
    empty = Gallery(2).search([[1, 0]]).to_pandas()
    assert empty["timestamp"].dtype == frame["timestamp"].dtype == "float64"
    assert list(empty.columns) == list(frame.columns)


def test_without_pandas_the_extra_is_named(result, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(MissingExtraError, match=r"sanreid\[viz\]"):
        result.to_pandas()
