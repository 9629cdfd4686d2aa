from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from sanreid.errors import InputError
from sanreid.train.pit.judging import flat_answer, judge_on_crops, judge_on_pairs
from sanreid.train.pit.tables import REGIONS, load_tables


class Pairs:
    """Two pairs of flat people: dark and bright, the second one striped."""

    patterned = np.array([False, True])

    def __len__(self):
        return 2

    def __getitem__(self, number):
        texture = np.full((256, 256, 3), 50 + 100 * number, np.uint8)
        if number:
            texture[::2] += 50
        seen = np.zeros((256, 256), bool)
        seen[:, :128] = True
        crop = np.full((256, 128, 3), number, np.uint8)
        return SimpleNamespace(crop=crop, texture=texture, seen=seen)


def test_a_perfect_painter_and_the_trivial_answers():
    pairs = Pairs()
    mean = np.full((256, 256, 3), 100, np.float32)

    def perfect(crops):
        return np.stack([pairs[int(c[0, 0, 0])].texture for c in crops]).astype(np.float32)

    report = judge_on_pairs(perfect, pairs, mean_texture=mean, batch_size=1)
    for group in ("all", "patterned"):
        assert report[group]["generator"]["l1_seen"] == 0
        assert report[group]["generator"]["psnr_unseen"] > 90
    # The mean is off by 50 on the dark one and by 50 and 100 in turn on the bright one.
    assert report["all"]["mean"]["l1_seen"] == pytest.approx((50 + 75) / 2 / 255, abs=0.002)
    # Flat: right on the plain one; 25 off everywhere on the striped one.
    assert report["patterned"]["flat"]["l1_seen"] == pytest.approx(25 / 255, abs=0.002)
    assert report["all"]["flat"]["l1_unseen"] == pytest.approx(12.5 / 255, abs=0.002)
    # 25 of 255 off everywhere is 20.17 dB.
    assert report["patterned"]["flat"]["psnr_seen"] == pytest.approx(20.17, abs=0.05)


def test_seen_and_unseen_texels_are_kept_apart():
    pairs = Pairs()

    def half_right(crops):  # right where the crops look, 51 off elsewhere
        painted = np.stack([pairs[int(c[0, 0, 0])].texture for c in crops]).astype(np.float32)
        painted[:, :, 128:] += 51
        return painted

    mean = np.zeros((256, 256, 3), np.float32)
    figures = judge_on_pairs(half_right, pairs, mean_texture=mean)["all"]["generator"]
    assert figures["l1_seen"] == 0
    assert figures["l1_unseen"] == pytest.approx(0.2, abs=1e-6)


def test_flat_answers_keep_each_parts_mean():
    texture = (np.random.default_rng(0).random((256, 256, 3)) * 255).astype(np.uint8)
    answer, regions = flat_answer(texture), load_tables()["regions"]
    for number in range(1, len(REGIONS) + 1):
        here = regions == number
        np.testing.assert_allclose(
            answer[here], np.broadcast_to(texture[here].mean(0), answer[here].shape), rtol=1e-4
        )


def test_colors_that_follow_correlate_and_constant_ones_do_not():
    rng = np.random.default_rng(1)
    crops = [
        (rng.random((1, 1, 3)) * np.full((64, 32, 3), 255)).astype(np.uint8) for _ in range(40)
    ]

    def follow(batch):
        color = batch.mean((1, 2))[:, None, None]
        return np.broadcast_to(color, (len(batch), 256, 256, 3)).astype(np.float32)

    def constant(batch):
        return np.full((len(batch), 256, 256, 3), 128, np.float32)

    good = judge_on_crops(follow, crops, batch_size=16)
    assert min(good["upper"] + good["lower"] + good["upper_chroma"]) > 0.99
    assert {x for row in judge_on_crops(constant, crops).values() for x in row} == {0}

    def upside_down(batch):
        return follow(255 - batch)

    assert max(judge_on_crops(upside_down, crops)["upper"]) < -0.99


def test_knowing_the_light_alone_passes_in_rgb_and_fails_in_chroma_and_difference():
    rng = np.random.default_rng(2)
    regions = load_tables()["regions"]
    crops = []
    for _ in range(60):
        light, upper, lower = rng.uniform(0.1, 1), rng.random(3), rng.random(3)
        crop = np.zeros((64, 32, 3))
        crop[:32], crop[32:] = light * (0.8 + 0.2 * upper), light * (0.8 + 0.2 * lower)
        crops.append((crop * 255).astype(np.uint8))

    def light_alone(batch):
        bright = batch.mean((1, 2, 3))[:, None, None, None]
        return np.broadcast_to(bright, (len(batch), 256, 256, 3)).astype(np.float32)

    def seeing(batch):
        painted = np.zeros((len(batch), 256, 256, 3), np.float32)
        for n, crop in enumerate(batch):
            painted[n, regions == 1 + REGIONS.index("chest")] = crop[5, 0]
            painted[n, regions == 1 + REGIONS.index("legs")] = crop[60, 0]
        return painted

    blind = judge_on_crops(light_alone, crops)
    assert min(blind["upper"] + blind["lower"]) > 0.9
    for name in ("upper_chroma", "lower_chroma", "difference"):
        assert max(np.abs(blind[name])) < 0.5, name
        assert min(judge_on_crops(seeing, crops)[name]) > 0.99, name


def test_too_little_is_refused():
    with pytest.raises(InputError, match="at least 2 crops"):
        judge_on_crops(lambda x: x, [np.zeros((4, 2, 3), np.uint8)])
