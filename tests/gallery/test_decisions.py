"""Decisions of people, read from JSON and applied: what they change, and what is refused."""

from __future__ import annotations

import json

import numpy as np
import pytest

from sanreid.errors import InputError, UnknownIdError
from sanreid.gallery import Gallery


@pytest.fixture
def gallery():
    gallery = Gallery(2)
    gallery.add(
        np.ones((8, 2)),
        pids=["a", "a", "b", 7, None, None, None, "a"],
        metadata=[{"path": f"crops/{number}.jpg"} for number in range(8)],
    )
    return gallery


def pids_of(gallery):
    return [entry.pid for entry in gallery.get(gallery.ids)]


def decided(*decisions, **more):
    return {"format": "sanreid-decisions", "version": 1, "decisions": [*decisions], **more}


@pytest.mark.parametrize(
    ("decisions", "changes"),
    [
        # same: the most frequent person, else a new one
        ([{"same": [4, 5]}], {4: 8, 5: 8}),
        ([{"same": [0, 1, 2, 6]}], {2: "a", 6: "a"}),
        ([{"same": [2, 4]}, {"same": [4, 5]}], {4: "b", 5: "b"}),
        ([{"same": [6]}], {6: 8}),
        # name: that person, also over what they were; 7 and "7" are two
        ([{"name": "eve", "ids": [0, 4]}], {0: "eve", 4: "eve"}),
        ([{"name": "7", "ids": [4]}, {"name": 7, "ids": [5]}], {4: "7", 5: 7}),
        ([{"name": "a", "ids": [4]}, {"name": "a", "ids": [5]}], {4: "a", 5: "a"}),
        ([{"same": [4, 5]}, {"name": 8, "ids": [6]}], {4: 9, 5: 9, 6: 8}),
        # different: the first leaves; who has no person gets one
        ([{"different": [1, 0]}], {1: 8}),
        ([{"different": [0, 2]}], {}),
        ([{"different": [4, 0]}], {4: 8}),
        ([{"different": [4, 5]}], {4: 8, 5: 9}),
        ([{"different": [1, 0]}, {"different": [7, 0]}], {1: 8, 7: 9}),
        # together: a crop that was marked, and the others
        ([{"same": [0, 7]}, {"different": [1, 0]}], {1: 8}),
        ([{"name": "eve", "ids": [0, 7]}, {"different": [1, 0]}], {0: "eve", 1: 8, 7: "eve"}),
        ([{"same": [4, 0]}, {"different": [1, 4]}], {1: 8, 4: "a"}),
        ([{"name": "a", "ids": [4]}, {"different": [4, 0]}], {0: 8, 4: "a"}),
        ([{"name": "b", "ids": [1]}, {"different": [1, 0]}, {"same": [0, 7]}], {1: "b"}),
        ([], {}),
    ],
)
def test_what_decisions_change(gallery, decisions, changes):
    before = pids_of(gallery)
    previous = gallery.decide(decided(*decisions))
    after = pids_of(gallery)
    assert {n: pid for n, pid in enumerate(after) if pid != before[n]} == changes
    assert sorted(previous.ids.tolist()) == sorted(changes)
    gallery.assign(previous)
    assert pids_of(gallery) == before


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([], "no file of decisions"),
        ({"decisions": []}, 'a JSON object with "format"'),
        ({**decided(), "version": 2}, "version 2 of decisions; this sanreid reads 1"),
        ({**decided(), "version": True}, "version True"),
        ({**decided(), "decisions": {}}, '"decisions" must be a list'),
        (decided("same"), "decision 0 is 'same'"),
        (decided({"same": [0]}, {"same": [0], "name": "x"}), "decision 1 is"),
        (decided({"same": []}), "a list of ids is wanted"),
        (decided({"same": 3}), "a list of ids is wanted"),
        (decided({"same": [0, "1"]}), "decision 0:"),
        (decided({"same": [0, 1.5]}), "decision 0:"),
        (decided({"same": [True]}), "decision 0:"),
        (decided({"different": [0]}), "different takes two entries"),
        (decided({"different": [0, 0]}), "different takes two entries"),
        (decided({"different": [0, 1, 2]}), "different takes two entries"),
        (decided({"name": None, "ids": [0]}), "name must be a person, an int or a str"),
        (decided({"name": " ", "ids": [0]}), "name must be an int or a text that is not empty"),
        (decided({"name": 1.5, "ids": [0]}), "decision 0:"),
        (decided({"name": 2**70, "ids": [0]}), "decision 0:"),
        (decided({"same": [0, 1]}, {"different": [1, 0]}), "one person and two"),
        (decided({"name": "x", "ids": [0]}, {"name": "x", "ids": [1]}, {"different": [0, 1]}),
         "entries 0 and 1 are said to be one person and two"),
        (decided({"name": "x", "ids": [0]}, {"name": "y", "ids": [1]}, {"same": [0, 1]}),
         "decision 2: entry 1 would be both 'x' and 'y'"),
        (decided({"name": "x", "ids": [0]}, {"name": "y", "ids": [0]}), "both 'y' and 'x'"),
        (decided({"same": [0]}, paths={"0": "other.jpg"}), "about another gallery"),
        (decided({"same": [0]}, paths=["0"]), '"paths" must be an object'),
        (decided({"same": [0]}, paths={"x": "0"}), '"paths" names entries by their ids'),
        (decided({"same": [0]}, paths={"9" * 5000: "0"}), '"paths" names entries by their ids'),
    ],
)  # fmt: skip
def test_what_is_refused_changes_nothing(gallery, tmp_path, content, message):
    before = pids_of(gallery)
    file = tmp_path / "decisions.json"
    file.write_text(json.dumps(content))
    with pytest.raises(InputError) as caught:
        gallery.decide(file)
    assert message in str(caught.value)
    assert pids_of(gallery) == before


def test_an_entry_that_is_gone(gallery):
    before = pids_of(gallery)
    with pytest.raises(UnknownIdError, match="99.* about this gallery"):
        gallery.decide(decided({"name": "x", "ids": [0]}, {"same": [99]}))
    assert pids_of(gallery) == before


@pytest.mark.parametrize("raw", [b"", b"{", b"\xff\xfe", b"[" * 100_000, b"<html>"])
def test_files_that_are_not_json(gallery, tmp_path, raw):
    file = tmp_path / "decisions.json"
    file.write_bytes(raw)
    with pytest.raises(InputError, match="it is not JSON"):
        gallery.decide(file)


@pytest.mark.parametrize("path", ["none.json", "."])
def test_files_that_cannot_be_read(gallery, tmp_path, path):
    with pytest.raises(InputError, match="cannot be read"):
        gallery.decide(tmp_path / path)


def test_paths_that_agree_and_entries_that_have_none(gallery):
    gallery.decide(decided({"same": [4, 5]}, paths={"4": "crops/4.jpg", "77": "unused"}))
    assert pids_of(gallery)[4:6] == [8, 8]


def test_decisions_are_one_durable_change(gallery, tmp_path):
    gallery.save(tmp_path / "g")
    with Gallery.open(tmp_path / "g") as stored:
        previous = stored.decide(decided({"name": "x", "ids": [4]}, {"different": [1, 0]}))
    with Gallery.open(tmp_path / "g") as stored:
        assert pids_of(stored)[:5] == ["a", 8, "b", 7, "x"]
        stored.assign(previous)
    assert pids_of(Gallery.load(tmp_path / "g")) == pids_of(gallery)
