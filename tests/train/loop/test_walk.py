"""The way of a crop through one training step: which files it passes, and that they are few."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

import sanreid
from sanreid.datasets import read_crops
from sanreid.train.data.crop_batches import CropBatches
from sanreid.train.loop.learner import Learner
from sanreid.train.textures.format import TextureHeader
from sanreid.train.textures.writer import TextureWriter

PACKAGE = Path(sanreid.__file__).parent
BEFORE = ["train/loop/engine.py", "train/data/prefetch.py"]  # they ask for what follows
WALK = [
    "train/data/crop_batches.py",
    "train/textures/targets.py",
    "train/textures/store.py",
    "train/runtime.py",
    "train/data/transforms.py",
    "train/loop/learner.py",
    "train/networks/san.py",
    "models/sa_enc.py",
    "models/backbone.py",
    "train/networks/sa_dec.py",
    "train/losses/objective.py",
    "train/losses/terms.py",
]


@pytest.fixture
def passed():
    """The files of the package whose functions are called, in the order of the first call."""
    files: dict[str, None] = {}

    def note(frame, event, _):
        path = Path(frame.f_code.co_filename)
        if event == "call" and path.is_relative_to(PACKAGE):
            files.setdefault(path.relative_to(PACKAGE).as_posix())

    yield files, note
    sys.setprofile(None)


@pytest.mark.usefixtures("one_thread")
def test_a_crop_passes_at_most_14_files(tiny_run, people, tmp_path, passed):
    crops = read_crops(people, names="folders")
    store = tmp_path / "textures.tex"
    with TextureWriter(store, TextureHeader()) as writer:
        writer.add(crops.keys, torch.zeros(len(crops), 3, 256, 256, dtype=torch.uint8))
    source = {"folder": str(people), "names": "folders", "textures": str(store)}
    config = tiny_run(
        data={"sources": [source]}, loss={"reconstruction": 1.0, "tr": 0.1}, decoder={"width": 32}
    )
    cpu = torch.device("cpu")
    batches = CropBatches(config, cpu)
    learner = Learner(config, num_classes=batches.num_classes, device=cpu)
    learner.begin_epoch(0)
    indices = batches.epoch(0)[0]
    files, note = passed
    sys.setprofile(note)
    batch = batches.batch(batches.read(indices, number=0), number=0, epoch=0)
    learner.step([batch], 1, lr=1e-3)
    sys.setprofile(None)
    assert list(files) == WALK
    assert len(BEFORE + WALK) <= 14
    assert all((PACKAGE / name).is_file() for name in BEFORE)
