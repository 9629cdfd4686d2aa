"""``python -m sanreid`` is the command line."""

from __future__ import annotations

from sanreid.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
