"""The manifest: every row is valid, or an error names the row."""

from __future__ import annotations

import copy
import json

import pytest

from sanreid import weights
from sanreid.errors import UnknownWeightsError, WeightsError
from sanreid.weights import manifest as module

ROW = {
    "role": "encoder",
    "file": "sanreid/pretrained/a.safetensors",
    "sha256": "0" * 64,
    "size_bytes": 10,
    "config": {"head": "fc"},
    "license": "research only",
    "training_data": [{"name": "D", "terms": "research", "identities": 1, "crops": 2}],
    "metrics": [],
}
THRESHOLD = {
    "similarity": 0.4,
    "false_match_rate": 0.01,
    "false_non_match_rate": 0.3,
    "crops": "D",
    "command": "c",
}
HUB = {"repo_id": "o/n", "revision": "a" * 40, "filename": "model.safetensors"}


def write(tmp_path, content):
    path = tmp_path / "manifest.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def of_rows(rows, default="a"):
    return {"format_version": 1, "default": default, "weights": rows}


def test_rows_by_name(tmp_path):
    hub_row = {key: value for key, value in ROW.items() if key != "file"} | {"hub": HUB}
    hub_row["threshold"] = THRESHOLD
    texture = hub_row | {"role": "texture-generator", "config": {"anything": 1}}
    rows = {"a": ROW, "b": hub_row, "t": texture}
    read = weights.read_manifest(str(write(tmp_path, of_rows(rows))))
    assert read.default == "a"
    assert list(read.weights) == ["a", "b", "t"]
    assert read.entry("a").file == ROW["file"]
    assert read.entry("a").hub is None
    assert read.entry("b").hub == weights.HubFile(**HUB)
    assert read.entry("b").trained_with is None
    assert read.entry("a").threshold is None
    assert read.entry("b").threshold == THRESHOLD
    assert read.entry("t").role == "texture-generator"
    assert module.bundled_path(read.entry("b")) is None
    with pytest.raises(UnknownWeightsError, match="named 'aa'. Did you mean 'a'.*Known: a, b, t"):
        read.entry("aa")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sha256": None}, "sha256"),
        ({"sha256": "A" * 64}, "64 lower-case"),
        ({"size_bytes": 0}, "size_bytes"),
        ({"size_bytes": "10"}, "size_bytes"),
        ({"sha256": int("1" * 64)}, "64 lower-case"),
        ({"size_bytes": True}, "size_bytes"),
        ({"config": [1]}, "needs a 'config', an object"),
        ({"license": " "}, "needs a 'license'"),
        ({"training_data": "D"}, "needs 'training_data', a list of objects with 'name', 'terms'"),
        ({"training_data": [{"name": "D"}]}, "needs 'training_data'"),
        ({"metrics": [1]}, "needs 'metrics', a list of objects with 'dataset'"),
        ({"metrics": {"dataset": "D"}}, "needs 'metrics'"),
        (
            {"metrics": [{"dataset": "D", "protocol": "P", "command": "C"}]},
            "'command', 'mAP', 'rank1'",
        ),
        (
            {"role": "texture-generator", "metrics": [{"dataset": "D", "l1_seen": 0.1}]},
            "objects with 'dataset', 'protocol', 'command'",
        ),
        ({"limits": " "}, "needs words as 'limits'"),
        ({"threshold": 0.5}, "needs 'threshold', an object with 'similarity', 'false_match_rate'"),
        ({"threshold": {**THRESHOLD, "similarity": 1.5}}, "needs 'threshold'"),
        ({"threshold": {**THRESHOLD, "false_match_rate": -0.1}}, "needs 'threshold'"),
        ({"threshold": {**THRESHOLD, "crops": None}}, "needs 'threshold'"),
        ({"trained_with": "care"}, "an object as 'trained_with'"),
        ({"file": None, "hub": {**HUB, "repo_id": 5}}, "repo_id must be 'owner/name'"),
        ({"role": "decoder"}, "role 'decoder'; known: encoder, texture-generator"),
        ({"config": {"hed": 1}}, "wrong 'config': Unknown key 'hed'"),
        ({"extra": 1}, "unknown key 'extra'"),
        ({"file": "../a.safetensors"}, "relative .safetensors path"),
        ({"file": "/a.safetensors"}, "relative .safetensors path"),
        ({"file": "a\\b.safetensors"}, "relative .safetensors path"),
        ({"file": "a.pth"}, "relative .safetensors path"),
        ({"file": 3}, "relative .safetensors path"),
        ({"hub": HUB}, "either 'file' or 'hub'"),
        ({"file": None, "hub": {**HUB, "revision": "main"}}, "commit of 40"),
        ({"file": None, "hub": {**HUB, "filename": "model.bin"}}, "relative .safetensors"),
        ({"file": None, "hub": {"repo_id": "o/n"}}, "repo_id, revision and filename"),
        ({"file": None}, "either 'file' or 'hub'"),
        ({"license": None, "metrics": None}, "lacks 'license', 'metrics'"),
    ],
)
def test_an_invalid_row_is_named(tmp_path, change, message):
    row = copy.deepcopy(ROW) | change
    row = {key: value for key, value in row.items() if value is not None}
    with pytest.raises(WeightsError, match=f"the row 'a' .*{message}"):
        weights.read_manifest(write(tmp_path, of_rows({"a": row})))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "cannot be read"),
        ("[]", "format version None"),
        ({"format_version": 2}, "format version 2; .* version 1. Install"),
        (of_rows([ROW]), "must be an object"),
        (of_rows({"a": 1}), "the row 'a' is not an object"),
        (of_rows({"a": ROW}, default="b"), "default 'b' is not"),
        (of_rows({"a": {**ROW, "role": "texture-generator"}}), "default 'a' is not"),
    ],
)
def test_an_invalid_manifest(tmp_path, content, message):
    with pytest.raises(WeightsError, match=message):
        weights.read_manifest(write(tmp_path, content))
    with pytest.raises(WeightsError, match="cannot be read"):
        weights.read_manifest(tmp_path / "nothing.json")


def test_the_installed_manifest_takes_precedence(tmp_path, monkeypatch):
    package = tmp_path / "sanreid"
    package.mkdir()
    monkeypatch.setattr(module, "PACKAGE", package)
    write(tmp_path, of_rows({"a": ROW})).rename(tmp_path / "weights_manifest.json")
    assert weights.read_manifest().default == "a"  # an editable install
    write(tmp_path, of_rows({"b": ROW}, "b")).rename(package / "weights_manifest.json")
    assert weights.read_manifest().default == "b"  # a wheel


def test_listing_returns_a_copy():
    listed = weights.list_weights()
    listed.clear()
    assert weights.list_weights()
