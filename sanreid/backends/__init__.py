"""The network at inference: torch, ONNX Runtime or OpenVINO."""
