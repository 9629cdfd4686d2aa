"""``sanreid embed --shards``."""

from __future__ import annotations

import shutil

import pytest

from sanreid.utils.shards import read_shards, shard_files

pytest.importorskip("pyarrow")


def rows(directory):
    return [
        dict(zip(columns, values, strict=True))
        for columns in read_shards(shard_files(directory))
        for values in zip(*columns.values(), strict=True)
    ]


def test_shards_hold_embeddings_and_labels(run_json, people, tiny, tmp_path):
    out = tmp_path / "out"
    told = run_json("embed", people, "-o", out, "--shards", "--weights", tiny)
    assert (told["embedded"], told["resumed"], told["failures"]) == (16, 0, [])
    assert sorted((row["pid"], row["camid"]) for row in rows(out)) == sorted(
        (str(pid), camid) for pid in (1, 2, 3, 4) for camid in (1, 2) for _ in range(2)
    )


def test_a_second_run_needs_resume(run, people, tiny, tmp_path):
    arguments = ["embed", people, "-o", tmp_path / "out", "--shards", "--weights", tiny]
    assert run(*arguments)[0] == 0
    status, _, err = run(*arguments)
    assert status == 1
    assert "--resume" in err
    status, out, _ = run(*arguments, "--resume")
    assert status == 0
    assert "0 files embedded, 16 were there" in out


def test_options_of_shards_need_shards(run, people, tiny, tmp_path, capsys):
    for option in ("--resume", "--ray"):
        with pytest.raises(SystemExit) as end:
            run("embed", people, "-o", tmp_path / "o.npz", option, "--weights", tiny)
        assert end.value.code == 2
        assert f"{option} needs --shards" in capsys.readouterr().err


def test_a_link_that_leads_nowhere_is_a_row(run_json, people, tiny, tmp_path):
    folder = shutil.copytree(people, tmp_path / "crops")
    (folder / "away").symlink_to(tmp_path / "nowhere")
    told = run_json("embed", folder, "-o", tmp_path / "out", "--shards", "--weights", tiny)
    assert told["embedded"] == 16
    [failure] = told["failures"]
    assert failure["path"] == str(folder / "away")
    assert [row["path"] for row in rows(tmp_path / "out") if row["error"]] == [failure["path"]]
