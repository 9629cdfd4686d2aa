"""A tiny encoder on disk and folders of rendered people: what the commands need to run fast."""

from __future__ import annotations

import json

import pytest

from sanreid.cli import main
from sanreid.encoder import SANEncoder
from tests.conftest import build_tiny
from tests.people import write_people


@pytest.fixture(scope="session")
def tiny(tiny_weights):
    """A weights directory: a thin ResNet with random weights, 16 numbers, 64 x 32."""
    return str(tiny_weights)


@pytest.fixture(scope="session")
def other(tiny_config, tmp_path_factory):
    """Other random weights of the same shape."""
    encoder = SANEncoder(build_tiny(tiny_config, seed=1), tiny_config, device="cpu")
    return str(encoder.save_pretrained(tmp_path_factory.mktemp("weights") / "other"))


@pytest.fixture(scope="session")
def loaded():
    """Encoders by the arguments they were loaded with."""
    return {}


@pytest.fixture(autouse=True)
def load_once(loaded, monkeypatch):
    """Load each encoder once for all tests: loading costs more than the crops here."""
    real = SANEncoder.from_pretrained

    def from_pretrained(*args, **kwargs):
        key = repr((args, kwargs))
        if key not in loaded:
            loaded[key] = real(*args, **kwargs)
        return loaded[key]

    monkeypatch.setattr(SANEncoder, "from_pretrained", from_pretrained)


@pytest.fixture(scope="session")
def people(tmp_path_factory):
    """Four people under two cameras, two crops each, named as in Market-1501. Do not write."""
    folder = tmp_path_factory.mktemp("people") / "crops"
    write_people(folder, identities=4, cameras=2, shots=2, size=(64, 32))
    return folder


@pytest.fixture
def run(capsys):
    """Run a command in this process; give status, standard output and standard error."""

    def call(*arguments):
        status = main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return call


@pytest.fixture
def run_json(run):
    """Run a command that must succeed, with ``--json``; give what it printed."""

    def call(*arguments):
        status, out, err = run(*arguments, "--json")
        assert status == 0, err
        return json.loads(out)

    return call
