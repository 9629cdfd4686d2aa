"""What ``embed_files`` notes in the directory of shards; Ray itself is in ``test_ray.py``."""

from __future__ import annotations

import pytest

from sanreid.errors import InputError
from sanreid.scale import files


@pytest.fixture
def noted(monkeypatch, tiny_encoder):
    """Return the setting that is noted for a dtype."""
    monkeypatch.setattr(files, "load_ray", lambda *_: None)
    monkeypatch.setattr(files, "embed_into_shards", lambda *_, **options: options)
    return lambda dtype: files.embed_files("out", [], encoder=tiny_encoder, dtype=dtype)["dtype"]


@pytest.mark.parametrize("dtype", [None, "float32", "fp32", "torch.float32"])
def test_a_dtype_is_noted_by_one_name_as_encode_to_notes_it(noted, dtype):
    assert noted(dtype) == "float32"


def test_a_dtype_that_there_is_not_is_refused(noted):
    with pytest.raises(InputError, match="dtype must be 'auto', 'float32'"):
        noted("int4")
