"""SANEncoder: devices, precision, loading, saving, fingerprint and progress bar."""

from __future__ import annotations

import io
import os
import sys

import numpy as np
import pytest
import torch

import sanreid
from sanreid import SANEncoder, weights
from sanreid.backends import device as _inference
from sanreid.config import EncoderConfig
from sanreid.errors import InputError, SanreidError, UnknownWeightsError, WeightsError
from sanreid.inference.batches import default_workers, map_ahead
from sanreid.utils import progress as _progress
from tests.conftest import build_tiny
from tests.people import rendered_person


def fresh(config, **options):
    return SANEncoder(
        build_tiny(config), config, **{"device": "cpu", "dtype": "float32"} | options
    )


# ----------------------------------------------------------------- device and precision


def test_repr_and_properties_of_an_encoder(tiny_config, tiny_encoder):
    assert tiny_encoder.embedding_dim == 16
    assert tiny_encoder.input_size == (64, 32)
    assert tiny_encoder.device == torch.device("cpu")
    assert tiny_encoder.dtype == torch.float32
    assert tiny_encoder.config == tiny_config
    assert tiny_encoder.name is None
    assert repr(tiny_encoder) == (
        "SANEncoder(resnet-thin bnneck, embedding_dim=16, input 64 x 32, device='cpu', "
        "dtype='float32', backend='torch')"
    )
    assert "SANEncoder('mine', resnet-thin" in repr(fresh(tiny_config, name="mine"))


@pytest.mark.parametrize(
    ("given", "dtype"),
    [
        ("float32", torch.float32),
        ("fp32", torch.float32),
        ("torch.float32", torch.float32),
        ("half", torch.float16),
        ("fp16", torch.float16),
        (torch.float16, torch.float16),
        ("bf16", torch.bfloat16),
        (torch.bfloat16, torch.bfloat16),
    ],
)
def test_accepted_dtype_names(given, dtype, tiny_config):
    assert fresh(tiny_config, dtype=given).dtype == dtype


@pytest.mark.parametrize("dtype", ["int8", "double", torch.float64, 16, None])
def test_other_dtypes_are_rejected(dtype, tiny_config):
    with pytest.raises(InputError, match=r"dtype must be 'auto', 'float32', .*; got "):
        fresh(tiny_config, dtype=dtype)


@pytest.mark.parametrize("device", ["gpu", "cuda:99", "meta", object()])
def test_unavailable_devices(device, tiny_config):
    with pytest.raises(InputError, match="cannot be used here"):
        fresh(tiny_config, device=device)


@pytest.mark.parametrize("native", [True, False])
def test_auto_is_bfloat16_only_if_the_cpu_supports_it(native, tiny_config, monkeypatch):
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: native)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    wanted = torch.bfloat16 if native else torch.float32
    assert fresh(tiny_config, dtype="auto").dtype == wanted


def test_auto_is_float32_if_torch_cannot_report_cpu_features(tiny_config, monkeypatch):
    monkeypatch.delattr(torch.cpu, "_is_avx512_bf16_supported")
    monkeypatch.delattr(torch.cpu, "_is_amx_tile_supported")
    assert fresh(tiny_config, dtype="auto").dtype == torch.float32


def test_auto_on_other_devices_is_float32():
    assert _inference.resolve_dtype("auto", torch.device("meta")) == torch.float32


def test_auto_device(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert _inference.resolve_device("auto") == torch.device("cpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert _inference.resolve_device("auto") == torch.device("cuda")


@pytest.mark.parametrize(("capability", "dtype"), [((8, 0), "bfloat16"), ((7, 5), "float32")])
def test_auto_on_cuda_depends_on_the_gpu(capability, dtype, monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    assert _inference.resolve_dtype("auto", torch.device("cuda")) == getattr(torch, dtype)


def test_to_changes_the_encoder_in_place(tiny_config, crop):
    encoder = fresh(tiny_config)
    before, fingerprint = encoder.encode(crop), encoder.fingerprint
    assert encoder.to(dtype="bfloat16") is encoder
    assert encoder.dtype == torch.bfloat16
    lower = encoder.encode(crop)
    assert np.abs(lower - before).max() > 0
    assert (lower * before).sum() > 0.999
    assert encoder.fingerprint == fingerprint
    assert encoder.to("cpu", torch.float32).dtype == torch.float32
    np.testing.assert_array_equal(encoder.encode(crop), before)


def test_an_invalid_to_changes_nothing(tiny_config):
    encoder = fresh(tiny_config)
    with pytest.raises(InputError, match="dtype must be"):
        encoder.to("cpu", "int8")
    with pytest.raises(InputError, match="cannot be used here"):
        encoder.to("nowhere")
    assert (encoder.device.type, encoder.dtype) == ("cpu", torch.float32)


def test_an_auto_dtype_is_chosen_again_for_a_new_device(tiny_config, monkeypatch):
    encoder = fresh(tiny_config, dtype="auto")
    monkeypatch.setattr(_inference, "_has_native_bfloat16", lambda device: False)
    assert encoder.to("cpu").dtype == torch.float32
    monkeypatch.setattr(_inference, "_has_native_bfloat16", lambda device: True)
    assert encoder.to("cpu").dtype == torch.bfloat16
    assert fresh(tiny_config).to("cpu").dtype == torch.float32  # requested by name, so kept


# ------------------------------------------------------------------- load and save


def test_save_and_load_round_trip(tiny_encoder, tiny_weights, crop):
    assert sorted(path.name for path in tiny_weights.iterdir()) == [
        "README.md",
        "config.json",
        "model.safetensors",
    ]
    loaded = SANEncoder.from_pretrained(tiny_weights, device="cpu", dtype="float32")
    np.testing.assert_array_equal(loaded.encode(crop), tiny_encoder.encode(crop))
    assert loaded.fingerprint == tiny_encoder.fingerprint
    assert loaded.config == tiny_encoder.config
    assert loaded.name == str(tiny_weights)
    assert not loaded.module.training


def test_weights_exact_in_float16_are_stored_in_float16(tiny_config, tmp_path):
    module = build_tiny(tiny_config)
    with torch.no_grad():
        for parameter in module.trunk.parameters():
            parameter.copy_(parameter.half())
    encoder = SANEncoder(module, tiny_config, device="cpu")
    directory = encoder.save_pretrained(str(tmp_path / "half"))
    stored = weights.read_state_dict(directory / "model.safetensors")
    assert stored["trunk.conv1.weight"].dtype == torch.float16
    assert stored["head.reduction.weight"].dtype == torch.float32
    assert SANEncoder.from_pretrained(directory).fingerprint == encoder.fingerprint


def test_loading_requires_exactly_the_expected_keys(tiny_weights, tmp_path):
    from safetensors.torch import save_file

    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "config.json").write_bytes((tiny_weights / "config.json").read_bytes())
    tensors = weights.read_state_dict(tiny_weights / "model.safetensors")
    tensors["extra.weight"] = tensors.pop("trunk.conv1.weight")
    save_file(tensors, broken / "model.safetensors")
    with pytest.raises(WeightsError, match=r"missing: trunk.conv1.weight.*unknown: extra.weight"):
        SANEncoder.from_pretrained(broken)


def test_weights_without_all_batch_norm_counters_load(tiny_encoder, tiny_weights, tmp_path):
    from safetensors.torch import save_file

    (tmp_path / "config.json").write_bytes((tiny_weights / "config.json").read_bytes())
    tensors = weights.read_state_dict(tiny_weights / "model.safetensors")
    kept = {k: v for k, v in tensors.items() if not k.endswith("num_batches_tracked")}
    assert len(kept) < len(tensors)
    save_file(kept, tmp_path / "model.safetensors")
    assert SANEncoder.from_pretrained(tmp_path).fingerprint == tiny_encoder.fingerprint
    one = next(key for key in tensors if key not in kept)
    save_file({k: v for k, v in tensors.items() if k != one}, tmp_path / "model.safetensors")
    with pytest.raises(WeightsError, match=f"missing: {one}"):
        SANEncoder.from_pretrained(tmp_path)


def test_unknown_weights(tmp_path):
    with pytest.raises(UnknownWeightsError, match="nobody"):
        SANEncoder.from_pretrained("nobody")
    assert issubclass(UnknownWeightsError, SanreidError)


def test_an_unavailable_device_is_reported_before_fetching(monkeypatch):
    def fetched(*args, **kwargs):
        raise AssertionError

    monkeypatch.setattr(weights, "locate", fetched)
    with pytest.raises(InputError, match="cannot be used here"):
        SANEncoder.from_pretrained(device="nowhere")


def test_push_to_hub_saves_and_uploads(tiny_encoder, monkeypatch):
    calls = []

    def push_directory(directory, repo_id, **options):
        calls.append((sorted(path.name for path in directory.iterdir()), repo_id, options))
        assert 'from_pretrained("me/mine")' in (directory / "README.md").read_text().replace(
            "'", '"'
        )
        return "0" * 40

    monkeypatch.setattr(weights, "push_directory", push_directory)
    assert tiny_encoder.push_to_hub("me/mine", token="t", private=True) == "0" * 40
    files, repo_id, options = calls[0]
    assert files == ["README.md", "config.json", "model.safetensors"]
    assert repo_id == "me/mine"
    assert options["token"] == "t"
    assert options["private"] is True


def test_unchanged_released_weights_keep_their_card(tiny_weights, tmp_path, monkeypatch):
    entries = []

    def save_directory(directory, *, state_dict, config, entry):
        entries.append(entry)
        return directory

    located = weights.locate(tiny_weights)
    entry = next(iter(sanreid.list_weights().values()))
    released = weights.LocatedWeights(located.name, located.path, located.config, entry)
    monkeypatch.setattr(weights, "locate", lambda *args, **kwargs: released)
    monkeypatch.setattr(weights, "save_directory", save_directory)
    encoder = SANEncoder.from_pretrained()
    encoder.save_pretrained(tmp_path)
    encoder.to("cpu", "float32").save_pretrained(tmp_path)
    with torch.no_grad():
        encoder.module.head.bn.bias.add_(1)
    encoder.save_pretrained(tmp_path)
    encoder.to("cpu").save_pretrained(tmp_path)
    assert entries == [entry, entry, None, None]


# --------------------------------------------------------------------- fingerprint


def test_fingerprint_is_the_same_for_every_precision(tiny_config, tiny_encoder):
    assert len(tiny_encoder.fingerprint) == 64
    assert set(tiny_encoder.fingerprint) <= set("0123456789abcdef")
    for dtype in ("float16", "bfloat16"):
        assert fresh(tiny_config, dtype=dtype).fingerprint == tiny_encoder.fingerprint
    assert fresh(tiny_config, name="other").fingerprint == tiny_encoder.fingerprint


def test_fingerprint_changes_with_weights_and_preprocessing(tiny_config, tiny_encoder):
    values = tiny_config.to_dict()
    seen = {tiny_encoder.fingerprint}
    for change in (
        {"input_size": [64, 33]},
        {"mean": [0.5, 0.5, 0.5]},
        {"std": [0.5, 0.5, 0.5]},
        {"last_stride": 2},
    ):
        seen.add(fresh(EncoderConfig.from_dict(values | change)).fingerprint)
    other = SANEncoder(build_tiny(tiny_config, seed=1), tiny_config, device="cpu")
    seen.add(other.fingerprint)
    assert len(seen) == 6


def test_batch_norm_counters_do_not_affect_the_fingerprint(tiny_config, tiny_encoder):
    encoder = fresh(tiny_config)
    encoder.module.head.bn.num_batches_tracked.add_(5)
    assert encoder.fingerprint == tiny_encoder.fingerprint


def test_a_golden_fingerprint(resnet18_encoder):
    """Galleries on disk store fingerprints, so their computation must not change."""
    assert resnet18_encoder.fingerprint.startswith("003542b58c3a016f")


def test_a_module_built_in_inference_mode(tiny_config, tiny_encoder, crop):
    with torch.inference_mode():
        module = build_tiny(tiny_config)
        module.load_state_dict(
            {key: value.clone() for key, value in module.state_dict().items()}, assign=True
        )
    encoder = SANEncoder(module, tiny_config, device="cpu", dtype="float32")
    np.testing.assert_allclose(encoder.encode(crop), tiny_encoder.encode(crop), atol=1e-6)
    assert encoder.fingerprint == tiny_encoder.fingerprint


def test_weights_changed_through_data_count_after_to(tiny_config, tiny_encoder, crop):
    encoder = fresh(tiny_config)
    before = encoder.encode(crop), encoder.fingerprint
    for weight in encoder.module.parameters():
        weight.data.mul_(1.3)  # no version counts it
    encoder.to()
    assert encoder.fingerprint != before[1]
    changed = SANEncoder(encoder.module, tiny_config, device="cpu", dtype="float32")
    np.testing.assert_allclose(encoder.encode(crop), changed.encode(crop), atol=1e-6)
    assert abs(encoder.encode(crop) - before[0]).max() > 1e-3


# ------------------------------------------------------------------ progress bar


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_no_bar_in_a_pipe(tiny_encoder, crop, capsys):
    tiny_encoder.encode([crop] * 3)
    assert capsys.readouterr() == ("", "")


def test_a_requested_bar(tiny_encoder, crop, capsys, tmp_path):
    tiny_encoder.encode([crop] * 3, progress=True)
    output = capsys.readouterr()
    assert output.out == ""
    assert "3/3" in output.err
    list(tiny_encoder.encode_stream(iter([crop, b""]), progress=True, on_error="skip"))
    assert "Encoding: 2image" in capsys.readouterr().err
    crop.save(tmp_path / "a.png")
    (tmp_path / "b.png").touch()
    tiny_encoder.encode_files(tmp_path, progress=True, on_error="collect")
    assert "2/2" in capsys.readouterr().err


def test_short_tasks_show_no_bar_on_a_terminal(tiny_encoder, crop, monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    tiny_encoder.encode([crop] * 3)
    assert terminal.getvalue() == ""


def test_long_tasks_show_a_bar_on_a_terminal(tiny_encoder, crop, monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setattr(_progress, "_PATIENCE_S", 0.0)
    tiny_encoder.encode([crop] * 3)
    assert "Encoding" in terminal.getvalue()


def test_a_notebook_counts_as_interactive(monkeypatch):
    monkeypatch.setattr(sys, "stderr", None)  # as under pythonw
    assert not _progress._is_watched()
    monkeypatch.setitem(sys.modules, "ipykernel", object())
    assert _progress._is_watched()


# ---------------------------------------------------------------------- pipeline


def test_results_and_errors_keep_the_order_of_the_input():
    def work(index, item):
        if item == "bad":
            raise KeyError(item)
        return index, item

    results = map_ahead(work, ["a", "b", "bad", "c"], workers=3, ahead=4)
    assert [next(results), next(results)] == [(0, "a"), (1, "b")]
    with pytest.raises(KeyError, match="bad"):
        next(results)


@pytest.mark.parametrize("n", [0, 1, 2, 3, 50])
@pytest.mark.parametrize("ahead", [1, 2, 7, 2**64])
def test_every_item_is_yielded_once(n, ahead):
    results = map_ahead(lambda index, item: (index, item), range(n), workers=2, ahead=ahead)
    assert list(results) == [(i, i) for i in range(n)]


# ----------------------------------------------------------- released weights, CUDA


def test_the_bundled_weights(tmp_path):
    images = [rendered_person(identity) for identity in range(2)]
    full = SANEncoder.from_pretrained("san-r50", device="cpu", dtype="float32")
    lower = SANEncoder.from_pretrained("san-r50", device="cpu", dtype="bfloat16")
    assert full.name == "san-r50"
    assert full.embedding_dim == 512
    assert full.fingerprint == lower.fingerprint
    cosine = (full.encode(images) * lower.encode(images)).sum(axis=1)
    assert cosine.min() >= 0.999


class MeanColour(torch.nn.Module):
    """A minimal network."""

    def forward(self, crops):
        return crops.mean(dim=(2, 3))


@pytest.mark.slow
def test_memory_stays_constant_over_a_long_stream():
    """50,000 pictures through the full pipeline: the peak is reached in the first tenth."""
    resource = pytest.importorskip("resource")
    config = EncoderConfig(embedding_dim=3, input_size=(32, 32))
    encoder = SANEncoder(MeanColour(), config, device="cpu", dtype="float32")
    picture = io.BytesIO()
    rendered_person(1, size=(32, 32)).save(picture, "JPEG")
    stream = (picture.getvalue() for _ in range(50_000))

    def peak_mib():
        scale = 2**20 if sys.platform == "darwin" else 2**10
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / scale

    for index, _ in encoder.encode_stream(stream, batch_size=64):
        if index == 5_000:
            early = peak_mib()
    assert index == 49_999
    assert peak_mib() - early < 24  # the crops of 45,000 pictures would take 132 MiB


def test_the_number_of_decoding_threads(monkeypatch):
    assert 1 <= default_workers() <= 8
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(64)), raising=False)
    assert default_workers() == 8
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert default_workers() == 1


@pytest.mark.slow
def test_real_crops(real_data):
    """Real files of several shapes: embeddings agree across precisions and batch sizes."""
    paths = sorted((real_data / "pku_reid" / "val").rglob("*.jpg"))[:48]
    full = SANEncoder.from_pretrained("san-r50", device="cpu", dtype="float32")
    wanted = full.encode(paths)
    lower = SANEncoder.from_pretrained("san-r50", device="cpu", dtype="bfloat16")
    # A few: a processor without instructions for bfloat16 is slow at it.
    some = paths[::6]
    assert (lower.encode(some) * wanted[::6]).sum(axis=1).min() >= 0.999
    by_bytes = full.encode([path.read_bytes() for path in paths], batch_size=5)
    np.testing.assert_allclose(by_bytes, wanted, atol=1e-5)


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_cuda_agrees_with_the_cpu(dtype, tiny_config, tiny_encoder):
    images = [rendered_person(identity, size=(64, 32)) for identity in range(5)]
    encoder = fresh(tiny_config, device="cuda", dtype=dtype)
    embeddings = encoder.encode(images)
    assert (embeddings * tiny_encoder.encode(images)).sum(axis=1).min() > 0.999
    assert encoder.fingerprint == tiny_encoder.fingerprint
    on_card = [torch.from_numpy(np.array(image)).permute(2, 0, 1).cuda() for image in images]
    np.testing.assert_allclose(encoder.encode(on_card), embeddings, atol=1e-3)
    moved = encoder.to("cpu", "float32").encode(images)
    np.testing.assert_allclose(moved, tiny_encoder.encode(images), atol=1e-5)
