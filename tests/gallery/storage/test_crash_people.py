"""A writer killed while it names people or normalises cameras loses nothing it acknowledged."""

from __future__ import annotations

import pytest

from sanreid.gallery.people.naming import Assignment
from tests.gallery.storage import histories, test_crash
from tests.gallery.storage.test_crash import check_kills, few_commits_are_many, pytestmark

__all__ = ["few_commits_are_many", "pytestmark"]


def contents(gallery):
    normalizer = gallery.camera_normalizer
    return [*histories.contents(gallery), None if normalizer is None else normalizer.to_dict()]


def step(gallery, rng):
    """Do one random thing, more often than not to people or cameras."""
    kind = rng.choice(["merge", "split", "rename", "assign", "means", "plain", "other", "other"])
    people = sorted((pid for pid in gallery.counts("pid") if pid is not None), key=repr)
    cameras = [camid for camid in gallery.counts("camid") if camid is not None]
    if kind == "other" or len(people) < 2 or len(cameras) < 2:
        histories.step(gallery, rng)
    elif kind == "merge":
        gallery.merge(people[:2], into=people[int(rng.integers(0, 2))])
    elif kind == "split":
        gallery.split(rng.permutation(gallery.ids)[:3])
    elif kind == "rename":
        gallery.rename(people[0], to=f"{rng.integers(1 << 30)}")
    elif kind == "assign":
        some = rng.permutation(gallery.ids)[:3]
        gallery.assign(Assignment(some, (None, "z", 5)[: len(some)]))
    elif kind == "means":
        gallery.normalize_cameras()
    else:
        gallery.normalize_cameras(None)


@pytest.fixture(autouse=True)
def people_and_cameras(monkeypatch):
    monkeypatch.setattr(test_crash, "step", step)
    monkeypatch.setattr(test_crash, "contents", contents)


def test_a_few_kills(tmp_path):
    check_kills(tmp_path, 8)


@pytest.mark.slow
def test_a_hundred_kills(tmp_path):
    check_kills(tmp_path, 100)
