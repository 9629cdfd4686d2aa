"""Text in place of a binary file: what a clone or a download leaves when it went wrong."""

from __future__ import annotations

from pathlib import Path

__all__ = ["describe_text"]

_READ = 512  # bytes of the beginning that are looked at


def describe_text(source: Path | bytes) -> str | None:
    """Describe a text file found instead of a binary one; return None for anything else.

    Args:
        source: The file, or its beginning.

    Returns:
        The end of a sentence that begins with the file's name, such as "is a Git LFS pointer,
        not the file itself: run 'git lfs pull' in its repository"; None where the contents are
        not text, or the file cannot be read.
    """
    if isinstance(source, Path):
        try:
            with source.open("rb") as file:
                head = file.read(_READ)
        except (OSError, ValueError):
            return None
    else:
        head = source[:_READ]
    text = head.removeprefix(b"\xef\xbb\xbf").decode(errors="replace").strip()
    if text.startswith(("version https://git-lfs", "version https://hawser")):
        return (
            "is a Git LFS pointer, not the file itself: run 'git lfs install' and 'git lfs pull' "
            "in its repository, or download the file"
        )
    lower = text.lower()
    if lower.startswith(("<!doctype html", "<html", "<head", "<?xml", "<!--")):
        kind = "an XML document" if lower.startswith("<?xml") else "an HTML page"
        return f"is {kind}, as a failed download leaves it: download the file again"
    whole = text.rstrip("\ufffd")  # the cut may go through a character
    if whole and "\ufffd" not in whole and all(c.isprintable() or c in "\n\r\t" for c in whole):
        line = text.partition("\n")[0].strip()
        return f"is a text file that begins with {line[:60]!r}: download the file again"
    return None
