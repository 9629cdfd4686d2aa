"""A teacher's embeddings are computed once per crop and found again."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

from sanreid.datasets import read_crops
from sanreid.errors import DatasetError, WeightsError
from sanreid.train.config import TeacherConfig
from sanreid.train.teacher import embeddings as module
from sanreid.train.teacher import teacher_embeddings

CONFIG = TeacherConfig(weights="fake")


class FakeTeacher:
    """Embeds a crop by its file's size, and counts what it is asked for."""

    digest = "f" * 64

    def __init__(self):
        self.asked = []
        self.factor = 1.0

    def embed(self, paths):
        self.asked += paths
        sizes = np.array([path.stat().st_size for path in paths], dtype=np.float32)
        return self.factor * np.stack([sizes, np.sqrt(sizes), 100 + 0 * sizes], axis=1)


@pytest.fixture
def teacher(monkeypatch):
    fake = FakeTeacher()
    monkeypatch.setattr(module, "open_teacher", lambda _: fake)
    monkeypatch.setattr(module, "_PART", 5)
    return fake


@pytest.fixture
def crops(people):
    return read_crops(people, names="folders")


def test_rows_are_normalised_and_in_the_order_of_the_crops(teacher, crops, tmp_path):
    turned = crops.select(np.arange(len(crops))[::-1])
    taught = teacher_embeddings(CONFIG, turned, tmp_path / "new")
    plain = teacher.embed(list(turned.paths))
    expected = plain / np.linalg.norm(plain, axis=1, keepdims=True)
    np.testing.assert_allclose(taught.rows.float().numpy(), expected, atol=1e-3)
    assert taught.digest == teacher.digest


def test_each_crop_is_embedded_once(teacher, crops, tmp_path):
    first = teacher_embeddings(CONFIG, crops.select(np.arange(20)), tmp_path)
    both = teacher_embeddings(CONFIG, crops, tmp_path)
    again = teacher_embeddings(CONFIG, crops.select(np.arange(30, 10, -1)), tmp_path)
    assert sorted(teacher.asked) == sorted(crops.paths)
    assert first.rows.equal(both.rows[:20])
    assert again.rows.equal(both.rows[np.arange(30, 10, -1).tolist()])


def test_a_copy_elsewhere_needs_no_teacher(teacher, crops, people, tmp_path):
    taught = teacher_embeddings(CONFIG, crops, tmp_path)
    teacher.asked.clear()
    copied = read_crops(shutil.copytree(people, tmp_path / "copied"), names="folders")
    assert teacher_embeddings(CONFIG, copied, tmp_path).rows.equal(taught.rows)
    assert not teacher.asked


def test_what_was_done_before_an_interrupt_is_kept(teacher, crops, tmp_path, monkeypatch, caplog):
    embed = teacher.embed

    def interrupted(paths):
        if len(teacher.asked) >= 10:
            raise KeyboardInterrupt
        return embed(paths)

    monkeypatch.setattr(teacher, "embed", interrupted)
    with pytest.raises(KeyboardInterrupt):
        teacher_embeddings(CONFIG, crops, tmp_path)
    assert "Stopped after 10 of 48 crops" in caplog.text
    monkeypatch.undo()
    monkeypatch.setattr(module, "open_teacher", lambda _: teacher)
    teacher_embeddings(CONFIG, crops, tmp_path)
    assert sorted(teacher.asked) == sorted(crops.paths)


def test_rows_that_another_run_added_meanwhile_stay(teacher, crops, tmp_path, monkeypatch):
    embed = teacher.embed
    first, second = crops.select(np.arange(20)), crops.select(np.arange(10, 48))

    def beside_another(paths):
        monkeypatch.setattr(teacher, "embed", embed)
        teacher_embeddings(CONFIG, second, tmp_path)
        return embed(paths)

    monkeypatch.setattr(teacher, "embed", beside_another)
    teacher_embeddings(CONFIG, first, tmp_path)
    teacher.asked.clear()
    teacher_embeddings(CONFIG, crops, tmp_path)
    assert not teacher.asked


def test_a_changed_crop_is_embedded_anew(teacher, tmp_path, people):
    copy = tmp_path / "people" / "person00"
    copy.mkdir(parents=True)
    for file in sorted((people / "person00").iterdir()):
        (copy / file.name).write_bytes(file.read_bytes())
    crops = read_crops(copy.parent, names="folders")
    teacher_embeddings(CONFIG, crops, tmp_path)
    changed = crops.paths[2]
    changed.write_bytes(changed.read_bytes() + b"more")
    teacher_embeddings(CONFIG, crops, tmp_path)
    assert teacher.asked[len(crops) :] == [changed]


@pytest.mark.parametrize("factor", [0.0, np.nan, np.inf])
def test_rows_that_teach_nothing_are_refused(teacher, crops, tmp_path, factor):
    teacher.factor = factor
    with pytest.raises(WeightsError, match="zero or not finite"):
        teacher_embeddings(CONFIG, crops, tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("teacher")
def test_a_damaged_cache_is_told(crops, tmp_path):
    teacher_embeddings(CONFIG, crops, tmp_path)
    (kept,) = tmp_path.glob("teacher-*.npz")
    kept.write_bytes(kept.read_bytes()[:500])
    with pytest.raises(DatasetError, match="damaged"):
        teacher_embeddings(CONFIG, crops, tmp_path)
