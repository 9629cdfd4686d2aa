"""EncoderConfig: accepted values, rejected values and their error messages."""

from __future__ import annotations

import json

import pytest

from sanreid.config import EncoderConfig
from sanreid.errors import ConfigError


def test_json_round_trip():
    config = EncoderConfig(backbone="resnet18", head="fc", embedding_dim=64, input_size=(128, 64))
    assert EncoderConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


def test_a_misspelt_key_suggests_the_nearest_one():
    with pytest.raises(ConfigError, match="'embeding_dim'.*Did you mean 'embedding_dim'"):
        EncoderConfig.from_dict({"embeding_dim": 512})


def test_an_unknown_key_lists_the_known_ones():
    with pytest.raises(ConfigError, match="'zzz'.*Known: backbone, last_stride"):
        EncoderConfig.from_dict({"zzz": 1})


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"backbone": "vgg"}, "backbone must be one of 'resnet18'.*got 'vgg'"),
        ({"head": "mlp"}, "head must be one of 'pool'.*got 'mlp'"),
        ({"pooling": "max"}, "pooling must be one of 'avg', 'gem'; got 'max'"),
        ({"last_stride": 3}, "last_stride must be 1 or 2; got 3"),
        ({"last_stride": 1.0}, "last_stride must be 1 or 2; got 1.0"),
        ({"last_stride": True}, "last_stride must be 1 or 2; got True"),
        ({"embedding_dim": 0}, "embedding_dim must be .* from 1 to 65,536; got 0"),
        ({"embedding_dim": 65_537}, "embedding_dim must be .* got 65537"),
        ({"embedding_dim": 1.5}, "embedding_dim must be a whole number"),
        ({"head": "pool"}, "gives the 2048 channels of resnet50 .* got embedding_dim 512"),
        ({"input_size": 256}, "input_size must be a list of 2 numbers; got 256"),
        ({"input_size": (256, 16)}, "input_size must be .* from 32 to 4,096; got"),
        ({"input_size": [10**9, 128]}, "input_size must be .* from 32 to 4,096; got"),
        ({"mean": [0.5, 0.5]}, "mean must be a list of 3 numbers"),
        ({"mean": [0.5, 0.5, float("nan")]}, "mean must be three finite numbers"),
        ({"mean": [0.5, 0.5, 10**400]}, "mean must be three finite numbers"),
        ({"mean": [0.5, 0.5, True]}, "mean must be three finite numbers"),
        ([("head", "fc")], "a mapping .* of settings; got list"),
        ({"std": [0.5, 0.5, 0]}, "std must be three numbers above 0"),
    ],
)
def test_a_wrong_value_is_rejected(values, message):
    with pytest.raises(ConfigError, match=message):
        EncoderConfig.from_dict(values)


def test_the_pool_head_of_a_small_trunk():
    config = EncoderConfig(backbone="resnet18", head="pool", embedding_dim=512)
    assert config.trunk_channels == 512
