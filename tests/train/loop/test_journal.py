"""The log, TensorBoard, the stopwatch and the means."""

from __future__ import annotations

import json
import sys
import time

import pytest
import torch

from sanreid.errors import MissingExtraError
from sanreid.train.loop.journal import Journal, Meter, Stopwatch, read_journal
from sanreid.utils.files import atomic_write_text


def test_the_log_drops_what_will_happen_again_and_a_line_cut_short(tmp_path):
    path = tmp_path / "log.jsonl"
    lines = [json.dumps({"kind": "train", "step": n}) for n in (1, 2, 3)]
    atomic_write_text(path, "\n".join(lines) + '\n{"kind": "tr')
    assert len(read_journal(path)) == 3
    journal = Journal(tmp_path, resume_step=2, tensorboard=False)
    journal.write("train", 3, {"total": 1.0})
    journal.close()
    assert [row.get("total") for row in read_journal(path)] == [None, None, 1.0]
    fresh = Journal(tmp_path, resume_step=None, tensorboard=False)
    fresh.close()
    assert read_journal(path) == []
    Journal(tmp_path / "nowhere", resume_step=None, tensorboard=False, enabled=False).close()


def test_tensorboard_keeps_the_points_of_the_step_that_is_resumed_from(tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    for resume_step, steps in ((None, (1, 2, 3)), (2, (3,))):
        journal = Journal(tmp_path, resume_step=resume_step, tensorboard=True)
        for step in steps:
            journal.write("train", step, {"total": 1.0})
        journal.close()
        time.sleep(1.1 * (resume_step is None))  # files are told apart by the second
    board = EventAccumulator(str(tmp_path / "tensorboard"))
    board.Reload()
    assert [point.step for point in board.Scalars("train/total")] == [1, 2, 3]


def test_tensorboard_is_an_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(MissingExtraError, match=r"sanreid\[train\]"):
        Journal(tmp_path, resume_step=None, tensorboard=True)


def test_shares_add_up_and_means_are_means():
    watch = Stopwatch(torch.device("cpu"))
    assert watch.shares() == {}
    watch.seconds.update({"data": 1.0, "forward": 3.0})
    assert watch.shares() == {"data": 0.25, "forward": 0.75}
    watch.next_step()
    with watch.part("data"):
        pass
    assert sum(watch.shares().values()) == pytest.approx(1, abs=1e-3)
    meter = Meter()
    meter.add({"total": 1.0, "lr": 0.1}, crops=8, seconds=2.0)
    meter.add({"total": 3.0, "lr": 0.1}, crops=8, seconds=2.0)
    assert meter.means() == {"total": 2.0, "lr": pytest.approx(0.1), "images_per_s": 4.0}
    meter.add({"total": 5.0, "lr": 0.1, "tr": 0.5}, crops=8, seconds=2.0)
    assert (meter.means()["total"], meter.means()["tr"]) == (3.0, 0.5)  # of one step in three
    assert set(meter.shown()) == {"total", "tr", "images_per_s"}
