"""Which code a run was trained with."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["commit"]


def commit(start: Path | None = None) -> str | None:
    """Give the commit of the checkout this package lies in.

    Read from the files of ``.git``, so no program is needed; changes that are not committed
    go unseen. Where there is none, installed or copied without it, the environment variable
    ``SANREID_COMMIT`` says it; None where it does not.
    """
    here = (start or Path(__file__)).resolve()
    git = next((p / ".git" for p in here.parents if (p / ".git").exists()), None)
    if git is None:
        return os.environ.get("SANREID_COMMIT") or None
    try:
        shared = git
        if git.is_file():  # of a further worktree: names the folder that stands for .git
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
