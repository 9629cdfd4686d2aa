"""Every exception sanreid raises on purpose.

SanreidError
├── InputError (ValueError)          a caller passed something of the wrong shape or kind
│   ├── ImageError                   an image cannot be read; names its path or index
│   └── ConfigError                  a configuration has an unknown key or a wrong value
├── DatasetError                     a folder is not the data set it was said to be
├── WeightsError                     weights cannot be found, read or written
│   ├── UnknownWeightsError          the name is neither in the manifest, a folder nor on the Hub
│   └── ChecksumError                the bytes on disk are not the released bytes
├── GalleryError                     a stored gallery is damaged, foreign, locked or too new
│   ├── GalleryLockedError           another writer has it open; names the process
│   ├── NoGalleryError               there is none where one was to be opened
│   ├── UnknownIdError (KeyError)    an entry's id is not in the gallery
│   └── UnsupportedError             where the gallery is kept, this cannot be done
├── MissingExtraError (ImportError)  an optional dependency is not installed; names the extra
└── TrainingError                    a training run cannot go on: NaN loss, foreign checkpoint

A message says what is wrong, what came, what was wanted and what to do now.
"""

from __future__ import annotations

__all__ = [
    "ChecksumError",
    "ConfigError",
    "DatasetError",
    "GalleryError",
    "GalleryLockedError",
    "ImageError",
    "InputError",
    "MissingExtraError",
    "NoGalleryError",
    "SanreidError",
    "TrainingError",
    "UnknownIdError",
    "UnknownWeightsError",
    "UnsupportedError",
    "WeightsError",
]


class SanreidError(Exception):
    """The root of every error sanreid raises on purpose."""


class InputError(SanreidError, ValueError):
    """A caller passed something of the wrong shape, kind or range."""


class ImageError(InputError):
    """An image cannot be read; the message names its path or its index in the input.

    Args:
        message: What to say.
        reason: The message without that name; all of it when None.
    """

    def __init__(self, message: str, *, reason: str | None = None) -> None:
        super().__init__(message)
        self.reason = message if reason is None else reason


class ConfigError(InputError):
    """A configuration has an unknown key or a value out of range."""


class DatasetError(SanreidError):
    """A folder is not, or not all of, the data set it was said to be."""


class WeightsError(SanreidError):
    """Weights cannot be found, read, converted or written."""


class UnknownWeightsError(WeightsError):
    """The name is not in the manifest, not a local directory and not a Hub repository."""


class ChecksumError(WeightsError):
    """The bytes on disk are not the released bytes; nothing of them was parsed."""


class GalleryError(SanreidError):
    """A stored gallery is damaged, foreign, locked by another writer or of a newer format."""


class GalleryLockedError(GalleryError):
    """Another writer has the gallery open.

    Args:
        message: What to say.
        holder: The process id of that writer; None where it is not known.
    """

    def __init__(self, message: str, holder: int | None = None) -> None:
        super().__init__(message)
        self.holder = holder


class NoGalleryError(GalleryError):
    """There is no gallery where one was to be opened.

    Args:
        place: The path or the address.
        advice: What to do now, a sentence.
    """

    def __init__(self, place: str, advice: str = "") -> None:
        super().__init__(place, advice)
        self.place = place

    def __str__(self) -> str:
        return " ".join(filter(None, (f"There is no gallery at {self.place}.", self.args[1])))


class UnknownIdError(GalleryError, KeyError):
    """An entry's id is not in the gallery; nothing was changed."""

    def __str__(self) -> str:  # KeyError would show the message in quotes
        return str(self.args[0]) if self.args else ""


class UnsupportedError(GalleryError):
    """The place where this gallery is kept cannot do what was asked; the message says why."""


class MissingExtraError(SanreidError, ImportError):
    """An optional dependency is not installed; the message names the extra to install."""


class TrainingError(SanreidError):
    """A training run cannot start or go on."""
