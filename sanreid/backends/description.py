"""What an exported file says of itself, as JSON in its metadata under the key ``sanreid``.

Somebody who runs the file without sanreid learns from it how to prepare crops and what comes
out; sanreid learns the configuration and the fingerprint.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Literal, Self, get_args

from sanreid.config import EncoderConfig
from sanreid.errors import ConfigError, WeightsError

__all__ = ["BIN_KEY", "EXTRA", "INPUT", "KEY", "OUTPUT", "Description"]

EXTRA = "sanreid[export]"  # what installs the packages of exports
KEY = "sanreid"
BIN_KEY = "sanreid_bin_sha256"  # in an .xml of OpenVINO: of the .bin beside it
INPUT, OUTPUT = "crops", "embeddings"

Precision = Literal["float32", "int8"]
_FORMAT_VERSION = 1


@dataclass(frozen=True, slots=True)
class Description:
    """What an exported file is.

    Args:
        fingerprint: Of the encoder it was made from.
        config: Of that encoder.
        precision: ``"float32"``, or ``"int8"`` where it was quantised.
    """

    fingerprint: str
    config: EncoderConfig
    precision: Precision = "float32"

    def to_json(self) -> str:
        """Give the text for the file's metadata."""
        height, width = self.config.input_size
        return json.dumps(
            {
                "format_version": _FORMAT_VERSION,
                "fingerprint": self.fingerprint,
                "precision": self.precision,
                "config": self.config.to_dict(),
                "input": f"{INPUT}: (N, {height}, {width}, 3) uint8, RGB, any N",
                "preprocessing": [
                    "turn the picture as its EXIF orientation says",
                    "convert it to RGB",
                    f"resize it to height {height}, width {width}, aspect not kept",
                    "the resize is Pillow's BILINEAR: bilinear with antialiasing",
                    "the division by 255, mean and std are part of the network: give the bytes",
                ],
                "output": f"{OUTPUT}: (N, {self.config.embedding_dim}) float32, not normalised; "
                "divide each row by its L2 norm, compare rows by their product",
            },
            indent=1,
        )

    @classmethod
    def from_json(cls, text: str | None, *, origin: object) -> Self:
        """Read what :meth:`to_json` wrote.

        Args:
            text: The metadata; None where the file has none.
            origin: The file, for the message.

        Raises:
            WeightsError: It is not such a text, or of a later version.
        """
        if text is None:
            raise WeightsError(
                f"{origin} was not written by 'sanreid export': it does not say how crops are "
                "prepared and which weights it holds."
            )
        try:
            values: Any = json.loads(text)
            version = values["format_version"]
            fingerprint, precision = values["fingerprint"], values["precision"]
            config = EncoderConfig.from_dict(values["config"])
        except (ValueError, KeyError, TypeError, ConfigError) as error:
            raise WeightsError(f"{origin} has damaged metadata ({error}).") from error
        if version != _FORMAT_VERSION:
            raise WeightsError(
                f"{origin} is of format version {version}; this sanreid reads {_FORMAT_VERSION}. "
                "Export it again."
            )
        if not isinstance(fingerprint, str) or precision not in get_args(Precision):
            raise WeightsError(f"{origin} has damaged metadata (its fingerprint or precision).")
        return cls(fingerprint, config, precision)
