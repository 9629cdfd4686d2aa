"""Calibrated quantisation to int8 after training, by ONNX Runtime's tools.

Weights are int8 with a scale for each output channel; activations are uint8, their ranges those
seen on the calibration crops. The graph keeps pairs of quantise and dequantise nodes, which ONNX
Runtime and OpenVINO both turn into their int8 kernels: measured in OpenVINO, as fast as what its
own quantiser makes.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sanreid.backends.exports.description import EXTRA, INPUT
from sanreid.utils.extras import require_extra

__all__ = ["quantised"]

_AT_ONCE = 16  # calibration keeps every map of a batch


def quantised(model: bytes, crops: NDArray[np.uint8] | NDArray[np.float32]) -> bytes:
    """Return an int8 form of a model; its metadata stay.

    Args:
        model: The bytes of a float32 ONNX file, as
            :func:`~sanreid.backends.exports.graphs.to_onnx` returns them.
        crops: What to calibrate by, in the form that the model takes.

    Raises:
        MissingExtraError: The packages for it are not installed.
    """
    purpose = "Quantisation"
    tools = require_extra("onnxruntime.quantization", purpose=purpose, install=EXTRA)
    inference = require_extra(
        "onnxruntime.quantization.shape_inference", purpose=purpose, install=EXTRA
    )
    with tempfile.TemporaryDirectory(prefix="sanreid-int8-") as folder:
        plain, prepared, result = (Path(folder, f"{name}.onnx") for name in ("a", "b", "c"))
        plain.write_bytes(model)
        inference.quant_pre_process(str(plain), str(prepared), skip_symbolic_shape=True)
        tools.quantize_static(
            str(prepared),
            str(result),
            _Reader(crops),
            activation_type=tools.QuantType.QUInt8,
            weight_type=tools.QuantType.QInt8,
            per_channel=True,
        )
        return result.read_bytes()


class _Reader:
    """The calibration crops as the tools ask for them, batch by batch, then None."""

    def __init__(self, crops: NDArray[Any]) -> None:
        batches = [crops[i : i + _AT_ONCE] for i in range(0, len(crops), _AT_ONCE)]
        self._batches: Iterator[NDArray[Any]] = iter(batches)

    def get_next(self) -> dict[str, NDArray[Any]] | None:
        batch = next(self._batches, None)
        return None if batch is None else {INPUT: batch}
