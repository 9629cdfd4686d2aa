"""Data sets by name."""

import pytest

from sanreid import datasets
from sanreid.datasets import DATASETS, read_dataset
from sanreid.errors import DatasetError, InputError
from tests.datasets.replicas import cuhk03, market1501, write


def test_every_reader_of_a_whole_data_set_has_a_name():
    readers = {name for name in datasets.__all__ if name.startswith("read_")}
    readers -= {"read_crops", "read_csv", "read_dataset"}  # one set each, and this function
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
