"""Groups of near duplicates: the definition in loops, values in the head, measuring with them."""

from __future__ import annotations

import numpy as np
import pytest

from sanreid.errors import InputError
from sanreid.metrics import evaluate
from sanreid.metrics.near_duplicates import group_near_duplicates


def by_loops(pictures, pids, min_similarity):
    """Union of all pairs of one person that are alike, until nothing changes."""
    flat = pictures.reshape(len(pictures), -1).astype(float)
    groups = list(range(len(flat)))
    alike = [
        (i, j)
        for i in range(len(flat))
        for j in range(len(flat))
        if pids[i] == pids[j] and np.corrcoef(flat[i], flat[j])[0, 1] >= min_similarity
    ]
    for _ in flat:
        for i, j in alike:
            groups[i] = groups[j] = min(groups[i], groups[j])
    order = {}
    return [order.setdefault(group, len(order)) for group in groups]


@pytest.mark.parametrize("seed", range(4))
def test_groups_equal_their_definition(seed):
    rng = np.random.default_rng(seed)
    tracks = rng.standard_normal((6, 4, 3))
    pictures = tracks[rng.integers(0, 6, 30)] + 0.4 * rng.standard_normal((30, 4, 3))
    pids = rng.integers(0, 3, 30)
    assert group_near_duplicates(pictures, pids, min_similarity=0.8).tolist() == by_loops(
        pictures, pids, 0.8
    )


def test_a_chain_of_frames_is_one_group_and_brightness_does_not_count():
    frames = [[np.cos(a), np.sin(a), 0, 0] for a in np.linspace(0, 1.5, 12)]
    ends = group_near_duplicates([frames[0], frames[-1]], [1, 1])
    assert ends.tolist() == [0, 1]
    assert set(group_near_duplicates(frames, [1] * 12).tolist()) == {0}
    assert group_near_duplicates([[0, 1, 2], [10, 30, 50]], [1, 1]).tolist() == [0, 0]


def test_pictures_of_one_color_and_none_at_all():
    assert group_near_duplicates([[5, 5], [7, 7], [0, 1]], [1, 1, 1]).tolist() == [0, 0, 1]
    assert group_near_duplicates(np.zeros((0, 4)), []).tolist() == []


def test_a_number_and_its_text_are_two_people():
    assert group_near_duplicates([[0, 1, 2]] * 3, [7, "7", 7]).tolist() == [0, 1, 0]


def test_own_frames_are_left_out_of_a_measurement():
    # Two tracks per person. The encoder knows tracks and not people: each crop finds its track.
    pids = np.array([1, 1, 1, 1, 2, 2, 2, 2])
    pictures = np.repeat(np.eye(4), 2, axis=0)
    embeddings = np.array([[1, 0], [1, 0.01], [0, 1], [0.01, 1]] * 2, dtype=float)
    groups = group_near_duplicates(pictures, pids)
    assert groups.tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    easy = evaluate(embeddings, pids, np.arange(8), embeddings, pids, np.arange(8))
    fair = evaluate(embeddings, pids, groups, embeddings, pids, groups)
    assert fair.mAP < easy.mAP
    assert fair.num_valid_queries == 8


@pytest.mark.parametrize(
    ("pictures", "pids", "similarity"),
    [
        ([[1, 2]], [1, 2], 0.9),
        ([1, 2], [1, 2], 0.9),
        ([["a", "b"]], [1], 0.9),
        ([[np.nan, 1]], [1], 0.9),
        ([[1, 2]], [1], 1.5),
        ([[1, 2]], [None], 0.9),
        (np.zeros((2, 0)), [1, 2], 0.9),
    ],
)
def test_wrong_input(pictures, pids, similarity):
    with pytest.raises(InputError):
        group_near_duplicates(pictures, pids, min_similarity=similarity)


def test_pictures_of_one_color_and_identical_ones_are_alike():
    plain = np.stack([np.full((16, 8, 3), color / 255) for color in range(256)])
    assert not group_near_duplicates(plain, [1] * 256).any()
    far = np.array([[1.0, 2, 3, 0], [3.0, 2, 1, 0]]) + 1e8
    assert group_near_duplicates(far, [1, 1]).tolist() == [0, 1]
    pictures = np.random.default_rng(0).integers(0, 256, (200, 16, 8, 3), dtype=np.uint8)
    twice = np.repeat(pictures, 2, axis=0)
    groups = group_near_duplicates(twice, np.arange(400) // 2, min_similarity=1.0)
    assert (groups[::2] == groups[1::2]).all()
