"""``sanreid gallery search`` and ``identify`` with queries whose camera is known."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from sanreid.cli import main
from sanreid.gallery import Gallery

UNKNOWN = "as of an unknown camera"


@pytest.fixture(scope="module")
def normalised(people, tiny, tmp_path_factory):
    path = tmp_path_factory.mktemp("built") / "g"
    build = ["gallery", "build", str(people), str(path), "--weights", tiny, "--normalize-cameras"]
    assert main(build) == 0
    return path


@pytest.fixture
def queries(people):
    return sorted(people.iterdir())[::3]  # under both cameras


def embedded(gallery, queries):
    entries = {entry.metadata["path"]: entry for entry in gallery.get(gallery.ids)}
    return [entries[str(query)].embedding for query in queries]


def similarities(answer):
    return [hit["similarity"] for row in answer for hit in row["hits"]]


@pytest.mark.parametrize("same_camera", ["keep", "exclude"])
@pytest.mark.parametrize("told", ["camid", "names"])
def test_queries_are_of_their_camera(run_json, normalised, queries, tiny, told, same_camera):
    gallery = Gallery.load(normalised)
    camids = [2] * len(queries) if told == "camid" else [int(q.name[6]) for q in queries]
    option = ("--camid", 2) if told == "camid" else ("--names", "market1501")
    answer = run_json(
        "gallery", "search", normalised, *queries, *option, "--same-camera", same_camera,
        "--weights", tiny, "-k", 5,
    )  # fmt: skip
    wanted = gallery.search(
        embedded(gallery, queries), 5, query_camids=camids, same_camera=same_camera
    )
    assert similarities(answer) == pytest.approx(wanted.similarities.ravel().tolist(), abs=1e-4)
    found = {hit["camid"] for row in answer for hit in row["hits"]}
    assert found == ({1} if same_camera == "exclude" and told == "camid" else {1, 2})


def test_identify_knows_the_camera(run_json, normalised, queries, tiny):
    gallery = Gallery.load(normalised)
    command = ("gallery", "identify", normalised, *queries, "--threshold", -1, "--weights", tiny)
    for options, keywords in (
        (("--camid", 1), {"query_camids": [1] * len(queries), "same_camera": "keep"}),
        ((), {}),
    ):
        answer = run_json(*command, *options)
        wanted = gallery.identify(embedded(gallery, queries), threshold=-1.0, **keywords)
        assert [row["similarity"] for row in answer] == pytest.approx(
            [one.similarity for one in wanted], abs=1e-4
        )


def test_cameras_with_names(run, run_json, normalised, queries, tiny, tmp_path):
    plain = Gallery.load(normalised)
    entries = plain.get(plain.ids)
    gallery = Gallery(16)
    gallery.add(
        [entry.embedding for entry in entries],
        camids=["hall" if entry.camid == 1 else "yard" for entry in entries],
    )
    gallery.normalize_cameras()
    assert sorted(gallery.camera_names.values()) == ["hall", "yard"]
    gallery.save(tmp_path / "named")
    search = ("gallery", "search", tmp_path / "named", queries[0], "--weights", tiny)
    answer = run_json(*search, "--camid", "hall", "--same-camera", "exclude")
    wanted = gallery.search(embedded(plain, queries[:1]), query_camids=["hall"])
    assert similarities(answer) == pytest.approx(wanted.similarities[0, :8].tolist(), abs=1e-4)
    assert {hit["camid"] for hit in answer[0]["hits"]} == {"yard"}
    assert run(*search, "--camid", "hall")[2] == ""
    listed = run_json("gallery", "normalize-cameras", tmp_path / "named")["cameras"]
    assert {row["camid"] for row in listed} == {"hall", "yard"}


def test_what_is_not_known_is_said_once(run, normalised, queries, tiny, tmp_path):
    search = ("gallery", "search", normalised, "--weights", tiny)
    odd = Path(shutil.copy(queries[0], tmp_path / "odd.jpg"))
    for told, words in (
        ((*queries,), f"all queries count {UNKNOWN}; --camid or --names"),
        ((odd, "--names", "auto"), f"the query counts {UNKNOWN};"),
        ((odd, *queries, "--names", "auto"), f"1 of {len(queries) + 1} queries counts {UNKNOWN};"),
        ((odd, "--camid", 7), f"the query counts {UNKNOWN} (it has no mean of camera 7)"),
        ((odd, "--camid", "hall"), f"the query counts {UNKNOWN} (it has no mean of camera hall)"),
        ((odd, "--camid", 1), ""),
        ((*queries, "--names", "market1501"), ""),
    ):
        status, _, err = run(*search, *told)
        assert status == 0
        assert err.count("\n") == bool(words)
        assert words in err


def test_a_plain_gallery_needs_no_camera(run, people, queries, tiny, tmp_path):
    gallery = Gallery(16)
    gallery.add([[1.0] * 16, [2.0] + [1.0] * 15], camids=[1, 2])
    gallery.save(tmp_path / "plain")
    search = ("gallery", "search", tmp_path / "plain", queries[0], "--weights", tiny)
    plain, told = run(*search), run(*search, "--camid", 1)
    assert (plain[0], plain[2]) == (0, "")
    assert told == plain
    table = run(*search, "--camid", 1, "--same-camera", "exclude")[1]
    assert len(table.splitlines()) == len(plain[1].splitlines()) - 1


@pytest.mark.parametrize(
    "wrong",
    [("--same-camera", "exclude"), ("--camid", " "), ("--camid", 1, "--names", "auto"),
     ("--same-camera", "other")],
)  # fmt: skip
def test_wrong_options_are_usage(run, normalised, queries, wrong):
    with pytest.raises(SystemExit) as caught:
        run("gallery", "search", normalised, queries[0], *wrong)
    assert caught.value.code == 2


def test_names_of_another_scheme_are_told_before_the_work(run, normalised, tmp_path, queries):
    odd = shutil.copy(queries[0], tmp_path / "odd.jpg")
    status, text, err = run("gallery", "search", normalised, odd, "--names", "market1501")
    assert (status, text, err.count("\n")) == (1, "", 1)
    assert "odd.jpg" in err
    status, _, err = run("gallery", "search", normalised, queries[0], "--camid", 2**70)
    assert (status, err.count("\n")) == (1, 1)


def test_a_folder_of_queries_that_cannot_be_read_is_named(run, normalised, people, tiny, tmp_path):
    folder = Path(shutil.copytree(people, tmp_path / "queries"))
    (folder / "away").symlink_to("nowhere")
    command = ("gallery", "search", normalised, folder, "--names", "auto", "--weights", tiny)
    assert run(*command)[0] == 1
    status, _, err = run(*command, "--on-error", "collect")
    assert status == 0
    assert f"sanreid: skipped {folder / 'away'}: " in err


@pytest.mark.parametrize("on_error", ["raise", "collect"])
def test_a_query_needs_no_name_in_utf8(run_json, normalised, queries, tiny, tmp_path, on_error):
    name = tmp_path / os.fsdecode(b"0001_c1s1_\xff.jpg")
    try:
        shutil.copy(queries[0], name)
    except (OSError, UnicodeError):
        pytest.skip("the file system allows UTF-8 names alone")
    (row,) = run_json("gallery", "search", normalised, name, "--names", "auto", "-k", 1,
                      "--weights", tiny, "--on-error", on_error)  # fmt: skip
    assert os.fsencode(row["query"]) == os.fsencode(name)
    assert len(row["hits"]) == 1
