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


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--resume"], "--resume needs --shards"),
        (["--ray"], "--ray needs --shards"),
        (["--names", "cuhk03"], "--names needs --shards"),
        (["--actors", "3"], "--actors needs --ray"),
        (["--shards", "--actor-gpus", "0"], "--actor-gpus needs --ray"),
        (["--shards", "--on-error", "raise"], "--on-error raise does not go with --shards"),
    ],
)
def test_options_without_effect_are_wrong_usage(run, people, tmp_path, capsys, options, message):
    with pytest.raises(SystemExit) as end:
        run("embed", people, "-o", tmp_path / "out", *options)
    assert end.value.code == 2
    assert message in capsys.readouterr().err


def test_a_source_that_is_not_there_is_no_row(run, people, tmp_path):
    sources = (people, tmp_path / "croops")
    status, _, err = run("embed", *sources, "-o", tmp_path / "out", "--shards")
    assert (status, err) == (1, f"sanreid: There is no file or folder {sources[1]}.\n")
    assert not (tmp_path / "out").exists()


def test_nothing_readable_is_an_error_also_when_resumed(run, run_json, people, tiny, tmp_path):
    bad = tmp_path / "bad.jpg"
    bad.write_bytes(b"no picture")
    options = ("-o", tmp_path / "out", "--shards", "--resume", "--weights", tiny)
    for _ in range(2):
        status, text, err = run("embed", bad, *options)
        assert (status, text, err.count("\n")) == (1, "", 1)
        assert f"None of the 1 files could be read; first {bad}: " in err
    status, text, err = run("embed", people, bad, *options)
    assert (status, err.count("\n")) == (0, 1)
    assert text.endswith("16 files embedded, 1 was there, 1 could not be read\n")
    assert f"1 file could not be read before, not tried again; first {bad}: " in err
    told = run_json("embed", people, bad, *options)
    assert (told["failures"], [one["path"] for one in told["earlier_failures"]]) == (
        [],
        [str(bad)],
    )


def test_a_link_that_leads_nowhere_is_a_row(run_json, people, tiny, tmp_path):
    folder = shutil.copytree(people, tmp_path / "crops")
    (folder / "away").symlink_to(tmp_path / "nowhere")
    told = run_json("embed", folder, "-o", tmp_path / "out", "--shards", "--weights", tiny)
    assert told["embedded"] == 16
    [failure] = told["failures"]
    assert failure["path"] == str(folder / "away")
    assert [row["path"] for row in rows(tmp_path / "out") if row["error"]] == [failure["path"]]
