"""The command ``pit`` as the tests below call it."""

from __future__ import annotations

from sanreid.train import commands


def main(argv):
    """Run ``python -m sanreid.train pit ARGV`` and return its exit status."""
    return commands.main(["pit", *argv])
