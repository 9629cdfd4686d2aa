"""Freed memory is kept: the next large block costs no page faults."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

FAULTS = """
import resource, threading
import numpy as np
from sanreid.train.memory import keep_freed_memory

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    np.ones(16_000_000)  # 128 MB, touched and freed
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

def in_a_thread():
    found = []
    thread = threading.Thread(target=lambda: found.append(faults()))
    thread.start()
    thread.join()
    return found[0]
"""
ONE_AFTER_ANOTHER = """
faults()
plain = faults()
assert keep_freed_memory()
faults()
print(plain, faults())
"""
FROM_THREAD_TO_THREAD = """
assert keep_freed_memory()
print(in_a_thread(), in_a_thread() + faults())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the C library is not glibc")
@pytest.mark.parametrize("script", [ONE_AFTER_ANOTHER, FROM_THREAD_TO_THREAD], ids=["one", "two"])
def test_the_next_block_costs_no_page_faults(script):
    done = subprocess.run(
        [sys.executable, "-c", FAULTS + script], check=True, capture_output=True, text=True
    )
    plain, kept = map(int, done.stdout.split())
    assert kept < plain / 10
