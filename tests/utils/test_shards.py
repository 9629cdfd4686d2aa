"""Shards outlive their writer: whatever kills it, each path stands once."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import textwrap
import time

import numpy as np
import pytest

from sanreid.errors import InputError
from sanreid.utils import shards
from sanreid.utils.shards import ShardRow, ShardWriter, read_shards, shard_files

pytest.importorskip("pyarrow")

WRITER = """
    import sys, time
    from pathlib import Path
    import numpy as np
    from sanreid.utils.shards import ShardRow, ShardWriter
    writer = ShardWriter(
        Path(sys.argv[1]), fingerprint="f", dim=4, options={}, resume=True, rows_per_shard=3
    )
    with writer:
        for number in range(200):
            if str(number) not in writer.done:
                time.sleep(0.002)  # the network
                writer.add(ShardRow(str(number), np.full(4, number, np.float32)))
"""


@pytest.mark.slow
def test_killed_twenty_times_each_path_stands_once(tmp_path):
    def start(out):
        return subprocess.Popen([sys.executable, "-c", textwrap.dedent(WRITER), str(out)])

    began = time.monotonic()
    assert start(tmp_path / "whole").wait() == 0
    whole_s = time.monotonic() - began
    rng, kills, turns = random.Random(0), 0, 0
    while kills < 20:
        out, ended = tmp_path / f"out-{turns}", False
        while not ended:
            writer = start(out)
            try:
                writer.wait(timeout=whole_s * rng.uniform(0.3, 1.0))
                ended = True
            except subprocess.TimeoutExpired:
                os.kill(writer.pid, signal.SIGKILL)
                writer.wait()
                kills += 1
        assert writer.returncode == 0
        found = {}
        for columns in read_shards(shard_files(out)):
            for path, embedding in zip(columns["path"], columns["embedding"], strict=True):
                assert path not in found
                found[path] = embedding
        assert sorted(found, key=int) == [str(number) for number in range(200)]
        for path, embedding in found.items():
            np.testing.assert_array_equal(embedding, np.full(4, int(path), np.float32))
        turns += 1


@pytest.fixture
def late(monkeypatch, tmp_path):
    """Return a writer before whose lock another one has begun the directory and ended."""

    def writer(**options):
        return ShardWriter(tmp_path, fingerprint="f", dim=4, options={}, **options)

    def lock(file):
        monkeypatch.undo()
        with writer() as other:
            other.add(ShardRow("first", np.zeros(4, np.float32)))
        return shards.DirectoryLock(file)

    monkeypatch.setattr(shards, "DirectoryLock", lock)
    return writer


def test_what_another_writer_ended_meanwhile_is_resumed(late, tmp_path):
    with late(resume=True) as writer:
        assert writer.done == {"first"}
        writer.add(ShardRow("second", np.ones(4, np.float32)))
    (first, second) = (columns["path"] for columns in read_shards(shard_files(tmp_path)))
    assert (first, second) == (["first"], ["second"])


def test_what_another_writer_ended_meanwhile_is_not_overwritten(late, tmp_path):
    with pytest.raises(InputError, match="is not empty. Resume"):
        late()
    assert len(shard_files(tmp_path)) == 1
    with ShardWriter(tmp_path, fingerprint="f", dim=4, options={}, resume=True) as again:
        assert again.done == {"first"}
