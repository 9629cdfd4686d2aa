"""Runs an exported model in OpenVINO, on the CPU."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from sanreid.backends.description import KEY, Description
from sanreid.backends.extras import require
from sanreid.errors import WeightsError

__all__ = ["OpenVinoBackend"]

_HINTS = {torch.float32: "f32", torch.bfloat16: "bf16"}


class OpenVinoBackend:
    """A compiled model with as many threads as torch has; calls wait for one another.

    Args:
        model: The ``.xml`` file, its ``.bin`` beside it, or an ``openvino.Model``.
        dtype: Precision of what is not quantised: float32 or bfloat16.

    Attributes:
        description: What the model says of itself.

    Raises:
        MissingExtraError: OpenVINO is not installed.
        WeightsError: It is no such model.
    """

    def __init__(self, model: Path | Any, *, dtype: torch.dtype) -> None:  # noqa: ANN401 - a type of an extra
        openvino = require("openvino", purpose="The backend 'openvino'")
        core = openvino.Core()
        origin = str(model) if isinstance(model, Path) else "The exported model"
        try:
            if isinstance(model, Path):
                model = core.read_model(model)
        except RuntimeError as error:
            reason = str(error).strip().rpartition("\n")[2]
            raise WeightsError(f"{origin} is not a whole OpenVINO model ({reason}).") from error
        text = model.get_rt_info([KEY]).value if model.has_rt_info([KEY]) else None
        self.description = Description.from_json(text, origin=origin)
        settings = {
            "INFERENCE_PRECISION_HINT": _HINTS[dtype],
            "INFERENCE_NUM_THREADS": torch.get_num_threads(),
            "PERFORMANCE_HINT": "LATENCY",  # one request at a time, by all threads
        }
        compiled = core.compile_model(model, "CPU", settings)
        self._request = compiled.create_infer_request()
        self._lock = threading.Lock()

    def __call__(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Map crops (N, H, W, 3) to embeddings (N, D), not normalised."""
        with self._lock:  # a request has one place for its result
            outputs = self._request.infer([crops], share_inputs=True)
            rows: NDArray[np.float32] = outputs[0].copy()
        return rows
