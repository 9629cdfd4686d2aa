"""What ``embed_files`` notes in the directory of shards; Ray itself is in ``test_ray.py``."""

from __future__ import annotations

import copy

import pytest
import torch

from sanreid.backends import device
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


@pytest.fixture
def noted_and_asked(monkeypatch, tiny_encoder):
    """Return the dtype that is noted and the one that actors are asked for."""
    asked = []
    monkeypatch.setattr(files, "load_ray", lambda *_: None)
    monkeypatch.setattr(files, "embed_into_shards", lambda *_, **options: options)
    monkeypatch.setattr(files, "_rows_of", lambda *_, **options: asked.append(options["dtype"]))
    encoder = copy.deepcopy(tiny_encoder).to(dtype="auto")

    def both(**options):
        found = files.embed_files("out", [], encoder=encoder, **options)
        found["embed"]([])
        return found["dtype"], asked.pop()

    return both


@pytest.mark.parametrize("dtype", [None, "auto"])
@pytest.mark.parametrize(
    ("capability", "on_gpu"), [(None, "bfloat16"), ((7, 5), "float32"), ((9, 0), "bfloat16")]
)
def test_an_automatic_dtype_is_chosen_once_for_where_the_actors_are(
    noted_and_asked, monkeypatch, capability, on_gpu, dtype
):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: capability is not None)
    monkeypatch.setattr(
        device,
        "_has_native_bfloat16",
        lambda where: where.type == "cuda" and (capability or (9, 0)) >= (8, 0),
    )
    assert noted_and_asked(dtype=dtype, num_gpus=0.5) == (on_gpu, on_gpu)
    assert noted_and_asked(dtype=dtype, device="cuda:1") == (on_gpu, on_gpu)
    assert noted_and_asked(dtype=dtype) == ("float32", "float32")
    assert noted_and_asked(dtype=dtype, num_gpus=1, device="cpu") == ("float32", "float32")
    assert noted_and_asked(dtype="fp16", num_gpus=1) == ("float16", "float16")
