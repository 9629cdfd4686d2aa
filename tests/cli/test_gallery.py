"""``sanreid gallery``: build, add, search, info, verify."""

from __future__ import annotations

import csv
import io
import os
import shutil
from pathlib import Path

import pytest
from PIL import Image

import sanreid
from sanreid.cli import main
from sanreid.gallery import Gallery
from sanreid.viz import storage
from tests.people import rendered_person, write_people


@pytest.fixture(scope="module")
def once(people, tiny, tmp_path_factory):
    path = tmp_path_factory.mktemp("built") / "people.gallery"
    assert main(["gallery", "build", str(people), str(path), "--weights", tiny]) == 0
    return path


@pytest.fixture
def built(once, tmp_path):
    return Path(shutil.copytree(once, tmp_path / "people.gallery"))


def test_build_says_what_it_made(run, people, tiny, tmp_path):
    status, text, err = run("gallery", "build", people, tmp_path / "g", "--weights", tiny)
    assert (status, err) == (0, "")
    assert text == f"{tmp_path / 'g'}: 16 added (4 people by their file names), 16 entries\n"


def test_search_finds_each_query_itself_first(run_json, built, people, tiny):
    queries = sorted(people.iterdir())[:2]
    answer = run_json("gallery", "search", built, *queries, "-k", 3, "--weights", tiny)
    assert [row["query"] for row in answer] == list(map(str, queries))
    for row, query in zip(answer, queries, strict=True):
        assert len(row["hits"]) == 3
        first = row["hits"][0]
        assert first["similarity"] == pytest.approx(1, abs=1e-3)
        assert first["metadata"] == {"path": str(query)}
        assert (first["pid"], first["camid"], first["timestamp"]) == (1, 1, None)


def test_where_and_min_similarity(run_json, built, people, tiny):
    query = min(people.iterdir())
    search = ("gallery", "search", built, query, "--weights", tiny)
    (row,) = run_json(*search, "--where", '{"camid": 2, "pid": {"$in": [1, 3]}}')
    assert {(hit["pid"], hit["camid"]) for hit in row["hits"]} == {(1, 2), (3, 2)}
    (row,) = run_json(*search, "--min-similarity", 0.99999)
    assert len(row["hits"]) >= 1
    assert all(hit["similarity"] >= 0.99999 for hit in row["hits"])


def test_the_table_and_csv(run, built, people, tiny):
    query = min(people.iterdir())
    search = ("gallery", "search", built, query, "-k", 2, "--weights", tiny)
    _, table, _ = run(*search)
    assert table.split("\n")[0].split() == [
        "query", "rank", "similarity", "pid", "camid", "id", "path",
    ]  # fmt: skip
    _, text, _ = run(*search, "--csv")
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [row["rank"] for row in rows] == ["1", "2"]
    assert rows[0]["path"] == rows[0]["query"] == str(query)


def test_a_query_without_hits_is_said_and_has_a_row(run, run_json, built, people, tiny):
    queries = sorted(people.iterdir())[:2]
    search = ("gallery", "search", built, *queries, "--weights", tiny, "--where", '{"pid": 99}')
    status, table, err = run(*search)
    assert (status, err) == (0, "sanreid: 2 of 2 queries found nothing\n")
    assert [line.split() for line in table.splitlines()[2:]] == [
        [str(query), *"------"] for query in queries
    ]
    rows = list(csv.DictReader(io.StringIO(run(*search, "--csv")[1])))
    assert [row["query"] for row in rows] == list(map(str, queries))
    assert {row["rank"] for row in rows} == {row["path"] for row in rows} == {""}
    assert [row["hits"] for row in run_json(*search)] == [[], []]


def test_a_picture_too_large_for_its_format_costs_no_answer(
    run, built, people, tiny, tmp_path, monkeypatch
):
    monkeypatch.setattr(storage, "_MOST_PX", {"WEBP": 100})
    search = ("gallery", "search", built, min(people.iterdir()), "-k", 1, "--weights", tiny)
    status, table, err = run(*search, "--picture", tmp_path / "a.webp")
    assert status == 1
    assert table == run(*search)[1]
    assert "WEBP holds at most 100 pixels a side" in err
    assert list(tmp_path.glob("*.webp")) == []


def test_a_picture_of_the_ranking(run, built, people, tiny, tmp_path):
    picture = tmp_path / "ranking.png"
    query = min(people.iterdir())
    status, _, err = run(
        "gallery", "search", built, query, "-k", 2, "--weights", tiny, "--picture", picture
    )
    assert (status, err) == (0, f"sanreid: the ranked lists are drawn in {picture}\n")
    with Image.open(picture) as image:
        assert image.width > image.height > 200


def test_browse_writes_a_page(run, run_json, built, tmp_path):
    page = tmp_path / "people.html"
    status, text, err = run("gallery", "browse", built, "-o", page, "--title", "Mine")
    assert (status, err) == (0, "")
    size = page.stat().st_size
    assert text.startswith(f"{page}: 16 entries, 16 with a picture, {size / 1e6:.1f} MB\n")
    assert "<title>Mine</title>" in page.read_text(encoding="utf-8")
    search = ("gallery", "browse", built, "-o", page, "--where", '{"pid": 1}')
    told = run_json(*search, "--pictures", "none")
    assert told == {
        "path": str(page), "entries": 4, "pictures": 0, "size_bytes": page.stat().st_size,
        "exact": True,
    }  # fmt: skip


def test_browse_says_when_no_picture_is_there(run, tmp_path):
    from sanreid import Gallery

    gallery = Gallery(2)
    gallery.add([[1, 0]], metadata=[{"path": "gone.jpg"}])
    gallery.save(tmp_path / "g")
    status, text, err = run("gallery", "browse", tmp_path / "g", "-o", tmp_path / "p.html")
    assert status == 0
    assert "1 entry, 0 with a picture" in text
    assert "no picture was found" in err
    for output, message in (("p.txt", "written as .html"), ("no/p.html", "does not exist")):
        status, text, err = run("gallery", "browse", tmp_path / "g", "-o", tmp_path / output)
        assert (status, text) == (1, "")
        assert message in err
    assert run("gallery", "browse", tmp_path, "-o", tmp_path / "p.html")[0] == 1
    browse = ("gallery", "browse", tmp_path / "g", "-o", tmp_path / "p.html")
    status, text, err = run(*browse, "--where", '{"pid": 7}')
    assert (status, err) == (0, "sanreid: no entry matches; the page is empty\n")
    assert "0 entries, 0 with a picture" in text


def test_add_info_and_verify(run, run_json, built, tiny, tmp_path):
    write_people(tmp_path / "more", identities=2, cameras=1, size=(64, 32), first=5)
    answer = run_json("gallery", "add", tmp_path / "more", built, "--weights", tiny)
    assert (answer["added"], answer["entries"]) == (2, 18)
    info = run_json("gallery", "info", built)
    assert (info["entries"], info["pids"], info["camids"], info["dim"]) == (18, 4, 2, 16)
    _, text, _ = run("gallery", "info", built)
    assert "entries" in text.split("\n")[0]
    assert run_json("gallery", "verify", built)["ok"] is True
    assert run("gallery", "verify", built)[1] == f"{built}: ok, 18 entries\n"


def test_verify_finds_a_changed_byte(run, built):
    largest = max(built.iterdir(), key=lambda path: path.stat().st_size)
    data = bytearray(largest.read_bytes())
    data[len(data) // 2] ^= 1
    largest.write_bytes(data)
    status, _, err = run("gallery", "verify", built)
    assert status == 1
    assert err.startswith("sanreid: ")
    assert "Traceback" not in err


def test_build_replaces_only_when_told(run, built, people, tiny):
    status, _, err = run("gallery", "build", people, built, "--weights", tiny)
    assert status == 1
    assert "exists already" in err
    status, text, _ = run("gallery", "build", people, built, "--weights", tiny, "--overwrite")
    assert status == 0
    assert "16 entries" in text


def test_a_gallery_behind_a_link_is_replaced_where_it_is(run, built, people, tiny, tmp_path):
    (tmp_path / "link").symlink_to(built)
    build = ("gallery", "build", people, tmp_path / "link", "--weights", tiny)
    assert "exists already" in run(*build)[2]
    status, text, _ = run(*build, "--overwrite")
    assert (status, (tmp_path / "link").is_symlink()) == (0, True)
    assert "16 entries" in text
    assert len(pids(built)) == 16


def test_build_takes_an_empty_folder(run, people, tiny, tmp_path):
    (tmp_path / "empty").mkdir()
    status, text, _ = run("gallery", "build", people, tmp_path / "empty", "--weights", tiny)
    assert status == 0
    assert "16 entries" in text


def test_what_cannot_be_replaced_is_told_before_the_work(run, people, tmp_path, monkeypatch):
    (tmp_path / "empty").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "empty")
    monkeypatch.chdir(tmp_path / "empty")
    for path in (".", tmp_path / "link"):
        build = ("gallery", "build", people, path, "--weights", "no such weights")
        status, _, err = run(*build)
        assert (status, "take the place of these" in err) == (1, True)
        assert run(*build, "--overwrite")[2] == err


def test_files_are_read_without_a_look_at_what_lies_beside_them(run, people, tiny, tmp_path):
    home = tmp_path / "home"
    shutil.copytree(people, home / "album")
    files = [shutil.copy(file, home) for file in sorted(people.iterdir())]
    shutil.copy(files[0], home / "odd.jpg")
    (home / "notes.txt").touch()
    for names in ("auto", "market1501"):
        build = ("gallery", "build", *files, tmp_path / names, "--weights", tiny, "--names", names)
        status, _, err = run(*build)
        assert status == 0
        assert "sub-folders" not in err
        assert None not in pids(tmp_path / names)
        more = (*build[:2], home / "notes.txt", *files, tmp_path / f"{names} and notes")
        assert run(*more, *build[-4:], "--on-error", "collect")[0] == 0
        assert pids(more[-1]) == pids(tmp_path / names)


def test_another_encoder_is_refused(run, built, people, other):
    for command in (
        ("gallery", "search", built, people),
        ("gallery", "add", people, built),
    ):
        status, _, err = run(*command, "--weights", other)
        assert status == 1
        assert "encoder" in err
    assert len(Gallery.load(built)) == 16


def test_a_path_without_a_gallery(run, people, tiny, tmp_path):
    for command in (
        ("gallery", "search", tmp_path, people, "--weights", tiny),
        ("gallery", "add", people, tmp_path / "no", "--weights", tiny),
        ("gallery", "info", tmp_path / "no"),
        ("gallery", "verify", tmp_path / "no"),
    ):
        status, _, err = run(*command)
        assert status == 1
        assert "no gallery" in err
        assert "dim" not in err
    assert list(tmp_path.iterdir()) == []


def test_a_bad_crop_builds_nothing_or_is_passed_over(run, run_json, tiny, tmp_path):
    write_people(tmp_path / "crops", identities=2, cameras=1, size=(64, 32))
    (tmp_path / "crops" / "0003_c1s1_000001_00.jpg").write_bytes(b"not a picture")
    build = ("gallery", "build", tmp_path / "crops", tmp_path / "g", "--weights", tiny)
    status, _, err = run(*build)
    assert status == 1
    assert "0003_c1s1" in err
    assert not (tmp_path / "g").exists()
    answer = run_json(*build, "--on-error", "collect")
    assert answer["entries"] == 2
    assert [row["path"][-23:] for row in answer["failures"]] == ["0003_c1s1_000001_00.jpg"]


def pids(path):
    gallery = Gallery.load(path)
    return [entry.pid for entry in gallery.get(gallery.ids)]


def test_names(run, tiny, tmp_path):
    crops = tmp_path / "crops"
    write_people(crops, identities=2, cameras=1, size=(64, 32))

    def build(*arguments):
        options = ("--weights", tiny, "--overwrite")
        status, text, err = run("gallery", "build", *arguments, tmp_path / "g", *options)
        return (pids(tmp_path / "g"), text) if status == 0 else err

    assert build(crops, "--names", "none")[0] == [None, None]
    assert build(sorted(crops.iterdir())[1])[0] == [2]  # a file is named by its folder's scheme
    assert "are not named as cuhk03" in build(crops, "--names", "cuhk03")
    (crops / "deeper").mkdir()
    min(crops.glob("*.jpg")).rename(crops / "deeper" / "holiday.jpg")
    assert build(crops)[0] == [2, None]  # not lost, and nobody
    found, text = build(crops / "deeper")
    assert found == [None]
    assert "nobody named" in text


def test_distractors_and_junk_are_nobody(run_json, tiny, tmp_path):
    write_people(tmp_path / "crops", identities=1, cameras=1, size=(64, 32))
    for number, name in enumerate(("0000_c2s1_000001_00.jpg", "-1_c2s1_000001_00.jpg")):
        rendered_person(8 + number, 2, size=(64, 32)).save(tmp_path / "crops" / name)
    run_json("gallery", "build", tmp_path / "crops", tmp_path / "g", "--weights", tiny)
    assert sorted(pids(tmp_path / "g"), key=str) == [1, None, None]


def test_what_is_no_gallery_is_not_advised_to_be_extended(run, people, tmp_path):
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "mine.txt").write_text("mine")
    status, _, err = run("gallery", "build", people, tmp_path / "notes")
    assert status == 1
    assert "exists already and is neither a gallery nor an empty folder" in err
    assert "--overwrite" not in err


def test_a_build_that_cannot_be_saved_says_nothing_else(run, people, tiny, tmp_path):
    (tmp_path / "file").write_text("mine")
    for path, message in (
        (tmp_path / "file", "neither a gallery nor an empty folder"),
        (tmp_path / "file" / "g", "cannot be written"),
    ):
        build = ("gallery", "build", people, path, "--overwrite", "--weights", tiny)
        status, text, err = run(*build)
        assert (status, text, err.count("\n")) == (1, "", 1)
        assert message in err
    assert (tmp_path / "file").read_text() == "mine"


def test_a_name_that_is_not_utf8_is_told(run, tiny, tmp_path):
    name = tmp_path / os.fsdecode(b"crop\xff.png")
    try:
        rendered_person(1, size=(64, 32)).save(name)
    except (OSError, UnicodeError):
        pytest.skip("the file system allows UTF-8 names alone")
    status, text, err = run("gallery", "build", name, tmp_path / "g", "--weights", tiny)
    assert (status, text, err.count("\n")) == (1, "", 1)
    assert "is not UTF-8" in err
    assert not (tmp_path / "g").exists()
    rendered_person(1, size=(64, 32)).save(tmp_path / "good.png")
    status, _, err = run("gallery", "build", name, tmp_path / "good.png", tmp_path / "g",
                         "--weights", tiny, "--on-error", "collect")  # fmt: skip
    assert status == 0
    assert "crop\\udcff.png: its name is not UTF-8" in err
    assert len(Gallery.load(tmp_path / "g")) == 1


def test_a_search_wants_no_more_than_there_is(run_json, built, people, tiny):
    query = min(people.iterdir())
    (row,) = run_json("gallery", "search", built, query, "-k", 10**20, "--weights", tiny)
    assert len(row["hits"]) == 16


def test_a_wrong_picture_is_told_before_the_work(run, built, people):
    search = ("gallery", "search", built, people, "--weights", "no such weights")
    assert "A picture is written as" in run(*search, "--picture", "a.gif")[2]


def test_people_named_by_their_folders(run_json, tiny, tmp_path):
    for name, identity in (("anna", 1), ("ben", 2)):
        write_people(tmp_path / "crops" / name, identities=identity, cameras=1, size=(64, 32))
    answer = run_json(
        "gallery", "build", tmp_path / "crops", tmp_path / "g",
        "--weights", tiny, "--names", "folders",
    )  # fmt: skip
    assert answer["entries"] == 3
    assert pids(tmp_path / "g") == ["anna", "ben", "ben"]


def test_adding_the_same_files_again_is_said(run, built, people, tiny):
    status, text, err = run("gallery", "add", people, built, "--weights", tiny)
    assert (status, text.split(",")[-1]) == (0, " 32 entries\n")
    assert "16 of these files are in the gallery already and are added once more" in err
    assert "--new-only leaves them out" in err


def test_new_only_adds_what_the_gallery_does_not_hold(run, built, people, tiny, tmp_path):
    new = tmp_path / "0009_c1_new.jpg"
    rendered_person(9).save(new)
    add = ("gallery", "add", people, new, built, "--weights", tiny, "--new-only")
    status, text, err = run(*add)
    assert (status, err) == (0, "sanreid: 16 files that the gallery holds already are left out\n")
    assert text == f"{built}: 1 added (1 person by their file names), 17 entries\n"
    status, text, err = run(*add)
    assert (status, err) == (0, "sanreid: 17 files that the gallery holds already are left out\n")
    assert text.endswith("17 entries\n")


@pytest.fixture
def mixed(tmp_path):
    """Three good crops, one that lies, one without detail."""
    write_people(tmp_path / "mixed", identities=3, cameras=1, size=(128, 64))
    for name, size, colour in (
        ("0004_c1_lying_0", (128, 60), None),
        ("0005_c1_flat_0", (64, 128), 9),
    ):
        crop = (
            rendered_person(4).resize(size) if colour is None else Image.new("RGB", size, "gray")
        )
        crop.save(tmp_path / "mixed" / f"{name}.jpg")
    return tmp_path / "mixed"


def test_min_quality_leaves_crops_out(run, run_json, mixed, tiny, tmp_path):
    path = tmp_path / "g"
    status, text, err = run(
        "gallery", "build", mixed, path, "--weights", tiny, "--min-quality", 0.3
    )
    assert status == 0
    assert text == f"{path}: 3 added (3 people by their file names), 3 entries\n"
    assert "2 of 5 crops are left out, of a quality below 0.3: 1 for shape, 1 for sharpness" in err
    entries = Gallery.load(path).get([0, 1, 2])
    for entry in entries:
        expected = sanreid.crop_quality(entry.metadata["path"]).score[0]
        assert entry.metadata["quality"] == pytest.approx(expected, abs=1e-3)
    least = min(entry.metadata["quality"] for entry in entries)
    query = entries[0].metadata["path"]
    (row,) = run_json(
        "gallery", "search", path, query, "--weights", tiny, "--where",
        f'{{"quality": {{"$gt": {least}}}}}',
    )  # fmt: skip
    assert len(row["hits"]) == 2
    answer = run_json("gallery", "add", mixed, path, "--weights", tiny, "--new-only",
                      "--min-quality", 0)  # fmt: skip
    assert (answer["added"], answer["entries"]) == (2, 5)
    assert Gallery.load(path).get([4])[0].metadata["quality"] == 0
    answer = run_json("gallery", "sync", mixed, path, "--weights", tiny, "--min-quality", 1)
    assert (answer["added"], answer["removed"], answer["entries"]) == (0, 0, 5)


def test_min_quality_does_not_hide_what_cannot_be_read(run, mixed, tiny, tmp_path):
    (mixed / "0006_c1_bad_0.jpg").write_bytes(b"no picture")
    build = ("gallery", "build", mixed, tmp_path / "g", "--weights", tiny, "--min-quality", 1)
    status, _, err = run(*build)
    assert status == 1
    assert "0006_c1_bad_0.jpg" in err
    with pytest.raises(SystemExit) as stopped:
        run(*build[:-1], 1.5)
    assert stopped.value.code == 2


def test_a_changed_picture_is_scored_again(run_json, mixed, tiny, tmp_path):
    path = tmp_path / "g"
    run_json("gallery", "build", mixed, path, "--weights", tiny, "--min-quality", 0)
    before = {Path(e.metadata["path"]).name: e for e in Gallery.load(path).get(range(5))}
    assert before["0005_c1_flat_0.jpg"].metadata["quality"] == 0
    rendered_person(5, size=(128, 64)).save(mixed / "0005_c1_flat_0.jpg")
    answer = run_json("gallery", "sync", mixed, path, "--weights", tiny)
    assert answer["changed"] == 1
    after = {Path(e.metadata["path"]).name: e for e in Gallery.load(path).get(range(5))}
    assert after["0005_c1_flat_0.jpg"].metadata["quality"] > 0.5
