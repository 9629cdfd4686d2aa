"""Training: everything that is thrown away at inference. ``pip install sanreid[train]``."""

from __future__ import annotations

from sanreid.train import renamed

renamed.install()
