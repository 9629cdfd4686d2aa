"""CSV tables and folders of splits."""

import pytest

from sanreid.datasets import read_csv, read_folders, read_splits_csv
from sanreid.datasets.csv import columns_of
from sanreid.errors import DatasetError, InputError
from tests.datasets.replicas import write


def table(root, text, *files):
    write(root, *files)
    path = root / "mine.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_numbers_and_order_of_columns(tmp_path):
    path = table(
        tmp_path,
        "camid,path,note,pid\n3,crops/a.jpg,hello,-1\n4, crops/b.jpg ,,70\n",
        "crops/a.jpg",
        "crops/b.jpg",
    )
    crops = read_csv(path)
    assert crops.pids.tolist() == [-1, 70]
    assert crops.camids.tolist() == [3, 4]
    assert crops.paths == (tmp_path / "crops/a.jpg", tmp_path / "crops/b.jpg")
    assert crops.keys == ("mine/crops/a.jpg", "mine/crops/b.jpg")
    assert crops.labels == ()
    assert (crops.name, read_csv(path, name="other").name) == ("mine", "other")


def test_whole_numbers_may_have_decimals(tmp_path):
    crops = read_csv(
        table(tmp_path, "path,pid,camid\na.jpg,7.0,2.0\nb.jpg,9.00,-1.0\n", "a.jpg", "b.jpg")
    )
    assert crops.pids.tolist() == [7, 9]
    assert crops.camids.tolist() == [2, -1]


def test_names_are_numbered_in_order(tmp_path):
    crops = read_csv(
        table(
            tmp_path,
            "\ufeffpath,pid,camid\na.jpg,zoë,0\nb.jpg,7,0\nc.jpg,anna,1\n",
            "a.jpg",
            "b.jpg",
            "c.jpg",
        )
    )
    assert crops.labels == ("zoë", "7", "anna")
    assert crops.pids.tolist() == [2, 0, 1]


def test_absolute_paths(tmp_path):
    write(tmp_path / "far", "a.jpg")
    path = table(tmp_path, f"path,pid,camid\n{tmp_path / 'far' / 'a.jpg'},1,1\n")
    assert read_csv(path).paths == (tmp_path / "far" / "a.jpg",)


def test_splits(tmp_path):
    path = table(
        tmp_path,
        "path,pid,camid,split\na.jpg,1,0,train\nb.jpg,2,0,query\nc.jpg,2,1,gallery\nd.jpg,3,1,gallery\n",
        *(f"{x}.jpg" for x in "abcd"),
    )
    data = read_splits_csv(path)
    assert [len(part) for part in (data.train, data.query, data.gallery)] == [1, 1, 2]
    assert data.query.pids.tolist() == [2]
    assert (data.name, data.gallery.split) == ("mine", "gallery")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "lacks the column path and pid and camid; its first line names nothing"),
        ("file,pid,camid\n", "lacks the column path; its first line names file, pid, camid"),
        ("path,pid,camid\nz.jpg,1,0\n", "Line 2 of .*mine.csv: there is no file .*z.jpg"),
        ("path,pid,camid\n,1,0\n", "Line 2 of .*there is no file"),
        ("path,pid,camid\na.jpg,1,0\n\na.jpg,1,left\n", "Line 4 of .*got '1' and 'left'"),
        ("path,pid,camid\na.jpg,,0\n", "Line 2 of .*got '' and '0'"),
        ("path,pid,camid\na.jpg,1\n", "Line 2 of .*got '1' and ''"),
        ("path,pid,camid,pid\na.jpg,1,0,2\n", "has several columns called pid"),
        ("path,pid,camid\na.jpg,nan,0\n", "Line 2 of .*'nan' is no person"),
        ("path,pid,camid\na.jpg,1,0\na.jpg,2,0\n", "names a crop more than once: .*a.jpg"),
    ],
)
def test_wrong_tables(tmp_path, text, message):
    with pytest.raises(DatasetError, match=message):
        read_csv(table(tmp_path, text, "a.jpg"))


def test_wrong_splits(tmp_path):
    path = table(tmp_path, "path,pid,camid,split\na.jpg,1,0,test\n", "a.jpg")
    with pytest.raises(DatasetError, match="split must be train, query or gallery; got 'test'"):
        read_splits_csv(path)
    path = table(tmp_path, "path,pid,camid\na.jpg,1,0\n")
    with pytest.raises(DatasetError, match="lacks the column split"):
        read_splits_csv(path)


def test_no_table(tmp_path):
    with pytest.raises(DatasetError, match="no file .*none.csv; wanted a CSV table"):
        read_csv(tmp_path / "none.csv")


def test_folders_of_splits_with_file_names(tmp_path):
    write(tmp_path / "shop", "train/0001_c1s1_0_0.jpg", "query/0002_c1s1_0_0.jpg")
    write(tmp_path / "shop", "gallery/0002_c2s1_0_0.jpg", "gallery/-1_c2s1_0_0.jpg")
    data = read_folders(tmp_path / "shop")
    assert data.name == data.train.name == "shop"
    assert data.gallery.pids.tolist() == [-1, 2]
    assert data.query.keys == ("shop/query/0002_c1s1_0_0.jpg",)
    assert data.query.split == "query"


def test_a_person_has_the_same_number_in_every_split(tmp_path):
    write(tmp_path, "train/cleo/c1.jpg", "query/bert/c1.jpg", "query/dora/c1.jpg")
    write(tmp_path, "gallery/dora/c2.jpg", "gallery/bert/c2.jpg", "gallery/anna/c2.jpg")
    data = read_folders(tmp_path)
    numbers = {}
    for part in (data.train, data.query, data.gallery):
        for label, pid in zip(part.labels, part.pids.tolist(), strict=True):
            assert numbers.setdefault(label, pid) == pid
    assert numbers == {"anna": 0, "bert": 1, "cleo": 2, "dora": 3}


def test_numbered_folders_keep_their_numbers(tmp_path):
    write(tmp_path, "query/0012/c1.jpg", "gallery/0012/c2.jpg", "gallery/0400/c2.jpg")
    data = read_folders(tmp_path)
    assert data.query.pids.tolist() == [12]
    assert data.gallery.pids.tolist() == [12, 400]
    assert len(data.train) == 0


@pytest.mark.parametrize("gallery", ["0007_c2s1_1.jpg", "7/c2.jpg", "0007/c2.jpg", "007/c2.jpg"])
@pytest.mark.parametrize("other", ["anna", "8"])
def test_a_number_is_one_person_in_every_split(tmp_path, gallery, other):
    write(tmp_path, "query/007/c1.jpg", f"query/{other}/c1.jpg", f"gallery/{gallery}")
    data = read_folders(tmp_path)
    (number,) = data.gallery.pids.tolist()
    assert data.query.pids.tolist().count(number) == 1
    assert data.query.people[data.query.pids.tolist().index(number)] == 7
    assert data.gallery.people == [7]


def test_spellings_that_are_two_people_in_a_split_are_in_all(tmp_path):
    write(tmp_path, "query/7/c1.jpg", "query/007/c1.jpg", "gallery/007/c2.jpg")
    data = read_folders(tmp_path)
    assert data.query.labels == ("007", "7")
    assert data.gallery.pids.tolist() == data.query.pids[:1].tolist()


def test_no_folder_of_a_split(tmp_path):
    write(tmp_path, "test/a/b.jpg")
    with pytest.raises(
        DatasetError, match=r"none of the folders train, query and gallery.*read_crops"
    ):
        read_folders(tmp_path)


TEXT = "path,pid,camid\na.jpg,José,1\n"
SAVED = {
    "utf-8": TEXT.encode(),
    "utf-8 with a mark": TEXT.encode("utf-8-sig"),
    "utf-16": TEXT.encode("utf-16"),
    "utf-16 with tabs": TEXT.replace(",", "\t").encode("utf-16"),
    "utf-32": TEXT.encode("utf-32"),
    "semicolons": TEXT.replace(",", ";").encode(),
    "lines of Windows": TEXT.replace("\n", "\r\n").encode(),
    "quoted": TEXT.replace("José", '"José"').encode(),
}


@pytest.mark.parametrize("saved", SAVED)
def test_tables_as_spreadsheets_save_them(tmp_path, saved):
    write(tmp_path, "a.jpg")
    (tmp_path / "t.csv").write_bytes(SAVED[saved])
    crops = read_csv(tmp_path / "t.csv")
    assert (crops.people, crops.camids.tolist()) == (["José"], [1])


@pytest.mark.parametrize("encoding", ["cp1252", "latin-1", "cp850", "mac-roman", "utf-16-le"])
def test_an_encoding_that_nothing_tells_is_asked_for(tmp_path, encoding):
    write(tmp_path, "a.jpg")
    (tmp_path / "t.csv").write_bytes(TEXT.encode(encoding))
    if encoding != "utf-16-le":
        with pytest.raises(DatasetError, match=r"t.csv is not text in utf-8.*encoding='cp1252'"):
            read_csv(tmp_path / "t.csv")
    assert read_csv(tmp_path / "t.csv", encoding=encoding).people == ["José"]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("a.jpg,1,20240101120000123456", "camid must have at most 18 digits"),
        ("a.jpg,1,1." + "0" * 300, "whole number as camid"),
        ("a" * 300 + ".jpg,1,1", r"there is no file '.*characters"),
        ("a\0.jpg,1,1", "there is no file"),
        (f'a.jpg,1,1,"{"x" * 140_000}"', "Line 2 of .* is no CSV: field larger"),
        ("a.jpg,1,\u0664", "whole number as camid"),
        ("x/" * 3000 + "a.jpg,1,1", "there is no file"),
    ],
)
def test_values_too_large_or_strange_are_errors_of_ours(tmp_path, rows, message):
    with pytest.raises(DatasetError, match=message):
        read_csv(table(tmp_path, f"path,pid,camid,note\n{rows}\n", "a.jpg"))


def test_a_first_line_too_large_is_an_error_of_ours(tmp_path):
    path = table(tmp_path, "x" * 140_000 + ",pid,camid\n")
    for read in (read_csv, columns_of):
        with pytest.raises(DatasetError, match="Line 1 of .*mine.csv is no CSV: field larger"):
            read(path)


def test_files_that_are_no_tables(tmp_path):
    (tmp_path / "t.csv").mkdir()
    with pytest.raises(DatasetError, match="There is no file"):
        read_csv(tmp_path / "t.csv")
    (tmp_path / "binary.csv").write_bytes(bytes(range(256)))
    with pytest.raises(DatasetError, match="is not text in utf-8"):
        read_csv(tmp_path / "binary.csv")
    with pytest.raises(DatasetError, match="There is no text encoding 'klingon'"):
        read_csv(tmp_path / "binary.csv", encoding="klingon")
    with pytest.raises(DatasetError, match="There is no text encoding"):
        read_csv(tmp_path / "binary.csv", encoding="a\0b")
    for wrong in (5, b"utf-8"):
        with pytest.raises(InputError, match="encoding must be a text encoding's name or None"):
            read_csv(tmp_path / "binary.csv", encoding=wrong)


def test_a_table_that_may_not_be_read(tmp_path, monkeypatch):
    path = table(tmp_path, "path,pid,camid\n")

    def denied(self):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(type(path), "read_bytes", denied)
    with pytest.raises(DatasetError, match="Cannot read .*mine.csv: Permission denied"):
        read_csv(path)
