"""``sanreid gallery normalize-cameras``, ``cluster``, ``search --rerank --expand``."""

from __future__ import annotations

import csv
import io
import shutil
from pathlib import Path

import numpy as np
import pytest

from sanreid.cli import main
from sanreid.gallery import Gallery


@pytest.fixture(scope="module")
def once(people, tiny, tmp_path_factory):
    path = tmp_path_factory.mktemp("built") / "g"
    assert main(["gallery", "build", str(people), str(path), "--weights", tiny]) == 0
    return path


@pytest.fixture
def built(once, tmp_path):
    return Path(shutil.copytree(once, tmp_path / "g"))


@pytest.fixture
def unnamed(tmp_path):
    """Three people, four crops each under two cameras; person 0 named, one crop apart."""
    rng = np.random.default_rng(0)
    centres = np.repeat(np.eye(16)[:3], 4, axis=0)
    rows = np.vstack([centres + 0.05 * rng.standard_normal((12, 16)), np.eye(16)[15]])
    gallery = Gallery(16)
    gallery.add(
        rows,
        pids=["anna", *[None] * 12],
        camids=[1, 2] * 6 + [1],
        timestamps=[*range(12), 99.5],
    )
    gallery.save(tmp_path / "unnamed")
    return tmp_path / "unnamed"


def stored(path, camids):
    gallery = Gallery(4)
    rows = np.random.default_rng(1).standard_normal((len(camids), 4))
    gallery.add(rows, camids=camids)
    gallery.save(path)
    return path


def test_normalize_cameras_and_off(run, run_json, built):
    status, text, err = run("gallery", "normalize-cameras", built)
    assert (status, err) == (0, "")
    assert text == f"{built}: 2 cameras normalised, means of 16 entries\n"
    assert Gallery.load(built).camera_normalizer.counts == {1: 8, 2: 8}
    assert run_json("gallery", "info", built)["normalized_cameras"] == 2

    status, text, _ = run("gallery", "normalize-cameras", built, "--off")
    assert (status, text) == (0, f"{built}: camera normalisation is off\n")
    assert Gallery.load(built).camera_normalizer is None


def test_shrinkage_is_that_of_the_library(run_json, built):
    answer = run_json("gallery", "normalize-cameras", built, "--shrinkage", 0.25)
    assert answer == {
        "path": str(built),
        "cameras": [{"camid": 1, "entries": 8}, {"camid": 2, "entries": 8}],
    }
    wanted = Gallery.load(built).normalize_cameras(shrinkage=0.25)
    np.testing.assert_array_equal(Gallery.load(built).camera_normalizer.means, wanted.means)
    assert not np.allclose(wanted.means, Gallery.load(built).normalize_cameras().means)


def test_a_calibration_that_is_dropped_is_said(run, built):
    assert run("gallery", "calibrate", built, "--false-match-rate", 0.2)[0] == 0
    _, _, err = run("gallery", "normalize-cameras", built)
    assert err == "sanreid: similarities are others now: repeat 'sanreid gallery calibrate'\n"
    assert Gallery.load(built).calibration is None


@pytest.mark.parametrize(
    ("camids", "message"),
    [([3, 3, 3], "at least two; got 1 (3)"), ([None, None], "this gallery has none")],
)
def test_normalize_cameras_refuses(run, tmp_path, camids, message):
    path = stored(tmp_path / "g", camids)
    status, text, err = run("gallery", "normalize-cameras", path)
    assert (status, text, err.count("\n")) == (1, "", 1)
    assert message in err
    assert Gallery.load(path).camera_normalizer is None


@pytest.mark.parametrize("wrong", [["--shrinkage", "2"], ["--shrinkage", "x"],
                                   ["--off", "--shrinkage", "0"]])  # fmt: skip
def test_wrong_options_are_usage(run, built, wrong):
    with pytest.raises(SystemExit) as caught:
        run("gallery", "normalize-cameras", built, *wrong)
    assert caught.value.code == 2


def test_build_normalizes(run, people, tiny, built, tmp_path):
    path = tmp_path / "normalised"
    command = ("gallery", "build", people, path, "--weights", tiny, "--normalize-cameras")
    status, text, _ = run(*command)
    assert (status, text.split(", ", 1)[1]) == (0, "16 entries, 2 cameras normalised\n")
    wanted = Gallery.load(built).normalize_cameras()
    assert Gallery.load(path).camera_normalizer.counts == wanted.counts
    np.testing.assert_allclose(Gallery.load(path).camera_normalizer.means, wanted.means, atol=1e-6)


@pytest.mark.parametrize("names", ["none", "auto"])
def test_build_refuses_one_camera_before_the_long_work(run, people, tmp_path, names, monkeypatch):
    (tmp_path / "crops").mkdir()
    for path in people.glob("*_c1*"):
        shutil.copy(path, tmp_path / "crops")
    monkeypatch.setattr("sanreid.cli.gallery.building.load_encoder", _Encoder)
    status, _, err = run(
        "gallery", "build", tmp_path / "crops", tmp_path / "g", "--normalize-cameras",
        "--names", names,
    )  # fmt: skip
    said = "tell none" if names == "none" else "tell 1."
    assert (status, err.count("\n"), said in err) == (1, 1, True)
    assert not (tmp_path / "g").exists()


class _Encoder:
    """Knows its kind, and embeds nothing."""

    embedding_dim, fingerprint = 4, "00"

    def __init__(self, _args):
        pass


def test_cluster_proposes_and_changes_nothing(run, run_json, unnamed):
    answer = run_json("gallery", "cluster", unnamed)
    assert [row["crops"] for row in answer["clusters"]] == [4, 4, 4]
    assert [sorted(row["ids"]) for row in answer["clusters"]] == [
        [0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11],
    ]  # fmt: skip
    first, second, _ = answer["clusters"]
    assert (first["pids"], first["proposed"], first["cameras"]) == (["anna"], "anna", [1, 2])
    assert (second["pids"], second["proposed"]) == ([], 1)
    assert (second["first"], second["last"]) == (4, 7)
    found = Gallery.load(unnamed).cluster()
    assert first["confidence"] == pytest.approx(found.confidence[:4].mean())
    assert (answer["alone"], answer["assigned"]) == ([12], None)

    _, table, err = run("gallery", "cluster", unnamed)
    assert table.splitlines()[0].split() == [
        "cluster", "crops", "cameras", "first", "last", "confidence", "pids", "proposed",
    ]  # fmt: skip
    assert table.splitlines()[2].split()[:6] == ["0", "4", "1,", "2", "0", "3"]
    assert "13 entries: 3 clusters, 1 alone; --apply gives 11 entries" in err
    assert Gallery.load(unnamed).counts("pid") == {"anna": 1, None: 12}


def test_cluster_applies(run, run_json, unnamed):
    answer = run_json("gallery", "cluster", unnamed, "--apply")
    assert answer["assigned"] == [
        {"id": number, "pid": "anna" if number < 4 else number // 4, "previous": None}
        for number in range(1, 12)
    ]
    assert Gallery.load(unnamed).counts("pid") == {"anna": 4, 1: 4, 2: 4, None: 1}
    _, _, err = run("gallery", "cluster", unnamed, "--apply")
    assert "0 entries were given a person" in err


def test_cluster_some_of_the_entries_with_a_threshold(run, run_json, unnamed):
    where = ("--where", '{"camid": 2}')
    answer = run_json("gallery", "cluster", unnamed, *where)
    assert [row["ids"] for row in answer["clusters"]] != []
    assert {number % 2 for row in answer["clusters"] for number in row["ids"]} == {1}
    pure = run_json("gallery", "cluster", unnamed, *where, "--threshold", 2)
    assert (pure["threshold"], pure["clusters"], len(pure["alone"])) == (2, [], 6)
    status, table, err = run("gallery", "cluster", unnamed, *where, "--threshold", 2)
    assert (status, len(table.splitlines()), "0 clusters, 6 alone" in err) == (0, 2, True)


def test_cluster_keeps_tracklets_whole(run_json, unnamed):
    with Gallery.open(unnamed) as gallery:
        gallery.update([8, 12], metadata=[{"track": "t1"}] * 2)
    answer = run_json("gallery", "cluster", unnamed, "--tracklets", "track")
    assert (sorted(answer["clusters"][2]["ids"]), answer["alone"]) == ([8, 9, 10, 11, 12], [])


def test_cluster_csv(run, unnamed):
    _, text, _ = run("gallery", "cluster", unnamed, "--csv")
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [(row["cluster"], row["cameras"], row["pids"]) for row in rows] == [
        ("0", "1, 2", "anna"), ("1", "1, 2", ""), ("2", "1, 2", ""),
    ]  # fmt: skip


@pytest.mark.parametrize("camids", [[None] * 6, [1] * 6, [1, 2]])
def test_cluster_without_several_cameras_and_of_two_crops(run_json, tmp_path, camids):
    path = stored(tmp_path / "g", camids)
    answer = run_json("gallery", "cluster", path)
    grouped = [number for row in answer["clusters"] for number in row["ids"]]
    assert sorted(grouped + answer["alone"]) == list(range(len(camids)))
    assert all(row["first"] is row["last"] is None for row in answer["clusters"])


@pytest.mark.parametrize(
    ("camids", "options", "message"),
    [
        ([1], [], "at least two entries"),
        ([1, 2], ["--where", '{"camid": 9}'], "at least two entries"),
        ([1, 2], ["--threshold", "0"], "threshold is a similarity above 0"),
        ([1, 2], ["--where", '{"camid": {"$near": 9}}'], "$near"),
    ],
)
@pytest.mark.parametrize("apply", [(), ("--apply",)])
def test_cluster_refuses(run, tmp_path, camids, options, message, apply):
    path = stored(tmp_path / "g", camids)
    status, text, err = run("gallery", "cluster", path, *options, *apply)
    assert (status, text, err.count("\n")) == (1, "", 1)
    assert message in err


@pytest.mark.parametrize("action", ["cluster", "normalize-cameras"])
def test_a_path_without_a_gallery(run, tmp_path, action):
    status, _, err = run("gallery", action, tmp_path / "no")
    assert (status, "no gallery" in err) == (1, True)


@pytest.mark.parametrize(
    ("options", "keywords"),
    [(["--rerank"], {"rerank": True}), (["--expand", "3"], {"expand": 3})],
)
def test_search_looks_twice(run_json, built, people, tiny, options, keywords):
    query = min(people.iterdir())
    search = ("gallery", "search", built, query, "-k", 8, "--weights", tiny)
    (plain,), (row,) = run_json(*search), run_json(*search, *options)
    gallery = Gallery.load(built)
    (entry,) = [one for one in gallery.get(gallery.ids) if one.metadata["path"] == str(query)]
    wanted = gallery.search(entry.embedding, 8, **keywords)
    assert [hit["id"] for hit in row["hits"]] == wanted.ids[0].tolist()
    similarities = [hit["similarity"] for hit in row["hits"]]
    assert similarities == pytest.approx(wanted.similarities[0].tolist(), abs=1e-5)
    assert similarities != pytest.approx([hit["similarity"] for hit in plain["hits"]], abs=1e-5)
