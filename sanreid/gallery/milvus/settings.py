"""What a gallery knows besides its entries, kept in a collection of texts.

The row ``head`` says who may write, which ids were used, and where the settings lie: in rows of
their own, since camera means are longer than one text may be. New settings are written beside the
old ones and then named by the head, in one step.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from sanreid.cameras import CameraNormalizer
from sanreid.errors import GalleryError, InputError
from sanreid.gallery.milvus.connection import Connection
from sanreid.gallery.store import Settings
from sanreid.gallery.validation import camera_number

__all__ = ["Head", "SettingsTable"]

FORMAT = 1
_PART = 60_000  # characters (ASCII) of a text; the column takes 65,535 bytes
_VECTOR = [1.0, 0.0]
_FIELDS = ("key", "text")


@dataclass(frozen=True, slots=True)
class Head:
    """The first row."""

    dim: int
    next_id: int  # all ids from here on that are not in the gallery are free
    writer: str  # who opened it for writing last
    state: str  # the name of the settings
    parts: int  # in how many texts they lie


class SettingsTable:
    """The settings of one gallery.

    Args:
        connection: The server.
        name: The collection.
    """

    def __init__(self, connection: Connection, name: str) -> None:
        self._connection = connection
        self._name = name

    def create(self, dim: int, settings: Settings) -> None:
        """Write the first head and settings."""
        self._write(Head(dim, 0, "", "", 0), settings)

    def read(self) -> tuple[Head, Settings]:
        """Read head and settings.

        Raises:
            GalleryError: They are damaged, or of a newer format.
        """
        head = self.head()
        for _ in range(3):
            keys = ", ".join(f'"{key}"' for key in _keys(head))
            rows = self._connection.query(
                self._name, f"key in [{keys}]", _FIELDS, consistency="Strong"
            )
            texts = {row["key"]: row["text"] for row in rows}
            text = "".join(texts.get(key, "") for key in _keys(head))
            if _digest(text) == head.state:
                return head, _settings(text, self._shown)
            latest = self.head()
            if latest == head:
                break
            head = latest  # they were replaced between the two reads
        raise GalleryError(f"The settings of the gallery {self._shown} are damaged.")

    def head(self, *, consistency: str = "Strong") -> Head:
        """Read the head.

        Raises:
            GalleryError: It is damaged, or of a newer format.
        """
        rows = self._connection.query(
            self._name, 'key in ["head"]', _FIELDS, consistency=consistency
        )
        try:
            fields = json.loads(rows[0]["text"])
            version = fields.pop("format")
            if version != FORMAT:
                raise GalleryError(
                    f"The gallery {self._shown} has format {version}; this sanreid reads "
                    f"{FORMAT}. Install a newer one."
                )
            return Head(**fields)
        except (IndexError, KeyError, TypeError, ValueError) as error:
            raise GalleryError(
                f"The head of the gallery {self._shown} cannot be read: {error!r}."
            ) from error

    def claim(self, head: Head) -> Head:
        """Become the writer; who was it before is refused from now on."""
        head = replace(head, writer=secrets.token_hex(8))
        self.write_head(head)
        return head

    def write_head(self, head: Head) -> None:
        """Replace the head."""
        fields = {name: getattr(head, name) for name in Head.__slots__}
        self._put({"head": json.dumps(fields | {"format": FORMAT})})

    def replace(self, head: Head, settings: Settings) -> Head:
        """Replace the settings; they are the old ones or the new ones at any time."""
        old = set(_keys(head))
        head = self._write(head, settings)
        stale = old - set(_keys(head))
        if stale:
            keys = ", ".join(f'"{key}"' for key in sorted(stale))
            self._connection.call("delete", self._name, filter=f"key in [{keys}]")
            self.head()  # a server tells no time of a deletion: wait until it is seen
        return head

    def _write(self, head: Head, settings: Settings) -> Head:
        text = _text(settings)
        head = replace(head, state=_digest(text), parts=max(1, -(-len(text) // _PART)))
        for part, key in enumerate(_keys(head)):
            self._put({key: text[part * _PART : (part + 1) * _PART]})
        self.write_head(head)
        return head

    def _put(self, texts: dict[str, str]) -> None:
        rows = [{"key": key, "text": text, "embedding": _VECTOR} for key, text in texts.items()]
        self._connection.call("upsert", self._name, rows)

    @property
    def _shown(self) -> str:
        return self._connection.address.shown


def _keys(head: Head) -> Iterator[str]:
    return (f"{head.state}.{part}" for part in range(head.parts))


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def _text(settings: Settings) -> str:
    normalizer = settings.camera_normalizer
    fields: dict[str, Any] = {
        "encoder_fingerprint": settings.encoder_fingerprint,
        "calibration": settings.calibration,
        "camera_normalizer": None if normalizer is None else normalizer.to_dict(),
        "camera_names": sorted(settings.camera_names.values()),
    }
    return json.dumps(fields)


def _settings(text: str, shown: str) -> Settings:
    try:
        fields = json.loads(text)
        means = fields["camera_normalizer"]
        return Settings(
            fields["encoder_fingerprint"],
            fields["calibration"],
            None if means is None else CameraNormalizer.from_dict(means),
            {camera_number(name): name for name in fields.get("camera_names", [])},
        )
    except (InputError, KeyError, TypeError, ValueError) as error:
        raise GalleryError(
            f"The settings of the gallery {shown} cannot be read: {error}"
        ) from error
