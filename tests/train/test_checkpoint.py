"""Checkpoints: whole, checked, and refused if they are something else."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from sanreid.errors import TrainingError
from sanreid.train.checkpoint import load_checkpoint, save_checkpoint


def full_disk(*_):
    raise RuntimeError("the disk is full")


def test_checkpoints_come_back_and_a_failure_leaves_the_old_one(tmp_path, monkeypatch):
    path = tmp_path / "last.ckpt"
    save_checkpoint(path, {"x": torch.arange(3), "n": 1})
    monkeypatch.setattr(torch, "save", full_disk)
    with pytest.raises(TrainingError, match=r"cannot be written: the disk is full.*--resume"):
        save_checkpoint(path, {"x": torch.zeros(3), "n": 2})
    assert load_checkpoint(path)["n"] == 1
    assert [one.name for one in tmp_path.iterdir()] == ["last.ckpt"]


def test_one_wrong_bit_in_a_checkpoint_is_noticed(tmp_path):
    path = tmp_path / "last.ckpt"
    save_checkpoint(path, {"x": torch.ones(1000)})
    data = bytearray(path.read_bytes())
    data[data.index(torch.ones(3).numpy().tobytes()) + 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(TrainingError, match=r"damaged.* checksum of .*data"):
        load_checkpoint(path)


def test_foreign_checkpoints_are_refused(tmp_path):
    with pytest.raises(TrainingError, match="no checkpoint"):
        load_checkpoint(tmp_path / "missing.ckpt")
    torch.save({"format_version": 99}, tmp_path / "new.ckpt")
    with pytest.raises(TrainingError, match="format 99"):
        load_checkpoint(tmp_path / "new.ckpt")
    torch.save(nn.Linear(1, 1), tmp_path / "module.ckpt")  # an object, not tensors
    with pytest.raises(TrainingError, match="cannot be read"):
        load_checkpoint(tmp_path / "module.ckpt")
