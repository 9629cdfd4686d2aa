"""What a camera makes of light, one property at a time."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
from PIL import Image

from sanreid.train.pit.generate.cameras.response import Response, capture, draw_response

NEUTRAL = Response(
    exposure=1.0, matrix=np.eye(3, dtype=np.float32), gamma=1.0, contrast=1.0, haze=0.0,
    vignette=0.0, detail=1.0, blur_px=0.0, sharpening=0.0, noise=0.0, quality=95,
)  # fmt: skip
ONES = np.ones(3, np.float32)


class Quiet:
    """A generator that draws what changes nothing."""

    def normal(self, mean, _spread):
        return mean

    def random(self):
        return 0.99

    def standard_normal(self, shape, dtype):
        return np.zeros(shape, dtype)


def seen(response, light=0.4, *, gains=ONES, rng=None, shape=(96, 48)):
    light = np.broadcast_to(np.float32(light), (*shape, 3)).copy()
    off_axis = np.broadcast_to(np.linspace(1, 0, shape[1], dtype=np.float32), shape)
    jpeg = capture(light, off_axis, response, gains, rng or Quiet())
    with Image.open(io.BytesIO(jpeg)) as opened:
        assert opened.size == (shape[1], shape[0])
        return np.asarray(opened, np.float32) / 255


def test_a_neutral_camera_keeps_the_light():
    np.testing.assert_allclose(seen(NEUTRAL), 0.4, atol=0.01)


def test_each_part_does_what_its_name_says():
    assert seen(replace(NEUTRAL, exposure=1.5)).mean() > 0.55
    assert seen(NEUTRAL, gains=ONES * 1.5).mean() > 0.55
    assert seen(replace(NEUTRAL, gamma=1.4)).mean() < 0.3
    assert seen(replace(NEUTRAL, contrast=1.5), 0.2).mean() < 0.15
    assert seen(replace(NEUTRAL, haze=0.2), 0.0).mean() > 0.12
    dark = seen(replace(NEUTRAL, vignette=0.5))
    assert dark[:, 0].mean() < dark[:, -1].mean() - 0.15
    warm = seen(replace(NEUTRAL, matrix=np.diag([1.2, 1.0, 0.8]).astype(np.float32)))
    assert warm[..., 0].mean() > warm[..., 2].mean() + 0.1


def test_noise_and_detail_are_those_of_the_camera():
    rng = np.random.default_rng(0)
    assert seen(NEUTRAL, rng=rng).std() < 0.02
    assert seen(replace(NEUTRAL, noise=10.0), rng=rng).std() > 0.02
    stripes = np.zeros((96, 48, 3), np.float32)
    stripes[::2] = 0.8
    sharp, coarse = seen(NEUTRAL, stripes), seen(replace(NEUTRAL, detail=0.5), stripes)
    assert np.abs(np.diff(sharp, axis=0)).mean() > 3 * np.abs(np.diff(coarse, axis=0)).mean()


def test_gray_stays_nearly_gray_under_every_camera():
    for number in range(30):
        response = draw_response(np.random.default_rng(number))
        color = ONES @ response.matrix.T
        assert np.ptp(color) < 0.3
        assert 0.85 < color.mean() < 1.15
