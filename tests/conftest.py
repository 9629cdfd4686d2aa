"""Shared fixtures: a tiny encoder, its saved weights, a rendered crop, the real data."""

from __future__ import annotations

import ctypes
import os
import sys
from functools import cache
from pathlib import Path

# Before anything loads OpenMP, here and in the processes that tests start: the tests are small and
# run side by side, and threads that wait for a core cost more than they give.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
import pytest

from tests.people import rendered_person


def pytest_collection_modifyitems(items):
    """Skip tests marked gpu if there is no CUDA device, even if -m selects them."""
    if any(item.get_closest_marker("gpu") for item in items):
        import torch

        if not torch.cuda.is_available():
            for item in items:
                if item.get_closest_marker("gpu"):
                    item.add_marker(pytest.mark.skip(reason="no CUDA device"))


@pytest.fixture(autouse=sys.platform == "linux")
def ordinary_signal_stack():
    """Let handlers of signals run on the ordinary stack.

    Running a network in OpenVINO replaces the alternate one that pytest's faulthandler set up, by
    one that is unmapped later; the process then dies of the next signal, even of a handled one.
    """
    nothing = SignalStack(None, _SS_DISABLE, 0)
    ctypes.CDLL(None).sigaltstack(ctypes.byref(nothing), None)


class SignalStack(ctypes.Structure):
    """``stack_t`` of sigaltstack(2)."""

    _fields_ = (("sp", ctypes.c_void_p), ("flags", ctypes.c_int), ("size", ctypes.c_size_t))


_SS_DISABLE = 2


@pytest.fixture(scope="session")
def tiny_config():
    from sanreid.config import EncoderConfig
    from tests.thin import THIN

    return EncoderConfig(backbone=THIN, embedding_dim=16, input_size=(64, 32))


@pytest.fixture
def tiny_module(tiny_config):
    """A new tiny SA-Enc with fixed weights and non-trivial batch-norm statistics."""
    return build_tiny(tiny_config)


@pytest.fixture(scope="session")
def tiny_encoder(tiny_config):
    """A tiny float32 encoder on the CPU, shared: tests must not change it."""
    from sanreid import SANEncoder

    return SANEncoder(build_tiny(tiny_config), tiny_config, device="cpu", dtype="float32")


@pytest.fixture(scope="session")
def tiny_weights(tiny_encoder, tmp_path_factory) -> Path:
    """The weights directory of the tiny encoder."""
    return tiny_encoder.save_pretrained(tmp_path_factory.mktemp("weights") / "tiny")


@pytest.fixture(scope="session")
def resnet18_encoder():
    """A small encoder with a backbone of the package, shared: tests must not change it.

    For numbers that are written down, and for processes that know no other backbone.
    """
    from sanreid import SANEncoder
    from sanreid.config import EncoderConfig

    config = EncoderConfig(backbone="resnet18", embedding_dim=16, input_size=(64, 32))
    return SANEncoder(build_tiny(config), config, device="cpu", dtype="float32")


@pytest.fixture(scope="session")
def resnet18_weights(resnet18_encoder, tmp_path_factory) -> Path:
    """The weights directory of the encoder with a backbone of the package."""
    return resnet18_encoder.save_pretrained(tmp_path_factory.mktemp("weights") / "resnet18")


@pytest.fixture(scope="session")
def crop():
    """One rendered crop, a PIL image of 128 x 64 (height, width)."""
    return rendered_person(1, size=(128, 64))


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder with the real crops."""
    if "SANREID_DATA" not in os.environ:
        pytest.skip("SANREID_DATA, the folder with the data sets' real crops, is not set")
    return Path(os.environ["SANREID_DATA"])


@pytest.fixture
def embed_once(tmp_path_factory, monkeypatch):
    """Embed each file of the real crops once per run, whichever test or process asks first."""
    from sanreid import SANEncoder
    from tests.embedded_once import embedding_once

    run = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        run = run.parent  # of all workers
    folder = run / "embedded"
    folder.mkdir(exist_ok=True)
    once = embedding_once(folder, SANEncoder.encode_files)
    monkeypatch.setattr(SANEncoder, "encode_files", once)


def build_tiny(config, *, seed=0):
    """Build an SA-Enc in eval mode with the same weights on every machine and torch release."""
    import torch

    from sanreid.models import build_sa_enc

    with torch.device("meta"):  # the initial values are replaced
        module = build_sa_enc(config)
    weights = tiny_values(config, seed)
    module.load_state_dict({key: torch.tensor(weights[key]) for key in weights}, assign=True)
    return module.eval()


@cache
def tiny_values(config, seed):
    import torch

    from sanreid.models import build_sa_enc

    rng = np.random.default_rng(seed)
    with torch.device("meta"):
        shapes = {
            key: tuple(like.shape) for key, like in build_sa_enc(config).state_dict().items()
        }
    values = {}
    for key, shape in shapes.items():
        if key.endswith("num_batches_tracked"):
            values[key] = np.zeros(shape, np.int64)
            continue
        if key.endswith("exponent"):
            value = np.full(shape, 3.0)
        elif len(shape) > 1:  # He initialisation by fan-in
            value = rng.standard_normal(shape) * np.sqrt(2 / np.prod(shape[1:]))
        elif key.endswith(("running_var", "weight")):
            value = rng.uniform(0.5, 1.5, shape)
        else:
            value = rng.normal(0, 0.1, shape)
        values[key] = value.astype(np.float32)
    return values
