"""What an exported file says of itself, as JSON in its metadata under the key ``sanreid``.

Somebody who runs the file without sanreid learns from it how to prepare crops and what comes
out; sanreid learns the configuration and the fingerprint.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Literal, Self, get_args

from sanreid.backends.exports.inputs import INPUT_FORMS, InputForm, input_shape
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
        input: The form of the crops that it takes; see :mod:`sanreid.backends.exports.inputs`.
    """

    fingerprint: str
    config: EncoderConfig
    precision: Precision = "float32"
    input: InputForm = "uint8-nhwc"

    def to_json(self) -> str:
        """Return the text for the file's metadata."""
        height, width = self.config.input_size
        shape = ", ".join(str(side) for side in input_shape(self.input, self.config))
        dtype = "uint8" if self.input == "uint8-nhwc" else "float32"
        return json.dumps(
            {
                "format_version": _FORMAT_VERSION,
                "fingerprint": self.fingerprint,
                "precision": self.precision,
                "config": self.config.to_dict(),
                "input_form": self.input,
                "input": f"{INPUT}: (N, {shape}) {dtype}, RGB, any N",
                "preprocessing": [
                    "turn the picture as its EXIF orientation says",
                    "convert it to RGB",
                    f"resize it to height {height}, width {width}, aspect not kept",
                    "the resize is Pillow's BILINEAR: bilinear with antialiasing",
                    *self._last_steps(),
                ],
                "output": f"{OUTPUT}: (N, {self.config.embedding_dim}) float32, not normalised; "
                "divide each row by its L2 norm, compare rows by their product",
            },
            indent=1,
        )

    def _last_steps(self) -> list[str]:
        """Return the preprocessing steps outside the network."""
        if self.input == "uint8-nhwc":
            return ["the division by 255, mean and std are part of the network: pass the bytes"]
        steps = ["put the channels first and divide by 255, to values from 0 to 1"]
        if self.input == "unit":
            return [*steps, "mean and std are part of the network"]
        mean, std = list(self.config.mean), list(self.config.std)
        return [*steps, f"subtract the mean {mean} of each channel, divide by the std {std}"]

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
            form = values.get("input_form", "uint8-nhwc")  # older files do not say
            config = EncoderConfig.from_dict(values["config"])
        except (ValueError, KeyError, TypeError, ConfigError) as error:
            raise WeightsError(f"{origin} has damaged metadata ({error}).") from error
        if version != _FORMAT_VERSION:
            raise WeightsError(
                f"{origin} is of format version {version}; this sanreid reads {_FORMAT_VERSION}. "
                "Export it again."
            )
        known = precision in get_args(Precision) and form in INPUT_FORMS
        if not isinstance(fingerprint, str) or not known:
            raise WeightsError(
                f"{origin} has damaged metadata (its fingerprint, precision or input)."
            )
        return cls(fingerprint, config, precision, form)
