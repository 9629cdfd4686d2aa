"""The copy of a crop onto the texture, by the truth."""

from __future__ import annotations

import numpy as np

from tests.benchmarks.copied_pixels import fitted, laid_out


def test_pixels_are_put_at_their_texels_and_the_rest_is_near_them():
    uv = np.full((4, 2, 2), -1.0, np.float32)
    uv[1, 0], uv[1, 1] = (0.25, 0.5), (0.75, 0.5)  # u to the right, v down
    crop = np.zeros((4, 2, 3))
    crop[1, 0], crop[1, 1] = 10, 200
    texture = laid_out(crop, uv)
    assert (texture[:, :127] == 10).all()
    assert (texture[:, 130:] == 200).all()


def test_colors_are_fitted_channel_by_channel():
    copy = np.random.default_rng(0).uniform(0, 255, (50, 3))
    truth = copy * [0.5, 1.0, 2.0] + [3.0, 0.0, -9.0]
    np.testing.assert_allclose(fitted(copy, truth), truth, atol=1e-9)
