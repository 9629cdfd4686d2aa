"""What runs the network at inference: torch, ONNX Runtime or OpenVINO; and exports for them.

A backend is a callable from ``uint8`` crops to embeddings. :func:`export` writes the file that
the two others run; ``SANEncoder.from_pretrained(path, backend="onnx")`` loads it.
"""

from __future__ import annotations

from sanreid.backends.exports.exporting import ExportReport, export

__all__ = ["ExportReport", "export"]
