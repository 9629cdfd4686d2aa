"""SA-Enc: shapes, heads, pooling, and the trunk against torchvision's own ResNet."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
import torchvision
from torchvision.models import resnet18, resnet50

from sanreid.config import EncoderConfig
from sanreid.errors import ConfigError
from sanreid.models import ResNetTrunk, build_sa_enc
from sanreid.models.sa_enc import GeMPooling


def crops(n, height=64, width=32):
    return torch.randn(n, 3, height, width, generator=torch.Generator().manual_seed(0))


def test_stage_maps_of_a_full_size_crop():
    encoder = build_sa_enc(EncoderConfig()).eval()
    with torch.inference_mode():
        output = encoder(crops(1, 256, 128))
    shapes = [tuple(stage.shape[1:]) for stage in output.stages]
    assert shapes == [(256, 64, 32), (512, 32, 16), (1024, 16, 8), (2048, 16, 8)]
    assert output.embedding.shape == (1, 512)
    assert output.pooled.shape == (1, 2048)


@pytest.mark.parametrize(("name", "build"), [("resnet18", resnet18), ("resnet50", resnet50)])
def test_trunk_with_stride_two_equals_torchvision(name, build):
    whole = build(weights=None).eval()
    trunk = ResNetTrunk(name, last_stride=2).eval()
    weights = {k: v for k, v in whole.state_dict().items() if not k.startswith("fc.")}
    trunk.load_state_dict(weights, strict=True)
    whole.fc = torch.nn.Identity()
    with torch.inference_mode():
        last = trunk(crops(2))[-1]
        torch.testing.assert_close(last.mean(dim=(2, 3)), whole(crops(2)))


@pytest.mark.parametrize("name", ["resnet18", "resnet34", "resnet50"])
def test_keys_and_their_order_are_those_of_torchvision(name):
    with torch.device("meta"):
        trunk, whole = ResNetTrunk(name), getattr(torchvision.models, name)(weights=None)
    for ours, theirs in (
        (trunk.state_dict(), whole.state_dict()),
        (dict(trunk.named_parameters()), dict(whole.named_parameters())),  # optimisers number them
    ):
        shapes = [(key, value.shape) for key, value in theirs.items() if not key.startswith("fc.")]
        assert [(key, value.shape) for key, value in ours.items()] == shapes


def test_c4_is_resnet50_up_to_layer3():
    whole, cut = ResNetTrunk("resnet50").eval(), ResNetTrunk("resnet50-c4").eval()
    shared = {k: x for k, x in whole.state_dict().items() if not k.startswith("layer4.")}
    cut.load_state_dict(shared, strict=True)
    with torch.inference_mode():
        wanted, found = whole(crops(1)), cut(crops(1))
    for one, other in zip((*wanted[:3], wanted[2]), found, strict=True):
        assert torch.equal(one, other)


def test_new_convolutions_have_the_spread_of_torchvisions():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        trunk, whole = ResNetTrunk("resnet18"), resnet18(weights=None)
    for key, value in trunk.state_dict().items():
        wanted = whole.state_dict()[key]
        if value.ndim == 4:
            assert value.std().item() == pytest.approx(wanted.std().item(), rel=0.05)
        else:
            assert torch.equal(value, wanted)


@pytest.mark.slow
def test_building_on_the_meta_device_loads_neither_compiler_nor_torchvision():
    code = (
        "import sys, torch\n"
        "from sanreid.config import EncoderConfig\n"
        "from sanreid.models import build_sa_enc\n"
        "with torch.device('meta'): build_sa_enc(EncoderConfig())\n"
        "sys.exit('torch._dynamo' in sys.modules or 'torchvision' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("name", ["resnet18", "resnet34", "resnet50"])
def test_last_stride_one_keeps_the_resolution_of_layer3(name):
    with torch.inference_mode():
        stages = ResNetTrunk(name, last_stride=1).eval()(crops(1))
    assert stages[3].shape[2:] == stages[2].shape[2:] == (4, 2)


@pytest.mark.parametrize(
    ("head", "dim", "keys"),
    [
        ("pool", 512, set()),
        ("fc", 16, {"head.reduction.weight", "head.reduction.bias", "head.bn.weight"}),
        ("bnneck", 16, {"head.reduction.weight", "head.bn.weight"}),
    ],
)
def test_heads(head, dim, keys):
    config = EncoderConfig(backbone="resnet18", head=head, embedding_dim=dim)
    encoder = build_sa_enc(config).eval()
    found = {k for k, _ in encoder.named_parameters() if k.startswith("head.")}
    assert keys <= found
    assert ("head.reduction.bias" in found) == (head == "fc")
    with torch.inference_mode():
        embedding = encoder(crops(3)).embedding
    assert embedding.shape == (3, dim)
    assert bool((embedding < 0).any()) == (head == "bnneck")


def test_gem_with_exponent_one_is_the_average_and_a_large_one_nears_the_maximum():
    values = torch.tensor([[[[1.0, 2.0], [3.0, 6.0]]]])
    assert GeMPooling(exponent=1.0)(values).item() == pytest.approx(3.0)
    assert GeMPooling(exponent=40.0)(values).item() == pytest.approx(6.0, rel=0.05)


def test_gem_gradient():
    pooling = GeMPooling().double()
    values = torch.rand(2, 3, 2, 2, generator=torch.Generator().manual_seed(1)) + 0.1
    output = pooling(values.requires_grad_())
    output.sum().backward()
    assert values.grad is not None
    assert pooling.exponent.grad is not None
    assert values.grad.isfinite().all()
    assert pooling.exponent.grad.abs().item() > 0


def test_gem_encoder_is_built_by_configuration():
    config = EncoderConfig(backbone="resnet18", pooling="gem")
    assert "pooling.exponent" in build_sa_enc(config).state_dict()


@pytest.mark.parametrize("config", [None, "resnet50", {"backbone": "resnet50"}, EncoderConfig])
def test_an_encoder_is_built_from_a_configuration(config):
    with pytest.raises(ConfigError, match="built from an EncoderConfig; got"):
        build_sa_enc(config)
