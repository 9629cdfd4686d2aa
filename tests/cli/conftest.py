"""A tiny encoder on disk and folders of drawn people: what the commands need to run fast."""

from __future__ import annotations

import json

import pytest
import torch

from sanreid.cli import main
from sanreid.config import EncoderConfig
from sanreid.models import build_sa_enc
from sanreid.weights import save_directory
from tests.people import write_people


def _write_tiny(folder, seed):
    config = EncoderConfig(backbone="resnet18", embedding_dim=16, input_size=(64, 32))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module = build_sa_enc(config)
    return str(save_directory(folder, state_dict=module.state_dict(), config=config))


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
    """A weights directory: ResNet-18 with random weights, 16 numbers, 64 x 32."""
    return _write_tiny(tmp_path_factory.mktemp("weights") / "tiny", seed=0)


@pytest.fixture(scope="session")
def other(tmp_path_factory):
    """Other random weights of the same shape."""
    return _write_tiny(tmp_path_factory.mktemp("weights") / "other", seed=1)


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
