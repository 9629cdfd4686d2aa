"""What a caller has switched on in torch changes no embedding and makes no call fail."""

from __future__ import annotations

from contextlib import contextmanager

import numpy as np
import pytest
import torch

from sanreid import SANEncoder
from tests.conftest import build_tiny


@contextmanager
def default_device(name):
    torch.set_default_device(name)
    try:
        yield
    finally:
        torch.set_default_device(None)


@contextmanager
def default_dtype(dtype):
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


STATES = {
    "autocast bfloat16": lambda: torch.autocast("cpu", dtype=torch.bfloat16),
    "autocast float16": lambda: torch.autocast("cpu", dtype=torch.float16),
    "with torch.device": lambda: torch.device("meta"),
    "set_default_device": lambda: default_device("meta"),
    "default float64": lambda: default_dtype(torch.float64),
    "default float16": lambda: default_dtype(torch.float16),
    "enable_grad": torch.enable_grad,
    "no_grad": torch.no_grad,
    "inference_mode": torch.inference_mode,
    "inference_mode off": lambda: torch.inference_mode(mode=False),
}


def states(test):
    return pytest.mark.parametrize("state", STATES.values(), ids=STATES)(test)


@states
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_encode_in_any_state(state, dtype, tiny_config, crop):
    def encoder():
        return SANEncoder(build_tiny(tiny_config), tiny_config, device="cpu", dtype=dtype)

    warm = encoder()
    wanted, fingerprint = warm.encode([crop, crop], flip=True), warm.fingerprint
    cold = encoder()
    with state():
        got = [warm.encode([crop, crop], flip=True), cold.encode([crop, crop], flip=True)]
        assert cold.fingerprint == fingerprint
    for rows in (*got, cold.encode([crop, crop], flip=True)):
        assert rows.dtype == np.float32
        np.testing.assert_array_equal(rows, wanted)


@states
def test_load_save_and_convert_in_any_state(state, tiny_encoder, tiny_weights, tmp_path, crop):
    with state():
        loaded = SANEncoder.from_pretrained(tiny_weights, device="cpu", dtype="float32")
        rows = loaded.encode(crop)
        loaded.to(dtype="bfloat16").to("cpu", "float32")
        loaded.save_pretrained(tmp_path / "again")
    np.testing.assert_array_equal(rows, tiny_encoder.encode(crop))
    again = SANEncoder.from_pretrained(tmp_path / "again", device="cpu")
    assert again.fingerprint == loaded.fingerprint == tiny_encoder.fingerprint
    weight = loaded.module.head.reduction.weight
    assert weight.dtype == torch.float32
    assert not weight.is_inference()  # it can still be trained
    loaded.module(torch.zeros(2, 3, 64, 32)).embedding.sum().backward()
    assert weight.grad is not None


@pytest.mark.parametrize("change", ["half", "bfloat16", "double", "train", "requires_grad_"])
@pytest.mark.parametrize("warm", [True, False])
def test_encode_after_the_module_was_converted(change, warm, tiny_config, tiny_encoder, crop):
    encoder = SANEncoder(build_tiny(tiny_config), tiny_config, device="cpu", dtype="float32")
    if warm:
        encoder.encode(crop)
    getattr(encoder.module, change)()
    rows = encoder.encode([crop, crop])
    assert rows.dtype == np.float32
    np.testing.assert_allclose(rows, tiny_encoder.encode([crop, crop]), atol=0.02)


def test_a_conversion_of_the_module_is_noticed(tiny_config, crop):
    encoder = SANEncoder(build_tiny(tiny_config), tiny_config, device="cpu", dtype="float32")
    before, fingerprint = encoder.encode(crop), encoder.fingerprint
    for weight in encoder.module.parameters():
        weight.data = weight.data + 0.01 * torch.sign(weight.data)
    assert encoder.fingerprint != fingerprint
    assert not np.array_equal(encoder.encode(crop), before)


@states
def test_state_around_a_call_stays_as_it_was(state, tiny_encoder, crop):
    def seen():
        return (
            torch.is_autocast_enabled("cpu"), torch.get_default_device(), torch.is_grad_enabled(),
            torch.get_default_dtype(), torch.is_inference_mode_enabled(),
        )  # fmt: skip

    with state():
        before = seen()
        tiny_encoder.encode(crop)
        assert seen() == before
