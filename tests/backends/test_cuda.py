"""On a card: every batch size, from every thread, as on the CPU; bookkeeping without one."""

from __future__ import annotations

import contextlib
import threading

import numpy as np
import pytest
import torch

from sanreid import SANEncoder
from sanreid.backends import cuda, export
from sanreid.backends.cuda import LARGEST, CudaBackend, padded_size
from tests.conftest import build_tiny


def test_padded_sizes():
    sizes = [padded_size(count) for count in range(1, LARGEST + 1)]
    assert all(size >= count for count, size in enumerate(sizes, 1))
    assert all(size - count < max(16, count) for count, size in enumerate(sizes, 1))
    assert sizes == sorted(sizes)
    assert len(set(sizes)) == 20
    assert max(sizes) == LARGEST
    assert [padded_size(size) for size in sizes] == sizes


# ------------------------------------------------------------- bookkeeping, without a card


class Nothing:
    """Stands for a stream or an event: on the CPU everything is done when it returns."""

    def __init__(self, *args):
        pass

    def record(self):
        pass

    def wait(self):
        pass

    def synchronize(self):
        pass

    def wait_stream(self, stream):
        pass


class UnpinnedSlot(cuda._Slot):
    def __init__(self, shape, device, streams):
        self.pinned = torch.full(shape, 255, dtype=torch.uint8)
        self.crops = torch.zeros(shape, dtype=torch.uint8)
        self.rows = torch.zeros(shape[0], 16)
        self.copied, self.done = Nothing(), Nothing()


@pytest.fixture
def without_card(tiny_config, monkeypatch):
    """The backend on the CPU: padding, slots and parts are real, graphs cannot be had."""
    monkeypatch.setattr(cuda, "_Slot", UnpinnedSlot)
    for name in ("Stream", "Event", "CUDAGraph"):
        monkeypatch.setattr(torch.cuda, name, Nothing)
    for name in ("stream", "device"):
        monkeypatch.setattr(torch.cuda, name, lambda given: contextlib.nullcontext())
    monkeypatch.setattr(torch.cuda, "current_stream", Nothing)
    monkeypatch.setattr(torch.cuda, "graph_pool_handle", lambda: None)

    def refuse(*args, **kwargs):
        raise RuntimeError("no graphs here")

    monkeypatch.setattr(torch.cuda, "graph", refuse)
    module = build_tiny(tiny_config)
    return CudaBackend(module, tiny_config, device=torch.device("cpu"), dtype=torch.float32)


def test_padding_and_parts_without_a_card(without_card, tiny_encoder, crops, monkeypatch, caplog):
    wanted = tiny_encoder.encode(crops, normalize=False)
    near = {"rtol": 1e-4, "atol": 1e-5 * np.abs(wanted).max()}
    for count in (7, 3, 7, 1, 5):
        np.testing.assert_allclose(without_card(crops[:count]), wanted[:count], **near)
    assert caplog.text.count("No CUDA graph for batches of 8") == 1  # tried once
    monkeypatch.setattr(cuda, "LARGEST", 3)
    np.testing.assert_allclose(without_card(crops), wanted, **near)


def test_slots_are_used_again_and_never_shared(without_card, tiny_encoder, crops):
    wanted = tiny_encoder.encode(crops, normalize=False)
    for _ in range(3):
        started = [without_card.submit(crops[n : n + 3]) for n in range(4)]
        for n, result in reversed(list(enumerate(started))):
            near = {"rtol": 1e-4, "atol": 1e-5 * np.abs(wanted).max()}
            np.testing.assert_allclose(result(), wanted[n : n + 3], **near)
    assert len(without_card._free[4]) == 4


# ------------------------------------------------------------------------------ on a card


@pytest.fixture
def on_card(tiny_config):
    module = build_tiny(tiny_config)
    return SANEncoder(module, tiny_config, device="cuda", dtype="float32")


@pytest.mark.gpu
@pytest.mark.parametrize("count", [1, 2, 3, 16, 17, 31, LARGEST, LARGEST + 5])
def test_batches_of_any_size(count, on_card, tiny_encoder, crops):
    many = np.concatenate([crops] * (count // len(crops) + 1))[:count]
    wanted = tiny_encoder.encode(many)
    for _ in range(3):  # at first without a graph, then by capturing one, then by the one there is
        rows = on_card.encode(many, batch_size=count)
        assert rows.shape == wanted.shape
        assert (rows * wanted).sum(axis=1).min() > 0.9999


@pytest.mark.gpu
def test_sizes_in_turn_do_not_disturb_each_other(on_card, tiny_encoder, crops):
    wanted = tiny_encoder.encode(crops)
    for batch_size in (7, 1, 3, 7, 2, 5, 1, 7):
        rows = on_card.encode(crops, batch_size=batch_size)
        assert (rows * wanted).sum(axis=1).min() > 0.9999


@pytest.mark.gpu
def test_batches_in_flight_keep_their_own_crops(tiny_config, tiny_module, tiny_encoder, crops):
    device = torch.device("cuda")
    backend = CudaBackend(tiny_module.cuda(), tiny_config, device=device, dtype=torch.float32)
    wanted = tiny_encoder.encode(crops, normalize=False)
    started = [backend.submit(crops[n : n + 2].copy()) for n in range(6)]
    for n, result in reversed(list(enumerate(started))):
        np.testing.assert_allclose(
            result(), wanted[n : n + 2], rtol=1e-2, atol=1e-2 * np.abs(wanted).max()
        )


@pytest.mark.gpu
def test_several_threads(on_card, tiny_encoder, crops):
    wanted = tiny_encoder.encode(crops)
    lowest = []

    def work(place):
        for _ in range(10):
            rows = on_card.encode(crops[place:], batch_size=2)
            lowest.append((rows * wanted[place:]).sum(axis=1).min())

    threads = [threading.Thread(target=work, args=(place,)) for place in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(lowest) == 40
    assert min(lowest) > 0.9999


@pytest.mark.gpu
def test_without_graphs_the_result_is_the_same(
    tiny_config, tiny_encoder, crops, monkeypatch, caplog
):
    def refuse(*args, **kwargs):
        raise RuntimeError("no graphs on this card")

    monkeypatch.setattr(torch.cuda, "graph", refuse)
    encoder = SANEncoder(build_tiny(tiny_config), tiny_config, device="cuda", dtype="float32")
    for _ in range(2):
        rows = encoder.encode(crops)
        assert (rows * tiny_encoder.encode(crops)).sum(axis=1).min() > 0.9999
    assert "No CUDA graph for batches of 8" in caplog.text


@pytest.mark.gpu
def test_an_encoder_on_the_card_is_exported(on_card, tmp_path):
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    assert export(on_card, tmp_path / "x.onnx").lowest_cosine > 0.9999
    assert on_card.module.head.bn.weight.is_cuda
