"""Checkpoints of other code: read without executing them, with every key accounted for."""

from __future__ import annotations

import json
import os
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from sanreid import weights
from sanreid.errors import ConfigError, WeightsError
from sanreid.models import build_sa_enc
from tests.weights.reference_nets import ReIDNet, trained_looking


@pytest.fixture(scope="module")
def fc512():
    return trained_looking(ReIDNet(people=7, fc_dim=512, last_stride=1))


@pytest.fixture(scope="module")
def tensors(fc512):
    return fc512.state_dict()


@pytest.fixture(scope="module")
def hollow(tensors):
    """Return the same keys and shapes in float16, with one stored number each: small files."""
    one = torch.ones((), dtype=torch.float16)
    return {
        key: value if value.dtype == torch.int64 else one.expand(value.shape)
        for key, value in tensors.items()
    }


@pytest.fixture(autouse=True)
def _tidy(tmp_path):
    yield
    shutil.rmtree(tmp_path)  # pytest would keep gigabytes


@pytest.fixture
def convert_saved(tmp_path):
    """Save an object with torch.save and convert it."""

    def run(content, name="model.pth", **options):
        torch.save(content, tmp_path / name)
        return weights.convert(tmp_path / name, tmp_path / "out", **options)

    return run


def embeddings_of(directory, crops):
    located = weights.locate(directory)
    module = build_sa_enc(located.config).eval()
    weights.load_into(module, weights.read_state_dict(located.path), origin=directory)
    with torch.inference_mode():
        return module(crops).embedding


def some_crops():
    return torch.randn(2, 3, 64, 32, generator=torch.Generator().manual_seed(3))


def bare(tensors):
    return dict(tensors)


def of_torchreid(tensors):
    """Wrap weights as reID training code does, with rank-1 as a NumPy scalar."""
    return {"state_dict": dict(tensors), "rank1": np.float32(0.5), "epoch": 3}


def of_san(tensors):
    """Wrap weights as the released SAN code does, with the decoder under its own key."""
    parallel = {f"module.{key}": value for key, value in tensors.items()}
    decoder = {"up1.conv.2.weight": torch.zeros(2)}
    return {"state_dict": parallel, "decoder_state_dict": decoder, "rank1": np.float64(0.5)}


@pytest.mark.parametrize(
    ("pack", "name"), [(bare, "a.pth"), (of_torchreid, "b.pth.tar"), (of_san, "ep300.pth.tar")]
)
def test_fc512_however_it_is_packed(hollow, convert_saved, pack, name):
    directory = convert_saved(pack(hollow), name)
    config = weights.locate(directory).config
    assert (config.head, config.embedding_dim) == ("fc", 512)
    assert (config.input_size, config.last_stride) == ((256, 128), 1)
    assert sorted(p.name for p in directory.iterdir()) == [
        "README.md",
        "config.json",
        "model.safetensors",
    ]


def test_fc512_gives_the_same_embeddings(fc512, tensors, convert_saved):
    crops = some_crops()
    with torch.inference_mode():
        expected = fc512(crops)
    actual = embeddings_of(convert_saved(of_san(tensors)), crops)
    torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-4)
    assert (actual[0] - actual[1]).abs().max() > 0.1


def trunk_of(tensors):
    return {k: v for k, v in tensors.items() if not k.startswith(("fc.", "classifier."))}


CLASSIFIER = {"classifier.weight": torch.zeros(3, 2048), "classifier.bias": torch.zeros(3)}
IMAGENET = {"fc.weight": torch.zeros(1000, 2048), "fc.bias": torch.zeros(1000)}


@pytest.mark.parametrize(
    ("dropped", "asked", "stride"),
    [
        (CLASSIFIER, None, 2),
        (CLASSIFIER, 1, 1),
        (IMAGENET, None, 1),
        (IMAGENET, 2, 2),
        ({}, None, 1),
    ],
)
def test_without_fc_head_it_becomes_a_pool_encoder(hollow, convert_saved, dropped, asked, stride):
    content = trunk_of(hollow) | dropped
    directory = convert_saved(content, last_stride=asked, input_size=(128, 64))
    config = weights.locate(directory).config
    assert (config.head, config.embedding_dim, config.last_stride) == ("pool", 2048, stride)
    assert config.input_size == (128, 64)


def test_pool_gives_the_same_embeddings(tensors, convert_saved):
    net = ReIDNet(people=3, fc_dim=None, last_stride=2).eval()
    net.load_state_dict(trunk_of(tensors) | CLASSIFIER)
    crops = some_crops()
    with torch.inference_mode():
        expected = net(crops)
    actual = embeddings_of(convert_saved(net.state_dict()), crops)
    torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-4)


def test_safetensors_in_half_precision_without_counters(tensors, tmp_path):
    halves = {
        key: value.half()
        for key, value in tensors.items()
        if not key.startswith(("fc.", "classifier.")) and not key.endswith("num_batches_tracked")
    }
    save_file(halves, tmp_path / "in.safetensors")
    directory = weights.convert(tmp_path / "in.safetensors", tmp_path / "deep" / "er" / "out")
    written = weights.read_state_dict(directory / "model.safetensors")
    assert written["trunk.conv1.weight"].dtype == torch.float16
    assert written["trunk.bn1.num_batches_tracked"].dtype == torch.int64
    assert weights.locate(directory).config.head == "pool"


def test_counters_of_shape_1_are_counters(hollow, convert_saved):
    counter = {"bn1.num_batches_tracked": torch.tensor([7.0])}
    directory = convert_saved(hollow | counter)
    written = weights.read_state_dict(directory / "model.safetensors")
    assert torch.equal(written["trunk.bn1.num_batches_tracked"], torch.tensor(7))


def without(tensors, *keys):
    return {key: value for key, value in tensors.items() if key not in keys}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: {**t, "extra.weight": torch.zeros(1)}, "unknown: extra.weight"),
        (lambda t: {**t, "fc.3.weight": torch.zeros(1)}, "unknown: fc.3.weight"),
        (lambda t: without(t, "layer3.1.bn2.bias"), "missing: layer3.1.bn2.bias"),
        (lambda t: without(t, "fc.0.weight"), "resnet50_fc512.*missing: fc.0.weight"),
        (
            lambda t: {k: v for k, v in t.items() if not k.startswith("fc.")},
            "missing: fc.0.weight, fc.0.bias, fc.1.weight",
        ),
        (
            lambda t: {**t, "conv1.weight": torch.zeros(64, 1, 7, 7)},
            r"conv1.weight \[64, 1, 7, 7\] instead of \[64, 3, 7, 7\]",
        ),
        (lambda t: {**t, "fc.0.weight": torch.tensor(1.0)}, r"fc.0.weight \[\] instead of"),
        (lambda t: {**t, "bn1.bias": torch.full((64,), torch.nan)}, "NaN or infinity in bn1.bias"),
        (lambda t: {**t, "bn1.bias": torch.zeros(64).double()}, "bn.*bias in torch.float64"),
        (lambda _: {"a.weight": torch.zeros(1)}, "unknown: a.weight"),
        (lambda _: {"state_dict": {}}, "not a state dict"),
        (lambda _: {"state_dict": {"epoch": 3}}, "no tensor under epoch"),
        (lambda _: [1, 2], "holds list, not a state dict"),
    ],
)
def test_anything_else_is_an_error_and_writes_nothing(
    hollow, convert_saved, tmp_path, change, message
):
    with pytest.raises(WeightsError, match=message) as caught:
        convert_saved(change(hollow))
    assert "\n" not in str(caught.value)
    assert [p.name for p in tmp_path.iterdir()] == ["model.pth"]


class Malicious:
    def __init__(self, command):
        self.command = command

    def __reduce__(self):
        return os.system, (self.command,)


def test_a_malicious_pickle_is_not_run(convert_saved, tmp_path):
    trap = tmp_path / "trapped"
    with pytest.raises(WeightsError, match="more than tensors.*system"):
        convert_saved({"state_dict": Malicious(f"echo > {trap}")})
    assert not trap.exists()


def test_the_malicious_pickle_would_run_if_loaded(tmp_path):
    trap = tmp_path / "trapped"
    torch.save(Malicious(f"echo > {trap}"), tmp_path / "model.pth")
    torch.load(tmp_path / "model.pth", weights_only=False)
    assert trap.exists()


def test_other_objects_are_refused_by_name(convert_saved):
    with pytest.raises(WeightsError, match="reference_nets.ReIDNet") as caught:
        convert_saved(ReIDNet(people=1, fc_dim=None, last_stride=1))
    assert "weights_only" not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("content", [b"", b"hello world", b"PK\x03\x04 cut short"])
def test_files_that_are_not_checkpoints(tmp_path, content):
    (tmp_path / "model.pth").write_bytes(content)
    with pytest.raises(WeightsError, match="model.pth"):
        weights.convert(tmp_path / "model.pth", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_missing_checkpoint(tmp_path):
    with pytest.raises(WeightsError, match="There is no checkpoint"):
        weights.convert(tmp_path / "nothing.pth", tmp_path / "out")


@pytest.mark.parametrize("name", ["", "model.safetensors"])
def test_weights_that_need_no_conversion_are_called_so(tiny_weights, tmp_path, name):
    with pytest.raises(WeightsError, match="is a weights directory: load it with SANEncoder"):
        weights.convert(tiny_weights / name, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_folder_is_no_checkpoint(tmp_path):
    with pytest.raises(WeightsError, match=r"is a folder; a checkpoint is one file\.$"):
        weights.convert(tmp_path, tmp_path / "out")


def test_existing_files_are_not_overwritten(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "notes.txt").write_text("mine")
    with pytest.raises(WeightsError, match="new or an empty directory"):
        weights.convert(tmp_path / "model.pth", tmp_path / "out")


def test_a_wrong_stride(hollow, convert_saved, tmp_path):
    with pytest.raises(ConfigError, match="last_stride must be 1 or 2; got 0"):
        convert_saved(hollow, last_stride=0)
    assert not (tmp_path / "out").exists()


def test_the_card_does_not_claim_to_know_the_data(hollow, convert_saved):
    directory = convert_saved(hollow)
    assert "Not recorded" in (directory / "README.md").read_text(encoding="utf-8")
    assert json.loads((directory / "config.json").read_text())["head"] == "fc"
