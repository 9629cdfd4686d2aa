"""Shares of sources: places in each batch, and everyone's turn over the epochs."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sanreid.errors import InputError
from sanreid.train.config import SourceConfig
from sanreid.train.data import PKSampler
from sanreid.train.data.crop_batches import CropBatches
from sanreid.train.data.sampling.shares import places
from sanreid.train.data.sources import share_groups

# Group 0: people 0 to 3 with 4 crops each; group 1: people 4 to 15 with 6 crops each.
LABELS = np.array([*np.repeat(np.arange(4), 4), *np.repeat(np.arange(4, 16), 6)])
GROUPS = (LABELS >= 4).astype(int)


def sampler(*shares, p=4, k=2, **more):
    return PKSampler(LABELS, p=p, k=k, groups=GROUPS, group_shares=shares, **more)


def test_places_by_hand():
    assert places([0.5, 0.5], p=4, batches=2).tolist() == [[2, 2], [2, 2]]
    # 1.6 and 2.4 of four: 1 or 2, and 2 or 3; over five batches 8 and 12.
    assert places([0.4, 0.6], p=4, batches=5).tolist() == [[2, 2], [1, 3], [2, 2], [1, 3], [2, 2]]


@settings(max_examples=50, deadline=None)
@given(
    weights=st.lists(st.integers(1, 9), min_size=1, max_size=5),
    p=st.integers(1, 20),
    batches=st.integers(1, 40),
)
def test_places_add_up_and_keep_to_the_shares(weights, p, batches):
    shares = np.array(weights) / sum(weights)
    found = places(shares, p=p, batches=batches)
    assert (found.sum(1) == p).all()
    assert (abs(found - p * shares) < 1 + 1e-6).all()
    assert (abs(found.sum(0) - p * batches * shares) < 2).all()


@settings(max_examples=30, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 13), min_size=8, max_size=14),
    share=st.sampled_from([0.1, 0.25, 0.5, 0.7]),
    seed=st.integers(0, 3),
)
def test_every_batch_is_whole_and_keeps_to_the_shares(sizes, share, seed):
    labels = np.repeat(np.arange(len(sizes)), sizes)
    groups = (labels >= 4).astype(int)
    p, k = 4, 3
    one = PKSampler(labels, p=p, k=k, seed=seed, groups=groups, group_shares=[share, 1 - share])
    assert len(one) == len(PKSampler(labels, p=p, k=k))
    for epoch in range(2):
        batches = list(one.epoch(epoch))
        assert len(batches) == len(one)
        for batch in batches:
            hands = labels[batch.view(p, k)]
            assert (hands == hands[:, :1]).all()
            assert len(set(hands[:, 0])) == p
            assert abs((hands[:, 0] < 4).sum() - p * share) < 1


def test_no_one_has_a_second_turn_before_all_have_had_one():
    # 44 hands of two make 11 batches of four. A quarter of them is 11 for the first group, which
    # has 8; the others have 36 hands and 33 places, so three of them wait for the next epoch.
    one = sampler(0.25, 0.75, seed=5)
    assert len(one) == 11
    hands = [Counter(), Counter()]
    for epoch in range(12):
        for batch in one.epoch(epoch):
            for crop in batch.tolist():
                hands[GROUPS[crop]][crop] += 1
        for group, (seen, per_pass, places_) in enumerate(
            zip(hands, (8, 36), (11, 33), strict=True)
        ):
            passes = (epoch + 1) * places_ // per_pass
            assert sum(seen.values()) == 2 * places_ * (epoch + 1)
            counts = [seen[crop] for crop in np.flatnonzero(group == GROUPS)]
            assert min(counts) == passes
            assert max(counts) <= passes + 1


def test_a_person_with_many_crops_in_a_small_group_is_once_in_a_batch():
    # Person 0 has 6 of the 8 hands of the first group, which is seen more than twice an epoch.
    labels = np.repeat(np.arange(7), [12, 2, 2, 6, 6, 6, 6])
    groups = (labels > 2).astype(int)
    one = PKSampler(labels, p=4, k=2, groups=groups, group_shares=[0.5, 0.5])
    for epoch in range(3):
        for batch in one.epoch(epoch):
            assert len(set(labels[batch].tolist())) == 4


def test_epochs_resume_and_ranks_share():
    whole = sampler(0.25, 0.75, seed=2)
    batches = list(whole.epoch(3))
    again = sampler(0.25, 0.75, seed=2).epoch(3, start=4)
    assert all(torch.equal(a, b) for a, b in zip(batches[4:], again, strict=True))
    parts = [sampler(0.25, 0.75, seed=2, rank=rank, world_size=2).epoch(3) for rank in (0, 1)]
    for batch, *shares in zip(batches, *parts, strict=True):
        assert torch.equal(torch.cat(shares), batch)
    assert any(not torch.equal(a, b) for a, b in pairwise(batches))
    assert [b.tolist() for b in sampler(0.25, 0.75, seed=3).epoch(3)] != [
        b.tolist() for b in batches
    ]


def test_what_cannot_be_filled_is_refused():
    with pytest.raises(InputError, match=r"share of 0.75 of p=8 people is up to 6 .* has 4"):
        sampler(0.75, 0.25, p=8)
    with pytest.raises(InputError, match=r"share of 0.01 of p=4 people is nobody in an epoch of"):
        sampler(0.01, 0.99)
    with pytest.raises(InputError, match=r"the groups \[0, 1\] and 1 shares"):
        sampler(1.0)


def test_sources_without_a_share_are_one_group_and_the_same_people_too():
    def source(share=0.0, people=""):
        return SourceConfig(folder="x", share=share, people=people)

    sources = [source(), source(0.5, "a"), source(), source(people="a"), source(0.2)]
    groups, shares = share_groups(sources)
    assert groups == [2, 0, 2, 0, 1]
    assert shares == pytest.approx([0.5, 0.2, 0.3])
    assert share_groups([source(0.5), source(0.5)]) == ([0, 1], [0.5, 0.5])


def test_the_batches_of_a_run_keep_to_the_shares(tiny_run, people, others):
    sources = [
        {"folder": str(people), "names": "folders"},
        {"folder": str(others), "names": "folders", "share": 0.75, "one_camera": True},
    ]
    batches = CropBatches(tiny_run(data={"sources": sources}), torch.device("cpu"))
    plain = [{**one, "share": 0.0} for one in sources]
    assert len(batches) == len(CropBatches(tiny_run(data={"sources": plain}), torch.device("cpu")))
    for indices in batches.epoch(1):
        assert (indices >= 48).sum() == 6  # three in four people, two crops each
    assert batches.store.camids[48:].unique().numel() == 1
