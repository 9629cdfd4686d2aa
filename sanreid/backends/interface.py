"""What a backend is, and the names of those there are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["Backend", "BackendName"]

Backend: TypeAlias = Callable[[NDArray[np.uint8]], NDArray[np.float32]]
"""Crops (N, H, W, 3) RGB at the encoder's size to embeddings (N, D), not normalised."""

BackendName = Literal["torch", "onnx", "openvino"]
