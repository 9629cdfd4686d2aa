"""The record in a weights file survives saving, loading and copying."""

from __future__ import annotations

import dataclasses
import json
import shutil

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from sanreid import SANEncoder, weights
from sanreid.config import EncoderConfig
from sanreid.models import build_sa_enc
from sanreid.utils.files import sha256_of
from sanreid.weights.record import find_released, read_record, to_metadata
from tests.thin import THIN

CONFIG = EncoderConfig(backbone=THIN, embedding_dim=4, input_size=(64, 32))


def known(**changes):
    row = {"config": CONFIG.to_dict(), "limits": "Mixes up twins.", **changes}
    return dataclasses.replace(weights.list_weights()["san-r50"], **row)


def saved(folder, entry):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        state_dict = build_sa_enc(CONFIG).state_dict()
    return weights.save_directory(folder, state_dict=state_dict, config=CONFIG, entry=entry)


def test_a_record_round_trips_with_the_checksum_of_its_file(tmp_path):
    path = saved(tmp_path / "one", known()) / "model.safetensors"
    entry = weights.locate(tmp_path / "one").entry
    of_file = {"file": None, "sha256": sha256_of(path), "size_bytes": path.stat().st_size}
    assert entry == known(**of_file)
    assert entry.trained_with["config"]["loss"]["reconstruction"] > 0
    assert entry.threshold["similarity"] > 0
    threshold = SANEncoder.from_pretrained(tmp_path / "one", device="cpu").default_threshold
    assert threshold.similarity == entry.threshold["similarity"]
    assert threshold.crops == entry.threshold["crops"]
    copy = tmp_path / "elsewhere.safetensors"
    shutil.copy(path, copy)
    assert read_record(copy).training_data == known().training_data


def test_equal_weights_have_equal_checksums(tmp_path):
    sums = {sha256_of(saved(tmp_path / str(n), known()) / "model.safetensors") for n in range(6)}
    assert len(sums) == 1


def test_metrics_of_another_input_size_are_dropped(tmp_path):
    saved(tmp_path, known())
    (tmp_path / "config.json").write_text(json.dumps({**CONFIG.to_dict(), "input_size": [32, 32]}))
    entry = weights.locate(tmp_path).entry
    assert entry.metrics == ()
    assert entry.threshold is None
    assert list(entry.config["input_size"]) == [32, 32]
    assert entry.training_data == known().training_data


def test_it_is_kept_across_saves_until_the_weights_change(tmp_path):
    saved(tmp_path / "one", known())
    for before, after in (("one", "two"), ("two", "three"), ("three", "three")):
        SANEncoder.from_pretrained(tmp_path / before, device="cpu").save_pretrained(
            tmp_path / after
        )
    card = (tmp_path / "three" / "README.md").read_text()
    assert "Market-1501" in card
    assert "Mixes up twins." in card
    encoder = SANEncoder.from_pretrained(tmp_path / "three", device="cpu")
    with torch.no_grad():
        encoder.module.head.bn.bias.add_(1)
    assert weights.locate(encoder.save_pretrained(tmp_path / "four")).entry is None
    assert "Market-1501" not in (tmp_path / "four" / "README.md").read_text()


def test_an_invalid_record_is_ignored(tmp_path, caplog):
    path = saved(tmp_path, known()) / "model.safetensors"
    tensors = load_file(path)
    said = json.loads(to_metadata(known())["sanreid"])
    run, loss = {"config": {"run": []}}, {"config": {"loss": {"tr": "auto"}}}
    damaged = (
        "{",
        "[]",
        "[" * 200_000,
        '{"name": "x"}',
        *(json.dumps(said | {"name": name}) for name in (5, "a\n# Another heading")),
        *(json.dumps(said | {"role": role}) for role in ("coder", "texture-generator")),
        *(json.dumps(said | {"trained_with": used}) for used in (run, loss)),
    )
    for text in damaged:
        save_file(tensors, path, metadata={"sanreid": text})
        caplog.clear()
        assert weights.locate(tmp_path).entry is None
        assert "what it says of its training cannot be read" in caplog.text
    save_file(tensors, path)
    assert weights.locate(tmp_path).entry is None
    path.write_bytes(b"no tensors")
    assert read_record(path) is None


def test_the_record_of_a_newer_release_keeps_its_terms(tmp_path):
    path = saved(tmp_path, known()) / "model.safetensors"
    said = json.loads(to_metadata(known())["sanreid"]) | {"mood": "good"}
    save_file(load_file(path), path, metadata={"sanreid": json.dumps(said)})
    assert weights.locate(tmp_path).entry.license == known().license


def test_a_released_file_is_recognised_by_its_checksum(tmp_path):
    path = weights.locate("san-r50").path
    copy = tmp_path / "renamed.safetensors"
    shutil.copy(path, copy)
    assert find_released(copy) == weights.list_weights()["san-r50"]
    with copy.open("r+b") as file:
        file.seek(-1, 2)
        file.write(b"\0" if path.read_bytes()[-1] else b"\1")
    assert find_released(copy) is None


def test_the_released_file_agrees_with_the_manifest():
    entry = weights.list_weights()["san-r50"]
    with safe_open(weights.locate("san-r50").path, framework="np") as file:
        assert "sanreid" in file.metadata()
    assert read_record(weights.locate("san-r50").path).trained_with == entry.trained_with
