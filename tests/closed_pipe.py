"""A command whose output nobody reads."""

from __future__ import annotations

import subprocess
import sys


def run_without_reader(module, arguments):
    """Call ``main`` of a module in a new process once the reader of its output is gone.

    Returns:
        The exit status, and what was written to standard error.
    """
    code = (
        f"import sys; sys.stdin.read(); from {module} import main; sys.exit(main({arguments!r}))"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        process.stdout.close()  # before the command begins to write
        process.stdin.close()
        told = process.stderr.read()
        return process.wait(), told
