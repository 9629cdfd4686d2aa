"""Which code a run was trained with."""

from __future__ import annotations

from pathlib import Path

__all__ = ["commit"]


def commit(start: Path | None = None) -> str | None:
    """Give the commit of the checkout this package lies in; None when it was installed.

    Read from the files of ``.git``, so no program is needed; changes that are not committed
    go unseen.
    """
    here = (start or Path(__file__)).resolve()
    git = next((p / ".git" for p in here.parents if (p / ".git").is_dir()), None)
    if git is None:
        return None
    try:
        head = (git / "HEAD").read_text(encoding="utf-8").strip()
        if not head.startswith("ref: "):
            return head
        name = head.removeprefix("ref: ")
        if (git / name).is_file():
            return (git / name).read_text(encoding="utf-8").strip()
        for line in (git / "packed-refs").read_text(encoding="utf-8").splitlines():
            if line.endswith(f" {name}"):
                return line.split()[0]
    except OSError:
        return None
    return None
