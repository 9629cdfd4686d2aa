"""The cross-camera loss equals its definition, and its memory follows the crops."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional

from sanreid.errors import ConfigError, InputError
from sanreid.train.checkpoint import load_checkpoint
from sanreid.train.config import LossConfig
from sanreid.train.data.crop_batches import CropBatches
from sanreid.train.loop.engine import Engine
from sanreid.train.loop.journal import read_journal
from sanreid.train.losses.camera_proxies import CameraProxies

CPU = torch.device("cpu")
# Persons 0, 1 and 2 under cameras a and b, person 3 under a alone.
PIDS = torch.tensor([0, 0, 1, 1, 2, 2, 3])


def filled(*, dim=5, unseen=(), **options):
    memory = CameraProxies(PIDS, dim, **options)
    known = torch.tensor([n for n in range(len(PIDS)) if n not in unseen], dtype=torch.int64)
    rows = torch.randn(len(PIDS), dim, generator=torch.Generator().manual_seed(4))
    memory.update(rows[known], known)
    return memory


def by_definition(memory, embeddings, pids, indices):
    losses = []
    for row, pid, own in zip(embeddings, pids.tolist(), indices.tolist(), strict=True):
        exponentials = [
            math.exp(float(functional.cosine_similarity(row, proxy, 0)) / memory.temperature)
            for proxy in memory.vectors
        ]
        seen = memory.seen.tolist()
        mine = [n for n, p in enumerate(PIDS.tolist()) if p == pid and n != own and seen[n]]
        others = [n for n, p in enumerate(PIDS.tolist()) if p != pid and seen[n]]
        nearest = sorted((exponentials[n] for n in others), reverse=True)
        below = sum(nearest[: memory.negatives])
        if mine:
            each = [-math.log(exponentials[n] / (exponentials[n] + below)) for n in mine]
            losses.append(sum(each) / len(each))
    return sum(losses) / len(losses) if losses else 0.0


@pytest.mark.parametrize("unseen", [(), (1, 4), (1, 2, 3, 4, 5, 6)])
@pytest.mark.parametrize("negatives", [2, 50])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_loss_equals_its_definition(unseen, negatives, dtype):
    memory = filled(unseen=unseen, temperature=0.5, negatives=negatives)
    indices = torch.tensor([0, 1, 2, 5, 6])
    embeddings = torch.randn(5, 5, generator=torch.Generator().manual_seed(1)).to(dtype)
    found = memory.loss(embeddings, PIDS[indices], indices)
    expected = by_definition(memory, embeddings.double(), PIDS[indices], indices)
    assert found.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    assert found.item() == pytest.approx(expected, rel=1e-5)


def test_gradient_leads_away_from_negatives_under_the_own_camera():
    memory = CameraProxies(torch.tensor([0, 0, 1]), 3)  # 0 under a, 0 under b, 1 under a
    memory.update(torch.eye(3), torch.arange(3))
    crop = torch.tensor([[0.1, 0.2, 0.9]], requires_grad=True)  # like the other person
    memory.loss(crop, torch.tensor([0]), torch.tensor([0])).backward()
    assert crop.grad[0, 1] < 0 < crop.grad[0, 2]
    assert crop.grad[0, 0].abs() < 1e-6 * crop.grad[0, 2] + abs(float(crop.grad[0, 1]))


def test_gradient_is_that_of_differences():
    memory = filled(temperature=0.3)
    indices = torch.tensor([0, 3, 4])
    embeddings = torch.randn(3, 5, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(
        lambda x: memory.loss(x, PIDS[indices], indices), (embeddings,)
    )


@pytest.mark.parametrize("unseen", [range(7), (1, 2, 3, 4, 5, 6)])
def test_without_positives_loss_and_gradient_are_zero(unseen):
    memory = filled(unseen=tuple(unseen))
    embeddings = torch.randn(2, 5, requires_grad=True)
    loss = memory.loss(embeddings, torch.tensor([0, 3]), torch.tensor([0, 6]))
    loss.backward()
    assert loss.item() == 0
    assert torch.equal(embeddings.grad, torch.zeros(2, 5))


def test_memory_takes_the_first_mean_then_moves_towards_the_next():
    memory = CameraProxies(PIDS, 2, momentum=0.25)
    memory.update(torch.tensor([[2.0, 0.0], [0.0, 5.0], [3.0, 0.0]]), torch.tensor([0, 0, 2]))
    half = math.sqrt(0.5)
    torch.testing.assert_close(memory.vectors[0], torch.tensor([half, half]))
    torch.testing.assert_close(memory.vectors[2], torch.tensor([1.0, 0.0]))
    assert memory.seen.tolist() == [True, False, True, False, False, False, False]
    memory.update(torch.tensor([[0.0, 7.0]]), torch.tensor([2]))
    torch.testing.assert_close(
        memory.vectors[2], functional.normalize(torch.tensor([0.75, 0.25]), dim=0)
    )
    torch.testing.assert_close(memory.vectors[0], torch.tensor([half, half]))


def test_memory_is_precise_under_autocast():
    rows, indices = torch.randn(4, 5), torch.tensor([0, 0, 2, 4])
    plain, mixed = filled(), filled()
    plain.update(rows, indices)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed.update(rows, indices)
        loss = mixed.loss(rows, PIDS[indices], indices)
    assert torch.equal(plain.vectors, mixed.vectors)
    assert torch.equal(plain.loss(rows, PIDS[indices], indices), loss)


def test_update_leaves_the_backward_pass_of_the_loss_whole():
    memory = filled()
    embeddings = torch.randn(2, 5, requires_grad=True)
    indices = torch.tensor([0, 2])
    loss = memory.loss(embeddings, PIDS[indices], indices)
    memory.update(embeddings, indices)
    loss.backward()
    assert embeddings.grad.abs().sum() > 0


def test_rows_that_are_not_finite_are_not_remembered():
    memory = filled(unseen=(6,))
    before = memory.vectors.clone()
    memory.update(torch.full((2, 5), torch.nan), torch.tensor([0, 6]))
    assert torch.equal(memory.vectors, before)
    assert not memory.seen[6]


def test_wrong_shapes_are_refused():
    memory = filled()
    with pytest.raises(InputError, match="embeddings of 5 numbers"):
        memory.loss(torch.zeros(2, 4), torch.tensor([0, 1]), torch.tensor([0, 2]))
    with pytest.raises(InputError, match="one per row"):
        memory.update(torch.zeros(2, 5), torch.tensor([0]))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"cross_camera": -1.0}, "cross_camera must be at least 0"),
        ({"cross_camera_temperature": 0.0}, "temperature must be above 0"),
        ({"cross_camera_negatives": 0}, "negatives must be at least 1"),
        ({"cross_camera_momentum": 0.0}, r"momentum must be in \(0, 1\]"),
    ],
)
def test_settings_out_of_range_are_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        LossConfig(**settings)


def test_each_crop_has_the_proxy_of_its_person_and_camera(tiny_run):
    batches = CropBatches(tiny_run(), CPU)
    assert len(batches.proxy_pids) == 8 * 2  # people, cameras
    indices = batches.epoch(0)[0]
    targets = batches.batch(batches.read(indices, number=0), number=0, epoch=0).targets
    assert torch.equal(batches.proxy_pids[targets.proxies], targets.labels)
    assert len(set(targets.proxies.tolist())) == 8  # four people under both cameras


def test_a_source_may_count_as_one_camera(tiny_run, people, others):
    sources = [
        {"folder": str(people), "names": "folders"},
        {"folder": str(others), "names": "folders", "one_camera": True},
    ]
    style = {"camera_style": 1.0}
    batches = CropBatches(tiny_run(data={"sources": sources}, augmentation=style), CPU)
    assert len(batches.proxy_pids) == 8 * 2 + 6
    assert len(batches._colors.mean) == 2 + 1


@pytest.mark.usefixtures("one_thread")
def test_a_run_with_it_resumes_to_the_bit(tiny_run, tmp_path):
    loss = {"cross_camera": 0.5}
    Engine(tiny_run("whole", loss=loss)).run()
    rows = [r for r in read_journal(tmp_path / "whole" / "log.jsonl") if r["kind"] == "train"]
    assert rows[0]["cross_camera"] == 0  # nobody has been seen
    assert rows[-1]["cross_camera"] > 0
    Engine(tiny_run("cut", loss=loss, run={"max_steps": 3})).run()
    Engine(tiny_run("cut", loss=loss), resume=True).run()
    whole, cut = (load_checkpoint(tmp_path / name / "last.ckpt") for name in ("whole", "cut"))
    assert torch.equal(
        whole["losses"]["cross_camera"]["vectors"], cut["losses"]["cross_camera"]["vectors"]
    )
    assert all(torch.equal(x, cut["model"][key]) for key, x in whole["model"].items())
