"""``sanreid gallery decide``: decisions from a file, applied whole or not at all."""

from __future__ import annotations

import json
import os
import threading

import numpy as np
import pytest

from sanreid.gallery import Gallery


@pytest.fixture
def stored(tmp_path):
    gallery = Gallery(2)
    gallery.add(np.ones((4, 2)), pids=["a", "a", None, None])
    gallery.save(tmp_path / "g")
    return tmp_path / "g"


@pytest.fixture
def written(tmp_path):
    def write(*decisions):
        file = tmp_path / "decisions.json"
        content = {"format": "sanreid-decisions", "version": 1, "decisions": decisions}
        file.write_text(json.dumps(content))
        return file

    return write


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes here")
def test_decisions_come_through_a_pipe(run_json, stored, written, tmp_path):
    content = written({"name": "eve", "ids": [2]}).read_bytes()
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_bytes, args=(content,), daemon=True)
    writer.start()
    assert run_json("gallery", "decide", stored, pipe)["decisions"] == 1
    writer.join()


def test_decisions_are_applied(run, run_json, stored, written):
    file = written({"name": "eve", "ids": [2, 3]}, {"different": [1, 0]})
    answer = run_json("gallery", "decide", stored, file)
    assert answer == {
        "path": str(stored),
        "decisions": 2,
        "changed": [
            {"id": 2, "pid": "eve", "previous": None},
            {"id": 3, "pid": "eve", "previous": None},
            {"id": 1, "pid": 1, "previous": "a"},
        ],
    }
    assert Gallery.load(stored).counts("pid") == {"eve": 2, "a": 1, 1: 1}
    status, text, err = run("gallery", "decide", stored, file)
    assert (status, err) == (0, "")
    assert text == f"{stored}: 2 decisions, 0 entries changed\n"


def test_one_of_each(run, stored, written):
    text = run("gallery", "decide", stored, written({"same": [2]}))[1]
    assert text == f"{stored}: 1 decision, 1 entry changed\n"


@pytest.mark.parametrize(
    ("decisions", "message"),
    [
        ([{"same": [0, 1]}, {"different": [0, 1]}], "said to be one person and two"),
        ([{"same": [2, 3]}, {"same": [9]}], "no entry 9"),
        ([{"join": [2, 3]}], "decision 0"),
    ],
)
def test_wrong_files_are_refused_whole(run, stored, written, decisions, message):
    status, text, err = run("gallery", "decide", stored, written(*decisions))
    assert (status, text, err.count("\n")) == (1, "", 1)
    assert message in err
    assert Gallery.load(stored).counts("pid") == {"a": 2, None: 2}


def test_paths_that_are_not_there(run, stored, written, tmp_path):
    for gallery, file, message in (
        (stored, tmp_path / "no.json", "cannot be read"),
        (tmp_path / "no", written(), "no gallery"),
    ):
        status, _, err = run("gallery", "decide", gallery, file)
        assert (status, err.count("\n"), message in err) == (1, 1, True)
