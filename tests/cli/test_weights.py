"""``sanreid weights``."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from sanreid import weights
from sanreid.errors import ChecksumError, WeightsError
from sanreid.weights import list_weights, manifest


@pytest.fixture
def without_generator(tmp_path, monkeypatch):
    """An installation from the wheel, which contains only the encoders' files."""
    for name, entry in list_weights().items():
        if entry.role == "encoder" and entry.file is not None:
            (tmp_path / entry.file).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / entry.file).symlink_to(weights.verify(name))
    copy = tmp_path / "sanreid" / "weights_manifest.json"
    copy.write_bytes(manifest._manifest_path().read_bytes())
    monkeypatch.setattr(manifest, "PACKAGE", copy.parent)


def test_list_says_the_terms(run, run_json):
    _, text, _ = run("weights", "list")
    for word in ("san-r50", "512", "256 x 128", "bundled", "research", "Market-1501"):
        assert word in text
    rows = run_json("weights", "list")
    assert {row["name"] for row in rows} == set(list_weights())
    assert sum(row["default"] for row in rows) == 1
    assert all(row["license"] and row["training_data"] for row in rows)
    _, text, _ = run("weights", "list", "--csv")
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [row["default"] for row in rows].count("yes") == 1
    assert all(row["licence"] for row in rows)


def test_list_shows_a_texture_generator_too(run, run_json, monkeypatch):
    encoder = list_weights()["san-r50"]
    generator = replace(
        encoder,
        name="painter",
        role="texture-generator",
        config={"encoder": {"input_size": [96, 48]}, "decoder": {"width": 32}},
        metrics=(
            {"dataset": "rendered", "protocol": "held out", "l1_seen": 0.0712, "command": "judge"},
        ),
    )
    both = weights.Manifest(encoder.name, {encoder.name: encoder, "painter": generator})
    monkeypatch.setattr(weights, "read_manifest", lambda: both)
    _, text, _ = run("weights", "list")
    (row,) = (line for line in text.splitlines() if line.startswith("painter "))
    assert "texture-generator" in row
    assert "96 x 48" in row
    assert "  reaches l1 seen 0.071 on rendered (held out)\n" in text
    reached = encoder.metrics[0]
    figures = f"mAP {reached['mAP']:.3f}, rank-1 {reached['rank1']:.3f}"
    assert f"  reaches {figures} on CUHK03" in text
    assert run_json("weights", "list")[1]["metrics"][0]["l1_seen"] == 0.0712


def test_verify(run):
    status, text, _ = run("weights", "verify", "san-r50")
    assert status == 0
    assert text.startswith(f"san-r50: ok, sha256 {list_weights()['san-r50'].sha256}")
    status, text, _ = run("weights", "verify")
    assert status == 0
    assert "san-r50: ok" in text
    status, _, err = run("weights", "verify", "nobody-r50")
    assert status == 1
    assert "nobody-r50" in err


def test_download_of_bundled_weights_is_a_look(run):
    status, text, _ = run("weights", "download", "san-r50")
    assert status == 0
    assert text.startswith("san-r50: ")
    assert text.strip().endswith(".safetensors")
    status, _, err = run("weights", "download", "san-r50", "--revision", "main")
    assert status == 1
    assert "already pinned" in err


def where_listed(run):
    """Return where each file is, by the name of the weights."""
    _, text, _ = run("weights", "list", "--csv")
    return {row["name"]: row["where"] for row in csv.DictReader(io.StringIO(text))}


@pytest.mark.usefixtures("without_generator")
def test_what_the_wheel_leaves_out_is_named(run, run_json):
    status, text, _ = run("weights", "verify")
    assert status == 0
    assert "san-pg: not in this installation\n" in text
    assert "san-r50: ok" in text
    where = where_listed(run)
    assert where == {row["name"]: row["where"] for row in run_json("weights", "list")}
    assert (where["san-r50"], where["san-pg"]) == ("bundled", "the repository")
    for command in ("verify", "download"):
        status, _, err = run("weights", command, "san-pg")
        assert status == 1
        assert "'san-pg' is not in this installation" in err
        assert "Copy the file there from sanreid/pretrained in the repository" in err


def test_where_the_generators_file_is(run):
    here = (manifest.PACKAGE / "pretrained" / "san-pg.safetensors").is_file()
    assert where_listed(run)["san-pg"] == ("bundled" if here else "the repository")


def test_convert_hands_its_options_on(run, monkeypatch, tmp_path):
    calls = []
    monkeypatch.setattr(weights, "convert", lambda *args, **options: calls.append((args, options)))
    status, text, _ = run("weights", "convert", "a.pth", "out", "--input-size", 64, 32)
    assert (status, text) == (0, "out: written; use it with --weights out\n")
    paths = (Path("a.pth"), Path("out"))
    assert calls == [(paths, {"input_size": (64, 32), "last_stride": None})]


@pytest.mark.slow
def test_convert(run, tmp_path):
    import torchvision

    with torch.device("meta"):
        shapes = torchvision.models.resnet50(num_classes=3).state_dict()
    state = {key: torch.zeros(value.shape, dtype=value.dtype) for key, value in shapes.items()}
    torch.save(state, tmp_path / "resnet50.pth")
    status, text, err = run(
        "weights", "convert", tmp_path / "resnet50.pth", tmp_path / "out",
        "--input-size", 64, 32, "--last-stride", 1,
    )  # fmt: skip
    assert status == 0, err
    assert f"--weights {tmp_path / 'out'}" in text
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert (config["embedding_dim"], config["input_size"]) == (2048, [64, 32])
    assert (config["head"], config["last_stride"]) == ("pool", 1)


def test_convert_of_something_else(run, tmp_path):
    (tmp_path / "a.pth").write_bytes(b"no checkpoint")
    status, _, err = run("weights", "convert", tmp_path / "a.pth", tmp_path / "out")
    assert status == 1
    assert "a.pth" in err
    assert not (tmp_path / "out").exists()


def test_verify_all_says_what_is_not_here_and_stops_at_what_is_wrong(run, monkeypatch):
    entries = {
        "far": SimpleNamespace(hub="a/b", file=None, role="encoder", sha256="00"),
        "near": SimpleNamespace(hub=None, file="near", role="encoder", sha256="11"),
    }
    state = {"far": WeightsError("not cached")}

    def verify(name):
        if name in state:
            raise state[name]
        return f"/cache/{name}"

    monkeypatch.setattr(weights, "list_weights", lambda: entries)
    monkeypatch.setattr(weights, "verify", verify)
    status, text, _ = run("weights", "verify")
    assert status == 0
    assert text.splitlines() == ["far: not downloaded", "near: ok, sha256 11, /cache/near"]
    del state["far"]
    assert run("weights", "verify")[1].startswith("far: ok, sha256 00, /cache/far\n")
    state["far"] = ChecksumError("not the released one")
    assert run("weights", "verify")[::2] == (1, "sanreid: not the released one\n")
