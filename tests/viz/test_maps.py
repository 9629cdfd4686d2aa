"""Feature maps: the right stage, the right locations."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from sanreid.errors import ImageError, InputError, WeightsError
from tests.people import rendered_person

pytest.importorskip("matplotlib", reason="the viz extra is not installed")

from sanreid.viz import activation_map, similarity_map, stage_maps
from sanreid.viz.figures.maps import _mutual


@pytest.fixture
def crops():
    return [rendered_person(i, size=(64, 32)) for i in (1, 2)]


def test_stage_maps_equal_those_of_the_module(tiny_encoder, crops):
    config = tiny_encoder.config
    pixels = torch.from_numpy(np.stack([np.asarray(crop) for crop in crops]))
    normal = (pixels.permute(0, 3, 1, 2) / 255 - torch.tensor(config.mean).view(3, 1, 1)) / (
        torch.tensor(config.std).view(3, 1, 1)
    )
    with torch.inference_mode():
        stages = tiny_encoder.module(normal).stages
    for number, stage in enumerate(stages, start=1):
        maps = stage_maps(tiny_encoder, crops, stage=number)
        np.testing.assert_allclose(maps, stage.numpy(), rtol=1e-4, atol=1e-4)


def test_the_activation_is_the_norm_at_each_location(tiny_encoder, crops):
    figure = activation_map(tiny_encoder, crops[0], title="T")
    plain, grey, heat = (image.get_array() for image in figure.axes[0].images)
    maps = stage_maps(tiny_encoder, crops[:1])[0]
    np.testing.assert_allclose(heat, np.linalg.norm(maps, axis=0), rtol=1e-5)
    assert plain.shape == (256, 128, 3)
    assert grey.shape == (256, 128)


def test_a_crop_matches_itself_location_by_location(tiny_encoder, crops):
    figure = similarity_map(tiny_encoder, crops[0], crops[0], matches=5)
    lines = figure.axes[0].get_lines()
    assert len(lines) == 5
    for line in lines:
        (x0, x1), (y0, y1) = line.get_data()
        assert y0 == y1
        assert x1 - x0 == pytest.approx(1.35)  # the second crop begins there
    heat = figure.axes[0].images[1].get_array()
    np.testing.assert_allclose(heat, 1, atol=1e-5)


def test_one_location_is_compared_with_all_of_the_other_crop(tiny_encoder, crops):
    figure = similarity_map(tiny_encoder, *crops, place=(0.99, 0.0))
    first, second = stage_maps(tiny_encoder, crops)
    asked = first[:, -1, 0]
    expected = np.einsum("c,chw->hw", asked / np.linalg.norm(asked), second)
    expected /= np.maximum(np.linalg.norm(second, axis=0), 1e-12)
    np.testing.assert_allclose(figure.axes[0].images[2].get_array(), expected, atol=1e-5)


def test_mutual_matches_equal_their_definition_in_loops():
    rng = np.random.default_rng(0)
    cosine = rng.uniform(-1, 1, (7, 5)).astype(np.float32)
    expected = [
        (a, b)
        for a in range(7)
        for b in range(5)
        if cosine[a, b] == cosine[a].max() and cosine[a, b] == cosine[:, b].max()
    ]
    expected.sort(key=lambda pair: -cosine[pair])
    assert _mutual(cosine) == expected
    assert expected


class Exported:
    @property
    def module(self):
        raise WeightsError("no module")


class Staged(torch.nn.Module):
    """Two stages, or none that it returns."""

    def __init__(self, *, told):
        super().__init__()
        self.told = told

    def forward(self, crops):
        stages = (crops, crops[:, :2, ::2, ::2])
        return SimpleNamespace(stages=stages) if self.told else crops.mean(dim=(2, 3))


def test_the_stage_is_the_last_of_as_many_as_there_are(tiny_encoder, crops):
    encoder = SimpleNamespace(
        module=Staged(told=True), config=tiny_encoder.config, input_size=(64, 32)
    )
    assert stage_maps(encoder, crops).shape == (2, 2, 32, 16)
    assert stage_maps(encoder, crops, stage=1).shape == (2, 3, 64, 32)
    with pytest.raises(InputError, match="stage must be at most 2; got 3"):
        stage_maps(encoder, crops, stage=3)
    encoder.module = Staged(told=False)
    with pytest.raises(InputError, match="Maps are those of a network's stages"):
        stage_maps(encoder, crops)


def test_error_messages_of_maps(tiny_encoder, crops):
    with pytest.raises(InputError, match="stage must be at most 4; got 5"):
        activation_map(tiny_encoder, crops[0], stage=5)
    with pytest.raises(InputError, match="fractions from 0 to 1"):
        similarity_map(tiny_encoder, *crops, place=(1.2, 0))
    with pytest.raises(InputError, match=r"two fractions .* got \(0.1, 0.2, 0.3\)"):
        similarity_map(tiny_encoder, *crops, place=(0.1, 0.2, 0.3))
    for place in (0.5, ("a", 1)):
        with pytest.raises(InputError, match="place must be two fractions from 0 to 1"):
            similarity_map(tiny_encoder, *crops, place=place)
    with pytest.raises(InputError, match="images wants a sequence; put one image into a list"):
        stage_maps(tiny_encoder, "crop.jpg")
    with pytest.raises(InputError, match="images wants at least one image; got none"):
        stage_maps(tiny_encoder, [])
    with pytest.raises(InputError, match="this encoder has none"):
        activation_map(object(), crops[0])
    with pytest.raises(InputError, match="this encoder has none"):
        activation_map(Exported(), crops[0])
    with pytest.raises(ImageError, match="image 1 of the input"):
        similarity_map(tiny_encoder, crops[0], "gone.jpg")
