"""The old way to call ``python -m sanreid.train textures``."""

from __future__ import annotations

from sanreid.train.renamed import run_command

run_command("textures")
