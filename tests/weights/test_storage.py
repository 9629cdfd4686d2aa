"""Weights directories and safetensors files: they round-trip, or nothing is written."""

from __future__ import annotations

import hashlib
import os
import pickle
import stat

import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import nn

from sanreid import weights
from sanreid.config import EncoderConfig
from sanreid.errors import ChecksumError, WeightsError
from sanreid.models import build_sa_enc
from sanreid.weights import storage
from tests.thin import THIN, WIDTHS

CONFIG = EncoderConfig(backbone=THIN, embedding_dim=4, input_size=(64, 32))


def encoder():
    return build_sa_enc(CONFIG).eval()


def save(directory, **changes):
    module = encoder()
    state_dict = {**module.state_dict(), **changes}
    weights.save_directory(directory, state_dict=state_dict, config=CONFIG)
    return state_dict


def names(directory):
    return sorted(path.name for path in directory.iterdir())


ALL = ["README.md", "config.json", "model.safetensors"]


def test_save_and_load_round_trip(tmp_path):
    saved = save(tmp_path / "deep" / "out")
    assert names(tmp_path / "deep") == ["out"]
    assert names(tmp_path / "deep" / "out") == ALL
    located = weights.locate(tmp_path / "deep" / "out")
    assert located.config == CONFIG
    assert located.entry is None
    loaded = weights.read_state_dict(located.path)
    assert set(loaded) == set(saved)
    for key, value in saved.items():
        assert torch.equal(loaded[key], value), key


def test_dtypes_half_and_bfloat16(tmp_path):
    numbers = torch.randn(4, WIDTHS[-1], generator=torch.Generator().manual_seed(0))
    halves = {"head.reduction.weight": numbers.half(), "head.bn.bias": torch.ones(4).bfloat16()}
    save(tmp_path / "out", **halves)
    loaded = weights.read_state_dict(tmp_path / "out" / "model.safetensors")
    assert torch.equal(loaded["head.reduction.weight"], numbers.half())
    assert loaded["head.bn.bias"].dtype == torch.float32
    module = encoder()
    weights.load_into(module, loaded, origin="out")
    assert torch.equal(module.head.reduction.weight, numbers.half().float())


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such permissions")
def test_file_permissions_follow_the_umask(tmp_path):
    save(tmp_path / "out")
    (tmp_path / "plain").write_text("")
    expected = stat.S_IMODE((tmp_path / "plain").stat().st_mode)
    for name in ALL:
        assert stat.S_IMODE((tmp_path / "out" / name).stat().st_mode) == expected, name


def test_an_existing_directory_keeps_its_other_files(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "config.json").write_text("old")
    save(tmp_path)
    assert names(tmp_path) == [*ALL[:2], "model.safetensors", "notes.txt"]
    assert weights.locate(tmp_path).config == CONFIG


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"head.bn.bias": torch.tensor([0, 0, float("inf"), 0])}, "NaN or infinity in head.bn"),
        ({"head.bn.bias": torch.zeros(5)}, r"wrong shape: head.bn.bias \[5\] instead of \[4\]"),
        ({"head.extra": torch.zeros(4)}, "unknown: head.extra"),
        ({"head.bn.bias": torch.zeros(4).double()}, "head.bn.bias in torch.float64"),
        ({"head.bn.bias": torch.zeros(4).long()}, "head.bn.bias in torch.int64"),
    ],
)
def test_weights_that_would_not_load_are_not_saved(tmp_path, changes, message):
    with pytest.raises(WeightsError, match=message):
        save(tmp_path / "out", **changes)
    assert names(tmp_path) == []


@pytest.mark.parametrize(
    "error", [OSError(28, "No space left on device"), SafetensorError("No space left on device")]
)
def test_a_failure_half_way_leaves_nothing(tmp_path, monkeypatch, error):
    def full(*_args, **_options):
        raise error

    monkeypatch.setattr("safetensors.torch.save_file", full)
    with pytest.raises(WeightsError, match="cannot be saved in .*No space left"):
        save(tmp_path / "out")
    assert names(tmp_path) == []
    (tmp_path / "config.json").write_text("old")
    with pytest.raises(WeightsError, match="No space left"):
        save(tmp_path)
    assert names(tmp_path) == ["config.json"]
    assert (tmp_path / "config.json").read_text() == "old"


def test_a_file_at_the_path_of_the_directory(tmp_path):
    (tmp_path / "out").write_text("mine")
    with pytest.raises(WeightsError, match="cannot be saved"):
        save(tmp_path / "out")
    assert (tmp_path / "out").read_text() == "mine"


def test_a_directory_at_the_path_of_a_file(tmp_path):
    (tmp_path / "config.json").mkdir()
    (tmp_path / "README.md").write_text("mine")
    with pytest.raises(WeightsError, match="cannot be saved .*config.json in it is a directory"):
        save(tmp_path)
    assert names(tmp_path) == ["README.md", "config.json"]
    assert (tmp_path / "README.md").read_text() == "mine"


def test_a_concurrent_save_to_the_same_directory(tmp_path, monkeypatch):
    def slow(tensors, filename, **options):
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / "config.json").write_text("theirs")
        save_file(tensors, filename, **options)

    monkeypatch.setattr("safetensors.torch.save_file", slow)
    save(tmp_path / "out")
    assert names(tmp_path) == ["out"]
    assert names(tmp_path / "out") == ALL
    assert weights.locate(tmp_path / "out").config == CONFIG


def test_invalid_paths():
    with pytest.raises(WeightsError, match="'~nobody0/x' cannot be expanded"):
        save("~nobody0/x")
    with pytest.raises(WeightsError, match="cannot be saved in .*null (byte|character)"):
        save("a\0b")


@pytest.mark.skipif(os.name == "nt", reason="links need a privilege on Windows")
def test_a_link_is_followed_and_a_linked_file_is_not_changed(tmp_path):
    shared = tmp_path / "shared.safetensors"
    shared.write_bytes(b"of others")
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "model.safetensors").symlink_to(shared)
    (tmp_path / "link").symlink_to(tmp_path / "real")
    save(tmp_path / "link")
    assert shared.read_bytes() == b"of others"
    assert names(tmp_path / "real") == ALL


def test_a_custom_card(tmp_path):
    weights.save_directory(
        tmp_path / "out", state_dict=encoder().state_dict(), config=CONFIG, card="# Mine\n"
    )
    assert (tmp_path / "out" / "README.md").read_text() == "# Mine\n"


def broken_files(tmp_path):
    whole = tmp_path / "whole.safetensors"
    save_file({"a": torch.zeros(100)}, whole)
    content = whole.read_bytes()
    yield "cut.safetensors", content[:-10]
    yield "long.safetensors", content + b"more"
    yield "empty.safetensors", b""
    yield "text.safetensors", b"hello world, this is text"
    yield "pickle.safetensors", pickle.dumps({"a": 1})
    yield "huge_header.safetensors", b"\xff" * 8 + content[8:]


def test_broken_files_are_weights_errors(tmp_path):
    for name, content in broken_files(tmp_path):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(WeightsError, match=f"{name} is (not a whole safetensors|a text) file"):
            weights.read_state_dict(tmp_path / name)
    with pytest.raises(WeightsError, match="There is no weights file"):
        weights.read_state_dict(tmp_path)


def test_finite_values_whose_sum_overflows_are_accepted():
    module = nn.Linear(2, 3).half()
    large = {"weight": torch.full((3, 2), 60_000.0).half(), "bias": torch.zeros(3).half()}
    assert not large["weight"].sum().isfinite()
    weights.load_into(module, large, origin="here")
    assert torch.equal(module.weight, large["weight"])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("values", [(torch.nan,), (torch.inf,), (torch.inf, -torch.inf)])
def test_non_finite_values_are_detected_in_every_dtype(dtype, values):
    weight = torch.ones(3, 2, dtype=dtype)
    weight.view(-1)[: len(values)] = torch.tensor(values, dtype=dtype)
    with pytest.raises(WeightsError, match="NaN or infinity in weight"):
        weights.load_into(
            nn.Linear(2, 3), {"weight": weight, "bias": torch.ones(3)}, origin="here"
        )


def test_load_into_requires_every_key_or_changes_nothing():
    module = nn.Linear(2, 3)
    before = {key: value.clone() for key, value in module.state_dict().items()}
    wrong = {"weight": torch.ones(3, 2), "scale": torch.ones(3)}
    with pytest.raises(WeightsError, match="from here .*missing: bias; unknown: scale"):
        weights.load_into(module, wrong, origin="from here")
    wrong = {"weight": torch.ones(2, 3), "bias": torch.ones(3)}
    with pytest.raises(WeightsError, match=r"wrong shape: weight \[2, 3\] instead of \[3, 2\]"):
        weights.load_into(module, wrong, origin="from here")
    wrong = {"weight": torch.full((3, 2), torch.nan), "bias": torch.ones(3)}
    with pytest.raises(WeightsError, match="from here hold NaN or infinity in weight"):
        weights.load_into(module, wrong, origin="from here")
    for dtype in (torch.int8, torch.float8_e4m3fn, torch.complex64, torch.bool):
        wrong = {"weight": torch.ones(3, 2).to(dtype), "bias": torch.ones(3)}
        name = str(dtype).removeprefix("torch.")
        with pytest.raises(WeightsError, match=f"from here are float16.* weight \\({name}\\)"):
            weights.load_into(module, wrong, origin="from here")
    for key, value in module.state_dict().items():
        assert torch.equal(value, before[key])


def test_load_into_allows_only_missing_counters():
    module = nn.BatchNorm1d(2)
    module.num_batches_tracked += 5
    values = {"weight": torch.ones(2), "bias": torch.ones(2) * 3, "running_mean": torch.ones(2)}
    with pytest.raises(WeightsError, match="missing: running_var"):
        weights.load_into(module, values, origin="x")
    weights.load_into(module, {**values, "running_var": torch.ones(2)}, origin="x")
    assert module.bias.tolist() == [3, 3]
    assert module.num_batches_tracked == 5


def test_a_long_list_of_keys_is_truncated():
    assert storage.listed(["a", "b"]) == "a, b"
    assert storage.listed("abcdefgh") == "a, b, c, d, e, f, g, h"
    assert storage.listed("abcdefghij") == "a, b, c, d, e, f, g, h and 2 more"


def test_check_file(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"abc")
    sha256 = hashlib.sha256(b"abc").hexdigest()
    storage.check_file(path, sha256=sha256, size_bytes=3)
    storage.check_file(path, sha256=sha256)
    with pytest.raises(ChecksumError, match="nothing of it was parsed.*expected 0000"):
        storage.check_file(path, sha256="0" * 64)
    with pytest.raises(ChecksumError, match=r"\(3 bytes\), expected .* \(4 bytes\)"):
        storage.check_file(path, sha256=sha256, size_bytes=4)
    with pytest.raises(WeightsError, match="cannot be read"):
        storage.check_file(tmp_path / "nothing", sha256=sha256)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "cannot be read"),
        ("[1]", "not the configuration of an encoder: .*in JSON an object.*got list"),
        ("[" * 100_000, "cannot be read: maximum recursion"),
        ('{"embedding_dim": 1' + "0" * 30 + "}", "embedding_dim must be a whole number from 1 to"),
        ('{"hed": "fc"}', "not the configuration of an encoder: Unknown key 'hed'.*'head'"),
        ('{"last_stride": 3}', "last_stride must be 1 or 2"),
    ],
)
def test_a_wrong_configuration(tmp_path, content, message):
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(WeightsError, match=message):
        storage.read_config(tmp_path / "config.json")
    with pytest.raises(WeightsError, match="cannot be read"):
        storage.read_config(tmp_path / "nothing.json")
