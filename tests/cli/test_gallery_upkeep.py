"""``sanreid gallery remove``, ``compact``, ``calibrate``, ``identify``; bad queries."""

from __future__ import annotations

import csv
import io
import shutil
from pathlib import Path

import numpy as np
import pytest

from sanreid import SANEncoder
from sanreid.cli import main
from sanreid.encoder import DefaultThreshold
from sanreid.gallery import Gallery
from tests.people import rendered_person, write_people


@pytest.fixture(scope="module")
def once(tiny, tmp_path_factory):
    folder = tmp_path_factory.mktemp("kept")
    write_people(folder / "crops", identities=8, cameras=4, size=(64, 32))
    command = ["gallery", "build", str(folder / "crops"), str(folder / "g"), "--weights", tiny]
    assert main(command) == 0
    return folder


@pytest.fixture
def built(once, tmp_path):
    return Path(shutil.copytree(once / "g", tmp_path / "g"))


def test_remove_by_id_and_by_filter_then_compact(run, run_json, built):
    status, text, _ = run("gallery", "remove", built, 0, 1)
    assert (status, text.split(";")[0]) == (0, f"{built}: 2 removed, 30 entries")
    answer = run_json("gallery", "remove", built, "--where", '{"pid": {"$in": [2, 3]}}')
    assert (answer["removed"], answer["entries"]) == (8, 22)
    size = sum(path.stat().st_size for path in built.iterdir())
    assert run_json("gallery", "compact", built) == {"path": str(built), "entries": 22}
    assert sum(path.stat().st_size for path in built.iterdir()) < size
    assert len(Gallery.load(built)) == 22


def test_remove_refuses(run, built, capsys):
    status, _, err = run("gallery", "remove", built, 999)
    assert (status, "999" in err) == (1, True)
    for wrong in ([], ["0", "--where", "{}"]):
        with pytest.raises(SystemExit) as caught:
            run("gallery", "remove", built, *wrong)
        assert caught.value.code == 2
        assert "pass ids, or --where JSON" in capsys.readouterr().err
    assert len(Gallery.load(built)) == 32


def test_calibrate_then_identify(run, run_json, once, built, tiny):
    query = min((once / "crops").iterdir())
    status, _, err = run("gallery", "identify", built, query, "--weights", tiny)
    assert (status, "not calibrated: run 'sanreid gallery calibrate'" in err) == (1, True)
    rate = ("--false-match-rate", 0.2)
    own = run_json("gallery", "calibrate", built, *rate)
    named = run_json("gallery", "calibrate", built, once / "crops", *rate, "--weights", tiny)
    assert own["threshold"] == pytest.approx(named["threshold"], abs=1e-3)
    assert own["num_people"] == 8
    status, text, _ = run("gallery", "calibrate", built, *rate)
    assert text.startswith(f"{built}: threshold 0.")
    (row,) = run_json("gallery", "identify", built, query, "--weights", tiny)
    assert (row["query"], row["pid"], row["nearest"]) == (str(query), 1, 1)
    assert row["similarity"] == pytest.approx(1, abs=1e-3)
    (row,) = run_json(
        "gallery", "identify", built, query, "--weights", tiny, "--threshold", 1,
        "--where", '{"pid": {"$ne": 1}}',
    )  # fmt: skip
    assert (row["pid"], row["nearest"] != 1) == (None, True)


@pytest.mark.parametrize("rate", ["2", "-0.5", "much"])
def test_a_rate_is_a_share(run, tmp_path, capsys, rate):
    with pytest.raises(SystemExit) as stop:
        run("gallery", "calibrate", tmp_path, f"--false-match-rate={rate}")
    assert stop.value.code == 2
    assert f"a number from 0 to 1 is wanted, not '{rate}'" in capsys.readouterr().err


def test_calibrate_without_people(run, tmp_path):
    gallery = Gallery(2)
    gallery.add([[1, 0]])
    gallery.save(tmp_path / "g")
    status, _, err = run("gallery", "calibrate", tmp_path / "g")
    assert (status, "No entry of this gallery has a person" in err) == (1, True)


@pytest.mark.parametrize(
    "option", [("--names", "cuhk03"), ("--on-error", "collect"), ("--weights", "w")]
)
def test_calibrate_reads_no_files_without_a_source(run, built, capsys, option):
    with pytest.raises(SystemExit) as caught:
        run("gallery", "calibrate", built, *option)
    assert caught.value.code == 2
    assert f"{option[0]} needs SOURCE" in capsys.readouterr().err


def test_calibrate_passes_over_what_cannot_be_read(run, once, built, tiny, tmp_path):
    crops = Path(shutil.copytree(once / "crops", tmp_path / "crops"))
    (crops / "away").symlink_to("nowhere")
    command = ("gallery", "calibrate", built, crops, "--false-match-rate", 0.2, "--weights", tiny)
    status, _, err = run(*command)
    assert (status, "away" in err) == (1, True)
    status, text, err = run(*command, "--on-error", "collect")
    assert status == 0, err
    assert "; 8 people, " in text
    assert err.startswith(f"sanreid: skipped {crops / 'away'}: ")
    (tmp_path / "none").mkdir()
    (tmp_path / "none" / "away").symlink_to("nowhere")
    status, _, err = run(
        "gallery",
        "calibrate",
        built,
        tmp_path / "none",
        "--on-error",
        "collect",
        "--weights",
        tiny,
    )
    assert status == 1
    assert "None of the 1 files could be read" in err


@pytest.mark.parametrize("action", ["search", "identify"])
@pytest.mark.parametrize(
    "bad",
    [b"404", b"", b"\xff\xd8\xff\xe0", b"version https://git-lfs.github.com/spec/v1\n", None],
)
def test_a_bad_query_among_good_ones(run, built, tiny, tmp_path, action, bad):
    rendered_person(1, size=(64, 32)).save(tmp_path / "a.png")
    if bad is not None:
        (tmp_path / "b.jpg").write_bytes(bad)
    else:
        (tmp_path / "b.jpg").symlink_to("gone")
    command = ("gallery", action, built, tmp_path / "a.png", tmp_path / "b.jpg", "--weights", tiny)
    command += ("--threshold", "0") if action == "identify" else ("-k", 1)
    assert run(*command)[0] == 1
    status, text, err = run(*command, "--on-error", "collect", "--csv")
    assert status == 0
    assert f"sanreid: skipped {tmp_path / 'b.jpg'}: " in err
    assert [row["query"] for row in csv.DictReader(io.StringIO(text))] == [str(tmp_path / "a.png")]


@pytest.mark.parametrize("action", ["remove", "compact", "identify", "calibrate", "sync"])
def test_a_path_without_a_gallery(run, tmp_path, action):
    arguments = {"remove": [0], "identify": [tmp_path]}.get(action, [])
    command = ["gallery", action, *([tmp_path] if action == "sync" else []), tmp_path / "no"]
    status, _, err = run(*command, *arguments)
    assert (status, "no gallery" in err) == (1, True)


def test_calibrate_from_tracklets(run, run_json, built, tiny, tmp_path):
    rng = np.random.default_rng(0)
    gallery = Gallery(4)
    for track in range(6):
        gallery.add(
            rng.standard_normal(4) + 0.3 * rng.standard_normal((5, 4)),
            camids=[1] * 5,
            timestamps=np.arange(5.0),
            metadata=[{"track": track}] * 5,
        )
    gallery.save(tmp_path / "g")
    command = ("gallery", "calibrate", tmp_path / "g", "--tracklets", "track")
    answer = run_json(*command, "--false-match-rate", 0.1)
    assert (answer["source"], answer["num_people"], answer["num_genuine"]) == ("tracklets", 6, 60)
    status, text, _ = run(*command)
    assert status == 0
    assert "; 6 tracklets, 60 and 375 pairs" in text
    status, _, err = run("gallery", "calibrate", tmp_path / "g", "--tracklets", "no")
    assert (status, "No entry of this gallery has 'no' in its metadata" in err) == (1, True)
    with pytest.raises(SystemExit) as stopped:
        run("gallery", "calibrate", tmp_path / "g", tmp_path, "--tracklets", "track")
    assert stopped.value.code == 2


def test_identify_by_the_threshold_of_the_weights(run, once, built, tiny, monkeypatch):
    query = min((once / "crops").iterdir())
    command = ("gallery", "identify", built, query, "--weights", tiny)
    default = DefaultThreshold(0.5, 0.01, 0.3, "crops of a test")
    monkeypatch.setattr(SANEncoder, "default_threshold", default)
    status, _, err = run(*command)
    assert status == 0
    assert "under the default threshold 0.5 of" in err
    assert "1.0% of pairs of two people passed on crops of a test" in err
    status, _, err = run(*command, "--threshold", 0.2)
    assert (status, "default" in err) == (0, False)
    assert run("gallery", "calibrate", built, "--false-match-rate", 0.2)[0] == 0
    assert "default" not in run(*command)[2]
    assert run("gallery", "normalize-cameras", built)[0] == 0
    status, _, err = run(*command)
    assert (status, "not calibrated" in err) == (1, True)
