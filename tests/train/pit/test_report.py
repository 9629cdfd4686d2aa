from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from PIL import Image

from sanreid.train.pit import PITDataset
from sanreid.train.pit.report import mean_texture, untrained
from sanreid.train.textures.generator import load_generator
from tests.train.pit.command import main

pytestmark = pytest.mark.usefixtures("one_thread")


def test_the_mean_texture_counts_each_identity_once(folder):
    path, kept = folder
    expected = np.mean([kept[n][2] for n in (0, 2, 4)], axis=0) * 255
    np.testing.assert_allclose(mean_texture(PITDataset(path)), expected, atol=0.01)


def test_an_untrained_generator_fails_the_check_on_crops(folder, tiny_generator, tmp_path, capsys):
    path, _ = folder
    crops = tmp_path / "crops"
    crops.mkdir()
    rng = np.random.default_rng(0)
    for n in range(12):
        color = rng.integers(0, 255, 3, dtype=np.uint8)
        picture = np.broadcast_to(color, (64, 32, 3))
        Image.fromarray(picture.copy()).save(crops / f"{n:04d}_c1s1_000000_00.png")
    done = main(
        ["judge", str(path), "--weights", str(tiny_generator), "--held-out", "1",
         "--crops", str(crops)]
    )  # fmt: skip
    assert done == 0
    report = json.loads(capsys.readouterr().out)
    assert set(report["pairs"]["all"]) == {"generator", "mean", "flat"}
    assert "patterned" not in report["pairs"]  # the held-out person wears nothing patterned
    assert set(report["crops"]) == {"generator", "untrained", "constant"}
    for answer in ("generator", "untrained", "constant"):  # the first is untrained here, too
        figures = report["crops"][answer]
        assert min(figures["upper"] + figures["lower"]) < 0.7, answer


def test_an_untrained_copy_has_other_weights_and_leaves_the_generator_alone(tiny_generator):
    generator = load_generator(tiny_generator)
    before = {key: value.clone() for key, value in generator.module.state_dict().items()}
    fresh, again = untrained(generator), untrained(generator)
    for key, value in generator.module.state_dict().items():
        assert torch.equal(value, before[key]), key
        assert torch.equal(fresh.module.state_dict()[key], again.module.state_dict()[key]), key
    first = "encoder.trunk.conv1.weight"
    assert not torch.equal(fresh.module.state_dict()[first], before[first])


def test_a_wrong_sheet_is_told_before_the_work(tmp_path, capsys):
    arguments = ["judge", str(tmp_path), "--weights", "no such weights"]
    assert main([*arguments, "--sheet", str(tmp_path / "sheet.gif")]) == 1
    assert "A picture is written as" in capsys.readouterr().err


def test_a_sheet_shows_textures_on_a_body(studio, folder, tiny_generator, tmp_path):
    path, _ = folder
    sheet = tmp_path / "sheet.png"
    arguments = ["judge", str(path), "--weights", str(tiny_generator), "--held-out", "1"]
    assert main([*arguments, "--sheet", str(sheet)]) == 0
    with Image.open(sheet) as picture:
        assert picture.size == (2 * (128 + 256 + 256 + 128 + 128), 256)
        truth = np.asarray(picture)[:, 128:384]
    np.testing.assert_array_equal(truth, PITDataset(path, split="val", held_out=1)[0].texture)
