"""``sanreid evaluate``."""

from __future__ import annotations

import csv
import io
import re

import numpy as np
import pytest

import sanreid
from sanreid.datasets import read_crops
from tests.people import rendered_person, write_people


@pytest.fixture(scope="module")
def split(tmp_path_factory):
    """A query folder (camera 1) and a gallery folder (camera 2) with a distractor and junk."""
    root = tmp_path_factory.mktemp("split")
    for path in write_people(root / "gallery", identities=5, cameras=2, size=(64, 32)):
        if "_c1" in path.name:
            (root / "query").mkdir(exist_ok=True)
            path.rename(root / "query" / path.name)
    rendered_person(8, 2, size=(64, 32)).save(root / "gallery" / "0000_c2s1_000001_00.jpg")
    rendered_person(9, 2, size=(64, 32)).save(root / "gallery" / "-1_c2s1_000001_00.jpg")
    return root


def expected(tiny, query, gallery):
    encoder = sanreid.SANEncoder.from_pretrained(
        tiny, device="auto", dtype="auto", local_files_only=False
    )
    q, g = read_crops(query), read_crops(gallery)
    return sanreid.evaluate(
        encoder.encode(q.paths), q.pids, q.camids, encoder.encode(g.paths), g.pids, g.camids
    )


def test_query_against_gallery(run_json, tiny, split):
    answer = run_json(
        "evaluate", "--query", split / "query", "--gallery", split / "gallery", "--weights", tiny
    )
    report = expected(tiny, split / "query", split / "gallery")
    assert answer["mAP"] == pytest.approx(report.mAP)
    assert answer["rank1"] == pytest.approx(report.rank1)
    np.testing.assert_allclose(answer["cmc"], report.cmc)
    assert (answer["num_valid_queries"], answer["num_gallery"]) == (5, 6)  # junk is no entry
    assert len(answer["results"]) == 1
    assert answer["fingerprint"]


def test_rerank_adds_a_second_result(run_json, tiny, split):
    answer = run_json(
        "evaluate", "--query", split / "query", "--gallery", split / "gallery", "--rerank",
        "--weights", tiny,
    )  # fmt: skip
    assert [result["reranked"] for result in answer["results"]] == [False, True]
    assert answer["mAP"] == answer["results"][0]["mAP"]


def test_both_ways_print_the_same_keys(run_json, tiny, split, people):
    query = ("--query", split / "query", "--gallery", split / "gallery")
    pair = run_json("evaluate", *query, "--weights", tiny)
    folder = run_json("evaluate", "--folder", people, "--weights", tiny)
    assert list(pair) == list(folder)
    assert list(pair["results"][0]) == list(folder["results"][0])
    for answer in (pair, folder):
        low, high = answer["mAP_interval"]
        assert low <= answer["mAP"] <= high


def test_the_table_and_csv(run, tiny, people):
    command = ("evaluate", "--folder", people, "--rerank", "--weights", tiny)
    status, table, _ = run(*command)
    assert status == 0
    lines = table.splitlines()
    assert lines[0].split() == [
        "split", "re-ranked", "queries", "gallery", "mAP", "rank-1", "rank-5", "rank-10", "mINP",
    ]  # fmt: skip
    assert [line.split()[:4] for line in lines[2:]] == [
        ["cross-camera", "no", "16", "8"],
        ["cross-camera", "yes", "16", "8"],
        ["market1501", "no", "16", "16"],
        ["market1501", "yes", "16", "16"],
    ]
    rows = list(csv.DictReader(io.StringIO(run(*command, "--csv")[1])))
    assert [row["split"] for row in rows] == ["cross-camera"] * 2 + ["market1501"] * 2
    assert 0 < float(rows[0]["mAP"]) <= 1


@pytest.mark.parametrize(
    ("split", "queries", "gallery"),
    [("cross-camera", 16, 8), ("market1501", 16, 16), ("first-per-camera", 8, 8)],
)
def test_one_split_alone(run_json, tiny, people, split, queries, gallery):
    answer = run_json(
        "evaluate", "--folder", people, "--split", split, "--rerank", "--weights", tiny
    )
    assert [result["split"] for result in answer["results"]] == [split, split]
    assert (answer["num_queries"], answer["num_gallery"]) == (queries, gallery)


def test_a_person_counted_from_0_is_a_person(run_json, tiny, tmp_path):
    # CUHK03's numbers begin at 0, which in Market-1501 means a distractor.
    for person in range(2):
        for view in (0, 5):
            path = tmp_path / f"{person:04d}_{view:02d}.jpg"
            rendered_person(person + 1, 1 + view // 5, size=(64, 32)).save(path)
    answer = run_json("evaluate", "--folder", tmp_path, "--weights", tiny)
    assert answer["num_valid_queries"] == 4


def test_a_query_folder_numbered_from_0(run_json, tiny, tmp_path):
    for folder, camera in (("query", 1), ("gallery", 2)):
        (tmp_path / folder).mkdir()
        for person in range(3):
            path = tmp_path / folder / f"{person:04d}_c{camera}s1_000001_00.jpg"
            rendered_person(person + 1, camera, size=(64, 32)).save(path)
    answer = run_json(
        "evaluate", "--query", tmp_path / "query", "--gallery", tmp_path / "gallery",
        "--weights", tiny,
    )  # fmt: skip
    assert answer["num_valid_queries"] == 3


def test_queries_without_a_match_are_mentioned(run, tiny, tmp_path):
    write_people(tmp_path, identities=2, cameras=2, size=(64, 32))
    rendered_person(3, 1, size=(64, 32)).save(tmp_path / "0003_c1s1_000001_00.jpg")
    status, _, err = run("evaluate", "--folder", tmp_path, "--weights", tiny)
    assert status == 0
    assert "without a match" in err


def test_pids_choose_people(run_json, run, tiny, people, tmp_path):
    (tmp_path / "two.txt").write_text("0001\n3\n")
    evaluate = ("evaluate", "--folder", people, "--weights", tiny)
    assert run_json(*evaluate, "--pids", tmp_path / "two.txt")["num_queries"] == 8
    assert run_json(*evaluate, "--pids-exclude", tmp_path / "two.txt")["num_queries"] == 8
    (tmp_path / "none.txt").write_text("77")
    status, _, err = run(*evaluate, "--pids", tmp_path / "none.txt")
    assert status == 1
    assert "Nobody in crops is listed in" in err
    status, _, err = run(*evaluate, "--pids", tmp_path / "missing.txt")
    assert status == 1
    assert "missing.txt cannot be read as a list of people" in err
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    status, _, err = run(*evaluate, "--pids", tmp_path / "binary")
    assert status == 1
    assert "binary cannot be read as a list of people" in err
    (tmp_path / "all.txt").write_text("1\n2\n3\n4\n")
    status, _, err = run(*evaluate, "--pids-exclude", tmp_path / "all.txt")
    assert status == 1
    assert "leave no crop of crops" in err


def test_several_folders_and_numbers_used_in_both(run, run_json, tiny, people, tmp_path):
    write_people(tmp_path / "more", identities=2, cameras=2, size=(64, 32), first=5)
    evaluate = ("evaluate", "--folder", people, "--folder", tmp_path / "more", "--weights", tiny)
    status, _, err = run(*evaluate)
    assert status == 1
    assert "2 numbers of people are used in more than one --folder" in err
    assert "--shared-pids" in err
    same = run_json(*evaluate, "--shared-pids", "same")
    different = run_json(*evaluate, "--shared-pids", "different")
    assert same["num_queries"] == different["num_queries"] == 20
    assert same["mAP"] != different["mAP"]


def test_people_with_names_are_matched_by_name(run_json, tiny, tmp_path):
    # Numbered by each folder for itself, ben would be 2 among the queries, 3 in the gallery.
    for folder, names in (("query", ("anna", "ben")), ("gallery", ("anna", "asra", "ben"))):
        for name in names:
            (tmp_path / folder / name).mkdir(parents=True)
            camera = 1 if folder == "query" else 2
            crop = rendered_person(len(name) + ord(name[1]), camera, size=(64, 32))
            crop.save(tmp_path / folder / name / f"c{camera}.png")
    answer = run_json(
        "evaluate", "--query", tmp_path / "query", "--gallery", tmp_path / "gallery",
        "--names", "folders", "--weights", tiny,
    )  # fmt: skip
    assert answer["num_valid_queries"] == 2
    together = run_json(
        "evaluate", "--folder", tmp_path / "query", "--folder", tmp_path / "gallery",
        "--names", "folders", "--shared-pids", "same", "--weights", tiny,
        "--split", "cross-camera",
    )  # fmt: skip
    assert together["num_valid_queries"] == 4


def test_collect_leaves_bad_crops_out(run, run_json, tiny, tmp_path):
    write_people(tmp_path, identities=2, cameras=2, size=(64, 32))
    (tmp_path / "0001_c1s1_000026_00.jpg").write_bytes(b"not a picture")
    evaluate = ("evaluate", "--folder", tmp_path, "--weights", tiny)
    status, _, err = run(*evaluate)
    assert status == 1
    assert "0001_c1s1_000026" in err
    assert run_json(*evaluate, "--on-error", "collect")["num_queries"] == 4


def test_wrong_folders(run, tiny, people, tmp_path):
    status, _, err = run("evaluate", "--folder", tmp_path / "no", "--weights", tiny)
    assert status == 1
    assert "does not exist" in err
    status, _, err = run("evaluate", "--folder", people, "--names", "cuhk01", "--weights", tiny)
    assert status == 1
    assert "are not named as cuhk01" in err
    write_people(tmp_path / "one", identities=3, cameras=1, size=(64, 32))
    status, _, err = run("evaluate", "--folder", tmp_path / "one", "--weights", tiny)
    assert status == 1
    assert re.search(r"No person was seen by two cameras.*--names", err)


@pytest.mark.slow
def test_the_bundled_weights_on_real_crops(run_json, real_data, embed_once):
    answer = run_json("evaluate", "--folder", real_data / "cuhk03_pair1_labeled" / "val")
    assert answer["num_valid_queries"] == 938
    assert answer["rank1"] > 0.87
    assert answer["mAP"] > 0.85


def test_camera_norm_adds_results_and_says_what_it_was_fitted_on(run, run_json, tiny, people):
    command = ("evaluate", "--folder", people, "--split", "market1501", "--weights", tiny)
    plain = run_json(*command)
    answer = run_json(*command, "--camera-norm", "--rerank")
    assert [(one["camera_norm"], one["reranked"]) for one in answer["results"]] == [
        (False, False), (False, True), (True, False), (True, True),
    ]  # fmt: skip
    assert answer["mAP"] == plain["mAP"]

    encoder = sanreid.SANEncoder.from_pretrained(tiny)
    crops = read_crops(people)
    embeddings = encoder.encode(crops.paths)
    normalized = sanreid.CameraNormalizer.fit(embeddings, crops.camids)(embeddings, crops.camids)
    both = (normalized, crops.pids, crops.camids)
    report = sanreid.evaluate(*both, *both)
    assert answer["results"][2]["mAP"] == pytest.approx(report.mAP)

    _, table, said = run(*command, "--camera-norm")
    assert "camera norm" in table
    assert f"all {len(crops)} crops (queries and gallery) of" in said


def test_camera_norm_needs_two_cameras(run, tiny, tmp_path):
    write_people(tmp_path / "one", identities=2, cameras=1, size=(64, 32))
    status, _, error = run(
        "evaluate", "--query", tmp_path / "one", "--gallery", tmp_path / "one", "--camera-norm",
        "--weights", tiny,
    )  # fmt: skip
    assert status == 1
    assert "at least two; got 1" in error


def test_crops_without_cameras_are_measured_by_groups_of_frames(run, run_json, tiny, tmp_path):
    # Two passages of each person, three frames each: the frames of one are nearly the same.
    for person in (1, 2):
        for passage in (0, 1):
            crop = rendered_person(person, 1 + passage, size=(64, 32))
            for frame in range(3):
                path = tmp_path / f"{person}" / f"{passage}_{frame}.png"
                path.parent.mkdir(exist_ok=True)
                crop.point(lambda value, frame=frame: value * (1 - 0.02 * frame)).save(path)
    evaluate = ("evaluate", "--folder", tmp_path, "--names", "folders", "--weights", tiny)
    status, _, err = run(*evaluate)
    assert (status, "No person was seen by two cameras" in err) == (1, True)
    status, _, err = run(*evaluate, "--without-cameras")
    assert (status, "12 crops are 4 groups of near-duplicate frames" in err) == (0, True)
    answer = run_json(*evaluate, "--without-cameras")
    assert [one["split"] for one in answer["results"]] == ["market1501"]
    assert answer["num_valid_queries"] == 12


def test_frames_of_one_picture_each_answer_no_query(run, tiny, tmp_path):
    for person in (1, 2):
        crop = rendered_person(person, size=(64, 32))
        for frame in (0, 1):
            path = tmp_path / f"{person}" / f"{frame}.png"
            path.parent.mkdir(exist_ok=True)
            crop.point(lambda value, frame=frame: value * (1 - 0.02 * frame)).save(path)
    evaluate = ("evaluate", "--folder", tmp_path, "--names", "folders", "--without-cameras")
    status, _, err = run(*evaluate, "--weights", tiny)
    assert status == 1
    assert "No person has two crops that are not nearly the same picture" in err
    assert "two cameras" not in err
