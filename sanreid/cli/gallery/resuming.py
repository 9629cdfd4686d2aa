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
from typing import TYPE_CHECKING, Any

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
_OPTIONS, _ENTRIES, _KIND = "build.json", "entries", "sanreid-build"
_ANEW = ("fingerprint", "flip")  # with others a build begins anew


class Build:
    """The state of one build, beside the path of the gallery.

    Args:
        path: Where the gallery will be.
        encoder: That of the gallery.
        labels: The files to embed, with person and camera.
        scores: The quality of the files that have one.
        args: How to embed; with another ``--flip`` the build starts anew, with another dtype or
            backend it is refused.
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
        self._state = _state_of(path)
        self._entries = 0  # once the gallery is about to be closed
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
        begun, options = self._begun_as(), self._options()
        if begun is not None and any(begun.get(key) != options[key] for key in _ANEW):
            Gallery.open(entries).close()  # raises while another process builds there
            shutil.rmtree(self._state)
        elif begun is not None:
            self._check_setting(begun, options)
        self._note(options)
        dim = self._encoder.embedding_dim
        with Gallery.open(entries, dim=dim, encoder_fingerprint=fingerprint) as gallery:
            try:
                yield gallery
            except BaseException:
                left = self._entries or len(gallery)
                gallery.close()
                self._leave(left)
                raise

    def finish(self, gallery: Gallery) -> None:
        """Put the gallery in its place, in one step, and remove the state of the build."""
        self._entries = len(gallery)
        if self._args.overwrite and self._path.exists():
            gallery.save(self._path)
            gallery.close()
        else:
            gallery.compact()
            gallery.close()
            if self._path.exists():  # an empty folder
                self._path.rmdir()
            self._note(self._options() | {"complete": True})
            (self._state / _ENTRIES).rename(self._path)
        shutil.rmtree(self._state)

    @staticmethod
    def was_completed(path: Path) -> bool:
        """Return whether a build was killed after its gallery was in its place.

        What it left beside the gallery is removed.
        """
        state = _state_of(path)
        if not (_read_options(state) or {}).get("complete") or (state / _ENTRIES).exists():
            return False
        shutil.rmtree(state)
        return True

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
                    on_error=args.on_error or "raise",
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

    def _options(self) -> dict[str, Any]:
        """Return what decides the embeddings, as it is noted beside them."""
        encoder = self._encoder
        return {
            "kind": _KIND,
            "fingerprint": encoder.fingerprint,
            "flip": self._args.flip,
            "dtype": str(encoder.dtype).removeprefix("torch."),
            "backend": encoder.backend,
        }

    def _note(self, options: dict[str, Any]) -> None:
        try:
            self._state.mkdir(parents=True, exist_ok=True)
            atomic_write_text(self._state / _OPTIONS, json.dumps(options) + "\n")
        except OSError as error:
            raise GalleryError(f"{self._path} cannot be written: {error.strerror}") from error

    def _check_setting(self, begun: Mapping[str, Any], options: Mapping[str, Any]) -> None:
        """Refuse another arithmetic than that of the entries; older builds did not note theirs.

        Raises:
            GalleryError: It is another.
        """
        for key in ("dtype", "backend"):
            then = begun.get(key, options[key])
            if then != options[key]:
                raise GalleryError(
                    f"The build in {self._state} was begun with {key} {then}, not {options[key]}, "
                    f"and the embeddings of a gallery come from one setting. Resume with {then}, "
                    "or remove that folder to begin anew."
                )

    def _begun_as(self) -> dict[str, Any] | None:
        """Return the options of the build that was begun; None if there is none.

        Raises:
            GalleryError: Something else has the name.
        """
        if not self._state.exists():
            return None
        found = _read_options(self._state)
        if found is None:
            if self._state.is_dir() and next(self._state.iterdir(), None) is None:
                return None
            raise GalleryError(
                f"{self._state} is not of an interrupted build, and a build keeps its state "
                "there. Move it away."
            )
        return found if (self._state / _ENTRIES).exists() else None

    def _leave(self, entries: int) -> None:
        if entries and (self._state / _ENTRIES).exists():
            say(
                f"{entries} embedded files are kept in {printable(self._state)}: the same command "
                "resumes"
            )
        else:
            shutil.rmtree(self._state, ignore_errors=True)


def _state_of(path: Path) -> Path:
    path = Path(os.path.abspath(path))  # noqa: PTH100 - a link stays where it is
    return path.with_name(path.name + ".building")


def _read_options(state: Path) -> dict[str, Any] | None:
    """Return the options noted in a folder; None if it is not of a build."""
    try:
        found = json.loads((state / _OPTIONS).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) and found.get("kind") == _KIND else None


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
