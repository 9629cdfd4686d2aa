"""The precision of a run: what ``"auto"`` stands for, and that a resumed run keeps its own."""

from __future__ import annotations

import json

import pytest
import torch

from sanreid.errors import TrainingError
from sanreid.train import runtime
from sanreid.train.checkpoint import load_checkpoint
from sanreid.train.loop.engine import Engine
from sanreid.train.runtime import autocast_dtype, with_precision

CPU = torch.device("cpu")


@pytest.fixture
def processor(monkeypatch):
    """Return a function that makes the CPU one that computes bfloat16, or one that does not."""

    def be(*, native: bool) -> None:
        monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: native)
        monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)

    return be


@pytest.mark.parametrize(("native", "precision"), [(True, "bf16"), (False, "fp32")])
def test_auto_is_what_the_device_computes_natively(tiny_run, processor, native, precision):
    processor(native=native)
    config = tiny_run(run={"precision": "auto"})
    assert with_precision(config, CPU).run.precision == precision
    assert autocast_dtype(config, CPU) == (torch.bfloat16 if native else None)
    for own, dtype in (("bf16", torch.bfloat16), ("fp16", torch.float16), ("fp32", None)):
        config = tiny_run(run={"precision": own})
        assert with_precision(config, CPU, recorded="fp32") is config
        assert autocast_dtype(config, CPU) == dtype


def test_one_process_without_bf16_decides_for_all(tiny_run, processor, monkeypatch):
    processor(native=True)
    monkeypatch.setattr(runtime, "all_sum", lambda x: x + 1)  # another process lacks it
    assert with_precision(tiny_run(run={"precision": "auto"}), CPU).run.precision == "fp32"


def test_a_resumed_run_keeps_its_precision(tiny_run, processor, tmp_path):
    auto = {"precision": "auto", "max_steps": 1}
    processor(native=False)
    assert with_precision(tiny_run(run=auto), CPU, recorded="bf16").run.precision == "bf16"
    Engine(tiny_run(run=auto)).run()
    recorded = json.loads((tmp_path / "run" / "config.json").read_text())
    assert recorded["run"]["precision"] == "fp32"

    processor(native=True)
    engine = Engine(tiny_run(run={**auto, "max_steps": 2}), resume=True)
    assert engine.config.run.precision == "fp32"
    assert engine.run().step == 2
    saved = load_checkpoint(tmp_path / "run" / "last.ckpt")
    assert saved["config"]["run"]["precision"] == "fp32"
    with pytest.raises(TrainingError, match=r"run\.precision was 'fp32', is 'bf16'"):
        Engine(tiny_run(run={"precision": "bf16"}), resume=True)
