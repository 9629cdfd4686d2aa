"""``torch.hub`` finds the released encoders in a checkout."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest
import torch

from sanreid import SANEncoder

ROOT = Path(__file__).parents[1]


@pytest.mark.slow
@pytest.mark.skipif(not (ROOT / "hubconf.py").is_file(), reason="hubconf.py is not beside tests/")
@pytest.mark.parametrize("name", ["san-r50", "san-r50-rendered"])
def test_the_hub_loads_a_released_encoder(name):
    module = torch.hub.load(str(ROOT), name.replace("-", "_"), source="local", device="cpu")
    assert not module.training
    encoder = SANEncoder.from_pretrained(name, device="cpu")
    height, width = encoder.input_size
    described = runpy.run_path(str(ROOT / "hubconf.py"))[name.replace("-", "_")].__doc__
    assert f"(N, 3, {height}, {width})" in described
    crop = torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        torch.testing.assert_close(module(crop).embedding, encoder.module(crop).embedding)
