"""How a name is resolved, in which order, and the errors if it cannot be."""

from __future__ import annotations

import dataclasses
import shutil

import pytest

from sanreid import weights
from sanreid.config import EncoderConfig
from sanreid.errors import ChecksumError, InputError, UnknownWeightsError, WeightsError
from sanreid.models import build_sa_enc
from sanreid.weights import lookup, manifest
from tests.thin import THIN

CONFIG = EncoderConfig(backbone=THIN, embedding_dim=4, input_size=(64, 32))


@pytest.fixture
def nearby(tmp_path, monkeypatch):
    """A working directory that contains a weights directory called san-r50."""
    monkeypatch.chdir(tmp_path)
    state_dict = build_sa_enc(CONFIG).state_dict()
    weights.save_directory("san-r50", state_dict=state_dict, config=CONFIG)
    return tmp_path / "san-r50"


def test_a_manifest_name_takes_precedence_over_a_directory(nearby):
    assert weights.locate("san-r50").entry is not None
    for path in ("./san-r50", nearby, str(nearby), nearby.relative_to(nearby.parent)):
        located = weights.locate(path)
        assert (located.entry, located.config) == (None, CONFIG)
        assert located.path.resolve() == nearby.resolve() / "model.safetensors"


def test_a_directory_takes_precedence_over_a_repository(nearby, monkeypatch):
    (nearby.parent / "owner").mkdir()
    nearby.rename(nearby.parent / "owner" / "name")
    monkeypatch.setattr(lookup, "hub_file", lambda *_a, **_k: pytest.fail("reached the network"))
    assert weights.locate("owner/name").config == CONFIG
    assert weights.download("owner/name", force=True).is_file()


def test_the_home_directory_is_expanded(nearby, monkeypatch):
    monkeypatch.setenv("HOME", str(nearby.parent))
    monkeypatch.setenv("USERPROFILE", str(nearby.parent))
    assert weights.locate("~/san-r50").config == CONFIG


NOTHING = ["san-r5", "./nowhere", "a/b/c", "../x/y", "/owner", "a b", "", "~nobody0/x", "\0"]


@pytest.mark.parametrize("name", [*NOTHING, "long" * 2000])
def test_an_unknown_name(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UnknownWeightsError, match="Known: san-pg, san-r50, san-r50-rendered"):
        weights.locate(name)


def test_neither_a_name_nor_a_path():
    with pytest.raises(InputError, match="must be a name or a path; got 3"):
        weights.locate(3)


def test_a_similar_name_is_suggested():
    with pytest.raises(UnknownWeightsError, match="Did you mean 'san-r50'"):
        weights.locate("san_r50")
    with pytest.raises(UnknownWeightsError, match="No weights are named 'san_r50'. Did you"):
        weights.verify("san_r50")


def test_a_path_is_never_a_name_or_a_repository(tmp_path, monkeypatch):
    monkeypatch.setattr(lookup, "hub_file", lambda *_a, **_k: pytest.fail("reached the network"))
    for path in ("san-r50", "owner/name"):
        with pytest.raises(UnknownWeightsError, match="not an existing directory"):
            weights.locate(tmp_path / path)


def test_directories_without_weights(nearby):
    (nearby / "model.safetensors").unlink()
    with pytest.raises(WeightsError, match="not a weights directory: it has no model.safeten"):
        weights.locate(nearby)
    (nearby / "config.json").unlink()
    with pytest.raises(WeightsError, match=r"no config.json and no model.safetensors"):
        weights.locate(nearby)
    with pytest.raises(WeightsError, match="is a file; give the directory"):
        weights.locate(nearby / "README.md")


def test_a_revision_is_for_repositories(nearby):
    for name in (None, "san-r50", nearby):
        with pytest.raises(InputError, match="revision='main' is for a Hub repository"):
            weights.locate(name, revision="main")


def test_other_roles_are_fetched_but_not_located(monkeypatch):
    entry = weights.list_weights()["san-r50"]
    texture = dataclasses.replace(entry, name="texture-1", role="texture-generator")
    both = weights.Manifest("san-r50", {"san-r50": entry, "texture-1": texture})
    monkeypatch.setattr(lookup, "read_manifest", lambda: both)
    with pytest.raises(WeightsError, match="texture-generator, not an encoder.*: san-r50\\."):
        weights.locate("texture-1")
    assert weights.fetch(texture).name == "san-r50.safetensors"
    assert weights.download("texture-1") == weights.fetch(texture)


def test_a_damaged_bundled_file_is_not_parsed(tmp_path, monkeypatch):
    original = weights.locate().path
    package = tmp_path / "sanreid"
    (package / "pretrained").mkdir(parents=True)
    shutil.copy(manifest._manifest_path(), package / "weights_manifest.json")
    monkeypatch.setattr(manifest, "PACKAGE", package)
    copy = package / "pretrained" / original.name
    with pytest.raises(WeightsError, match="cannot be read"):
        weights.locate()
    content = bytearray(original.read_bytes())
    content[len(content) // 2] ^= 1
    copy.write_bytes(content)
    with pytest.raises(ChecksumError, match="nothing of it was parsed.*Install the package again"):
        weights.locate()
    copy.write_bytes(content[:1000])
    with pytest.raises(ChecksumError, match=r"\(1,000 bytes\)"):
        weights.verify("san-r50")


def test_a_row_without_a_location():
    entry = dataclasses.replace(weights.list_weights()["san-r50"], file=None)
    with pytest.raises(WeightsError, match="says nowhere"):
        weights.fetch(entry)
