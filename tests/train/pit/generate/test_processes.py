"""Jobs in several processes, none of which outlives the caller."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sanreid.train.pit.generate.processes import in_processes

pytestmark = pytest.mark.slow  # it starts processes


def begin_and_wait() -> None:
    """Say that the job has begun, and outlast every test."""
    os.write(1, b"begun\n")
    time.sleep(600)


def call() -> None:
    """Have two processes begin and wait."""
    for _ in in_processes(begin_and_wait, [(), ()], processes=2):
        pass


def test_processes_end_when_the_caller_is_killed() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", f"import {__name__} as jobs; jobs.call()"],
        cwd=Path(__file__).parents[4],
        stdout=subprocess.PIPE,
    ) as caller:
        assert caller.stdout is not None
        begun = [caller.stdout.readline() for _ in range(2)]
        caller.kill()
        assert begun == [b"begun\n"] * 2
        # The processes inherited the pipe: it ends when the last of them has.
        rest, _ = caller.communicate(timeout=60)
        assert rest == b""
