"""``python -m sanreid.train``: train, measure, export; see :mod:`sanreid.train.commands`."""

from __future__ import annotations

import sys

from sanreid.train.commands import main

__all__ = ["main"]

if __name__ == "__main__":
    sys.exit(main())
