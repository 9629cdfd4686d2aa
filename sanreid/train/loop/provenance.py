"""What a run's weights come from: the commit of the code, and the data of the first weights."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import sanreid
from sanreid.train.checkpoint import load_checkpoint
from sanreid.train.config import InitConfig
from sanreid.train.networks.initialization import weights_files
from sanreid.utils.files import sha256_of
from sanreid.weights.record import find_entry

__all__ = ["MANIFEST_ROW", "commit", "inherited_training_data"]

MANIFEST_ROW = "manifest_row.json"  # the file beside exported weights


def inherited_training_data(config: InitConfig) -> list[dict[str, Any]]:
    """Return what the first weights were trained on, as far as a run or the weights record it.

    Returns:
        ``training_data`` of a run's checkpoint, of an encoder's file, of released weights, or of
        the manifest row that was exported beside them; empty if nothing is known.
    """
    found: list[dict[str, Any]] = []
    for source in filter(None, (config.weights, config.decoder)):
        file = next((one for one in weights_files(Path(source)) if one.is_file()), None)
        if file is not None and file.suffix == ".ckpt":
            found += load_checkpoint(file).get("training_data", [])
        elif file is not None:
            entry = find_entry(file)
            found += [dict(one) for one in entry.training_data] if entry else _row_beside(file)
    return found


def _row_beside(file: Path) -> list[dict[str, Any]]:
    """Return the training data in the manifest row that was exported with this very file."""
    path = file.parent / MANIFEST_ROW
    if not path.is_file():
        return []
    row = json.loads(path.read_text(encoding="utf-8"))
    return list(row["training_data"]) if row["sha256"] == sha256_of(file) else []


def commit(root: Path | None = None) -> str | None:
    """Return the commit of the checkout that this package belongs to.

    It is read from the files of ``.git``, so git need not be installed; uncommitted changes go
    unnoticed. Without a ``.git`` (an installed package, a copy) the environment variable
    ``SANREID_COMMIT`` is returned; None if it is not set.

    Args:
        root: The folder that holds the package ``sanreid``; that of this one if None. Only there
            is ``.git`` looked for: an environment may lie in the checkout of somebody else.
    """
    git = (root or Path(sanreid.__file__).resolve().parents[1]) / ".git"
    if not git.exists():
        return os.environ.get("SANREID_COMMIT") or None
    try:
        shared = git
        if git.is_file():  # of a linked worktree: it names the folder that replaces .git
            git = git.parent / git.read_text(encoding="utf-8").strip().removeprefix("gitdir: ")
            common = (git / "commondir").read_text(encoding="utf-8").strip()
            shared = git / common
        head = (git / "HEAD").read_text(encoding="utf-8").strip()
        if not head.startswith("ref: "):
            return head
        name = head.removeprefix("ref: ")
        if (shared / name).is_file():
            return (shared / name).read_text(encoding="utf-8").strip()
        for line in (shared / "packed-refs").read_text(encoding="utf-8").splitlines():
            if line.endswith(f" {name}"):
                return line.split()[0]
    except OSError:
        return None
    return None
