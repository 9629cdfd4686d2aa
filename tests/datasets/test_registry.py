"""Data sets by name."""

import pytest

from sanreid import datasets
from sanreid.datasets import DATASETS, read_dataset, read_split
from sanreid.errors import DatasetError, InputError
from tests.datasets.replicas import cuhk03, market1501, viper, write


def test_every_reader_of_a_whole_data_set_has_a_name():
    readers = {name for name in datasets.__all__ if name.startswith("read_")}
    readers -= {
        "read_crops",
        "read_csv",
        "read_dataset",
        "read_split",
    }  # these are no readers of one
    assert {reader.__name__ for reader in DATASETS.values()} == readers


@pytest.mark.parametrize("name", DATASETS)
def test_every_reader_refuses_an_empty_folder(tmp_path, name):
    with pytest.raises(DatasetError):
        read_dataset(name, tmp_path)


def test_options_reach_the_reader(tmp_path):
    market1501(tmp_path)
    assert len(read_dataset("market1501", tmp_path, {"complete": False}).gallery) == 4
    cuhk03(tmp_path / "cuhk03")
    options = {"complete": False, "boxes": "detected", "protocol": "classic", "split": 1}
    assert read_dataset("cuhk03", tmp_path, options).name == "CUHK03 detected, classic split 1"


def test_csv_takes_the_file(tmp_path):
    write(tmp_path, "a.jpg")
    (tmp_path / "t.csv").write_text("path,pid,camid,split\na.jpg,1,0,train\n")
    assert len(read_dataset("csv", tmp_path / "t.csv").train) == 1


def test_misspelt_names_and_options(tmp_path):
    with pytest.raises(InputError, match="'market' is no data set. Did you mean 'market1501'?"):
        read_dataset("market", tmp_path)
    with pytest.raises(
        InputError, match="'complet' is no option of viper. Did you mean 'complete'"
    ):
        read_dataset("viper", tmp_path, {"complet": False})
    with pytest.raises(InputError, match=r"'xyz' is no data set. Known: market1501, cuhk03"):
        read_dataset("xyz", tmp_path)


def test_one_split_with_options_as_text(tmp_path):
    cuhk03(tmp_path)
    options = ["complete=false", "boxes = detected", "protocol=classic", "split=1"]
    crops = read_split("cuhk03", tmp_path, "gallery", options)
    assert crops.pids.tolist() == [2003, 2003, 5049]
    write(tmp_path, "cam_a/000_45.bmp", "cam_b/000_90.bmp")
    assert len(read_split("viper", tmp_path, "query", ["split=none", "complete=False"])) == 1
    with pytest.raises(DatasetError, match="viper in .* has no train split with these options"):
        read_split("viper", tmp_path, "train", ["split=none", "complete=False"])


def test_wrong_splits_and_options(tmp_path):
    with pytest.raises(InputError, match="split must be one of 'train', .*; got 'test'"):
        read_split("viper", tmp_path, "test")
    for option in ("split", "=3"):
        with pytest.raises(InputError, match=f"An option is key=value.*got '{option}'"):
            read_split("viper", tmp_path, "train", [option])
    with pytest.raises(InputError, match="split must be at least 0; got -2"):
        read_split("viper", viper(tmp_path), "train", ["split=-2", "complete=false"])


@pytest.mark.parametrize("name", sorted(set(DATASETS) - {"folders", "csv"}))
def test_an_empty_folder_is_told_what_was_looked_for_and_where_to_get_it(name, tmp_path):
    with pytest.raises(DatasetError, match=r"Looked for \S+(.|\n)*ask its makers: http"):
        read_dataset(name, tmp_path)


@pytest.mark.parametrize("name", ["folders", "csv"])
def test_ones_own_data_are_told_what_was_looked_for(name, tmp_path):
    with pytest.raises(DatasetError, match=r"train, query and gallery|CSV table with the columns"):
        read_dataset(name, tmp_path)


@pytest.fixture
def no_trace(monkeypatch):
    from sanreid.datasets import registry

    before = dict(registry.REGISTERED)
    yield
    registry.REGISTERED.clear()
    registry.REGISTERED.update(before)


def test_a_data_set_of_ones_own(tmp_path, no_trace):
    @datasets.register_dataset("my-shop")
    def read_shop(root, *, day=1):
        crops = datasets.read_crops(f"{root}/day{day}", names=r"regex:(?P<pid>\w+)-(?P<camid>\d)")
        return datasets.Dataset("My shop", *(crops.select([i]) for i in range(3)))

    write(tmp_path, "day2/anna-1.jpg", "day2/bert-1.jpg", "day2/bert-2.jpg")
    assert "my-shop" in DATASETS
    assert read_dataset("my-shop", tmp_path, {"day": 2}).train.people == ["anna"]
    assert read_split("my-shop", tmp_path, "query", ["day=2"]).people == ["bert"]
    with pytest.raises(InputError, match="'night' is no option of my-shop"):
        read_split("my-shop", tmp_path, "query", ["night=2"])
    datasets.register_dataset("my-shop")(read_shop)  # a cell that is run again


@pytest.mark.parametrize("name", ["market1501", "csv"])
def test_a_name_that_is_taken(no_trace, name):
    with pytest.raises(InputError, match=f"'{name}' is a data set already, read by sanreid"):
        datasets.register_dataset(name)(lambda root: None)
    assert DATASETS[name].__module__.startswith("sanreid.datasets.")


@pytest.mark.parametrize("name", ["", "a b", "a/b", None, "x;y"])
def test_a_name_that_is_none(name):
    with pytest.raises(InputError, match="name is letters, digits"):
        datasets.register_dataset(name)
