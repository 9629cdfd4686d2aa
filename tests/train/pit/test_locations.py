"""Where texels are seen, from the texture coordinates of pixels."""

from __future__ import annotations

import numpy as np
import pytest

from sanreid.errors import InputError
from sanreid.train.pit.locations import location_modes, locations, mean_locations


class Pairs:
    def __init__(self, *maps):
        self.maps = maps

    def __len__(self):
        return len(self.maps)

    def uv(self, number):
        return self.maps[number]


def shown(*pixels):
    """A texture-coordinate map in which (row, column) shows the texel (v, u)."""
    uv = np.full((256, 128, 2), -1, np.float32)
    for row, column, v, u in pixels:
        uv[row, column] = (u + 0.5) / 256, (v + 0.5) / 256
    return uv


def test_a_texel_is_where_its_pixels_are():
    found = locations(shown((0, 0, 7, 9), (255, 127, 10, 20), (100, 64, 3, 4), (100, 66, 3, 4)))
    np.testing.assert_allclose(found[:, 7, 9], [1 / 128 - 1, 1 / 256 - 1], atol=1e-6)
    np.testing.assert_allclose(found[:, 10, 20], [1 - 1 / 128, 1 - 1 / 256], atol=1e-6)
    np.testing.assert_allclose(found[:, 3, 4], [(2 * 65 + 1) / 128 - 1, 201 / 256 - 1], atol=1e-6)
    assert np.isnan(found[0]).sum() == 65536 - 3


def test_the_mean_counts_each_pair_once_and_gaps_take_their_neighbours():
    pairs = Pairs(
        shown((10, 20, 100, 100), (10, 24, 100, 101)),
        shown((10, 40, 100, 100), (12, 40, 100, 100)),
    )
    mean = mean_locations(pairs)
    assert mean.shape == (2, 256, 256)
    assert not np.isnan(mean).any()
    first, second = locations(pairs.maps[0]), locations(pairs.maps[1])
    both = (first[:, 100, 100] + second[:, 100, 100]) / 2
    np.testing.assert_allclose(mean[:, 100, 100], both, atol=1e-6)
    np.testing.assert_allclose(mean[:, 100, 102], first[:, 100, 101], atol=1e-6)
    np.testing.assert_allclose(mean[:, 255, 255], mean[:, 254, 254], atol=1e-6)


def test_nobody_to_see():
    with pytest.raises(InputError, match="No pair shows"):
        mean_locations(Pairs(shown()))


def test_coarser_texels_take_the_mean_of_their_pixels():
    uv = shown((10, 20, 100, 100), (20, 20, 101, 103), (90, 60, 255, 0))
    found = locations(uv, side=64)
    assert found.shape == (2, 64, 64)
    np.testing.assert_allclose(found[:, 25, 25], [41 / 128 - 1, 31 / 256 - 1], atol=1e-6)
    assert np.isnan(found[0]).sum() == 64 * 64 - 2


def test_modes_explain_how_texels_move_and_fill_in_what_was_not_seen():
    rng = np.random.default_rng(0)
    texels = [(v, u) for v in range(0, 256, 16) for u in range(0, 256, 16)]
    maps, shifts = [], rng.integers(-20, 21, 40)
    for shift in shifts:  # everything moves to the side by as much, and half of it is seen
        kept = [texels[n] for n in rng.permutation(len(texels))[: len(texels) // 2]]
        maps.append(shown(*((v // 2, u // 4 + 32 + shift, v, u) for v, u in kept)))
    pairs = Pairs(*maps)
    modes = location_modes(pairs, count=2, side=16)
    assert modes.shape == (2, 2, 16, 16)
    sign = np.sign(modes[0, 0].mean())
    deviation = (2 * shifts / 128).std()
    assert sign * modes[0, 0].mean() == pytest.approx(deviation, rel=0.1)
    np.testing.assert_allclose(sign * modes[0, 0], deviation, rtol=0.3)  # each from half the pairs
    assert np.abs(modes[0, 1]).max() < 0.01
    assert np.abs(modes[1]).mean() < 0.1 * deviation
    assert location_modes(Pairs(*maps[:3]), count=32, side=16).shape == (3, 2, 16, 16)
