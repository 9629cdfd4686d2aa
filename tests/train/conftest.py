"""A tiny data set of painted crops, configurations that train on it in seconds, tiny networks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from sanreid.config import EncoderConfig
from sanreid.train.config import DecoderConfig
from sanreid.train.config.loader import config_from_dict
from sanreid.train.networks.san import build_san_pg
from sanreid.train.textures.generator import save_generator
from tests.thin import THIN


def paint_people(folder: Path, *, people: int, crops: int, seed: int = 0) -> Path:
    """Write crops of people who differ in two colours, ``crops`` of each by two cameras."""
    rng = np.random.default_rng(seed)
    for person in range(people):
        top, bottom = rng.integers(30, 226, (2, 3))
        home = folder / f"person{person:02d}"
        home.mkdir(parents=True)
        for n in range(crops):
            pixels = rng.normal(120, 25, (64, 32, 3))
            pixels[8:32, 8:24] = top + rng.normal(0, 12, (24, 16, 3))
            pixels[32:60, 10:22] = bottom + rng.normal(0, 12, (28, 12, 3))
            image = Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
            image.save(home / f"c{n % 2 + 1}_{n:03d}.png")
    return folder


@pytest.fixture(scope="session")
def people(tmp_path_factory) -> Path:
    """Eight people with six crops each."""
    return paint_people(tmp_path_factory.mktemp("crops") / "people", people=8, crops=6)


@pytest.fixture(scope="session")
def others(tmp_path_factory) -> Path:
    """Six other people with four crops each."""
    return paint_people(tmp_path_factory.mktemp("crops") / "others", people=6, crops=4, seed=1)


def tiny_values(people: Path, output: Path, others: Path | None = None) -> dict[str, Any]:
    """Plain values of a run of a second: a thin ResNet at 64 x 32 in float32."""
    values: dict[str, Any] = {
        "run": {"output": str(output), "epochs": 2, "precision": "fp32", "log_every": 1,
                "checkpoint_every_s": 1e6, "seed": 3, "imports": ["tests.thin"]},
        "encoder": {"backbone": THIN, "embedding_dim": 16, "input_size": [64, 32]},
        "data": {"sources": [{"folder": str(people), "names": "folders"}], "p": 4, "k": 2},
        "optimizer": {"lr": 1e-3, "schedule": "constant", "warmup_epochs": 0.0},
        "evaluation": {"at_start": False, "sets": []},
    }  # fmt: skip
    if others is not None:
        sources = [{"folder": str(others), "names": "folders"}]
        values["evaluation"]["sets"] = [{"name": "others", "sources": sources}]
    return values


@pytest.fixture
def tiny_run(people, others, tmp_path):
    """Return a function that builds a tiny configuration with some sections changed."""

    def build(output: str = "run", **changes: dict[str, Any]):
        values = tiny_values(people, tmp_path / output, others)
        for section, settings in changes.items():
            values[section] = {**values.get(section, {}), **settings}
        return config_from_dict(values)

    return build


@pytest.fixture
def recipe(people, others) -> dict[str, dict[str, Any]]:
    """Changes of a tiny configuration: options of the steps and batches that are off by default.

    An epoch is still six batches: five people with three hands, four with two.
    """
    sources = [
        {"folder": str(people), "names": "folders", "max_identities": 5},
        {"folder": str(others), "names": "folders", "max_identities": 4, "share": 0.25},
    ]
    return {
        "data": {"sources": sources},
        "loss": {"tr": 0.1, "decoder_every": 2, "identity_softmax": "arcface"},
        "decoder": {"width": 32},
    }


@pytest.fixture
def one_thread():
    """The networks are tiny: threads that wait for one another would cost more than they give."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def tiny_generator(tmp_path_factory):
    """The folder of an untrained texture generator for crops of 64 x 32."""
    encoder = EncoderConfig(backbone=THIN, embedding_dim=16, input_size=(64, 32))
    decoder = DecoderConfig(width=32)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module = build_san_pg(encoder, decoder)
    return save_generator(module, encoder, decoder, tmp_path_factory.mktemp("weights") / "pg")
