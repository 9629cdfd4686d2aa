"""``--travel-times``: entries that nobody can have reached in the time between are left out."""

from __future__ import annotations

import pytest

from sanreid.cli import main
from sanreid.cli.gallery.travelling import read_travel_times
from sanreid.errors import DatasetError
from tests.people import rendered_person


@pytest.fixture(scope="module")
def timed(people, tiny, tmp_path_factory):
    """Person 1 under camera 1 at 0 s, and under camera 2 at 100 s; person 2 at "gate", 30 s."""
    folder = tmp_path_factory.mktemp("timed")
    first, second, third = sorted(people.iterdir())[:5:2]
    rows = [f"{first},1,1,0", f"{second},1,2,100", f"{third},2,gate,30"]
    (folder / "crops.csv").write_text("\n".join(["path,pid,camid,timestamp", *rows]))
    (folder / "queries.csv").write_text(f"FILE,WHERE,WHEN\n{first},1,50\n{second},2,30\n")
    build = ["gallery", "build", str(folder / "crops.csv"), str(folder / "g"), "--weights", tiny]
    assert main(build) == 0
    return folder


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "travel.csv"
    path.write_text("camid_a,camid_b,min_gap_s,max_gap_s\n2,1,60,\ngate,1,,20\n")
    return path


def found(rows):
    return [[hit["camid"] for hit in row["hits"]] for row in rows]


def test_search_and_identify_take_travel_times(run_json, timed, table, people, tiny):
    query = min(people.iterdir())
    command = ("gallery", "search", timed / "g", query, "--weights", tiny, "--camid", 1)
    travel = ("--travel-times", table)
    everything = found(run_json(*command))
    assert sorted(map(str, everything[0])) == ["1", "2", "gate"]
    for when, wanted in (
        (40, ["1", "2", "gate"]),  # 60 s to camera 2, which is the least; 10 s to the gate
        (50, ["1", "gate"]),  # 50 s to camera 2; 20 s to the gate, which is the most
        (51, ["1"]),
        ("1970-01-01T00:01:40Z", ["1"]),
    ):
        hits = found(run_json(*command, *travel, "--timestamp", when))
        assert sorted(map(str, hits[0])) == wanted, when
    command = ("gallery", "identify", timed / "g", query, "--threshold", -1, "--camid", 3)
    (row,) = run_json(*command, "--weights", tiny, *travel, "--timestamp", 0)
    assert row["nearest"] == 1


def test_queries_of_a_table(run_json, timed, table, tiny):
    rows = run_json(
        "gallery", "search", timed / "g", timed / "queries.csv", "--weights", tiny,
        "--columns", "path=FILE,camid=WHERE,timestamp=WHEN", "--travel-times", table,
    )  # fmt: skip
    assert [sorted(map(str, row)) for row in found(rows)] == [["1", "gate"], ["2", "gate"]]


@pytest.mark.parametrize(
    ("text", "options", "wanted"),
    [
        ("path,timestamp\nq.jpg,0", ("--travel-times",), "has the camid of no query"),
        ("path,camid\nq.jpg,1", ("--travel-times",), "has the timestamp of no query"),
        ("path,camid,timestamp\nq.jpg,1,", ("--travel-times",), "which --travel-times needs"),
        ("path\nq.jpg", ("--same-camera", "exclude"), "which --same-camera exclude needs"),
    ],
)
def test_a_rule_without_effect_is_refused(run, timed, table, tmp_path, text, options, wanted):
    queries = tmp_path / "queries.csv"
    queries.write_text(text)
    more = [table] if options == ("--travel-times",) else []
    status, out, err = run("gallery", "search", timed / "g", queries, *options, *more)
    assert (status, out) == (1, "")
    assert wanted in err


@pytest.mark.parametrize("options", [("--same-camera", "exclude"), ("--travel-times", "t.csv")])
def test_a_rule_of_cameras_that_no_name_tells_is_refused(run, timed, table, tmp_path, options):
    rendered_person(1).save(tmp_path / "holiday.jpg")
    if "t.csv" in options:
        options = ("--travel-times", table, "--timestamp", 0)
    command = ("gallery", "search", timed / "g", tmp_path / "holiday.jpg", "--names", "auto")
    status, out, err = run(*command, *options)
    assert (status, out) == (1, "")
    assert f"The name of no query tells its camera, which {options[0]}" in err


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        (("--timestamp", 3), "--timestamp needs --travel-times"),
        (("--travel-times", "t.csv"), "--travel-times needs --camid or --names, or a table"),
        (("--travel-times", "t.csv", "--camid", 1), "--travel-times needs --timestamp, or a"),
        (("--timestamp", "noon"), "'noon' is neither seconds nor a time"),
        (("--timestamp", ""), "a time is wanted, not an empty text"),
        (("--camid", 1, "--columns", "path=P"), "not allowed with argument"),
        (
            ("--columns", "path=P,cam=C"),
            "--columns reads path, camid and timestamp of queries, not cam",
        ),
        (("--camid", "1.5"), "'1.5' is no camera; wanted a whole number or a name"),
    ],
)
def test_wrong_usage(run, timed, options, wanted, capsys):
    with pytest.raises(SystemExit) as stop:
        run("gallery", "search", timed / "g", "q.jpg", *options)
    assert stop.value.code == 2
    assert wanted in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("camid_a,camid_b\n1,2", "has neither of the columns min_gap_s and max_gap_s"),
        ("camid_a,min_gap_s\n1,2", "camid_b"),
        ("camid_a,camid_b,min_gap_s\n1,,2", "Line 2 of .* does not name two cameras"),
        ("camid_a,camid_b,min_gap_s\n1,2,3\n2,1,3", "Line 3 of .* names 2 and 1 once more"),
        ("camid_a,camid_b,min_gap_s\n1,N/A,2", "Line 2 of .*'N/A' is no camera"),
        ("camid_a,camid_b,min_gap_s\n1,2,-3", "'-3' is no number of seconds of at least 0"),
        ("camid_a,camid_b,max_gap_s\n1,2,inf", "'inf' is no number of seconds"),
        ("camid_a,camid_b,max_gap_s\n1,2,", "lists no travel times"),
    ],
)
def test_wrong_tables(tmp_path, text, wanted):
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(DatasetError, match=wanted):
        read_travel_times(tmp_path / "t.csv")


def test_pairs_in_either_order(table):
    assert read_travel_times(table) == {
        "min_gap_s": {(2, 1): 60.0},
        "max_gap_s": {("gate", 1): 20.0},
    }
