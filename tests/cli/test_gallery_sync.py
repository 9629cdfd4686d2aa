"""``sanreid gallery sync`` and ``add --new-only``: a gallery follows its folders by content."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from sanreid.cli.gallery import following
from sanreid.gallery import Gallery
from tests.people import rendered_person, write_people


def picture(path, person, camera=1):
    path.parent.mkdir(parents=True, exist_ok=True)
    rendered_person(person, camera, size=(64, 32)).save(path)
    return path


@pytest.fixture
def crops(tmp_path):
    for number in (1, 2, 3):
        picture(tmp_path / "crops" / f"000{number}_c1_a.png", number)
    return tmp_path / "crops"


@pytest.fixture
def built(run, crops, tiny, tmp_path):
    assert run("gallery", "build", crops, tmp_path / "g", "--weights", tiny)[0] == 0
    return tmp_path / "g"


def entries(path):
    gallery = Gallery.load(path)
    return {Path(one.metadata["path"]).name: one for one in gallery.get(gallery.ids)}


@pytest.fixture
def sync(run_json, built, crops, tiny):
    def call(*options):
        answer = run_json("gallery", "sync", built, crops, "--weights", tiny, *options)
        return {
            key: answer[key] for key in ("added", "changed", "moved", "removed", "same", "entries")
        }

    return call


NOTHING = {"added": 0, "changed": 0, "moved": 0, "removed": 0, "same": 3, "entries": 3}


def test_nothing_changed(sync):
    assert sync() == NOTHING


def test_the_gallery_may_stand_last_as_in_add(run_json, built, crops, tiny):
    answer = run_json("gallery", "sync", crops, built, "--weights", tiny)
    assert (answer["path"], answer["same"]) == (str(built), 3)


def test_new_changed_moved_and_deleted_files(sync, built, crops):
    before = entries(built)
    picture(crops / "0001_c1_a.png", 8)  # another picture
    (crops / "0002_c1_a.png").unlink()
    (crops / "0003_c1_a.png").rename(crops / "0003_c2_b.png")
    picture(crops / "0004_c1_a.png", 4)
    wanted = {"added": 1, "changed": 1, "moved": 1, "removed": 1, "same": 0, "entries": 3}
    assert sync("--dry-run") == wanted
    assert entries(built).keys() == before.keys()
    assert sync() == wanted
    after = entries(built)
    assert after.keys() == {"0001_c1_a.png", "0003_c2_b.png", "0004_c1_a.png"}
    assert after["0001_c1_a.png"].id == before["0001_c1_a.png"].id
    assert float(after["0001_c1_a.png"].embedding @ before["0001_c1_a.png"].embedding) < 0.9999
    moved = after["0003_c2_b.png"]
    assert moved.id == before["0003_c1_a.png"].id
    assert (moved.pid, moved.camid) == (3, 2)
    assert (after["0004_c1_a.png"].pid, after["0004_c1_a.png"].camid) == (4, 1)
    assert sync() == NOTHING


def test_a_file_that_is_touched_or_copied_over_with_the_same_content_is_the_same(sync, crops):
    path = crops / "0001_c1_a.png"
    shutil.copy(path, crops / "copy")
    (crops / "copy").replace(path)
    os.utime(path, (0, 0))
    assert sync() == NOTHING


def test_what_a_person_entered_by_hand_stays(sync, built, crops):
    with Gallery.open(built) as gallery:
        number = gallery.find({"pid": 1})
        old = gallery.get(number)[0].metadata
        gallery.update(number, metadata=[{**old, "note": "seen twice"}])
    picture(crops / "0001_c1_a.png", 8)
    assert sync()["changed"] == 1
    assert entries(built)["0001_c1_a.png"].metadata["note"] == "seen twice"


def test_copies_that_moved_keep_an_entry_each(sync, built, crops):
    for name in ("0005_c1_a.png", "0005_c1_b.png", "0005_c1_c.png"):
        picture(crops / name, 5)
    assert sync()["added"] == 3
    before = entries(built)
    for old, new in (("a", "x/0005_c1_b"), ("b", "x/0005_c1_c"), ("c", "x/0005_c1_0")):
        picture(crops / f"{new}.png", 5)
        (crops / f"0005_c1_{old}.png").unlink()
    assert sync() == NOTHING | {"moved": 3, "entries": 6}
    after = entries(built)
    assert after["0005_c1_b.png"].id == before["0005_c1_b.png"].id
    assert after["0005_c1_c.png"].id == before["0005_c1_c.png"].id
    assert after["0005_c1_0.png"].id == before["0005_c1_a.png"].id


def test_a_file_that_vanishes_meanwhile_is_a_failure(run_json, built, crops, tiny, monkeypatch):
    content_of = following.content_of

    def vanished(path):
        (crops / "0001_c1_a.png").unlink(missing_ok=True)
        return content_of(path)

    monkeypatch.setattr(following, "content_of", vanished)
    command = ("gallery", "sync", built, crops, "--weights", tiny, "--on-error", "collect")
    answer = run_json(*command)
    assert (answer["same"], answer["changed"], answer["entries"]) == (2, 0, 3)
    assert [Path(one["path"]).name for one in answer["failures"]] == ["0001_c1_a.png"]


def test_names_that_tell_nothing_change_no_label(run, sync, built, crops, tiny):
    (crops / "0001_c1_a.png").rename(crops / "holiday.png")
    assert sync()["moved"] == 1
    assert (entries(built)["holiday.png"].pid, entries(built)["holiday.png"].camid) == (1, 1)


def test_entries_of_other_folders_are_left_alone(run, sync, built, tiny, tmp_path):
    other = picture(tmp_path / "other" / "0009_c1_a.png", 6)
    assert run("gallery", "add", other.parent, built, "--weights", tiny)[0] == 0
    other.unlink()
    assert sync() == NOTHING | {"entries": 4}


def test_an_empty_or_missing_folder_removes_nothing(run, built, crops, tiny):
    # An unmounted drive looks so.
    for path in crops.iterdir():
        path.unlink()
    for _ in range(2):
        status, _, err = run("gallery", "sync", crops, built, "--weights", tiny)
        assert status == 1
        assert "no image files" in err or "no such file" in err
        assert len(entries(built)) == 3
        if crops.exists():
            crops.rmdir()


def test_a_bad_new_file_changes_nothing_or_is_skipped(run, run_json, built, crops, tiny):
    (crops / "0002_c1_a.png").unlink()
    (crops / "0005_c1_a.png").write_bytes(b"404")
    command = ("gallery", "sync", crops, built, "--weights", tiny)
    status, _, err = run(*command)
    assert (status, "0005_c1_a.png" in err, len(entries(built))) == (1, True, 3)
    answer = run_json(*command, "--on-error", "collect")
    assert (answer["removed"], answer["added"], len(answer["failures"])) == (1, 0, 1)


def test_entries_without_a_record_of_their_content(run, sync, built, crops, tiny):
    with Gallery.open(built) as gallery:
        ids = gallery.ids
        gallery.update(ids, metadata=[{"path": one.metadata["path"]} for one in gallery.get(ids)])
    status, _, err = run("gallery", "add", crops, built, "--weights", tiny, "--new-only")
    assert status == 0
    assert "3 entries have no record of their content and were not checked" in err
    assert sync()["changed"] == 3
    assert sync() == NOTHING


def test_new_only_follows_too(run, built, crops, tiny):
    picture(crops / "0001_c1_a.png", 8)
    (crops / "0002_c1_a.png").unlink()
    status, text, err = run("gallery", "add", crops, built, "--weights", tiny, "--new-only")
    assert (status, text) == (0, f"{built}: 0 added, 2 entries\n")
    assert err.splitlines() == [
        "sanreid: 1 file that the gallery holds already is left out",
        "sanreid: 1 entry was embedded again, because its file changed",
        "sanreid: 1 entry was removed, because its file is gone",
    ]


def test_relative_and_absolute_paths_are_one(run, run_json, tiny, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_people(tmp_path / "crops", identities=2, cameras=1, size=(64, 32))
    assert run("gallery", "build", "crops", "g", "--weights", tiny)[0] == 0
    answer = run_json("gallery", "sync", tmp_path / "crops", "g", "--weights", tiny)
    assert (answer["same"], answer["added"], answer["removed"]) == (2, 0, 0)


@pytest.fixture
def relative(run, crops, tiny, tmp_path, monkeypatch):
    """A gallery of relative paths beside its crops; the working directory is theirs."""
    monkeypatch.chdir(tmp_path)
    assert run("gallery", "build", "crops", "g", "--weights", tiny)[0] == 0
    return tmp_path / "g"


@pytest.mark.parametrize("command", [("sync",), ("sync", "--dry-run"), ("add", "--new-only")])
@pytest.mark.parametrize("there", [True, False])
def test_another_working_directory_is_refused(
    run, relative, crops, tiny, tmp_path, monkeypatch, command, there
):
    elsewhere = tmp_path / "elsewhere"
    source = crops
    if there:  # other crops under the same path
        source = "crops"
        picture(elsewhere / "crops" / "0009_c1_a.png", 9)
    elsewhere.mkdir(exist_ok=True)
    monkeypatch.chdir(elsewhere)
    status, text, err = run(
        "gallery", command[0], source, relative, "--weights", tiny, *command[1:]
    )
    assert (status, text, err.count("\n")) == (1, "", 1)
    assert f"such as {Path('crops') / '000'}" in err
    assert f"the working directory, {elsewhere}" in err
    assert entries(relative).keys() == {f"000{number}_c1_a.png" for number in (1, 2, 3)}


def test_all_pictures_may_be_replaced_where_the_directory_is_said_to_be_right(
    run, run_json, relative, crops, tiny
):
    for path in list(crops.iterdir()):
        path.unlink()
    picture(crops / "0009_c1_a.png", 9)
    command = ("gallery", "sync", relative, "crops", "--weights", tiny)
    status, _, err = run(*command)
    assert status == 1
    assert "add --from-here" in err
    answer = run_json(*command, "--from-here")
    assert (answer["removed"], answer["added"]) == (3, 1)


def test_a_move_among_absolute_paths_does_not_make_a_directory_the_right_one(
    run, run_json, relative, crops, tiny, tmp_path, monkeypatch
):
    far = tmp_path / "far"
    picture(far / "0007_c1_a.png", 7)
    run_json("gallery", "sync", relative, far, "--weights", tiny)
    (far / "0007_c1_a.png").rename(far / "0007_c2_b.png")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    status, _, err = run("gallery", "sync", relative, crops, far, "--weights", tiny)
    assert status == 1
    assert "add --from-here" in err
    assert len(entries(relative)) == 4


def test_nothing_is_removed_without_new_only_so_there_is_no_directory_to_vouch_for(
    run, relative, tiny, capsys
):
    with pytest.raises(SystemExit) as stopped:
        run("gallery", "add", "crops", relative, "--weights", tiny, "--from-here")
    assert stopped.value.code == 2
    assert "--new-only" in capsys.readouterr().err
    assert len(entries(relative)) == 3


def test_one_common_picture_does_not_make_a_directory_the_right_one(
    run, relative, crops, tiny, tmp_path, monkeypatch
):
    elsewhere = tmp_path / "elsewhere"
    (elsewhere / "crops").mkdir(parents=True)
    (elsewhere / "crops" / "0009_c1_a.png").write_bytes((crops / "0001_c1_a.png").read_bytes())
    monkeypatch.chdir(elsewhere)
    status, _, err = run("gallery", "sync", relative, "crops", "--weights", tiny)
    assert status == 1
    assert f"the working directory, {elsewhere}" in err
    assert len(entries(relative)) == 3


def test_a_gallery_moves_with_its_crops(run_json, relative, tiny, tmp_path, monkeypatch):
    (tmp_path / "moved").mkdir()
    for name in ("g", "crops"):
        (tmp_path / name).rename(tmp_path / "moved" / name)
    monkeypatch.chdir(tmp_path / "moved")
    (Path("crops") / "0001_c1_a.png").unlink()
    answer = run_json("gallery", "sync", "g", "crops", "--weights", tiny)
    assert (answer["same"], answer["removed"], answer["added"]) == (2, 1, 0)


def test_all_files_of_relative_paths_may_move(run_json, relative, crops, tiny):
    for path in list(crops.iterdir()):
        (crops / "may").mkdir(exist_ok=True)
        path.rename(crops / "may" / path.name)
    (crops / "may" / "0001_c1_a.png").unlink()
    answer = run_json("gallery", "sync", "g", "crops", "--weights", tiny)
    assert (answer["moved"], answer["removed"], answer["entries"]) == (2, 1, 2)


def test_relative_paths_whose_files_are_gone_do_not_stop_other_folders(
    run_json, relative, crops, tiny, tmp_path
):
    shutil.rmtree(crops)  # its pictures were deleted once they were embedded
    picture(tmp_path / "more" / "0005_c1_a.png", 5)
    answer = run_json("gallery", "sync", "g", "more", "--weights", tiny)
    assert (answer["added"], answer["entries"]) == (1, 4)


def test_a_folder_behind_a_link_is_the_same_folder(run_json, built, crops, tiny, tmp_path):
    (tmp_path / "link").symlink_to(crops)
    picture(crops / "0001_c1_a.png", 8)
    (crops / "0002_c1_a.png").unlink()
    before = entries(built)
    wanted = {"added": 0, "changed": 1, "moved": 0, "removed": 1, "same": 1, "entries": 2}
    answer = run_json("gallery", "sync", built, tmp_path / "link", "--weights", tiny)
    assert {key: answer[key] for key in wanted} == wanted
    after = entries(built)
    assert after["0001_c1_a.png"].id == before["0001_c1_a.png"].id
    for folder in (crops, tmp_path / "link"):
        answer = run_json("gallery", "sync", built, folder, "--weights", tiny)
        assert (answer["same"], answer["entries"]) == (2, 2)


def test_a_link_beside_its_file_is_a_file_of_its_own(sync, crops):
    (crops / "0001_c1_b.png").symlink_to("0001_c1_a.png")
    assert sync()["added"] == 1
    assert sync() == NOTHING | {"same": 4, "entries": 4}
