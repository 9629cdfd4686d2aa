"""The bundled weights: intact, listed with their terms, and the network they claim to be."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn
from torchvision.models import resnet50

import sanreid
from sanreid import weights
from sanreid.models import build_sa_enc


@pytest.fixture(scope="module")
def located():
    return weights.locate()


@pytest.fixture(scope="module")
def tensors(located):
    return weights.read_state_dict(located.path)


def test_the_default_is_found_without_a_network(located):
    assert located.name == "san-r50"
    assert located.entry == weights.list_weights()["san-r50"]
    assert located.config.input_size == (256, 128)
    assert (located.config.head, located.config.embedding_dim) == ("bnneck", 512)


def test_the_file_is_the_released_one(located):
    assert weights.verify("san-r50") == located.path
    assert located.path.stat().st_size == located.entry.size_bytes <= 50_000_000


def test_the_list_states_terms_and_training_data(located):
    entry = weights.list_weights()["san-r50"]
    assert "non-commercial research" in entry.license
    assert [(data["identities"], data["crops"]) for data in entry.training_data] == [
        (751, 12_936),
        (751, 12_567),
        (743, 7_239),
        (971, 3_884),
        (1_500, 15_392),
        (400, 4_000),
    ]
    real, rendered = entry.training_data[:4], entry.training_data[4:]
    assert all("research" in data["terms"] for data in real)
    assert all("rendered" in data["name"] for data in rendered)
    assert "person-reidentification-retail-0277" in entry.license  # the teacher
    assert not any("Market" in metric["dataset"] for metric in entry.metrics)  # seen in training


def test_the_encoder_of_rendered_people_states_its_data_and_terms():
    entry = weights.list_weights()["san-r50-rendered"]
    (data,) = entry.training_data
    assert "rendered" in data["name"]
    assert (data["identities"], data["crops"]) == (3_000, 30_750)
    path = weights.verify("san-r50-rendered")
    assert path.stat().st_size == entry.size_bytes <= 50_000_000
    terms = (path.parent / "LICENSE").read_text(encoding="utf-8")
    section = terms.partition("\nsan-r50-rendered.safetensors\n")[2]
    section = section.partition("\nsan-pg.safetensors\n")[0]
    for words in ("ImageNet", "colours of clothes", "rendered people alone"):
        assert words in section
        assert words in entry.license
    assert not entry.trained_with["config"]["loss"]["teacher"]["weights"]


def test_the_licence_is_distributed_with_the_weights(located):
    terms = (located.path.parent / "LICENSE").read_text(encoding="utf-8")
    for words in ("Market-1501", "CUHK03", "CUHK01", "non-commercial research", "MIT"):
        assert words in terms


def test_keys_are_exactly_those_of_sa_enc(located, tensors):
    module = build_sa_enc(located.config)
    module.load_state_dict(tensors, strict=True)
    assert set(tensors) == set(module.state_dict())
    assert tensors["trunk.conv1.weight"].dtype == torch.float16
    assert tensors["head.bn.running_var"].dtype == torch.float32


def test_forward_equals_plain_torchvision(located, tensors):
    plain = resnet50(weights=None)
    first = plain.layer4[0]
    first.conv2.stride = first.downsample[0].stride = (1, 1)
    trunk = {
        key.removeprefix("trunk."): value.float()
        for key, value in tensors.items()
        if key.startswith("trunk.")
    }
    plain.fc = nn.Identity()
    plain.load_state_dict(trunk, strict=True)
    patches = torch.randn(2, 3, 8, 4, generator=torch.Generator().manual_seed(1))
    crops = nn.functional.interpolate(patches, (256, 128))  # fine noise is all alike
    with torch.inference_mode():
        reduced = plain.eval()(crops) @ tensors["head.reduction.weight"].float().T
        mean, var = tensors["head.bn.running_mean"], tensors["head.bn.running_var"]
        scaled = (reduced - mean) / (var + 1e-5).sqrt()
        expected = scaled * tensors["head.bn.weight"] + tensors["head.bn.bias"]

        module = build_sa_enc(located.config).eval()
        weights.load_into(module, tensors, origin=located.path)
        actual = module(crops).embedding
    unit = nn.functional.normalize
    torch.testing.assert_close(unit(actual), unit(expected), atol=1e-5, rtol=0)
    assert not torch.allclose(unit(actual[:1]), unit(actual[1:]), atol=1e-2)


def test_listing_imports_neither_torch_nor_the_hub_client():
    code = (
        "import sys, sanreid; sanreid.list_weights(); import sanreid.weights; "
        "sanreid.weights.verify('san-r50'); "
        "sys.exit(bool({'torch', 'huggingface_hub', 'safetensors'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_it_is_included_in_the_package(located):
    assert Path(sanreid.__file__).parent in located.path.parents
