"""A gallery that is built in steps, so that a killed ``sanreid gallery build`` can be resumed.

While PATH is built, the entries so far are a durable gallery in ``PATH.building``, with the
options that decide the embeddings beside it. The same command resumes: a file is embedded again
only if its content, its label or its score is another. When all are embedded, the gallery takes
its place in one step, and ``PATH.building`` is removed.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from sanreid.cli.gallery.following import content_of
from sanreid.cli.gallery.gating import QUALITY, noted
from sanreid.cli.gallery.shared import CONTENT
from sanreid.cli.labels import AnyLabel
from sanreid.cli.output import printable, say
from sanreid.errors import GalleryError, ImageError
from sanreid.utils.files import atomic_write_text

if TYPE_CHECKING:
    from sanreid.encoder import SANEncoder
    from sanreid.gallery import Gallery

__all__ = ["Build", "add_rows"]

_COMMIT_S = 10.0  # of work that a killed build may lose
_BATCHES = 4  # embedded in one call
_ENTRIES_AT_A_TIME = 10_000
_OPTIONS, _ENTRIES = "build.json", "entries"


class Build:
    """The state of one build, beside the path of the gallery.

    Args:
        path: Where the gallery will be.
        encoder: That of the gallery.
        labels: The files to embed, with person and camera.
        scores: The quality of the files that have one.
        args: How to embed; with another ``--flip`` the build starts anew.
    """

    def __init__(
        self,
        path: Path,
        encoder: SANEncoder,
        labels: Mapping[Path, AnyLabel],
        scores: dict[Path, float],
        args: argparse.Namespace,
    ) -> None:
        self._path = Path(os.path.abspath(path))  # noqa: PTH100 - a link stays where it is
        self._state = self._path.with_name(self._path.name + ".building")
        self._encoder, self._labels, self._scores, self._args = encoder, labels, scores, args

    @contextmanager
    def gallery(self) -> Iterator[Gallery]:
        """Open what an earlier build left, or an empty gallery; remove it if it stays empty.

        Raises:
            GalleryError: Another process builds there, the disk refuses, or something else has
                the name.
        """
        from sanreid.gallery import Gallery

        entries, fingerprint = self._state / _ENTRIES, self._encoder.fingerprint
        options = {"kind": "sanreid-build", "fingerprint": fingerprint, "flip": self._args.flip}
        if self._begun_as() not in (None, options):
            Gallery.open(entries).close()  # raises while another process builds there
            shutil.rmtree(self._state)
        try:
            self._state.mkdir(parents=True, exist_ok=True)
            atomic_write_text(self._state / _OPTIONS, json.dumps(options) + "\n")
        except OSError as error:
            raise GalleryError(f"{self._path} cannot be written: {error.strerror}") from error
        dim = self._encoder.embedding_dim
        with Gallery.open(entries, dim=dim, encoder_fingerprint=fingerprint) as gallery:
            try:
                yield gallery
            except BaseException:
                left = len(gallery)
                gallery.close()
                self._leave(left)
                raise

    def finish(self, gallery: Gallery) -> None:
        """Put the gallery in its place, in one step, and remove the state of the build."""
        if self._args.overwrite and self._path.exists():
            gallery.save(self._path)
            gallery.close()
        else:
            gallery.compact()
            gallery.close()
            if self._path.exists():  # an empty folder
                self._path.rmdir()
            (self._state / _ENTRIES).rename(self._path)
        shutil.rmtree(self._state)

    def resume(self, gallery: Gallery) -> list[Path]:
        """Return the files that are still to be embedded; drop entries that no longer hold."""
        held: set[Path] = set()
        stale: list[int] = []
        ids = gallery.ids
        for start in range(0, len(ids), _ENTRIES_AT_A_TIME):
            for entry in gallery.get(ids[start : start + _ENTRIES_AT_A_TIME]):
                path = Path(entry.metadata["path"])
                same = self._labels.get(path) == (entry.pid, entry.camid)
                same = same and entry.metadata.get(QUALITY) == self._scores.get(path)
                if same and entry.metadata[CONTENT] == content_of(path):
                    held.add(path)
                else:
                    stale.append(int(entry.id))
        if stale:
            gallery.remove(stale)
        if held:
            say(f"{len(held)} of these files were embedded by a build that was interrupted")
        return [path for path in self._labels if path not in held]

    def embed(self, gallery: Gallery, files: Sequence[Path]) -> list[tuple[Path, str]]:
        """Embed files into the gallery, some seconds' worth at a time; return the failures.

        Raises:
            ImageError: A file cannot be read, or under ``collect`` none of them can.
        """
        import numpy as np

        from sanreid.utils.progress import progress_bar

        failures: list[tuple[Path, str]] = []
        rows, paths, since = [], [], time.monotonic()
        args = self._args
        size = _BATCHES * args.batch_size
        with progress_bar(None, total=len(files)) as bar:
            for start in range(0, len(files), size):
                part = files[start : start + size]
                encoded = self._encoder.encode_files(
                    part,
                    on_error=args.on_error,
                    batch_size=args.batch_size,
                    flip=args.flip,
                    progress=False,
                )
                failures += encoded.failures
                rows.append(encoded.embeddings)
                paths += encoded.paths
                bar.update(len(part))
                is_last = start + size >= len(files)
                if paths and (is_last or time.monotonic() - since >= _COMMIT_S):
                    add_rows(gallery, np.concatenate(rows), paths, self._labels, self._scores)
                    rows, paths, since = [], [], time.monotonic()
        if failures and not len(gallery):
            path, reason = failures[0]
            raise ImageError(
                f"None of the {len(failures)} files could be read; first {path}: {reason}"
            )
        return failures

    def _begun_as(self) -> object:
        """Return the options of the build that was begun; None if there is none.

        Raises:
            GalleryError: Something else has the name.
        """
        if not self._state.exists():
            return None
        try:
            found = json.loads((self._state / _OPTIONS).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            if self._state.is_dir() and next(self._state.iterdir(), None) is None:
                return None
            found = None
        if not isinstance(found, dict) or found.get("kind") != "sanreid-build":
            raise GalleryError(
                f"{self._state} is not of an interrupted build, and a build keeps its state "
                "there. Move it away."
            )
        return found if (self._state / _ENTRIES).exists() else None

    def _leave(self, entries: int) -> None:
        if entries:
            say(
                f"{entries} embedded files are kept in {printable(self._state)}: the same command "
                "resumes"
            )
        else:
            shutil.rmtree(self._state, ignore_errors=True)


def add_rows(
    gallery: Gallery,
    embeddings: object,
    paths: Sequence[Path],
    labels: Mapping[Path, AnyLabel],
    scores: dict[Path, float],
) -> None:
    """Add files with their labels, paths, contents and scores."""
    people = [labels[Path(path)] for path in paths]
    gallery.add(
        embeddings,  # type: ignore[arg-type] # an array, whose type is not imported here
        pids=[pid for pid, _ in people],
        camids=[camid for _, camid in people],
        metadata=[
            {"path": str(path), CONTENT: content_of(path), **noted(path, scores)}
            for path in map(Path, paths)
        ],
        encoder_fingerprint=gallery.encoder_fingerprint,
    )
