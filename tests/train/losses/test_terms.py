"""The losses against their definitions in loops, values worked out by hand, and gradients."""

from __future__ import annotations

import math

import pytest
import torch

from sanreid.errors import InputError
from sanreid.train.losses.terms import (
    batch_hard_triplet_loss,
    identity_loss,
    reconstruction_loss,
    tr_constraint,
)

# float32 sums of a few hundred terms lose about two digits of the seven; float64 of the sixteen.
TOLERANCE = {torch.float32: (1e-4, 1e-5), torch.float64: (1e-10, 1e-10)}


def batch_hard_by_loops(distance, pids, *, margin, soft=False):
    """The definition, one anchor at a time."""
    losses = []
    for a in range(len(pids)):
        positives = [distance(a, p) for p in range(len(pids)) if pids[p] == pids[a] and p != a]
        negatives = [distance(a, n) for n in range(len(pids)) if pids[n] != pids[a]]
        gap = max(positives) - min(negatives)
        losses.append(torch.log1p(torch.exp(gap)) if soft else torch.relu(gap + margin))
    return torch.stack(losses).mean()


def normal(*shape, seed, dtype=torch.float32):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64).to(dtype)


# --- identity -------------------------------------------------------------------------------


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.3])
def test_identity_loss_equals_its_definition(smoothing):
    logits = normal(5, 7, seed=1, dtype=torch.float64)
    labels = torch.tensor([0, 6, 3, 3, 1])
    expected = 0.0
    for n in range(5):
        probabilities = torch.exp(logits[n]) / torch.exp(logits[n]).sum()
        for c in range(7):
            wanted = smoothing / 7 + (1 - smoothing) * (c == int(labels[n]))
            expected -= wanted * math.log(float(probabilities[c])) / 5
    assert identity_loss(logits, labels, label_smoothing=smoothing).item() == pytest.approx(
        float(expected), rel=1e-12
    )


def test_identity_loss_known_value():
    # Equal logits give every class 1/4, whatever the label: log 4.
    loss = identity_loss(torch.zeros(3, 4), torch.tensor([0, 1, 2]), label_smoothing=0.1)
    assert loss.item() == pytest.approx(math.log(4))


def test_identity_gradient():
    logits = normal(4, 5, seed=2, dtype=torch.float64).requires_grad_()
    labels = torch.tensor([0, 4, 2, 2])
    assert torch.autograd.gradcheck(lambda x: identity_loss(x, labels), (logits,))


# --- batch-hard triplet ---------------------------------------------------------------------


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize(("p", "k"), [(2, 2), (4, 4), (3, 5)])
@pytest.mark.parametrize("soft", [False, True])
def test_batch_hard_equals_its_definition(p, k, dtype, soft):
    embeddings = normal(p * k, 16, seed=p * 100 + k, dtype=dtype)
    pids = torch.arange(p).repeat_interleave(k)[
        torch.randperm(p * k, generator=torch.Generator().manual_seed(k))
    ]
    rtol, atol = TOLERANCE[dtype]
    torch.testing.assert_close(
        batch_hard_triplet_loss(embeddings, pids, margin=0.3, soft_margin=soft),
        batch_hard_by_loops(
            lambda a, b: (embeddings[a] - embeddings[b]).norm(), pids, margin=0.3, soft=soft
        ),
        rtol=rtol,
        atol=atol,
    )


def test_batch_hard_known_value():
    # On a line: pid 0 at 0 and 1, pid 1 at 3 and 4; margin 1.5.
    # Anchors 0 and 4 give max(0, 1 - 3 + 1.5) = 0; anchors 1 and 3 give 1 - 2 + 1.5 = 0.5.
    embeddings = torch.tensor([[0.0], [1.0], [3.0], [4.0]])
    pids = torch.tensor([0, 0, 1, 1])
    assert batch_hard_triplet_loss(embeddings, pids, margin=1.5).item() == pytest.approx(0.25)


def test_soft_margin_known_value():
    # The same line: gaps -2, -1, -1, -2.
    embeddings = torch.tensor([[0.0], [1.0], [3.0], [4.0]])
    loss = batch_hard_triplet_loss(embeddings, torch.tensor([0, 0, 1, 1]), soft_margin=True)
    expected = (math.log1p(math.exp(-2)) + math.log1p(math.exp(-1))) / 2
    assert loss.item() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("soft", [False, True])
def test_batch_hard_gradient(soft):
    embeddings = normal(8, 5, seed=0, dtype=torch.float64).requires_grad_()
    pids = torch.arange(4).repeat_interleave(2)
    assert torch.autograd.gradcheck(
        lambda x: batch_hard_triplet_loss(x, pids, margin=2.0, soft_margin=soft), (embeddings,)
    )


def test_identical_embeddings_give_the_margin_and_a_finite_gradient():
    embeddings = torch.zeros(4, 3, requires_grad=True)
    loss = batch_hard_triplet_loss(embeddings, torch.tensor([0, 0, 1, 1]), margin=0.3)
    loss.backward()
    assert loss.item() == pytest.approx(0.3)
    assert embeddings.grad.isfinite().all()


def test_distances_keep_their_digits_far_from_the_origin():
    # Two clusters 0.1 apart at 1000: a matrix-product distance in float32 would be off by ~0.1.
    embeddings = torch.tensor([[1000.0], [1000.0], [1000.125], [1000.125]])
    loss = batch_hard_triplet_loss(embeddings, torch.tensor([0, 0, 1, 1]), margin=0.3)
    assert loss.item() == pytest.approx(0.175, abs=1e-6)


def test_distances_are_computed_in_float32_under_autocast():
    embeddings = normal(6, 32, seed=3)
    pids = torch.tensor([0, 0, 1, 1, 2, 2])
    plain = batch_hard_triplet_loss(embeddings, pids)
    maps = (normal(6, 4, 3, 2, seed=4),)
    plain_tr = tr_constraint(maps, pids)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert batch_hard_triplet_loss(embeddings, pids).item() == plain.item()
        assert tr_constraint(maps, pids).item() == plain_tr.item()


@pytest.mark.parametrize("pids", [[0, 0, 1], [0, 0, 0, 0], [0, 1, 2, 3]])
def test_an_anchor_without_positive_or_negative_is_an_error(pids):
    with pytest.raises(InputError, match="PKSampler"):
        batch_hard_triplet_loss(torch.zeros(len(pids), 2), torch.tensor(pids))


def test_as_many_pids_as_rows():
    with pytest.raises(InputError, match="one pid per row"):
        batch_hard_triplet_loss(torch.zeros(4, 2), torch.tensor([0, 0, 1, 1, 1]))


# --- reconstruction -------------------------------------------------------------------------


def reconstruction_by_loops(predicted, target, mask):
    total, weight = 0.0, 0.0
    n, c, h, w = predicted.shape
    for i in range(n):
        for j in range(c):
            for y in range(h):
                for x in range(w):
                    m = float(mask[i, 0, y, x])
                    total += m * abs(float(predicted[i, j, y, x] - target[i, j, y, x]))
                    weight += m
    return total / weight


def test_reconstruction_equals_its_definition():
    predicted = normal(2, 3, 4, 5, seed=5, dtype=torch.float64)
    target = normal(2, 3, 4, 5, seed=6, dtype=torch.float64)
    mask = torch.rand(2, 1, 4, 5, generator=torch.Generator().manual_seed(7)).double()
    loss = reconstruction_loss(predicted, target, mask=mask)
    assert loss.item() == pytest.approx(reconstruction_by_loops(predicted, target, mask))
    whole = reconstruction_loss(predicted, target)
    assert whole.item() == pytest.approx(
        reconstruction_by_loops(predicted, target, torch.ones_like(mask))
    )


def test_reconstruction_known_value():
    # Differences 1 and 0.5 at two texels of three channels; the mask sees the first only.
    predicted = torch.zeros(1, 3, 1, 2)
    target = torch.tensor([1.0, 0.5]).expand(1, 3, 1, 2)
    assert reconstruction_loss(predicted, target).item() == pytest.approx(0.75)
    mask = torch.tensor([1.0, 0.0]).view(1, 1, 1, 2)
    assert reconstruction_loss(predicted, target, mask=mask).item() == pytest.approx(1.0)


def test_reconstruction_with_nothing_visible_is_zero_with_a_zero_gradient():
    predicted = torch.ones(1, 3, 2, 2, requires_grad=True)
    loss = reconstruction_loss(predicted, torch.zeros(1, 3, 2, 2), mask=torch.zeros(1, 1, 2, 2))
    loss.backward()
    assert loss.item() == 0
    assert (predicted.grad == 0).all()


def test_reconstruction_gradient():
    predicted = normal(2, 3, 3, 2, seed=8, dtype=torch.float64).requires_grad_()
    target = normal(2, 3, 3, 2, seed=9, dtype=torch.float64)
    mask = torch.rand(2, 1, 3, 2, generator=torch.Generator().manual_seed(1)).double()
    assert torch.autograd.gradcheck(
        lambda x: reconstruction_loss(x, target, mask=mask), (predicted,)
    )


def test_reconstruction_refuses_other_shapes():
    with pytest.raises(InputError, match="must be the same"):
        reconstruction_loss(torch.zeros(1, 3, 4, 4), torch.zeros(1, 3, 4, 5))
    with pytest.raises(InputError, match="does not fit"):
        reconstruction_loss(
            torch.zeros(1, 3, 4, 4), torch.zeros(1, 3, 4, 4), mask=torch.zeros(1, 4, 4, 4)
        )


# --- TR constraint --------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize(("p", "k"), [(2, 2), (4, 4), (3, 5)])
def test_tr_equals_its_definition(p, k, dtype):
    maps = [
        normal(p * k, 4, 3, 2, seed=p, dtype=dtype),
        normal(p * k, 2, 6, 4, seed=k, dtype=dtype),
    ]
    pids = torch.arange(p).repeat_interleave(k)
    expected = sum(
        batch_hard_by_loops(lambda a, b, m=one: ((m[a] - m[b]) ** 2).mean(), pids, margin=0.3)
        for one in maps
    )
    rtol, atol = TOLERANCE[dtype]
    torch.testing.assert_close(
        tr_constraint(maps, pids, margin=0.3), expected, rtol=rtol, atol=atol
    )


def test_tr_known_value():
    # One channel, one place, values 0, 1 | 3, 4: squared distances. margin 5.
    # Anchor 0: 1 - 9 + 5 < 0. Anchor 1: 1 - 4 + 5 = 2. Anchors 3 and 4 alike: 2 and 0.
    values = torch.tensor([0.0, 1.0, 3.0, 4.0]).view(4, 1, 1, 1)
    pids = torch.tensor([0, 0, 1, 1])
    assert tr_constraint([values], pids, margin=5.0).item() == pytest.approx(1.0)
    assert tr_constraint([values, values], pids, margin=5.0).item() == pytest.approx(2.0)


def test_tr_compares_place_by_place():
    # The same numbers at other locations differ, although every pooled value is equal.
    one = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0], [0.0, 1.0]]).view(4, 1, 1, 2)
    together = tr_constraint([one], torch.tensor([0, 1, 0, 1]), margin=0.3)
    apart = tr_constraint([one], torch.tensor([0, 0, 1, 1]), margin=0.3)
    assert together.item() == 0
    assert apart.item() == pytest.approx(1.3)


def test_relative_tr_known_value():
    # Values 0, 1 | 3, 4: negatives' squared distances 9, 16, 4, 9, mean 9.5.
    # Hardest gaps 1 - 9, 1 - 4, 1 - 4, 1 - 9; margin 0.4: two anchors at -3 / 9.5 + 0.4.
    values = torch.tensor([0.0, 1.0, 3.0, 4.0]).view(4, 1, 1, 1)
    pids = torch.tensor([0, 0, 1, 1])
    for scale in (1e-3, 1.0, 100.0):  # smaller or larger maps change nothing
        loss = tr_constraint([values * scale], pids, margin=0.4, distance="relative")
        assert loss.item() == pytest.approx((0.4 - 3 / 9.5) / 2, rel=1e-4)
    alike = torch.ones(4, 1, 1, 1).requires_grad_()
    loss = tr_constraint([alike], pids, margin=0.4, distance="relative")
    loss.backward()
    assert loss.item() == pytest.approx(0.4)
    assert alike.grad.isfinite().all()
    with pytest.raises(InputError, match="'squared' or 'relative'; got 'cosine'"):
        tr_constraint([values], pids, distance="cosine")


def test_relative_tr_gradient():
    maps = normal(6, 2, 2, 2, seed=11, dtype=torch.float64).requires_grad_()
    pids = torch.tensor([0, 0, 1, 1, 2, 2])
    assert torch.autograd.gradcheck(
        lambda x: tr_constraint([x], pids, margin=0.5, distance="relative"), (maps,)
    )


def test_tr_gradient():
    maps = normal(6, 2, 2, 2, seed=11, dtype=torch.float64).requires_grad_()
    pids = torch.tensor([0, 0, 1, 1, 2, 2])
    assert torch.autograd.gradcheck(lambda x: tr_constraint([x], pids, margin=3.0), (maps,))


def test_tr_keeps_digits_of_maps_far_from_zero():
    near = torch.full((4, 1, 1, 1), 4096.0)
    near[2:] += 0.5
    loss = tr_constraint([near], torch.tensor([0, 0, 1, 1]), margin=0.3)
    assert loss.item() == pytest.approx(0.05, abs=1e-6)


def test_tr_goes_from_violated_to_satisfied():
    maps = normal(8, 3, 4, 2, seed=12).requires_grad_()
    pids = torch.arange(4).repeat_interleave(2)
    optimizer = torch.optim.Adam([maps], lr=0.05)
    before = tr_constraint([maps], pids)
    for _ in range(60):
        optimizer.zero_grad()
        tr_constraint([maps], pids).backward()
        optimizer.step()
    assert before.item() > 0.5
    assert tr_constraint([maps], pids).item() == 0


def test_fixed_positions_are_those_of_the_released_code():
    maps = [normal(12, 2, 2, 3, seed=n, dtype=torch.float64) for n in range(4)]
    pids = torch.arange(3).repeat_interleave(4)
    expected = 0.0
    for i in range(0, 8, 4):  # the last group is never an anchor
        for one, (a, p, n) in zip(
            maps,
            [(i, i + 1, i + 4), (i + 1, i + 2, i + 5), (i + 2, i + 3, i + 6), (i + 3, i, i + 4)],
            strict=True,
        ):
            near, far = ((one[a] - one[p]) ** 2).mean(), ((one[a] - one[n]) ** 2).mean()
            expected += max(near - far + 0.3, 0.0)
    loss = tr_constraint(maps, pids, margin=0.3, pairing="fixed_positions")
    assert loss.item() == pytest.approx(float(expected))


@pytest.mark.parametrize(
    ("pids", "blocks", "message"),
    [
        ([0, 0, 0, 1, 1, 1], 4, "k = 4"),
        ([0, 0, 0, 0], 4, "two groups"),
        ([0, 0, 0, 1, 1, 1, 1, 1], 4, "neighbouring"),
        ([0, 0, 0, 0, 1, 1, 1, 1], 3, "four blocks"),
    ],
)
def test_fixed_positions_refuse_another_batch(pids, blocks, message):
    maps = [torch.zeros(len(pids), 1, 2, 2)] * blocks
    with pytest.raises(InputError, match=message):
        tr_constraint(maps, torch.tensor(pids), pairing="fixed_positions")


def test_tr_refuses_no_maps_and_unknown_pairing():
    with pytest.raises(InputError, match="at least one"):
        tr_constraint([], torch.tensor([0, 0, 1, 1]))
    with pytest.raises(InputError, match="'random'"):
        tr_constraint([torch.zeros(4, 1, 1, 1)], torch.tensor([0, 0, 1, 1]), pairing="random")
