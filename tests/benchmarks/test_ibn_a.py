"""The ablation's ResNet-50 with instance normalisation."""

from __future__ import annotations

import torch

from sanreid.config import EncoderConfig
from sanreid.models.backbone import ResNetTrunk
from sanreid.models.sa_enc import build_sa_enc
from tests.benchmarks import ibn_a


def test_half_of_the_channels_forget_the_level_and_contrast_of_each_crop():
    torch.manual_seed(0)
    norm = ibn_a.HalfInstanceNorm2d(8).eval()
    x = torch.randn(2, 8, 6, 4)
    before, after = norm(x), norm(3 * x + 5)
    torch.testing.assert_close(after[:, :4], before[:, :4], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(after[:, 4:], 3 * before[:, 4:] + 5, atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(before[:, 4:], torch.nn.BatchNorm2d(8).eval()(x)[:, 4:])


def test_it_learns_statistics_of_the_other_half_only():
    norm = ibn_a.HalfInstanceNorm2d(8).train()
    norm(torch.randn(4, 8, 6, 4) + 2)
    assert not norm.running_mean[:4].any()
    assert norm.running_mean[4:].abs().min() > 0.1


def test_the_weights_of_a_plain_resnet_fit():
    plain = ResNetTrunk("resnet50")
    trunk = build_sa_enc(EncoderConfig(backbone=ibn_a.NAME)).trunk
    trunk.load_state_dict(plain.state_dict())
    assert sum(isinstance(one, ibn_a.HalfInstanceNorm2d) for one in trunk.modules()) == 3 + 4 + 6
    assert not isinstance(trunk.layer4[0].bn1, ibn_a.HalfInstanceNorm2d)
