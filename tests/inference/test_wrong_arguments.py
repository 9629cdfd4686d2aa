"""A fuzz of the public calls of encoder, weights and exports: no error but ours."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from sanreid import SANEncoder, SanreidError, weights
from sanreid.backends import export
from sanreid.config import EncoderConfig
from tests.conftest import build_tiny

VALUES = [
    None, 5, -1, 0, 1.5, float("nan"), True, "", "x", "\0", "~nobody0/x", "a" * 5000, b"", b"x",
    [], {}, (), object(), [None], {"a": 1}, np.array(3), np.zeros((2, 3)), np.array(["a"]),
    torch.zeros(2), Path("a\0b"), 2**80, len, int, range(3), np.float32(2), np.int64(3),
    complex(1, 2), "\ud800", [[1, 2], [3]], {1, 2},
]  # fmt: skip
PICTURE = np.zeros((64, 32, 3), np.uint8)

CALLS = {
    "from_pretrained": lambda e, c, v: SANEncoder.from_pretrained(v, local_files_only=True),
    "device": lambda e, c, v: SANEncoder(build_tiny(c), c, device=v),
    "dtype": lambda e, c, v: SANEncoder(build_tiny(c), c, device="cpu", dtype=v),
    "backend": lambda e, c, v: SANEncoder(build_tiny(c), c, backend=v),
    "module": lambda e, c, v: SANEncoder(v, c),
    "config": lambda e, c, v: SANEncoder(build_tiny(c), v),
    "encode": lambda e, c, v: e.encode(v),
    "encode several": lambda e, c, v: e.encode([PICTURE, v]),
    "batch_size": lambda e, c, v: e.encode(PICTURE, batch_size=v),
    "color": lambda e, c, v: e.encode(PICTURE, color=v),
    "flip": lambda e, c, v: e.encode(PICTURE, flip=v),
    "normalize": lambda e, c, v: e.encode(PICTURE, normalize=v),
    "on_error": lambda e, c, v: e.encode_files([], on_error=v),
    "stream": lambda e, c, v: list(e.encode_stream(v)),
    "frame": lambda e, c, v: e.encode_detections(v, [[0, 0, 5, 5]]),
    "boxes": lambda e, c, v: e.encode_detections(PICTURE, v),
    "columns": lambda e, c, v: e.encode_detections(PICTURE, [[0, 0, 5, 5]], columns=v),
    "get_features": lambda e, c, v: e.get_features(v, PICTURE),
    "to device": lambda e, c, v: e.to(v),
    "to dtype": lambda e, c, v: e.to(dtype=v),
    "convert": lambda e, c, v: weights.convert(v, "out"),
    "verify": lambda e, c, v: weights.verify(v),
    "download": lambda e, c, v: weights.download(v),
    "fetch": lambda e, c, v: weights.fetch(v),
    "locate": lambda e, c, v: weights.locate(v, local_files_only=True),
    "read_state_dict": lambda e, c, v: weights.read_state_dict(v),
    "save state dict": lambda e, c, v: weights.save_directory("o", state_dict=v, config=c),
    "save config": lambda e, c, v: weights.save_directory("o", state_dict={}, config=v),
    "load_into": lambda e, c, v: weights.load_into(e.module, v, origin="x"),
    "model_card": lambda e, c, v: weights.model_card(v),
    "read_manifest": lambda e, c, v: weights.read_manifest(v),
    "export encoder": lambda e, c, v: export(v, "z", backend="torchscript"),
    "export backend": lambda e, c, v: export(e, "z", backend=v),
    "export form": lambda e, c, v: export(e, "z", backend="torchscript", input_form=v),
    "backbone": lambda e, c, v: EncoderConfig(backbone=v),
    "embedding_dim": lambda e, c, v: EncoderConfig(embedding_dim=v),
    "input_size": lambda e, c, v: EncoderConfig(input_size=v),
    "mean": lambda e, c, v: EncoderConfig(mean=v),
    "from_dict": lambda e, c, v: EncoderConfig.from_dict(v),
}


@pytest.mark.parametrize("call", CALLS)
def test_wrong_values_are_errors_of_ours(call, tiny_config, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    encoder = SANEncoder(build_tiny(tiny_config), tiny_config, device="cpu", dtype="float32")
    for value in VALUES:
        try:
            CALLS[call](encoder, tiny_config, value)
        except SanreidError:
            continue
        except Exception as error:  # noqa: BLE001 - any other is what this test is for
            pytest.fail(f"{call} of {value!r:.80}: {type(error).__name__}: {error}")
