"""PKSampler: every crop in every epoch, P people x K crops, cameras mixed, ranks share."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sanreid.errors import InputError
from sanreid.train.data import PKSampler

LABELS = np.array([0] * 9 + [1] * 4 + [2] * 1 + [3] * 3 + [4] * 6)
CAMIDS = np.array([0, 1, 2] * 3 + [0, 0, 1, 1] + [5] + [0, 1, 1] + [0] * 4 + [1] * 2)


def groups(batch, k):
    return batch.view(-1, k).tolist()


@settings(max_examples=60, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 13), min_size=2, max_size=12),
    p=st.integers(1, 6),
    k=st.integers(1, 5),
    seed=st.integers(0, 3),
)
def test_every_epoch_is_a_proper_deal(sizes, p, k, seed):
    p = min(p, len(sizes))
    labels = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(sizes)), sizes))
    camids = np.arange(len(labels)) % 3
    sampler = PKSampler(labels, camids, p=p, k=k, seed=seed)
    batches = list(sampler.epoch(seed))
    assert len(batches) == len(sampler)
    seen = set()
    for batch in batches:
        assert batch.shape == (p * k,)
        assert batch.dtype == torch.int64
        people = [{int(labels[i]) for i in group} for group in groups(batch, k)]
        assert all(len(one) == 1 for one in people)
        assert len(set.union(*people)) == p
        for group in groups(batch, k):
            size = sizes[labels[group[0]]]
            # No repeat while the person has crops left to show; then evenly spread ones.
            assert len(set(group)) == min(k, size)
            assert max(group.count(i) for i in group) <= -(-k // size)
        seen.update(batch.tolist())
    assert seen == set(range(len(labels)))


def test_number_of_batches_by_hand():
    # Hands of 4: 3 + 1 + 1 + 1 + 2 = 8; two people a batch give 4 batches.
    assert len(PKSampler(LABELS, CAMIDS, p=2, k=4)) == 4
    # Hands of 2: 5 + 2 + 1 + 2 + 3 = 13, so 13 / 2 is 7 batches of 2, and for all
    # five people at once the person with 5 hands needs 5.
    assert len(PKSampler(LABELS, CAMIDS, p=2, k=2)) == 7
    assert len(PKSampler(LABELS, CAMIDS, p=5, k=2)) == 5


def test_cameras_are_as_many_in_a_group_as_can_be():
    sampler = PKSampler([0] * 6 + [1] * 6, [0, 0, 1, 1, 2, 2] * 2, p=2, k=3, seed=1)
    camids = np.array([0, 0, 1, 1, 2, 2] * 2)
    for epoch in range(5):
        for batch in sampler.epoch(epoch):
            assert all(len(set(camids[g])) == 3 for g in groups(batch, 3))


def test_a_rare_camera_does_not_fill_one_group():
    # Two crops of camera 1 among eight: two hands of four, one in each.
    labels, camids = [0] * 8 + [1] * 8, ([0] * 6 + [1] * 2) * 2
    for epoch in range(10):
        for batch in PKSampler(labels, camids, p=2, k=4).epoch(epoch):
            assert all(sum(camids[i] for i in g) == 1 for g in groups(batch, 4))


def test_seed_and_epoch_decide_and_nothing_else():
    def run(seed, epoch):
        np.random.seed(epoch)  # noqa: NPY002 - the global generator must not matter
        torch.manual_seed(epoch)
        return [b.tolist() for b in PKSampler(LABELS, CAMIDS, p=3, k=2, seed=seed).epoch(epoch)]

    assert run(1, 4) == run(1, 4)
    assert run(1, 4) != run(1, 5)
    assert run(1, 4) != run(2, 4)


def test_epochs_do_not_depend_on_those_before():
    sampler = PKSampler(LABELS, CAMIDS, p=3, k=2)
    list(sampler.epoch(0))
    again = PKSampler(LABELS, CAMIDS, p=3, k=2)
    assert [b.tolist() for b in sampler.epoch(1)] == [b.tolist() for b in again.epoch(1)]


def test_start_goes_on_in_the_middle():
    sampler = PKSampler(LABELS, CAMIDS, p=2, k=2)
    whole = [b.tolist() for b in sampler.epoch(3)]
    assert [b.tolist() for b in sampler.epoch(3, start=4)] == whole[4:]
    assert list(sampler.epoch(3, start=len(sampler))) == []


@pytest.mark.parametrize("world_size", [1, 2, 4])
def test_shares_of_the_ranks_are_the_batch(world_size):
    whole = PKSampler(LABELS, CAMIDS, p=4, k=3, seed=7)
    shares = [
        PKSampler(LABELS, CAMIDS, p=4, k=3, seed=7, rank=r, world_size=world_size)
        for r in range(world_size)
    ]
    for batch, *parts in zip(whole.epoch(2), *(s.epoch(2) for s in shares), strict=True):
        assert torch.equal(torch.cat(parts), batch)
        assert {len(part) for part in parts} == {12 // world_size}


def test_crops_are_shown_about_equally_often():
    sampler = PKSampler(LABELS, CAMIDS, p=3, k=4)
    counts = torch.bincount(
        torch.cat([b for e in range(60) for b in sampler.epoch(e)]), minlength=len(LABELS)
    )
    nine = counts[:9].double() / 60
    assert nine.min() >= 1
    assert nine.max() / nine.min() < 1.3


def test_people_meet_different_people():
    labels = np.repeat(np.arange(12), 6)
    met = set()
    for batch in PKSampler(labels, None, p=4, k=2).epoch(0):
        met |= set(labels[batch[::2]]) if 0 in labels[batch] else set()
    assert len(met) > 6


def test_crops_meet_other_crops_from_epoch_to_epoch():
    sampler = PKSampler([0] * 8 + [1] * 8, p=2, k=4)
    hands = {
        frozenset(group)
        for epoch in range(20)
        for batch in sampler.epoch(epoch)
        for group in groups(batch, 4)
    }
    assert len(hands) > 20


def test_the_person_who_fills_a_batch_is_not_always_last():
    # Three people with one hand each in two batches of two: one person is seen twice.
    first_in_both = 0
    sampler = PKSampler([0, 0, 1, 1, 2, 2], p=2, k=2)
    for epoch in range(40):
        one, other = ([int(group[0]) // 2 for group in groups(b, 2)] for b in sampler.epoch(epoch))
        first_in_both += one[0] == other[0]
    assert first_in_both > 2


def test_tensors_and_any_labels_are_taken():
    sampler = PKSampler(torch.tensor([70, 70, -3, -3]), torch.tensor([1, 2, 1, 2]), p=2, k=2)
    (batch,) = sampler.epoch(0)
    assert sorted(batch.tolist()) == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": [0, 0, 1]}, r"a batch needs p=3 different people, but there are 2"),
        ({"labels": []}, "there are 0|array of integers"),
        ({"labels": [0.5, 1, 2]}, "labels must be a 1-D array of integers; got float64"),
        ({"labels": [[0, 1, 2]]}, r"got int64 of shape \(1, 3\)"),
        ({"camids": [0]}, "labels and camids must have the same length; got 3 and 1"),
        ({"p": 0}, "p and k must be at least 1; got p=0, k=2"),
        ({"k": 0}, "p and k must be at least 1; got p=3, k=0"),
        ({"world_size": 2}, "world_size must divide p; got rank=0, world_size=2, p=3"),
        ({"rank": 1}, "rank must be in"),
        ({"rank": -1}, "rank must be in"),
        ({"seed": -1}, "seed must be at least 0; got -1"),
    ],
)
def test_wrong_arguments(change, message):
    arguments = {"labels": [0, 1, 2], "camids": None, "p": 3, "k": 2} | change
    with pytest.raises(InputError, match=f"(?i){message}"):
        PKSampler(arguments.pop("labels"), arguments.pop("camids"), **arguments)


def test_wrong_epoch():
    with pytest.raises(InputError, match="epoch and start must be at least 0; got -1, 0"):
        next(PKSampler([0, 1], p=2, k=1).epoch(-1))
