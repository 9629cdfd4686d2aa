"""The ablation's ResNet-50 with instance normalisation."""

from __future__ import annotations

import pytest
import torch

from sanreid.backends.network import CropNetwork, TorchBackend
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


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_encoder_that_is_used_equals_the_one_that_is_trained(dtype):
    torch.manual_seed(0)
    config = EncoderConfig(
        backbone=ibn_a.NAME, head="pool", embedding_dim=2048, input_size=(64, 32)
    )
    module = build_sa_enc(config).eval()
    for norm in module.modules():
        if isinstance(norm, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(norm.running_mean, -0.1, 0.1)
            torch.nn.init.uniform_(norm.running_var, 0.5, 2.0)
    crops = torch.randint(0, 256, (3, 64, 32, 3), dtype=torch.uint8)
    backend = TorchBackend(module, config, device=torch.device("cpu"), dtype=dtype)
    with torch.no_grad():
        normal = CropNetwork(module, config).normalize(crops.permute(0, 3, 1, 2).float())
        expected = module(normal).embedding
    found = torch.from_numpy(backend(crops.numpy()))
    assert torch.cosine_similarity(found, expected).min() > (
        0.9999 if dtype is torch.float32 else 0.99
    )


def test_the_weights_of_a_plain_resnet_fit():
    plain = ResNetTrunk("resnet50")
    trunk = build_sa_enc(EncoderConfig(backbone=ibn_a.NAME)).trunk
    trunk.load_state_dict(plain.state_dict())
    assert sum(isinstance(one, ibn_a.HalfInstanceNorm2d) for one in trunk.modules()) == 3 + 4 + 6
    assert not isinstance(trunk.layer4[0].bn1, ibn_a.HalfInstanceNorm2d)
