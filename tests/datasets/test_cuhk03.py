"""CUHK03 from a replica of the extracted layout, and of CUHK03-NP."""

import json

import numpy as np
import pytest

from sanreid.datasets import read_cuhk03
from sanreid.datasets.published.cuhk03 import _indices
from sanreid.errors import DatasetError, InputError
from tests.datasets.replicas import NEW_PROTOCOL, cuhk03, write


@pytest.mark.parametrize("boxes", ["labeled", "detected"])
def test_new_protocol(tmp_path, boxes):
    cuhk03(tmp_path / "cuhk03")
    data = read_cuhk03(tmp_path, boxes=boxes, complete=False)
    names = [[p.name for p in part.paths] for part in (data.train, data.query, data.gallery)]
    assert names == [
        ["1_001_1_01.png", "1_001_2_06.png"],
        ["2_003_1_02.png"],
        ["2_003_1_02.png", "2_003_2_07.png"],
    ]
    assert data.train.pids.tolist() == [1, 1]
    assert data.gallery.pids.tolist() == [845, 845]
    assert data.gallery.camids.tolist() == [0, 1]
    assert data.query.paths[0].parent.name == f"images_{boxes}"
    assert data.query.split == "query"
    assert data.name == f"CUHK03 {boxes}, 767/700"


def test_classic_protocol(tmp_path):
    cuhk03(tmp_path)
    first = read_cuhk03(tmp_path, protocol="classic", complete=False)
    assert first.query.pids.tolist() == first.gallery.pids.tolist() == [1001, 1001]
    assert first.train.pids.tolist() == [2003, 2003, 5049]
    second = read_cuhk03(tmp_path, protocol="classic", split=1, complete=False)
    assert second.train.pids.tolist() == [1001, 1001]
    assert second.gallery.pids.tolist() == [2003, 2003, 5049]
    assert second.gallery.camids.tolist() == [0, 1, 0]
    assert second.name == "CUHK03 labeled, classic split 1"


@pytest.mark.parametrize(
    ("split", "wanted"),
    [
        (-1, "at least 0; got -1"),
        (2, "at most 1; got 2"),
        (1.5, "an int of at least 0; got 1.5"),
        ("abc", "an int of at least 0; got 'abc'"),
    ],
)
def test_classic_split_out_of_range(tmp_path, split, wanted):
    cuhk03(tmp_path)
    with pytest.raises(InputError, match=f"split must be {wanted}"):
        read_cuhk03(tmp_path, protocol="classic", split=split, complete=False)


def test_wrong_options(tmp_path):
    with pytest.raises(InputError, match="boxes must be .*; got 'drawn'"):
        read_cuhk03(tmp_path, boxes="drawn")
    with pytest.raises(InputError, match="protocol must be .*; got 'old'"):
        read_cuhk03(tmp_path, protocol="old")


def test_sorted_copy(tmp_path):
    base = tmp_path / "cuhk03-np" / "detected"
    write(base, "bounding_box_train/0001_c1_1.png", "query/0002_c1_301.png")
    write(base, "bounding_box_test/0002_c2_305.png")
    for root in (tmp_path, tmp_path / "cuhk03-np", base):
        data = read_cuhk03(root, boxes="detected", complete=False)
        assert data.train.pids.tolist() == [1]
        assert data.query.camids.tolist() == [0]
        assert data.gallery.camids.tolist() == [1]
    with pytest.raises(DatasetError, match="query has 1 crops instead of 1,400"):
        read_cuhk03(tmp_path, boxes="detected")


def test_counts(tmp_path):
    cuhk03(tmp_path)
    with pytest.raises(DatasetError, match=r"has 5 crops instead of 14,096(.|\n)*ee.cuhk.edu.hk"):
        read_cuhk03(tmp_path)
    with pytest.raises(DatasetError, match=r"has 5 crops instead of 14,097"):
        read_cuhk03(tmp_path, boxes="detected", protocol="classic")


@pytest.mark.parametrize("where", ["cuhk-03.mat", "cuhk03_release/cuhk-03.mat"])
def test_the_original_file_alone_says_how_to_extract(tmp_path, where):
    write(tmp_path, where)
    with pytest.raises(DatasetError, match=r"still lie inside .*cuhk-03.mat.*extract_cuhk03\("):
        read_cuhk03(tmp_path)


def test_missing_rules(tmp_path):
    cuhk03(tmp_path)
    (tmp_path / "cuhk03_new_protocol_config_labeled.mat").unlink()
    with pytest.raises(DatasetError, match=r"has no cuhk03_new_protocol_config_labeled.mat"):
        read_cuhk03(tmp_path)
    (tmp_path / "testsets.json").unlink()
    with pytest.raises(DatasetError, match=r"has no testsets.json"):
        read_cuhk03(tmp_path, protocol="classic")


@pytest.mark.parametrize(
    "content",
    [
        "no json",
        "5",
        "[]",
        "[[]]",
        '[""]',
        "[[5]]",
        '{"0": []}',
        '[[[1, "x"]]]',
        "[[[Infinity, 1]]]",
    ],
)
def test_damaged_test_sets(tmp_path, content):
    cuhk03(tmp_path)
    (tmp_path / "testsets.json").write_text(content)
    with pytest.raises(DatasetError, match=r"testsets.json cannot be read .*extract it again"):
        read_cuhk03(tmp_path, protocol="classic", complete=False)


def test_test_set_of_people_without_crops(tmp_path):
    cuhk03(tmp_path)
    (tmp_path / "testsets.json").write_text(json.dumps([[[1, 1], [4, 9]]]))
    with pytest.raises(DatasetError, match="1 people of test set 0 have no crops"):
        read_cuhk03(tmp_path, protocol="classic", complete=False)


def test_a_crop_of_the_list_is_missing(tmp_path):
    cuhk03(tmp_path)
    (tmp_path / "images_labeled" / "2_003_1_02.png").unlink()
    with pytest.raises(DatasetError, match=r"1 of the 4 crops .* lists are not .*2_003_1_02.png"):
        read_cuhk03(tmp_path, complete=False)


def test_rules_that_lack_a_list_or_count_too_far(tmp_path):
    rules = cuhk03(tmp_path) / "cuhk03_new_protocol_config_labeled.mat"
    rules.write_bytes(NEW_PROTOCOL[:128])
    with pytest.raises(DatasetError, match="has no filelist and no labels and no train_idx"):
        read_cuhk03(tmp_path, complete=False)
    rules.write_bytes(NEW_PROTOCOL)
    with pytest.raises(DatasetError, match="counts to 9 in a list of 4"):
        _indices(np.array([[1], [9]]), 4, rules)
