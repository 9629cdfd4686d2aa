"""Unwrapping checkpoints, and identifying files that are not checkpoints."""

from __future__ import annotations

import shutil
import warnings
import zipfile

import pytest
import torch

from sanreid import SANEncoder
from sanreid.errors import WeightsError
from sanreid.weights import convert
from sanreid.weights.checkpoints import read_checkpoint

TENSORS = {"conv1.weight": torch.ones(2, 3), "layer1.0.bn1.bias": torch.zeros(4)}
HEAD = {"classifier.weight": torch.zeros(5, 4)}


def prefixed(prefix):
    return {f"{prefix}{key}": value for key, value in TENSORS.items()}


@pytest.mark.parametrize(
    "wrapped",
    [
        TENSORS,
        {"model": TENSORS, "epoch": 3},
        {"state_dict": prefixed("model."), "rank1": 0.5},
        {"model_state_dict": TENSORS, "optimizer": {"lr": 1}},
        prefixed("_orig_mod."),
        prefixed("base.") | HEAD,
        prefixed("module.") | {"module.classifier.weight": HEAD["classifier.weight"]},
        prefixed("module._orig_mod."),
        {"model": {"state_dict": prefixed("_orig_mod.module.base.")}},
        {"net": prefixed("backbone.")},
        {"network": prefixed("net."), "model": "san"},
        {"weights": prefixed("network.base.") | HEAD},
    ],
)
def test_wrapped_checkpoints(wrapped, tmp_path):
    torch.save(wrapped, tmp_path / "x.pth")
    found = read_checkpoint(tmp_path / "x.pth")
    assert set(found) - set(HEAD) == set(TENSORS)
    assert all(torch.equal(found[key], value) for key, value in TENSORS.items())


def test_a_prefix_of_only_some_keys_is_kept(tmp_path):
    keys = {"base.conv1.weight": torch.ones(1), "other.conv1.weight": torch.ones(1)}
    torch.save(keys, tmp_path / "x.pth")
    assert set(read_checkpoint(tmp_path / "x.pth")) == set(keys)


def torchscript(path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.trace(torch.nn.Linear(2, 2), torch.zeros(1, 2)).save(str(path))


def exported_program(path):
    torch.export.save(torch.export.export(torch.nn.Linear(2, 2), (torch.zeros(1, 2),)), path)


def other_archive(path):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("best.pth", b"x")


LFS = "version https://git-lfs.github.com/spec/v1\noid sha256:abc\nsize 12\n"


@pytest.mark.parametrize(
    ("write", "wanted"),
    [
        (torchscript, "is a TorchScript archive"),
        (exported_program, "is a program of torch.export"),
        (other_archive, r"is a zip archive of other files \(best.pth\)"),
        (lambda p: p.write_text(LFS), "Git LFS pointer.*git lfs pull"),
        (lambda p: p.write_text("<!DOCTYPE html><html>Quota exceeded</html>"), "is an HTML page"),
        (lambda p: p.write_text("\ufeff  <html lang='de'>"), "is an HTML page"),
        (lambda p: p.write_text("<?xml version='1.0'?><Error/>"), "is an XML document"),
        (lambda p: p.write_text('{"error": "Repository not found"}'), "text file that begins"),
        (lambda p: p.write_text("Entry not found"), "text file that begins with 'Entry not"),
        (lambda p: p.write_bytes(b"\x00\x01\x02"), "damaged or something else|no checkpoint"),
        (lambda p: p.write_bytes(b""), "damaged or something else|no checkpoint"),
    ],
)
@pytest.mark.parametrize("name", ["x.pth", "x.torchscript.pt"])
def test_files_that_are_not_checkpoints_are_identified(write, wanted, name, tmp_path):
    write(tmp_path / name)
    with pytest.raises(WeightsError, match=wanted) as caught:
        convert(tmp_path / name, tmp_path / "out")
    assert "weights_only" not in str(caught.value)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "text", [LFS, "<html>", "Not Found", "<?xml ?>", LFS.replace("\n", "\r\n")]
)
def test_text_instead_of_weights_is_identified(text, tiny_weights, tmp_path):
    folder = tmp_path / "w"
    shutil.copytree(tiny_weights, folder)
    (folder / "model.safetensors").write_text(text)
    with pytest.raises(WeightsError, match="LFS|HTML|XML|text file") as caught:
        SANEncoder.from_pretrained(folder)
    assert "convert" not in str(caught.value)
    (folder / "config.json").write_text(LFS)
    with pytest.raises(WeightsError, match="Git LFS pointer"):
        SANEncoder.from_pretrained(folder)


@pytest.mark.parametrize(
    ("key", "network"),
    [
        ("conv2.0.conv2a.conv1.weight", "OSNet"),
        ("module.base.blocks.0.attn.qkv.weight", "a vision transformer"),
        ("features.1.conv.0.weight", "a MobileNet"),
        ("layer1.0.se_module.fc1.weight", "a SE-ResNet"),
        ("layer1.0.bn1.IN.weight", "a ResNet with IBN"),
    ],
)
def test_unsupported_networks_are_identified(key, network, tmp_path):
    torch.save({key: torch.zeros(2, 2)}, tmp_path / "x.pth")
    with pytest.raises(WeightsError, match=f"holds {network}, which is not supported; known: "):
        convert(tmp_path / "x.pth", tmp_path / "out")
