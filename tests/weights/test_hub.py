"""The real Hub client against a fake Hub: every outcome is a verified file or a SanreidError."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys

import huggingface_hub
import pytest
import safetensors.torch
import torch
from huggingface_hub import constants

from sanreid import weights
from sanreid.config import EncoderConfig
from sanreid.errors import ChecksumError, UnknownWeightsError, WeightsError
from sanreid.models import build_sa_enc
from sanreid.weights import lookup
from tests.weights.fake_hub import FakeHub

CONFIG = EncoderConfig(backbone="resnet18", embedding_dim=4, input_size=(64, 32))
REPO = "someone/reid-tiny"


@pytest.fixture(scope="session")
def directory(tmp_path_factory):
    """A complete weights directory to push."""
    out = tmp_path_factory.mktemp("weights") / "tiny"
    state_dict = {key: value.half() for key, value in build_sa_enc(CONFIG).state_dict().items()}
    state_dict = {k: v for k, v in state_dict.items() if not k.endswith("num_batches_tracked")}
    return weights.save_directory(out, state_dict=state_dict, config=CONFIG)


@pytest.fixture(scope="session")
def files():
    """The files of a repository. Locating does not parse tensors, so a small file suffices."""
    tensors = {"a": torch.arange(100.0)}
    config = json.dumps(CONFIG.to_dict()).encode()
    return {"config.json": config, "model.safetensors": safetensors.torch.save(tensors)}


@pytest.fixture
def hub(monkeypatch):
    with FakeHub() as server:
        template = server.endpoint + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "ENDPOINT", server.endpoint)
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setenv("HF_TOKEN", "hf_of_the_test")
        huggingface_hub.close_session()  # a client created with other settings
        yield server
        huggingface_hub.close_session()


@pytest.fixture
def published(hub, files):
    """The commit of ``files`` on the Hub."""
    return hub.put(REPO, files)


@pytest.fixture
def entry(published, files, monkeypatch):
    """A manifest row for that file, pinned to the commit; the only row of the manifest."""
    content = files["model.safetensors"]
    row = weights.WeightsEntry(
        name="tiny",
        role="encoder",
        sha256=hashlib.sha256(content).hexdigest(),
        size_bytes=len(content),
        config=CONFIG.to_dict(),
        license="test",
        training_data=(),
        metrics=(),
        hub=weights.HubFile(REPO, published, "model.safetensors"),
    )
    manifest = weights.Manifest(default="tiny", weights={"tiny": row})
    monkeypatch.setattr(lookup, "read_manifest", lambda: manifest)
    return row


def offline(monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    huggingface_hub.close_session()


def damage(path):
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.resolve().write_bytes(content)


# A row of the manifest


def test_a_valid_file(entry, hub, tmp_path, files):
    located = weights.locate(cache_dir=tmp_path)
    assert located.path.read_bytes() == files["model.safetensors"]
    assert (located.name, located.config, located.entry) == ("tiny", CONFIG, entry)
    assert tmp_path in located.path.parents
    asked = [path.split("/") for _, path in hub.requests if "/resolve/" in path]
    assert {path[4] for path in asked} == {entry.hub.revision}


def test_a_cached_file_is_not_requested_again(entry, hub, tmp_path, monkeypatch):
    weights.download("tiny", cache_dir=tmp_path)
    hub.requests.clear()
    weights.locate("tiny", cache_dir=tmp_path)
    weights.verify("tiny", cache_dir=tmp_path)
    assert hub.requests == []
    offline(monkeypatch)
    weights.locate("tiny", cache_dir=tmp_path)


def test_corrupted_in_transit(entry, hub, tmp_path):
    hub.tampered[entry.sha256] = b"x" * entry.size_bytes
    with pytest.raises(ChecksumError, match="'tiny' is not the released one; nothing of it was"):
        weights.locate("tiny", cache_dir=tmp_path)


def test_a_corrupt_cached_file_is_fetched_again(entry, hub, tmp_path):
    damage(weights.download("tiny", cache_dir=tmp_path))
    for call in (weights.locate, weights.download, weights.verify):
        with pytest.raises(ChecksumError, match="weights download --force tiny"):
            call("tiny", cache_dir=tmp_path)
    path = weights.download("tiny", cache_dir=tmp_path, force=True)
    assert weights.locate("tiny", cache_dir=tmp_path).path == path


def test_verify_never_reaches_the_network(entry, hub, tmp_path):
    with pytest.raises(WeightsError, match="not in the local cache, and local_files_only"):
        weights.verify("tiny", cache_dir=tmp_path)
    assert hub.requests == []


def test_a_pinned_row_takes_no_revision(entry):
    for call in (weights.locate, weights.download):
        with pytest.raises(ValueError, match="revision='main' is for a Hub repository; 'tiny'"):
            call("tiny", revision="main")


# A repository of anyone's


def test_a_repository(published, hub, tmp_path):
    located = weights.locate(REPO, cache_dir=tmp_path)
    assert (located.name, located.config, located.entry) == (REPO, CONFIG, None)
    assert weights.read_state_dict(located.path)
    assert located.path.parent.name == published


def test_revisions(published, files, hub, tmp_path):
    other = {**files, "config.json": files["config.json"] + b"\n"}
    newer = hub.put(REPO, other, branch="v2")
    for revision, commit in (("v2", newer), ("main", published), (newer, newer)):
        path = weights.locate(REPO, revision=revision, cache_dir=tmp_path).path
        assert path.parent.name == commit
    assert weights.download(REPO, revision="v2", cache_dir=tmp_path).parent.name == newer


def test_files_of_a_moving_branch_are_not_mixed(published, hub, tmp_path, monkeypatch):
    original = lookup.hub_file

    def moving(repo_id, filename, **options):
        path = original(repo_id, filename, **options)
        if filename == "config.json":
            hub.put(REPO, {"model.safetensors": b"newer", "config.json": b"newer"})
        return path

    monkeypatch.setattr(lookup, "hub_file", moving)
    assert weights.locate(REPO, cache_dir=tmp_path).path.parent.name == published


@pytest.mark.parametrize("revision", ["no-such-branch", "0" * 40])
def test_wrong_revision(published, tmp_path, revision):
    with pytest.raises(WeightsError, match=f"no revision '{revision}'. Name one of its branches"):
        weights.locate(REPO, revision=revision, cache_dir=tmp_path)


def test_no_such_repository(hub, tmp_path):
    with pytest.raises(UnknownWeightsError, match="no repository 'no/thing' .* token="):
        weights.locate("no/thing", cache_dir=tmp_path)


def test_a_gated_repository(published, hub, tmp_path):
    hub.private[REPO] = "gated"
    with pytest.raises(WeightsError, match="gated: ask for access"):
        weights.locate(REPO, cache_dir=tmp_path)


def test_a_repository_without_an_encoder(hub, tmp_path):
    hub.put("a/b", {"config.json": b'{"model_type": "bert"}', "model.safetensors": b""})
    with pytest.raises(WeightsError, match="not the configuration of an encoder.*'model_type'"):
        weights.locate("a/b", cache_dir=tmp_path)
    hub.put("a/c", {"pytorch_model.bin": b""})
    with pytest.raises(WeightsError, match="has no config.json at the main branch"):
        weights.locate("a/c", cache_dir=tmp_path)


def test_a_corrupt_cached_repository(published, tmp_path):
    damage(weights.locate(REPO, cache_dir=tmp_path).path)
    with pytest.raises(ChecksumError, match="damaged; nothing of it was parsed.*Delete"):
        weights.locate(REPO, cache_dir=tmp_path)
    weights.download(REPO, cache_dir=tmp_path, force=True)
    weights.locate(REPO, cache_dir=tmp_path)


def test_offline(published, hub, tmp_path, monkeypatch):
    for options in ({"local_files_only": True}, {}):
        if not options:
            offline(monkeypatch)
        reason = "local_files_only=True" if options else "HF_HUB_OFFLINE"
        with pytest.raises(WeightsError, match=f"not in the local cache, and {reason} forbids"):
            weights.locate(REPO, cache_dir=tmp_path, **options)
    assert hub.requests == []


def test_offline_and_cached(published, hub, tmp_path, monkeypatch):
    weights.locate(REPO, cache_dir=tmp_path)
    hub.requests.clear()
    assert weights.locate(REPO, cache_dir=tmp_path, local_files_only=True).config == CONFIG
    offline(monkeypatch)
    assert weights.locate(REPO, cache_dir=tmp_path).config == CONFIG
    assert hub.requests == []


def test_the_hub_is_down(published, hub, tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", lambda _seconds: None)
    hub.answer_with = 503
    with pytest.raises(WeightsError, match="not in the local cache and the Hub cannot be reached"):
        weights.locate(REPO, cache_dir=tmp_path)
    hub.answer_with = None
    weights.locate(REPO, cache_dir=tmp_path)
    hub.answer_with = 503
    assert weights.locate(REPO, cache_dir=tmp_path).config == CONFIG


def test_a_cache_that_cannot_be_written(published, tmp_path):
    (tmp_path / "cache").write_text("a file")
    with pytest.raises(
        WeightsError, match=r"Fetching 'someone/reid-tiny' .* at the main branch failed"
    ):
        weights.locate(REPO, cache_dir=tmp_path / "cache")


def test_the_token_is_passed_on(published, hub, tmp_path):
    weights.locate(REPO, cache_dir=tmp_path, token="hf_mine")
    assert hub.tokens == {"Bearer hf_mine"}


def test_environment_variables_in_a_new_process(published, hub, tmp_path):
    code = (
        "import sys, sanreid.weights as w, sanreid.errors as e\n"
        "try: print(w.locate(sys.argv[1]).path)\n"
        "except e.WeightsError as error: print('WeightsError', error)\n"
    )

    def run(repo_id, **changes):
        env = os.environ | {"HF_ENDPOINT": hub.endpoint, "HF_HOME": str(tmp_path)} | changes
        command = [sys.executable, "-c", code, repo_id]
        return subprocess.run(command, env=env, capture_output=True, text=True, check=True).stdout

    assert run(REPO, HF_HUB_OFFLINE="1").startswith("WeightsError config.json of 'someone/reid")
    path = run(REPO).strip()
    assert path.startswith(str(tmp_path))
    hub.requests.clear()
    assert run(REPO, HF_HUB_OFFLINE="1").strip() == path
    assert hub.requests == []


# Upload

# The client uploads in a way its own HTTP library has deprecated.
old_upload = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")


@old_upload
def test_push_then_locate(hub, directory, tmp_path):
    commit = weights.push_directory(directory, "me/mine", private=True, commit_message="Hello")
    assert hub.private["me/mine"] is True
    assert hub.messages == ["Hello"]
    located = weights.locate("me/mine", revision=commit, cache_dir=tmp_path)
    assert located.path.read_bytes() == (directory / "model.safetensors").read_bytes()
    assert sorted(hub.commits["me/mine", commit]) == [
        "README.md",
        "config.json",
        "model.safetensors",
    ]


@old_upload
def test_push_to_a_branch_of_an_existing_repository(hub, published, directory):
    hub.branches["me/mine"] = {"main": ""}
    commit = weights.push_directory(directory, "me/mine", revision="v2", token="hf_mine")
    assert hub.branches["me/mine"] == {"main": "", "v2": commit}
    assert "Bearer hf_mine" in hub.tokens


def test_push_validates_before_connecting(hub, directory, tmp_path):
    with pytest.raises(WeightsError, match="config.json cannot be read"):
        weights.push_directory(tmp_path, "me/mine")
    wrong = {**CONFIG.to_dict(), "embedding_dim": 5}
    (tmp_path / "config.json").write_text(json.dumps(wrong))
    (tmp_path / "model.safetensors").write_bytes((directory / "model.safetensors").read_bytes())
    with pytest.raises(WeightsError, match="wrong shape: .*head.reduction.weight"):
        weights.push_directory(tmp_path, "me/mine")
    assert hub.requests == []


def test_push_errors(hub, directory, monkeypatch):
    with pytest.raises(WeightsError, match="Uploading to 'not a name' .* failed: HFVal"):
        weights.push_directory(directory, "not a name")
    hub.answer_with = 401
    with pytest.raises(WeightsError, match="me/mine"):
        weights.push_directory(directory, "me/mine")
    offline(monkeypatch)
    with pytest.raises(WeightsError, match="Nothing was uploaded to 'me/mine' .* HF_HUB_OFFLINE"):
        weights.push_directory(directory, "me/mine")
