"""A backbone of one's own: registered, built, saved, loaded, exported; refused when wrong."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from sanreid import SANEncoder
from sanreid.config import BACKBONES, EncoderConfig
from sanreid.errors import ConfigError, WeightsError
from sanreid.models import build_sa_enc, register_backbone


class PreActivation(nn.Module):
    """Two stages whose batch-norms come before their convolutions, so that none may be folded."""

    def __init__(self, *, last_stride):
        super().__init__()
        self.bn1 = nn.BatchNorm2d(3)
        self.conv1 = nn.Conv2d(3, 8, 3, stride=4)
        self.bn2 = nn.BatchNorm2d(8)
        self.conv2 = nn.Conv2d(8, 8, 3, stride=last_stride)

    def forward(self, crops):
        first = self.conv1(self.bn1(crops).relu())
        return first, self.conv2(self.bn2(first).relu())


@pytest.fixture
def registered(monkeypatch):
    monkeypatch.setattr("sanreid.config.BACKBONES", BACKBONES)  # what is added is taken out again
    before = dict(BACKBONES)
    register_backbone("mine", channels=(8, 8), build=PreActivation)
    yield EncoderConfig(backbone="mine", embedding_dim=8, head="pool", input_size=(64, 32))
    BACKBONES.clear()
    BACKBONES.update(before)


def test_from_registration_to_embeddings(registered, tmp_path, crop):
    module = build_sa_enc(registered)
    with torch.no_grad():
        for norm in (module.trunk.bn1, module.trunk.bn2):
            norm.running_mean.uniform_(-1, 1, generator=torch.Generator().manual_seed(0))
            norm.running_var.uniform_(0.5, 2, generator=torch.Generator().manual_seed(1))
    encoder = SANEncoder(module, registered, device="cpu", dtype="float32")
    rows = encoder.encode([crop, crop], normalize=False)
    pixels = np.asarray(crop.resize((32, 64), 2), dtype=np.float32).transpose(2, 0, 1) / 255
    mean, std = (np.float32(v)[:, None, None] for v in (registered.mean, registered.std))
    with torch.inference_mode():
        wanted = module.eval()(torch.from_numpy((pixels - mean) / std)[None]).embedding.numpy()
    np.testing.assert_allclose(rows, np.repeat(wanted, 2, axis=0), atol=1e-4)
    encoder.save_pretrained(tmp_path / "mine")
    again = SANEncoder.from_pretrained(tmp_path / "mine", device="cpu", dtype="float32")
    assert again.fingerprint == encoder.fingerprint
    np.testing.assert_array_equal(again.encode(crop), encoder.encode(crop))
    del BACKBONES["mine"]
    with pytest.raises(WeightsError, match=r"got 'mine'. Add your own by .*register_backbone"):
        SANEncoder.from_pretrained(tmp_path / "mine")


@pytest.mark.parametrize(
    ("name", "channels", "build", "message"),
    [
        ("resnet50", (8,), PreActivation, "There is a backbone 'resnet50' already"),
        ("", (8,), PreActivation, "name must be a text"),
        (7, (8,), PreActivation, "name must be a text"),
        ("mine", (), PreActivation, "one number for each stage"),
        ("mine", 8, PreActivation, "one number for each stage"),
        ("mine", (8, 0), PreActivation, "whole numbers above 0"),
        ("mine", (8.5,), PreActivation, "whole numbers above 0"),
        ("mine", (8,), "PreActivation", "build must be a function"),
    ],
)
def test_wrong_rows(name, channels, build, message):
    before = dict(BACKBONES)
    with pytest.raises(ConfigError, match=message):
        register_backbone(name, channels=channels, build=build)
    assert before == BACKBONES


def test_a_build_that_gives_no_module(registered):
    BACKBONES.pop("mine")
    register_backbone("mine", channels=(8,), build=lambda last_stride: last_stride)
    with pytest.raises(ConfigError, match="must be an nn.Module; its build.. gave int"):
        build_sa_enc(registered)
