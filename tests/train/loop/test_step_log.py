"""Steps are logged in their order, and what is not finite is reported with its crops."""

from __future__ import annotations

import json
import math
from types import SimpleNamespace

import pytest
import torch

from sanreid.errors import TrainingError
from sanreid.train.config import RunConfig
from sanreid.train.loop import step_log
from sanreid.train.loop.journal import Journal, Stopwatch, read_journal
from sanreid.train.loop.learner import StepResult
from sanreid.train.loop.progress import Progress
from sanreid.train.loop.step_log import StepLog, TakenStep


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands at ``clock.now``."""
    here = SimpleNamespace(now=0.0)
    monkeypatch.setattr(step_log, "time", SimpleNamespace(perf_counter=lambda: here.now))
    return here


@pytest.fixture
def make_log(tmp_path):
    """Build the log of a run of 12 steps, whose learner checks that all values are finite."""
    journals = []

    def make(last_step=12, **settings):
        journals.append(Journal(tmp_path, resume_step=None, tensorboard=False))
        return StepLog(
            RunConfig(output=str(tmp_path), **settings),
            SimpleNamespace(is_sound=lambda values: all(map(math.isfinite, values.values()))),
            SimpleNamespace(names=lambda indices: [f"crop {n}" for n in indices.tolist()]),
            journals[-1], Stopwatch(torch.device("cpu")), Progress(),
            last_step=last_step, total_steps=12,
        )  # fmt: skip

    yield make
    for journal in journals:
        journal.close()


def taken(number, *, started=0.0, **values):
    """Take a step on six crops, with a loss equal to its number unless said."""
    values = {"total": float(number), "gradient": 1.0, **values}
    result = StepResult(values, torch.tensor(list(values.values())), torch.arange(6))
    return TakenStep(result, number, number / 4, 6, 0.5, started)


def test_steps_are_logged_in_their_order_except_the_last_ones(make_log, clock, tmp_path):
    log = make_log(log_every=2)
    log.settle()  # before any step, as a checkpoint may be
    log.add(taken(1, started=10.0))
    clock.now = 13.0
    log.settle(keep=1)
    assert log.shown() == {"images_per_s": "0"}
    log.add(taken(2, started=12.0))
    log.settle(keep=1)  # the first: 3 seconds
    assert log.shown() == {"total": "1", "images_per_s": "2"}
    assert read_journal(tmp_path / "log.jsonl") == []
    log.add(taken(3, started=13.0))
    clock.now = 14.0
    log.settle(keep=1)  # the second: 1 second, not the 2 since it began beside the first
    assert read_journal(tmp_path / "log.jsonl") == [
        {"kind": "train", "step": 2, "epoch": 0.5, "total": 1.5, "lr": 0.5, "images_per_s": 3.0,
         "seconds": 4.0}
    ]  # fmt: skip
    clock.now = 15.0
    log.settle()
    assert log.shown() == {"total": "3", "images_per_s": "6"}  # since the line
    log.begin_epoch()
    assert log.shown() == {"images_per_s": "0"}


@pytest.mark.parametrize(
    ("values", "what"),
    [
        ({"total": math.nan, "identity": 1.0, "tr": math.nan}, r"the loss \(tr\)"),
        ({"total": math.inf, "identity": 1.0}, r"the loss \(their sum\)"),
        ({"gradient": math.inf}, "the gradient"),
    ],
)
def test_what_is_not_finite_is_reported_with_its_crops(make_log, tmp_path, values, what):
    log = make_log(log_every=1)
    for step in (taken(1), taken(2, **values), taken(3)):
        log.add(step)
    crops = "crop 0, crop 1, crop 2, crop 3 and 2 more"
    with pytest.raises(TrainingError, match=f"At step 1 {what} is NaN or infinite; .*: {crops},"):
        log.settle()
    record = json.loads((tmp_path / "not-finite-rank0.json").read_text())
    assert record["step"] == 1
    assert record["crops"] == [f"crop {n}" for n in range(6)]
    assert [row["step"] for row in read_journal(tmp_path / "log.jsonl")] == [1]


@pytest.mark.parametrize(("last_step", "told"), [(12, 1), (10, 0)])
def test_the_time_to_come_is_told_once(make_log, clock, caplog, last_step, told):
    log = make_log(last_step)
    with caplog.at_level("INFO", "sanreid"):
        for number in range(1, 13):
            log.add(taken(number, started=clock.now))
            clock.now += 60.0 if number != 3 else 9000.0  # the median is what counts
            log.settle()
    lines = [line for line in caplog.messages if "to come" in line]
    assert lines == ["60 s a step: about 2 min to come, evaluations aside"] * told
