"""``sanreid gallery sync``: a gallery follows its folders by the content of the files.

An entry made from a file keeps the SHA-256 of its picture beside the path. A picture that was
replaced is embedded again under the entry's id, one that moved keeps its entry, one that is gone
from a folder loses it.

A relative path starts from the working directory, so that a gallery can move together with its
crops; where none of these paths leads to a file, and no more files are found elsewhere by their
content than are missing, the working directory is taken for a wrong one.
"""

from __future__ import annotations

import argparse
import functools
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sanreid.cli.gallery.gating import gated, noted, renoted
from sanreid.cli.gallery.shared import (
    CONTENT,
    add_sources,
    check_is_there,
    label_sources,
    put_path_first,
)
from sanreid.cli.labels import Label
from sanreid.cli.options import encode_files, load_encoder
from sanreid.cli.output import print_json, printable, shown
from sanreid.errors import InputError
from sanreid.utils.files import sha256_of
from sanreid.utils.words import counted

if TYPE_CHECKING:
    from sanreid.cli.gallery.shared import Actions
    from sanreid.encoder import SANEncoder
    from sanreid.gallery import Gallery

__all__ = ["Changes", "add_from_here_option", "add_to", "content_of", "follow"]

_ENTRIES_AT_A_TIME = 10_000

_SYNC = """\
Let a gallery follow its folders by the content of their files.

Pictures that were replaced are embedded again, each under the id of its entry; those that moved
keep their entries; those that are gone from a SOURCE folder lose them; new ones are added.

Paths that were relative when they were added start from the working directory: run the command
where they lead to the files.
"""

_FROM_HERE = (
    "take the working directory as right although no relative path of the gallery leads to a "
    "file; entries whose files are missing are removed"
)


def add_to(actions: Actions) -> None:
    """Add the command."""
    sync = actions.add_parser(
        "sync",
        help="follow folders: embed new and changed pictures, remove entries whose files are gone",
        description=_SYNC,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    sync.add_argument("--dry-run", action="store_true", help="count the changes, make none")
    add_from_here_option(sync)
    add_sources(sync, path_first=True)
    sync.set_defaults(run=_sync)


def add_from_here_option(parser: argparse.ArgumentParser) -> None:
    """Add whether the working directory is right although no relative path leads to a file."""
    parser.add_argument("--from-here", action="store_true", help=_FROM_HERE)


@dataclass(slots=True)
class Changes:
    """What following the folders did, or would do.

    Attributes:
        added: Files that got an entry.
        changed: Entries whose picture was replaced, by id.
        moved: Entries whose file has another path now, by id.
        removed: Entries whose file is gone.
        same: How many files are as they were.
        unknown: How many entries have no record of their content, and were not changed.
        failures: Files and folders that cannot be read.
    """

    added: list[Path] = field(default_factory=list)
    changed: dict[int, Path] = field(default_factory=dict)
    moved: dict[int, Path] = field(default_factory=dict)
    removed: list[int] = field(default_factory=list)
    same: int = 0
    unknown: int = 0
    failures: list[tuple[Path, str]] = field(default_factory=list)


def content_of(path: str | Path) -> str | None:
    """Return the SHA-256 of a file; None where it cannot be read."""
    try:
        return sha256_of(Path(path))
    except OSError:
        return None


def follow(
    gallery: Gallery,
    encoder: SANEncoder,
    labels: dict[Path, Label],
    failures: Sequence[tuple[Path, str]],
    args: argparse.Namespace,
    *,
    embed_unknown: bool = False,
    dry_run: bool = False,
) -> Changes:
    """Bring the gallery to the state of the source folders.

    Args:
        gallery: Open for writing.
        encoder: That of the gallery.
        labels: The files of the sources, with person and camera.
        failures: Folders that cannot be read; entries below them stay.
        args: With the sources and how to embed.
        embed_unknown: Embed again the files of entries without a record of their content.
        dry_run: Find out what would change, and change nothing.
    """
    changes = _plan(
        gallery,
        labels,
        failures,
        args.source,
        embed_unknown=embed_unknown,
        from_here=args.from_here,
    )
    changes.added, scores = gated(changes.added, args)
    if dry_run:
        return changes
    entries_of: dict[Path, list[int]] = {}
    for number, path in changes.changed.items():
        entries_of.setdefault(path, []).append(number)
    wanted = [*changes.added, *entries_of]
    contents = {path: content_of(path) for path in wanted}
    encoded = encode_files(encoder, wanted, args, or_none=True) if wanted else None
    if encoded is not None:
        changes.failures += encoded.failures
        row_of = {Path(path): row for row, path in enumerate(encoded.paths)}
        changes.added = [path for path in changes.added if path in row_of]
        changes.changed = {n: path for n, path in changes.changed.items() if path in row_of}
        if changes.changed:
            rows = [row_of[path] for path in changes.changed.values()]
            _update(gallery, changes.changed, contents, labels, encoded.embeddings[rows])
        if changes.added:
            gallery.add(
                encoded.embeddings[[row_of[path] for path in changes.added]],
                pids=[labels[path][0] for path in changes.added],
                camids=[labels[path][1] for path in changes.added],
                metadata=[
                    {"path": str(p), CONTENT: contents[p], **noted(p, scores)}
                    for p in changes.added
                ],
                encoder_fingerprint=encoder.fingerprint,
            )
    if changes.moved:
        moved = {path: content_of(path) for path in changes.moved.values()}
        _update(gallery, changes.moved, moved, labels, None)
    if changes.removed:
        gallery.remove(changes.removed)
    return changes


def _plan(
    gallery: Gallery,
    labels: dict[Path, Label],
    failures: Sequence[tuple[Path, str]],
    sources: Sequence[Path],
    *,
    embed_unknown: bool,
    from_here: bool,
) -> Changes:
    changes = Changes(failures=list(failures))
    folders = _spellings(source for source in sources if source.is_dir())
    below = tuple(folder + os.sep for folder in folders)
    unread = _spellings(path for path, _ in failures)
    held, gone, unresolved = _entries(gallery, {_absolute(path) for path in labels}, below, unread)
    new: dict[Path, str | None] = {}
    for path in labels:
        entries = held.get(_absolute(path))
        content = content_of(path) if entries or gone or unresolved else None
        if not entries:
            new[path] = content
            continue
        without = [n for n, known in entries if known is None and content is not None]
        changes.unknown += 0 if embed_unknown else len(without)
        # a file that cannot be read is embedded again, which tells why it cannot be
        stale = [n for n, known in entries if content is None or known not in (None, content)]
        stale += without if embed_unknown else []
        changes.changed |= dict.fromkeys(stale, path)
        changes.same += not stale
    relative = unresolved.keys() & {path for by_path in gone.values() for path in by_path}
    moved = _moved(new, gone)
    changes.moved = {number: path for path, numbers in moved.items() for number in numbers}
    changes.added = [path for path in new if path not in moved]
    left = {path: numbers for by_path in gone.values() for path, numbers in by_path.items()}
    changes.removed = sorted(number for numbers in left.values() for number in numbers)
    lost = relative & left.keys()
    if len(relative) - len(lost) <= len(lost) and not from_here:
        _check_working_directory(unresolved, left, [new[path] for path in changes.added])
    return changes


def _check_working_directory(
    unresolved: dict[str, tuple[str, str | None]], gone: Iterable[str], added: Iterable[str | None]
) -> None:
    """Refuse to remove entries, or to add their files once more, because of a wrong directory.

    Args:
        unresolved: Path and content of entries with relative paths, by the absolute path, where
            none of these paths leads to a file.
        gone: Absolute paths of entries to remove.
        added: Contents of files to add.

    Raises:
        InputError: Entries with relative paths are among them.
    """
    paths = {content: path for path, content in unresolved.values() if content}
    lost = [unresolved[one][0] for one in gone if one in unresolved]
    lost += [paths[content] for content in added if content in paths]
    if lost:
        raise InputError(
            f"The gallery has relative paths, such as {lost[0]}, and none of them leads to a file "
            f"from the working directory, {Path.cwd()}. Run the command in the directory that "
            "they start from. If it is this one, and all these files are gone, add --from-here."
        )


def _moved(
    new: dict[Path, str | None], gone: dict[str | None, dict[str, list[int]]]
) -> dict[Path, list[int]]:
    """Take from the gone files one of the same content for each new file; return its entries.

    Of several copies it is the one with the new file's name, if there is one.
    """
    moved: dict[Path, list[int]] = {}
    for by_name in (True, False):
        for path, content in new.items():
            copies = gone.get(content, {}) if content and path not in moved else {}
            names = (one for one in copies if not by_name or Path(one).name == path.name)
            if (old := next(names, None)) is not None:
                moved[path] = copies.pop(old)
    return moved


def _entries(
    gallery: Gallery, files: set[str], folders: tuple[str, ...], unread: tuple[str, ...]
) -> tuple[
    dict[str, list[tuple[int, str | None]]],
    dict[str | None, dict[str, list[int]]],
    dict[str, tuple[str, str | None]],
]:
    """Return what the entries stand for, by the absolute paths of their files.

    Args:
        gallery: What holds them.
        files: Those of the sources.
        folders: Where entries are looked for whose files are gone.
        unread: Folders below which nobody knows what is gone.

    Returns:
        The entries of ``files`` with their contents, those of gone files by content and path, and
        path and content of those with relative paths, if none of these leads to a file.
    """
    held: dict[str, list[tuple[int, str | None]]] = {}
    respelled: dict[str, list[tuple[int, str | None]]] = {}
    gone: dict[str | None, dict[str, list[int]]] = {}
    unresolved: dict[str, tuple[str, str | None]] = {}
    any_is_there = False
    real_folder = functools.cache(os.path.realpath)

    def real(path: str) -> str:
        folder, name = os.path.split(path)
        return os.path.join(real_folder(folder), name)  # noqa: PTH118 - a million of them

    file_of = {real(path): path for path in files}
    ids = gallery.ids
    for start in range(0, len(ids), _ENTRIES_AT_A_TIME):
        for entry in gallery.get(ids[start : start + _ENTRIES_AT_A_TIME]):
            path = entry.metadata.get("path")
            if not isinstance(path, str):
                continue
            absolute, content = _absolute(path), entry.metadata.get(CONTENT)
            both = (absolute, real(absolute))
            if absolute in files:
                held.setdefault(absolute, []).append((int(entry.id), content))
            elif both[1] in file_of:
                respelled.setdefault(file_of[both[1]], []).append((int(entry.id), content))
            elif (
                any(one.startswith(folders) for one in both)
                and not any(one.startswith(unread) for one in both)
                and not os.path.lexists(absolute)
            ):
                gone.setdefault(content, {}).setdefault(absolute, []).append(int(entry.id))
            if not any_is_there and not os.path.isabs(path):  # noqa: PTH117 - as above
                any_is_there = os.path.lexists(absolute)
                unresolved[absolute] = (path, content)
    return respelled | held, gone, {} if any_is_there else unresolved


def _update(
    gallery: Gallery,
    paths: dict[int, Path],
    contents: dict[Path, str | None],
    labels: dict[Path, Label],
    embeddings: Any,  # noqa: ANN401 - an array or None; NumPy is not imported here
) -> None:
    """Write new paths and contents into entries; a name without labels changes none."""
    numbers = list(paths)
    entries = gallery.get(numbers)
    read = [labels[path] for path in paths.values()]
    old = [(entry.pid, entry.camid) for entry in entries]
    both = list(zip(old, read, strict=True))
    gallery.update(
        numbers,
        embeddings,
        pids=[before[0] if now[0] is None else now[0] for before, now in both],
        camids=[before[1] if now[1] is None else now[1] for before, now in both],
        metadata=[
            {**entry.metadata, "path": str(path), CONTENT: contents[path]}
            | ({} if embeddings is None else renoted(path, entry.metadata))
            for entry, path in zip(entries, paths.values(), strict=True)
        ],
        encoder_fingerprint=gallery.encoder_fingerprint,
    )


def _absolute(path: str | Path) -> str:
    return os.path.abspath(path)  # noqa: PTH100 - links stay as they are written


def _spellings(paths: Iterable[Path]) -> tuple[str, ...]:
    """Return absolute paths, with links and without."""
    return tuple(
        {spelling for path in paths for spelling in (_absolute(path), os.path.realpath(path))}
    )


def _sync(args: argparse.Namespace) -> int:
    from sanreid.gallery import Gallery

    put_path_first(args)
    check_is_there(args.path)
    encoder = load_encoder(args)
    mode: Any = "r" if args.dry_run else "rw"
    with Gallery.open(args.path, mode=mode, encoder_fingerprint=encoder.fingerprint) as gallery:
        labels, failures = label_sources(args)
        changes = follow(
            gallery, encoder, labels, failures, args, embed_unknown=True, dry_run=args.dry_run
        )
        entries = len(gallery)
    counts = {
        "added": len(changes.added),
        "changed": len(changes.changed),
        "moved": len(changes.moved),
        "removed": len(changes.removed),
        "same": changes.same,
    }
    if args.json:
        listed = [{"path": str(path), "reason": reason} for path, reason in changes.failures]
        print_json({"path": shown(args.path), **counts, "entries": entries, "failures": listed})
        return 0
    words = ", ".join(f"{number} {name}" for name, number in counts.items())
    num_entries = counted(entries, "entry", "entries")
    would = " (nothing was written)" if args.dry_run else ""
    print(f"{printable(shown(args.path))}: {words}, {num_entries}{would}")
    return 0
