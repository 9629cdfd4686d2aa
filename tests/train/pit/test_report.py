from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from PIL import Image

from sanreid.config import EncoderConfig
from sanreid.train.config import DecoderConfig
from sanreid.train.pit import PITDataset
from sanreid.train.pit.__main__ import main
from sanreid.train.pit.report import mean_texture
from sanreid.train.san import build_san_pg
from sanreid.train.textures import save_generator

TINY = EncoderConfig(backbone="resnet18", embedding_dim=16, input_size=(64, 32))
NARROW = DecoderConfig(width=32)


@pytest.fixture(autouse=True)
def one_thread():
    """The networks are tiny: threads that wait for one another would cost more than they give."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def generator(tmp_path_factory):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module = build_san_pg(TINY, NARROW)
    return save_generator(module, TINY, NARROW, tmp_path_factory.mktemp("weights") / "pg")


def test_the_mean_texture_counts_each_identity_once(folder):
    path, kept = folder
    expected = np.mean([kept[n][2] for n in (0, 2, 4)], axis=0) * 255
    np.testing.assert_allclose(mean_texture(PITDataset(path)), expected, atol=0.01)


def test_an_untrained_generator_fails_the_check_on_crops(folder, generator, tmp_path, capsys):
    path, _ = folder
    crops = tmp_path / "crops"
    crops.mkdir()
    rng = np.random.default_rng(0)
    for n in range(12):
        colour = rng.integers(0, 255, 3, dtype=np.uint8)
        picture = np.broadcast_to(colour, (64, 32, 3))
        Image.fromarray(picture.copy()).save(crops / f"{n:04d}_c1s1_000000_00.png")
    done = main(
        ["judge", str(path), "--weights", str(generator), "--held-out", "1",
         "--crops", str(crops)]
    )  # fmt: skip
    assert done == 0
    report = json.loads(capsys.readouterr().out)
    assert set(report["pairs"]["all"]) == {"generator", "mean", "flat"}
    assert "patterned" not in report["pairs"]  # the held-out person wears nothing patterned
    assert min(report["crops"]["upper"] + report["crops"]["lower"]) < 0.7


def test_a_sheet_shows_textures_on_a_body(studio, folder, generator, tmp_path):
    path, _ = folder
    sheet = tmp_path / "sheet.png"
    arguments = ["judge", str(path), "--weights", str(generator), "--held-out", "1"]
    assert main([*arguments, "--sheet", str(sheet)]) == 0
    with Image.open(sheet) as picture:
        assert picture.size == (2 * (128 + 256 + 128 + 128), 256)
