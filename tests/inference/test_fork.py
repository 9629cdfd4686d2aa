"""Processes forked after an encoder was loaded: they compute, or are told at once what to do."""

from __future__ import annotations

import logging
import os
import subprocess
import sys

import pytest
import torch

from sanreid import SANEncoder
from sanreid.backends import device as device_module
from sanreid.errors import InputError
from tests.conftest import build_tiny

slow = pytest.mark.slow
pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")

# The parent does the first part, forks, and the child does the second; a child that hangs is
# killed, and its status is -9.
PROGRAM = """
import os, signal, sys, threading, time
import numpy as np, torch
torch.set_num_threads(2)
import sanreid
from tests.conftest import build_tiny
from sanreid.config import EncoderConfig
config = EncoderConfig(backbone="resnet18", embedding_dim=16, input_size=(64, 32))
image = np.random.default_rng(0).integers(0, 255, (64, 32, 3), dtype=np.uint8)
def made():
    module = build_tiny(config)
    return sanreid.SANEncoder(module, config, device="cpu", dtype=DTYPE, backend=BACKEND)
def child(encoder):
    CHILD
DTYPE, BACKEND = sys.argv[1], sys.argv[2]
encoder = made()
PARENT
pid = os.fork()
if not pid:
    code = 1
    try:
        code = child(encoder)
    finally:
        os._exit(code)
for _ in range(600):
    done, status = os.waitpid(pid, os.WNOHANG)
    if done:
        sys.exit(os.waitstatus_to_exitcode(status))
    time.sleep(0.05)
os.kill(pid, signal.SIGKILL)
sys.exit(99)
"""

WARM = "wanted = encoder.encode([image] * 9)"
SAME = "return int(abs(encoder.encode([image] * 9) @ encoder.encode(image)[0] - 1).max() > 1e-3)"


@slow
@pytest.mark.parametrize(
    ("parent", "child", "dtype", "backend"),
    [
        pytest.param("pass", SAME, "float32", "torch", marks=slow),
        (WARM, SAME, "float32", "torch"),
        pytest.param(WARM, SAME, "bfloat16", "torch", marks=slow),
        pytest.param(
            WARM, "return int(len(encoder.fingerprint) != 64)", "float32", "torch", marks=slow
        ),
        pytest.param(
            WARM, "encoder.to(dtype='bfloat16'); " + SAME, "float32", "torch", marks=slow
        ),
        pytest.param(
            "import tempfile; folder = tempfile.mkdtemp(); encoder.save_pretrained(folder); "
            + WARM,
            "encoder = sanreid.SANEncoder.from_pretrained(folder, device='cpu', dtype=DTYPE); "
            + SAME,
            "float32",
            "torch",
            marks=slow,
        ),
        pytest.param(
            WARM + "; encoder._engine._lock.acquire(); threading.Thread("
            "target=lambda: encoder._engine._lock.acquire(), daemon=True).start()",
            SAME,
            "float32",
            "torch",
            marks=slow,
        ),
        pytest.param(WARM, SAME, "float32", "onnx", marks=slow),
        pytest.param(
            "import io, tempfile; from PIL import Image; from sanreid.serve import create_app; "
            "file = io.BytesIO(); Image.fromarray(image).save(file, 'PNG'); "
            "app = create_app(tempfile.mkdtemp() + '/gallery', encoder, create=True); " + WARM,
            "app.state.service.start(); "
            "return int(len(app.state.service.embed([file.getvalue()])[0]) != 1)",
            "float32",
            "torch",
            marks=slow,
        ),
    ],
    ids=[
        "cold",
        "warm",
        "bfloat16",
        "fingerprint",
        "to",
        "loaded anew",
        "lock held",
        "onnx",
        "service",
    ],
)
def test_a_forked_process_computes(parent, child, dtype, backend):
    program = PROGRAM.replace("PARENT", parent).replace("CHILD", child)
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program, dtype, backend],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.fixture
def forked(monkeypatch):
    """Make this process look like a forked one."""
    monkeypatch.setattr(device_module, "_started_in", -1)
    monkeypatch.setattr(device_module, "_inherited", {})
    threads = []
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2 if not threads else threads[-1])
    monkeypatch.setattr(torch, "set_num_threads", threads.append)
    return threads


def test_a_forked_process_is_warned_once(tiny_config, crop, forked, caplog):
    with caplog.at_level(logging.WARNING):
        encoder = SANEncoder(build_tiny(tiny_config), tiny_config, device="cpu", dtype="float32")
        encoder.encode(crop)
        encoder.encode(crop)
    assert forked == [1]
    assert [r.getMessage().count("'spawn'") for r in caplog.records] == [1]


def test_a_forked_process_of_one_thread_is_not_warned(tiny_config, crop, forked, caplog):
    forked.append(1)
    SANEncoder(build_tiny(tiny_config), tiny_config, device="cpu", dtype="float32").encode(crop)
    assert forked == [1]
    assert not caplog.records


def test_what_cannot_cross_a_fork_is_refused_at_once(forked, monkeypatch):
    monkeypatch.setitem(sys.modules, "openvino", object())
    with pytest.raises(InputError, match=r"OpenVINO was loaded before.*'spawn'"):
        device_module.after_fork("openvino", torch.device("cpu"))

    def refuse():
        raise RuntimeError("Cannot re-initialize CUDA in forked subprocess. To use CUDA with ...")

    monkeypatch.setattr(torch.cuda, "init", refuse)
    with pytest.raises(InputError, match=r"Cannot re-initialize CUDA in forked subprocess\. For"):
        device_module.after_fork("torch", torch.device("cuda"))
