"""One rule for who is who, whichever way people are named."""

from __future__ import annotations

import logging
import pickle
from pathlib import Path

import numpy as np
import pytest

from sanreid import evaluate
from sanreid.datasets import CropSet, merge_crops, read_crops, read_csv, read_folders
from sanreid.datasets.listed import are_listed, listed_in
from sanreid.datasets.people import PersonNumbers, number_people, people_of
from sanreid.errors import DatasetError, InputError
from tests.datasets.replicas import write

HUGE = "20240101120000123456"  # a time: too large for 64 bits

RULE = {  # names, and who they are; None is nobody
    "numbers keep their value": {"0007": 7, "12": 12},
    "one number written twice is two people": {"0007": "0007", "7": "7", "8": 8},
    "a name beside numbers": {"anna": "anna", "7": 7},
    "-1 is nobody": {"-1": None, "3": 3},
    "-1 beside names is nobody": {"-1": None, "anna": "anna"},
    "too large for a number": {HUGE: HUGE, "7": 7},
    "other digits are names": {"\u0664\u0662": "\u0664\u0662", "5": 5},
    "-0 and -5 are names": {"-0": "-0", "-5": "-5", "5": 5},
}


@pytest.mark.parametrize("rule", RULE)
@pytest.mark.parametrize("kind", ["folders", "table", "pattern"])
def test_one_rule_for_folders_tables_and_names(tmp_path, rule, kind):
    wanted = RULE[rule]
    if kind == "folders":
        crops = read_crops(write(tmp_path, *(f"{n}/c1.jpg" for n in wanted)), names="folders")
    elif kind == "table":
        write(tmp_path, *(f"{n}.jpg" for n in range(len(wanted))))
        rows = "".join(f"{n}.jpg,{name},1\n" for n, name in enumerate(wanted))
        (tmp_path / "t.csv").write_text("path,pid,camid\n" + rows, encoding="utf-8")
        crops = read_csv(tmp_path / "t.csv")
    else:
        write(tmp_path, *(f"{name}_cam1.jpg" for name in wanted))
        crops = read_crops(tmp_path, names=r"regex:(?P<pid>.+)_cam(?P<camid>\d+)")
    assert sorted(map(str, crops.people)) == sorted(map(str, wanted.values()))
    assert crops.num_identities == sum(who is not None for who in wanted.values())
    assert (crops.pids[[who is None for who in crops.people]] == -1).all()


def test_counted_people_leave_ignored_numbers_out():
    pids, counted = number_people(["anna", "0000", "-1", "bert"], (-1, 0))
    assert (pids.tolist(), counted) == ([1, 0, -1, 2], True)
    assert number_people(["12", "0007"])[0].tolist() == [12, 7]
    assert people_of(["7", "07", "8"]) == {"7": "7", "07": "07", "8": 8}


def test_numbers_of_two_folders_are_compared_by_name(tmp_path):
    # anna is 0 and carl 1 among the queries, anna 0, bob 1 and carl 2 in the gallery.
    query = read_crops(write(tmp_path / "q", "anna/c1.jpg", "carl/c1.jpg"))
    gallery = read_crops(write(tmp_path / "g", "anna/c2.jpg", "bob/c2.jpg", "carl/c2.jpg"))
    assert (query.pids.tolist(), gallery.pids.tolist()) == ([0, 1], [0, 1, 2])
    one_hot = np.eye(3)
    for pids in (lambda c: c.pids, lambda c: c.labels, lambda c: c.people):
        report = evaluate(
            one_hot[[0, 2]], pids(query), query.camids, one_hot, pids(gallery), gallery.camids
        )
        assert report.mAP == 1
    # The order of rows may change, and some may be left out.
    kept = np.array([2, 0])
    report = evaluate(
        one_hot[[2]], query.pids[1:], query.camids[1:],
        one_hot[kept], gallery.pids[kept], gallery.camids[kept],
    )  # fmt: skip
    assert report.mAP == 1


def test_names_and_plain_numbers_are_different_people(tmp_path):
    query = read_crops(write(tmp_path / "q", "anna/c1.jpg", "0009/c1.jpg"))
    gallery = read_crops(write(tmp_path / "g", "0/c2.jpg", "9/c2.jpg"))
    assert (query.pids.tolist(), gallery.pids.tolist()) == ([0, 1], [0, 9])
    report = evaluate(np.eye(2), query.pids, query.camids, np.eye(2), gallery.pids, gallery.camids)
    assert report.num_valid_queries == 1  # 9 and 0009; anna is not person 0
    with pytest.raises(InputError, match="no query pid occurs in the gallery"):
        evaluate(
            np.eye(2)[:1], query.pids[1:], query.camids[1:],
            np.eye(2), gallery.pids, gallery.camids,
        )  # fmt: skip


def test_arithmetic_and_merging_lose_the_names(tmp_path):
    crops = read_crops(write(tmp_path / "q", "anna/c1.jpg", "carl/c1.jpg"))
    assert isinstance(crops.pids, PersonNumbers)
    for plain in (crops.pids + 1, np.asarray(crops.pids), np.array(crops.pids)):
        assert type(plain) is np.ndarray
    other = read_crops(write(tmp_path / "r", "anna/c1.jpg"))
    assert type(merge_crops([crops, other]).pids) is np.ndarray
    assert crops.pids.max() + 1 == 2
    numbers = read_crops(write(tmp_path / "n", "0007/c1.jpg"))
    assert type(numbers.pids) is np.ndarray


def test_labels_of_the_callers_own_that_are_ambiguous_name_nobody():
    crops = CropSet("x", ("a", "b"), [1, 1], [0, 0], labels=("anna", "bert"))
    assert type(crops.pids) is np.ndarray


@pytest.mark.parametrize(
    "gallery_pids",
    [["-1", "anna"], np.array(["-1", "anna"]), ("-1", "anna"), [-1, "anna"], ["anna", "-1"]],
)
def test_a_text_of_minus_one_is_junk(gallery_pids):
    report = evaluate([[1, 0]], ["anna"], [0], np.eye(2), gallery_pids, [1, 1])
    assert report.num_gallery == 1
    assert report.mAP == 1


def test_a_junk_folder_beside_names(tmp_path):
    write(tmp_path, "query/anna/c1.jpg", "gallery/anna/c2.jpg", "gallery/-1/c2.jpg")
    data = read_folders(tmp_path)
    assert sorted(data.gallery.pids.tolist()) == [-1, 0]
    assert data.query.pids.tolist() == [0]


DISTRACTORS = [
    (["-1/-1_c1s1_0_0.jpg", "0000/0000_c1s1_0_0.jpg", "0001/0001_c1s1_0_0.jpg"], 2),
    (["0000/0000_c1s1_0_0.jpg", "0001/0001_c1s1_0_0.jpg"], 1),
    (["-1/c1.jpg", "0000/c1.jpg", "0001/c2.jpg"], 2),
    (["-1/c1.jpg", "0/c1.jpg", "anna/c2.jpg"], 2),
    (["00-1/00-1C1T0001F001.jpg", "0000/0000C1T0001F001.jpg", "0001/0001C1T0001F001.jpg"], 2),
    (["0000/0000_000_01_0303morning_0008_0.jpg", "0001/0001_000_01_0303morning_0008_0.jpg"], 0),
    (["0000/c1_a.jpg", "0001/c1_a.jpg"], 0),  # people counted from 0
]


@pytest.mark.parametrize(("files", "nobody"), DISTRACTORS)
def test_folders_of_junk_and_distractors_are_nobody(tmp_path, caplog, files, nobody):
    with caplog.at_level(logging.WARNING):
        crops = read_crops(write(tmp_path, *files))
    assert crops.people.count(None) == nobody
    assert crops.num_identities == len(files) - nobody
    if "mars" not in caplog.text and not any("00-1" in file for file in files):
        assert "distractors" in caplog.text  # a guess, and told


def named(title, *names):
    pids, _ = number_people(names)
    paths = [Path(f"{title}/{n}.jpg") for n in range(len(names))]
    return CropSet(title, paths, pids, range(len(names)), labels=names)


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_names_survive_the_way_to_another_process(protocol):
    crops, other = named("a", "anna", "bert"), named("b", "bert", "carl")
    copied = pickle.loads(pickle.dumps(crops, protocol=protocol))
    assert copied.pids.people() == ["anna", "bert"]
    assert copied.people == crops.people
    np.testing.assert_array_equal(copied.pids, crops.pids)
    report = evaluate(
        np.eye(2), copied.pids, [0, 1], np.eye(2)[::-1].copy(), other.pids, [2, 3]
    )  # bert, whom the sets number 1 and 0
    assert (report.num_valid_queries, report.rank1) == (1, 1.0)


@pytest.mark.parametrize(
    ("folders", "words", "wanted"),
    [
        (["1", "2", "10", "guest"], ["1", "2"], {"1", "2"}),  # counted, 10 is 1
        (["0001", "2", "10", "guest"], ["1", "guest"], {"0001", "guest"}),
        (["7", "07", *"abcdefg"], ["7"], {"7", "07"}),  # f is 7
        (["anna", "bob", "carl"], ["1", "carl"], {"bob", "carl"}),  # nobody is named by a number
        (["anna", "7", "-1"], ["-1"], {"-1"}),
        (["0001", "0002"], ["2"], {"0002"}),
    ],
)
def test_a_number_of_a_list_is_somebodys_name_before_it_is_a_count(
    tmp_path, folders, words, wanted
):
    crops = read_crops(write(tmp_path, *(f"{n}/c1.jpg" for n in folders)), names="folders")
    kept = crops.select(are_listed(crops, words))
    assert {path.parent.name for path in kept.paths} == wanted


def test_a_list_is_read_by_line_whoever_wrote_it(tmp_path):
    crops = named("a", "anna", "anna b", "carl")
    file = tmp_path / "held-out.txt"
    for text in ("\ufeffanna\r\n\r\n  anna b \r\n", "anna b\nanna"):
        file.write_bytes(text.encode())
        (listed,) = listed_in(file, [crops])
        assert listed.tolist() == [True, True, False]


def test_a_list_of_nobody_is_refused(tmp_path):
    file = tmp_path / "held-out.txt"
    file.write_text("dora\n")
    with pytest.raises(DatasetError, match="Nobody in a, b is listed in"):
        listed_in(file, [named("a", "anna"), named("b", "bert")])
    with pytest.raises(DatasetError, match="one number per line; it has 'dora'"):
        listed_in(file, [CropSet("a", [Path("1.jpg")], [1], [1])])
    file.write_text("anna\n")
    masks = listed_in(file, [named("a", "anna"), named("b", "bert")])
    assert [mask.tolist() for mask in masks] == [[True], [False]]
