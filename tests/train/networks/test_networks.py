"""SA-Dec, SAN and SAN-PG: sizes for any input, ranges, gradients where they must reach."""

from __future__ import annotations

import pytest
import torch

from sanreid.config import BACKBONES, EncoderConfig
from sanreid.errors import InputError
from sanreid.train.config import DecoderConfig
from sanreid.train.losses.terms import reconstruction_loss, tr_constraint
from sanreid.train.networks.sa_dec import SADec
from sanreid.train.networks.san import (
    JointForward,
    _running_statistics_kept,
    build_san,
    build_san_pg,
)


def tiny(**changes):
    values = {"backbone": "resnet18", "embedding_dim": 16, "input_size": (64, 32), **changes}
    return EncoderConfig(**values)


def crops(n, height=64, width=32, *, seed=0):
    return torch.randn(n, 3, height, width, generator=torch.Generator().manual_seed(seed))


def stages(channels, height, width, last_stride=1):
    sizes = [(height // s, width // s) for s in (4, 8, 16, 16 * last_stride)]
    return [torch.zeros(2, c, *size) for c, size in zip(channels, sizes, strict=True)]


@pytest.mark.parametrize("size", [(128, 64), (192, 96), (256, 128), (384, 128)])
def test_decoder_paints_a_square_whatever_the_input_size(size):
    height, width = size
    decoder = SADec(BACKBONES["resnet18"].channels, width=32).eval()
    with torch.no_grad():
        texture, maps = decoder(stages(BACKBONES["resnet18"].channels, height, width))
    assert texture.shape == (2, 3, 256, 256)
    assert [tuple(one.shape[1:]) for one in maps] == [
        (16, height // 8, width // 8),
        (4, height // 4, width // 4),
        (2, height // 2, width // 2),
        (1, height, width),
    ]


def test_decoder_has_the_released_sizes():
    decoder = SADec().eval()
    with torch.no_grad():
        texture, maps = decoder(stages(BACKBONES["resnet50"].channels, 256, 128))
    assert texture.shape == (2, 3, 256, 256)
    assert [tuple(one.shape[1:]) for one in maps] == [
        (256, 32, 16), (64, 64, 32), (32, 128, 64), (16, 256, 128),
    ]  # fmt: skip


@pytest.mark.parametrize("size", [(100, 50), (65, 33)])
def test_decoder_meets_skips_of_odd_sizes(size):
    network = build_san_pg(tiny(), DecoderConfig(width=32)).eval()
    with torch.no_grad():
        assert network(crops(2, *size)).texture.shape == (2, 3, 256, 256)


def test_decoder_works_with_last_stride_2():
    network = build_san_pg(tiny(last_stride=2), DecoderConfig(width=32)).eval()
    with torch.no_grad():
        assert network(crops(2)).texture.shape == (2, 3, 256, 256)


def test_tanh_keeps_the_range_and_linear_does_not():
    bounded = SADec(BACKBONES["resnet18"].channels, width=32).eval()
    linear = SADec(BACKBONES["resnet18"].channels, width=32, output="linear").eval()
    linear.load_state_dict(bounded.state_dict())
    for decoder in (bounded, linear):
        torch.nn.init.constant_(decoder.paint.bias, 5.0)
    inputs = stages(BACKBONES["resnet18"].channels, 64, 32)
    with torch.no_grad():
        assert bounded(inputs).texture.abs().max() <= 1
        assert linear(inputs).texture.max() > 4
        torch.testing.assert_close(bounded(inputs).texture, linear(inputs).texture.tanh())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"channels": (1, 2, 3)}, "four stages"),
        ({"width": 100}, "multiple of 32"),
        ({"output": "sigmoid"}, "'sigmoid'"),
    ],
)
def test_decoder_refuses_wrong_arguments(arguments, message):
    with pytest.raises(InputError, match=message):
        SADec(**arguments)


def test_gradients_of_both_decoder_losses_reach_the_encoder():
    network = build_san(tiny(), num_classes=3, decoder=DecoderConfig(width=32))
    target = torch.rand(4, 3, 256, 256, generator=torch.Generator().manual_seed(1)) * 2 - 1
    pids = torch.tensor([0, 0, 1, 1])
    for loss_of in (
        lambda out: reconstruction_loss(out.texture, target),
        lambda out: tr_constraint(out.block_maps, pids, margin=1e3),
    ):
        network.zero_grad()
        loss_of(network(crops(4))).backward()
        for part in ("layer1", "layer4"):
            layer = network.encoder.trunk.get_submodule(part)
            assert all((p.grad != 0).any() for p in layer.parameters()), part
        assert network.classifier.weight.grad is None


def test_the_output_is_the_same_tuple_in_train_and_eval_and_without_decoder():
    network = build_san(tiny(), num_classes=3, decoder=DecoderConfig(width=32))
    for mode in (True, False):
        out = network.train(mode)(crops(2))
        assert out.embedding.shape == (2, 16)
        assert out.pooled.shape == (2, 512)
        assert out.logits.shape == (2, 3)
        assert out.texture.shape == (2, 3, 256, 256)
        assert len(out.block_maps) == 4
    plain = build_san(tiny(), num_classes=3)
    out = plain(crops(2))
    assert out.texture is None
    assert out.block_maps == ()
    with pytest.raises(AttributeError, match="no decoder"):
        plain.paint(crops(2))


def test_pairs_leave_the_running_statistics_alone_when_separate():
    network = build_san(tiny(), num_classes=3, decoder=DecoderConfig(width=32))
    before = {k: x.clone() for k, x in network.state_dict().items()}
    with _running_statistics_kept(network):
        network(crops(4))
    for key, x in network.state_dict().items():
        assert torch.equal(x, before[key]), key
    network(crops(4))
    assert not torch.equal(
        network.encoder.trunk.bn1.running_mean, before["encoder.trunk.bn1.running_mean"]
    )
    assert network.encoder.trunk.bn1.momentum == 0.1


def test_separate_pairs_do_not_touch_the_real_crops_and_joint_ones_do():
    network = build_san(tiny(), num_classes=3, decoder=DecoderConfig(width=32))
    real, pairs = crops(4), 3 * crops(2, seed=5) + 2
    with torch.no_grad(), _running_statistics_kept(network):
        alone = network(real)
        separate, painted = JointForward(network, separate_batch_norm=True)(real, pairs)
        joint, joint_painted = JointForward(network, separate_batch_norm=False)(real, pairs)
        nothing = JointForward(network, separate_batch_norm=True)(real)[1]
    torch.testing.assert_close(separate.embedding, alone.embedding)
    assert not torch.allclose(joint.embedding, alone.embedding)
    assert painted.texture.shape == joint_painted.texture.shape == (2, 3, 256, 256)
    assert joint.texture.shape == (4, 3, 256, 256)
    assert [len(one) for one in joint.block_maps] == [4, 4, 4, 4]
    assert nothing is None
