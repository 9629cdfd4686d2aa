"""Runs an exported ONNX model in ONNX Runtime, on the CPU."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from sanreid.backends.exports.description import EXTRA, INPUT, KEY, Description
from sanreid.backends.exports.inputs import input_shape, prepare
from sanreid.errors import WeightsError
from sanreid.utils.extras import require_extra
from sanreid.utils.sniffing import describe_text

__all__ = ["OnnxBackend"]

# The key under which an ONNX tensor names its file, as a whole text: after its length, 8, which
# Protocol Buffers read from more than one byte, too. In longer texts, such as paths, it is a word.
_LOCATION = re.compile(rb"(?:\x08|\x88\x80*\x00)location")


class OnnxBackend:
    """A session with as many threads as torch has.

    Args:
        model: The file, or its bytes.

    Attributes:
        description: What the model says of itself.

    Raises:
        MissingExtraError: ONNX Runtime is not installed.
        WeightsError: It is no such model.
    """

    def __init__(self, model: Path | bytes) -> None:
        ort = require_extra("onnxruntime", purpose="The backend 'onnx'", install=EXTRA)
        options = ort.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        options.log_severity_level = 3  # errors; they are raised as well
        origin = str(model) if isinstance(model, Path) else "The exported model"
        contents = _read(model) if isinstance(model, Path) else model
        try:
            self._session: Any = ort.InferenceSession(
                contents,
                options,
                providers=["CPUExecutionProvider"],
            )
        except Exception as error:  # the runtime raises kinds of its own, RuntimeError's children
            reason = str(error).partition("\n")[0]
            raise WeightsError(f"{origin} is not a whole ONNX model ({reason}).") from error
        metadata = self._session.get_modelmeta().custom_metadata_map
        self.description = Description.from_json(metadata.get(KEY), origin=origin)
        given = [(one.name, one.type, *one.shape[1:]) for one in self._session.get_inputs()]
        form, config = self.description.input, self.description.config
        kind = "tensor(uint8)" if form == "uint8-nhwc" else "tensor(float)"
        if given != [(INPUT, kind, *input_shape(form, config))]:
            raise WeightsError(f"{origin} is damaged: it takes {given}, its metadata say others.")

    def __call__(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Map crops (N, H, W, 3) to embeddings (N, D), not normalised."""
        given = prepare(crops, self.description.input, self.description.config)
        rows: NDArray[np.float32] = self._session.run(None, {INPUT: given})[0]
        return rows


def _read(path: Path) -> bytes:
    """Read a model that holds its own weights; one that names other files is refused.

    The runtime would read what such a model names, a file outside its folder by a link too.
    sanreid writes none of that kind.
    """
    try:
        contents = path.read_bytes()
    except OSError as error:
        raise WeightsError(f"{path} cannot be read: {error}.") from error
    if described := describe_text(contents):
        raise WeightsError(f"{path} {described}.")
    if _LOCATION.search(contents):
        raise WeightsError(
            f"{path} keeps tensors in other files (ONNX external data), which is not read: "
            "exports of sanreid are one file. Export it again by 'sanreid export'."
        )
    return contents
