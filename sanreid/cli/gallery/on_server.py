"""A gallery that is built on a server, where nothing can be put into its place in one step.

The entries are there as they come. What an interrupted build has left is not resumed by ``build``,
which would have to guess whose entries they are, but by ``add --new-only``.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from sanreid.cli.gallery.resuming import Build
from sanreid.cli.labels import AnyLabel
from sanreid.cli.output import say, shown
from sanreid.errors import GalleryError, InputError
from sanreid.utils.words import counted

if TYPE_CHECKING:
    from sanreid.encoder import SANEncoder
    from sanreid.gallery import Gallery

__all__ = ["ServerBuild", "check_overwrites_nothing"]


class ServerBuild(Build):
    """A build at an address on Milvus.

    Args:
        path: The address.
        encoder: As in :class:`~sanreid.cli.gallery.resuming.Build`, like all others.
        labels: As there.
        scores: As there.
        args: As there.
    """

    def __init__(
        self,
        path: str | Path,
        encoder: SANEncoder,
        labels: Mapping[Path, AnyLabel],
        scores: dict[Path, float],
        args: argparse.Namespace,
    ) -> None:
        super().__init__(Path(path), encoder, labels, scores, args)
        self._address = path

    @contextmanager
    def gallery(self) -> Iterator[Gallery]:
        """Open the gallery, which is made if it is not there.

        Raises:
            GalleryError: It has entries already, or the server refuses.
        """
        from sanreid.gallery import Gallery

        fingerprint, dim = self._encoder.fingerprint, self._encoder.embedding_dim
        with Gallery.open(self._address, dim=dim, encoder_fingerprint=fingerprint) as gallery:
            if len(gallery):
                entries = counted(len(gallery), "entry", "entries")
                raise GalleryError(
                    f"{shown(self._address)} has {entries} already. Extend it with 'sanreid "
                    "gallery add', or remove them first."
                )
            try:
                yield gallery
            except BaseException:
                say(
                    f"entries embedded so far are kept in {shown(self._address)}: "
                    "'sanreid gallery add --new-only' embeds the rest"
                )
                raise

    def resume(self, gallery: Gallery) -> list[Path]:
        """Return all files: the gallery was empty."""
        del gallery
        return list(self._labels)

    def finish(self, gallery: Gallery) -> None:
        """Leave the gallery where it is."""


def check_overwrites_nothing(args: argparse.Namespace) -> None:
    """Refuse ``--overwrite``: a collection cannot be replaced in one step.

    Raises:
        InputError: It was given.
    """
    if args.overwrite:
        raise InputError(
            "--overwrite replaces a gallery in a directory; on Milvus remove its entries first: "
            """sanreid gallery remove ADDRESS --where '{"id": {"$gte": 0}}'."""
        )
