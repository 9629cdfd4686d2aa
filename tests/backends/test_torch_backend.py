"""The network that runs is the module's: packed or not, in parts or whole, in every shape."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from sanreid.backends import network, packed
from sanreid.backends.network import TorchBackend
from sanreid.config import EncoderConfig
from sanreid.models.backbone import ResNetTrunk
from tests.conftest import build_tiny

CPU = torch.device("cpu")
KINDS = [
    {"backbone": "resnet18", "head": "bnneck", "pooling": "avg"},
    {"backbone": "resnet50", "head": "fc", "pooling": "gem", "last_stride": 2},
    {"backbone": "resnet34", "head": "pool", "embedding_dim": 512},
    {"backbone": "resnet50-c4"},
]


def by_hand(module, config, crops):
    """The module's own embedding of crops that were normalised step by step."""
    pixels = torch.from_numpy(crops).permute(0, 3, 1, 2).double() / 255
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in (config.mean, config.std))
    with torch.no_grad():
        return module(((pixels - mean) / std).float()).embedding.numpy()


def backend(module, config, dtype=torch.float32):
    return TorchBackend(module, config, device=CPU, dtype=dtype)


def is_packed(made):
    return isinstance(made._network.features, packed.PackedTrunk)


@pytest.mark.parametrize("usable", [True, False])
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind["backbone"])
def test_equals_the_module(kind, usable, crops, monkeypatch):
    if usable and not packed.is_usable(torch.float32):
        pytest.skip("this torch has no packed convolutions here")
    monkeypatch.setattr(network, "is_usable", lambda dtype: usable)
    config = EncoderConfig(**{"embedding_dim": 16, "input_size": (64, 32)} | kind)
    module = build_tiny(config)
    made = backend(module, config)
    assert is_packed(made) == usable
    wanted = by_hand(module, config, crops)
    np.testing.assert_allclose(made(crops), wanted, rtol=1e-4, atol=1e-5 * np.abs(wanted).max())


def test_bfloat16_is_packed_too_and_stays_close(tiny_config, tiny_module, crops):
    if not packed.is_usable(torch.bfloat16):
        pytest.skip("this torch has no packed bfloat16 convolutions here")
    made = backend(tiny_module, tiny_config, torch.bfloat16)
    assert is_packed(made)
    rows, wanted = made(crops), by_hand(tiny_module, tiny_config, crops)
    assert np.abs(rows - wanted).max() > 0
    norms = np.linalg.norm(rows, axis=1) * np.linalg.norm(wanted, axis=1)
    assert ((rows * wanted).sum(axis=1) / norms).min() > 0.999


@pytest.mark.parametrize("count", [1, 15, 16, 17, 33])
def test_batches_of_any_size_give_each_crop_its_row(count, tiny_config, tiny_module, crops):
    many = np.concatenate([crops] * 5)[:count]
    made = backend(tiny_module, tiny_config)
    rows = made(many)
    assert rows.shape == (count, 16)
    alone = np.concatenate([made(many[i : i + 1]) for i in range(count)])
    np.testing.assert_allclose(rows, alone, rtol=1e-4, atol=1e-5 * np.abs(alone).max())


def test_crops_of_another_size_than_the_layouts_were_chosen_for(tiny_config, tiny_module, crops):
    """Sizes that halve to odd maps: the shapes are worked out as convolutions do."""
    config = replace(tiny_config, input_size=(75, 37))
    odd = np.repeat(np.repeat(crops, 2, axis=1), 2, axis=2)[:, :75, :37]
    rows = backend(tiny_module, config)(odd)
    wanted = by_hand(tiny_module, config, odd)
    np.testing.assert_allclose(rows, wanted, rtol=1e-4, atol=1e-5 * np.abs(wanted).max())


def test_what_is_given_and_the_module_stay_as_they_are(tiny_config, tiny_module, crops):
    before = {key: value.clone() for key, value in tiny_module.state_dict().items()}
    kept = crops.copy()
    backend(tiny_module, tiny_config)(crops)
    np.testing.assert_array_equal(crops, kept)
    assert all(torch.equal(before[key], value) for key, value in tiny_module.state_dict().items())
    assert isinstance(tiny_module.trunk, ResNetTrunk)


def test_any_module_runs(tiny_config, crops):
    class Mean(torch.nn.Module):
        def forward(self, given):
            return given.mean(dim=(2, 3)).repeat(1, 6)[:, :16]

    rows = backend(Mean(), tiny_config)(crops)
    mean, std = np.array(tiny_config.mean), np.array(tiny_config.std)
    wanted = (crops.mean(axis=(1, 2)) / 255 - mean) / std
    np.testing.assert_allclose(rows[:, :3], wanted, atol=1e-4)


def test_a_torch_without_the_operators_is_not_relied_on(monkeypatch, caplog):
    class Missing:
        def __getattr__(self, name):
            raise AttributeError(f"no operator {name}")

    class Ops:
        mkldnn = Missing()

    monkeypatch.setattr(packed.torch, "ops", Ops())
    caplog.set_level("INFO")
    assert packed.is_usable.__wrapped__(torch.float32) is False
    assert "no operator _reorder_convolution_weight" in caplog.text


def test_operators_that_compute_something_else_are_not_relied_on(monkeypatch):
    monkeypatch.setattr(packed.PackedConv, "_convolve", lambda self, x, activation: x * 2)
    assert packed.is_usable.__wrapped__(torch.float32) is False


def test_asking_draws_no_random_numbers():
    torch.manual_seed(5)
    wanted = torch.rand(1)
    torch.manual_seed(5)
    packed.is_usable.__wrapped__(torch.float32)
    assert torch.equal(torch.rand(1), wanted)
