"""Where a run goes on, and when it stops: devices and signals."""

from __future__ import annotations

import os
import signal
import threading

import pytest
import torch

from sanreid.errors import ConfigError
from sanreid.train.loop.stopping import StopRequest, sigterm_interrupts
from sanreid.train.runtime import resolve_device


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_first_signal_is_a_request_and_the_second_stops_at_once(number):
    before = signal.getsignal(number)
    request = StopRequest()
    with request.recorded():
        assert not request.is_set()
        os.kill(os.getpid(), number)
        assert request.is_set_anywhere(torch.device("cpu"))
        assert request.signal == number
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), number)
    assert signal.getsignal(number) is before


def test_before_the_first_step_sigterm_interrupts():
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt) as stopped, sigterm_interrupts():
        os.kill(os.getpid(), signal.SIGTERM)
    assert stopped.value.args == (signal.SIGTERM,)
    assert signal.getsignal(signal.SIGTERM) is before


def test_in_another_thread_signals_are_left_to_the_caller():
    before = signal.getsignal(signal.SIGTERM)
    seen = []

    def work():
        for block in (StopRequest().recorded(), sigterm_interrupts()):
            with block:
                seen.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [before, before]


def test_each_process_has_its_own_of_several_devices(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setenv("LOCAL_RANK", "1")
    for name in ("auto", "cuda"):
        assert resolve_device(name) == torch.device("cuda", 1)
    assert resolve_device("cuda:0") == torch.device("cuda", 0)
    assert resolve_device("cpu") == torch.device("cpu")
    with pytest.raises(ConfigError, match="no CUDA device 2: torch finds 2"):
        resolve_device("cuda:2")


def test_devices_there_are_not(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert resolve_device("auto") == torch.device("cpu")
    with pytest.raises(ConfigError, match="finds no CUDA device"):
        resolve_device("cuda")
    for name in ("mps", "cuba"):
        with pytest.raises(ConfigError, match=f"auto, cpu or cuda; got '{name}'"):
            resolve_device(name)
