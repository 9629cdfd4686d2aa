"""On a card: every batch size, from every thread, as on the CPU. Needs CUDA but for the sizes."""

from __future__ import annotations

import threading

import numpy as np
import pytest
import torch

from sanreid import SANEncoder
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
