"""What the first weights may be, and what stays frozen."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from sanreid.config import EncoderConfig
from sanreid.errors import ConfigError, WeightsError
from sanreid.models.backbone import ResNetTrunk
from sanreid.train.checkpoint import save_checkpoint
from sanreid.train.config import (
    DataConfig,
    DecoderConfig,
    InitConfig,
    SourceConfig,
    TrainConfig,
)
from sanreid.train.config.run import RunConfig
from sanreid.train.networks.initialization import (
    build_network,
    freeze,
    keep_frozen_in_eval,
    load_first_weights,
)
from sanreid.train.networks.san import build_san, build_san_pg
from sanreid.train.textures.generator import save_generator
from sanreid.weights import list_weights
from tests.thin import THIN, WIDTHS

TINY = EncoderConfig(backbone=THIN, embedding_dim=8, input_size=(64, 32))


def test_a_trunk_an_encoder_and_a_whole_san_start_another(tmp_path):
    source = build_san(TINY, num_classes=3, decoder=DecoderConfig(width=32))
    trunk = {k: x.clone() for k, x in source.encoder.trunk.state_dict().items()}
    trunk["fc.weight"] = torch.zeros(1000, 512)
    save_file(trunk, tmp_path / "torchvision.safetensors")
    folder = tmp_path / "weights"
    folder.mkdir()
    save_file(source.encoder.state_dict(), folder / "model.safetensors")
    san_pg = build_san_pg(TINY, DecoderConfig(width=32))
    save_checkpoint(tmp_path / "last.ckpt", {"model": san_pg.state_dict()})

    def started(**init):
        other = build_san(TINY, num_classes=5, decoder=DecoderConfig(width=32))
        load_first_weights(other, InitConfig(**init))
        return other

    for name in ("torchvision.safetensors", "weights"):
        other = started(weights=str(tmp_path / name))
        assert torch.equal(other.encoder.trunk.conv1.weight, source.encoder.trunk.conv1.weight)
    assert torch.equal(other.encoder.head.reduction.weight, source.encoder.head.reduction.weight)
    other = started(weights=str(tmp_path))  # a run's folder, by its checkpoint
    assert torch.equal(other.decoder.paint.weight, san_pg.decoder.paint.weight)
    assert torch.equal(other.encoder.trunk.conv1.weight, san_pg.encoder.trunk.conv1.weight)
    other = started(weights=str(tmp_path / "weights"), decoder=str(tmp_path / "last.ckpt"))
    assert torch.equal(other.decoder.paint.weight, san_pg.decoder.paint.weight)


def test_the_released_texture_generator_starts_a_network(caplog):
    entry = list_weights()["san-pg"]
    size = tuple(entry.config["encoder"]["input_size"])
    for own, warns in ((size, False), ((64, 32), True)):
        encoder = EncoderConfig(backbone=entry.config["encoder"]["backbone"], input_size=own)
        config = TrainConfig(
            encoder=encoder,
            init=InitConfig(weights="san-pg"),
            data=DataConfig(sources=(SourceConfig(folder="x"),)),
        )
        caplog.clear()
        build_network(config, 4, torch.device("cpu"))
        assert ("were trained with crops of" in caplog.text) == warns


@pytest.mark.parametrize("copies", [True, False])
def test_a_texture_generator_hands_on_its_copier(tmp_path, copies, caplog):
    source = build_san_pg(TINY, DecoderConfig(width=32, copy=copies))
    for one in source.parameters():
        nn.init.normal_(one)
    save_checkpoint(tmp_path / "last.ckpt", {"model": source.state_dict()})
    other = build_san_pg(TINY, DecoderConfig(width=32, copy=True))
    with caplog.at_level("INFO"):
        load_first_weights(other, InitConfig(weights=str(tmp_path)))
    theirs, state = other.state_dict(), source.state_dict()
    assert all(torch.equal(theirs[name], state[name]) for name in state)
    assert ("the copier starts anew" in caplog.text) == (not copies)


@pytest.mark.parametrize("origin", ["baseline run", "SAN-PG's run", "SAN-PG's directory"])
def test_a_run_and_a_texture_generator_start_a_network_with_another_head(tmp_path, origin, caplog):
    pooled = EncoderConfig(backbone=THIN, head="pool", embedding_dim=WIDTHS[-1])
    decoder = DecoderConfig(width=32)
    source = build_san_pg(pooled, decoder)
    if origin == "baseline run":
        source = build_san(pooled, num_classes=3)
    if origin == "SAN-PG's directory":
        save_generator(source, pooled, decoder, tmp_path)
    else:
        save_checkpoint(tmp_path / "last.ckpt", {"model": source.state_dict()})
    other = build_san(TINY, num_classes=5, decoder=decoder)
    with caplog.at_level("INFO"):
        load_first_weights(other, InitConfig(weights=str(tmp_path)))
    assert "has another pooling or head" in caplog.text
    close = {"rtol": 1e-3, "atol": 1e-6}  # the directory keeps float16
    for name, value in source.encoder.trunk.named_parameters():
        torch.testing.assert_close(other.encoder.trunk.get_parameter(name), value, **close)
    if origin != "baseline run":
        torch.testing.assert_close(
            other.decoder.paint.weight, source.decoder.paint.weight, **close
        )


@pytest.mark.parametrize("teacher_dim", [4, 5])
def test_a_run_hands_on_its_map_to_the_teacher_where_sizes_agree(tmp_path, teacher_dim, caplog):
    def network(dim):
        return build_san(TINY, num_classes=3, heads={"teacher": lambda: nn.Linear(8, dim)})

    source, other = network(4), network(teacher_dim)
    save_checkpoint(tmp_path / "last.ckpt", {"model": source.state_dict()})
    before = other.heads["teacher"].weight.clone()
    with caplog.at_level("INFO"):
        load_first_weights(other, InitConfig(weights=str(tmp_path)))
    assert ("another module of the loss teacher" in caplog.text) == (teacher_dim == 5)
    expected = source.heads["teacher"].weight if teacher_dim == 4 else before
    assert torch.equal(other.heads["teacher"].weight, expected)
    assert not torch.equal(source.heads["teacher"].weight, before)


def test_a_whole_resnet_starts_one_cut_after_layer3(tmp_path):
    whole = ResNetTrunk("resnet50")
    save_file({"fc.bias": torch.zeros(10), **whole.state_dict()}, tmp_path / "whole.safetensors")
    config = EncoderConfig(backbone="resnet50-c4", head="pool", embedding_dim=1024)
    cut = build_san_pg(config, DecoderConfig(width=32))
    load_first_weights(cut, InitConfig(weights=str(tmp_path / "whole.safetensors")))
    for name, value in cut.encoder.trunk.state_dict().items():
        assert torch.equal(value, whole.state_dict()[name])
    as_encoder = {f"trunk.{name}": value for name, value in whole.state_dict().items()}
    save_file(as_encoder, tmp_path / "encoder.safetensors")
    other = build_san_pg(config, DecoderConfig(width=32))
    load_first_weights(other, InitConfig(weights=str(tmp_path / "encoder.safetensors")))
    assert torch.equal(other.encoder.trunk.layer3[5].bn3.weight, whole.layer3[5].bn3.weight)
    assert torch.equal(other.encoder.trunk.conv1.weight, whole.conv1.weight)


def test_weights_that_do_not_fit_are_refused_and_change_nothing(tmp_path):
    network = build_san(TINY, num_classes=3)
    before = network.encoder.trunk.conv1.weight.clone()
    with pytest.raises(WeightsError, match="no weights at"):
        load_first_weights(network, InitConfig(weights=str(tmp_path / "none.safetensors")))
    with pytest.raises(WeightsError, match="neither model.safetensors nor last.ckpt"):
        load_first_weights(network, InitConfig(weights=str(tmp_path)))
    bad = {k: x for k, x in network.encoder.trunk.state_dict().items() if k != "conv1.weight"}
    save_file(bad, tmp_path / "bad.safetensors")
    with pytest.raises(WeightsError, match=r"missing \['conv1.weight'\]"):
        load_first_weights(network, InitConfig(weights=str(tmp_path / "bad.safetensors")))
    (tmp_path / "junk.safetensors").write_bytes(b"junk")
    with pytest.raises(WeightsError, match="cannot be read"):
        load_first_weights(network, InitConfig(weights=str(tmp_path / "junk.safetensors")))
    with pytest.raises(WeightsError, match="no loss needs a decoder"):
        load_first_weights(network, InitConfig(decoder=str(tmp_path)))
    assert torch.equal(network.encoder.trunk.conv1.weight, before)


def test_a_trunk_of_ones_own_starts_from_its_own_weights_and_freezes_no_layer(tmp_path):
    network = build_san(TINY, num_classes=3)
    network.encoder.trunk = nn.Sequential(nn.Conv2d(3, 8, 3))
    state = {
        f"0.{k}": torch.randn_like(x) for k, x in network.encoder.trunk[0].state_dict().items()
    }
    save_file(state, tmp_path / "own.safetensors")
    load_first_weights(network, InitConfig(weights=str(tmp_path / "own.safetensors")))
    assert torch.equal(network.encoder.trunk[0].weight, state["0.weight"])
    with pytest.raises(ConfigError, match=r"names 'stem', but the trunk is no ResNet"):
        freeze(network.encoder.trunk, ("stem",))


def test_frozen_parts_stay_in_eval():
    network = build_san(TINY, num_classes=3)
    freeze(network.encoder.trunk, ("stem", "layer1"))
    network.train()
    keep_frozen_in_eval(network.encoder.trunk, ("stem", "layer1"))
    assert not network.encoder.trunk.bn1.training
    assert not network.encoder.trunk.layer1[0].bn1.training
    assert network.encoder.trunk.layer2[0].bn1.training
    network(torch.randn(4, 3, 64, 32)).logits.sum().backward()
    assert network.encoder.trunk.layer1[0].conv1.weight.grad is None
    assert network.encoder.trunk.layer2[0].conv1.weight.grad is not None


@pytest.mark.parametrize(
    ("channels_last", "precision"), [(True, "bf16"), (False, "bf16"), (True, "fp32")]
)
def test_convolutions_on_a_cpu_are_prepared_for_bfloat16(channels_last, precision):
    run = RunConfig(channels_last=channels_last, precision=precision)
    config = TrainConfig(encoder=TINY, run=run)
    trunk = build_network(config, 3, torch.device("cpu")).encoder.trunk
    assert type(trunk.conv1) is nn.Conv2d
    kinds = {type(one) for one in trunk.layer1.modules() if isinstance(one, nn.Conv2d)}
    assert (nn.Conv2d not in kinds) == (channels_last and precision == "bf16")
    assert len(kinds) == 1
