"""Camera normalisation against its definition, its algebra for search, and odd input."""

from __future__ import annotations

import copy
import json
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sanreid import CameraNormalizer, InputError, cameras, evaluate
from sanreid.datasets.cameras import NO_CAMID


def crowd(seed, counts, *, people=40, dim=24, shift=0.8, noise=0.4):
    """(embeddings, pids, camids): people seen by cameras that each push them one way."""
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((people, dim)) / dim**0.5
    shifts = shift * rng.standard_normal((len(counts), dim)) / dim**0.5
    camids = np.repeat(np.arange(len(counts)), counts)
    pids = rng.integers(0, people, len(camids))
    spread = noise * rng.standard_normal((len(camids), dim)) / dim**0.5
    return centres[pids] + shifts[camids] + spread, pids + 1, camids + 3


def by_loops(embeddings, camids, shrinkage):
    """The definition in float64; ``shrinkage`` a number."""
    rows = [np.asarray(row, float) / np.linalg.norm(row) for row in embeddings]
    names = sorted(set(camids))
    means = {
        c: np.mean([r for r, k in zip(rows, camids, strict=True) if k == c], 0) for c in names
    }
    centre = np.mean(list(means.values()), axis=0)
    out = []
    for row, camid in zip(rows, camids, strict=True):
        moved = row - (centre + (1 - shrinkage) * (means[camid] - centre))
        out.append(moved / np.linalg.norm(moved))
    return np.array(out)


def shares_by_loops(embeddings, camids):
    """What "auto" keeps of each camera's deviation and of the mean over cameras, pair by pair."""
    rows = np.array([np.asarray(row, float) / np.linalg.norm(row) for row in embeddings])
    names = sorted(set(camids))
    of = [[i for i, k in enumerate(camids) if k == c] for c in names]
    means = np.array([rows[these].mean(axis=0) for these in of])
    centre = means.mean(axis=0)
    scatter = 1 - (rows.mean(axis=0) ** 2).sum()

    def covariance(vectors, least):
        directions = [row / np.linalg.norm(row) for row in vectors]

        def alike(i, j):
            return i == j or directions[i] @ directions[j] >= least

        shares = [[np.mean([alike(i, j) for i in a for j in b]) for b in of] for a in of]
        return scatter / (1 - np.mean(shares)) * np.array(shares)

    of_means = covariance(rows - centre, 0.35)
    count = len(names)
    chance = [of_means[c, c] - 2 * of_means[c].mean() + of_means.mean() for c in range(count)]
    real = max(0, (((means - centre) ** 2).sum() - sum(chance)) / count)
    length = (centre**2).sum()
    keep_centre = max(0, length - covariance(rows, 0.65).mean()) / length
    return [real / (real + one) for one in chance], keep_centre


@pytest.mark.parametrize("shrinkage", [0.0, 0.3, 1.0])
def test_equals_the_definition(shrinkage):
    embeddings, _, camids = crowd(0, [9, 30, 2])
    normalizer = CameraNormalizer.fit(embeddings, camids, shrinkage=shrinkage)
    result = normalizer(embeddings, camids)
    assert result.dtype == np.float32
    np.testing.assert_allclose(result, by_loops(embeddings, camids, shrinkage), atol=1e-5)


@pytest.mark.parametrize("counts", [[4, 5], [30, 9, 14], [2, 1, 60]])
def test_auto_equals_its_definition(counts):
    embeddings, _, camids = crowd(1, counts)
    normalizer = CameraNormalizer.fit(embeddings, camids)
    keep, keep_centre = shares_by_loops(embeddings, camids)
    rows = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
    means = np.array([rows[camids == camid].mean(axis=0) for camid in np.unique(camids)])
    centre = means.mean(axis=0)
    expected = keep_centre * centre + np.array(keep)[:, None] * (means - centre)
    np.testing.assert_allclose(normalizer.means[:-1], expected, atol=1e-5)


def test_a_value_worked_out_by_hand():
    # Two cameras on a circle: (1, 0) and (0, 1) have the mean (.5, .5); (0.6, 0.8) and (0.8, 0.6)
    # the mean (.7, .7). Taken out and normalised, all four lie on one diagonal.
    rows = [[1, 0], [0, 1], [0.6, 0.8], [8, 6]]
    result = CameraNormalizer.fit(rows, [1, 1, 2, 2], shrinkage=0.0)(rows, [1, 1, 2, 2])
    half = 0.5**0.5
    np.testing.assert_allclose(
        result, [[half, -half], [-half, half], [-half, half], [half, -half]], atol=1e-6
    )


@pytest.mark.parametrize("dim", [128, 512])  # in fewer, strangers are alike by chance
def test_strangers_under_one_camera_come_after_the_person_elsewhere(dim):
    embeddings, pids, camids = crowd(2, [300, 300], shift=1.0, dim=dim)
    labels = (pids, camids)
    before = evaluate(embeddings, *labels, embeddings, *labels).mAP
    rows = CameraNormalizer.fit(embeddings, camids)(embeddings, camids)
    assert evaluate(rows, *labels, rows, *labels).mAP > before + 0.1


def test_few_people_are_hardly_subtracted():
    # Every camera has seen one person, of whom 30 crops look alike: the mean is the person.
    rng = np.random.default_rng(3)
    centres = rng.standard_normal((4, 64))
    camids = np.repeat(np.arange(4), 30)
    embeddings = centres[camids] + 0.4 * rng.standard_normal((120, 64))
    means = CameraNormalizer.fit(embeddings, camids).means
    plain = CameraNormalizer.fit(embeddings, camids, shrinkage=0.0).means
    assert np.linalg.norm(means[:4], axis=1).max() < 0.3 * np.linalg.norm(plain[:4], axis=1).min()


def test_more_crops_are_shrunk_less():
    embeddings, _, camids = crowd(4, [4, 400, 400], people=400, dim=64, shift=0.5)
    normalizer = CameraNormalizer.fit(embeddings, camids)
    plain = CameraNormalizer.fit(embeddings, camids, shrinkage=0.0)
    centre, plain_centre = normalizer.means[-1], plain.means[-1]

    def kept(place):
        return np.linalg.norm(normalizer.means[place] - centre) / np.linalg.norm(
            plain.means[place] - plain_centre
        )

    assert kept(0) < 0.9 * kept(1)


def test_a_sample_of_large_cameras_estimates_the_same(monkeypatch):
    embeddings, _, camids = crowd(5, [300, 500], people=60)
    exact = CameraNormalizer.fit(embeddings, camids).means
    monkeypatch.setattr(cameras, "_PER_CAMERA", (16, 120))
    np.testing.assert_allclose(CameraNormalizer.fit(embeddings, camids).means, exact, atol=0.02)


def test_an_unknown_camera_takes_the_mean_over_cameras():
    embeddings, _, camids = crowd(6, [20, 60])
    normalizer = CameraNormalizer.fit(embeddings, camids)
    mean = (normalizer.means[0] + normalizer.means[1]) / 2
    np.testing.assert_allclose(normalizer.means[2], mean, atol=1e-6)
    rows = embeddings[:2] / np.linalg.norm(embeddings[:2], axis=1, keepdims=True) - mean
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    np.testing.assert_allclose(normalizer(embeddings[:2], [99, None]), rows, atol=1e-5)
    assert normalizer.counts == {3: 20, 4: 60}


def test_crops_without_a_camera_teach_nothing():
    embeddings, _, camids = crowd(7, [20, 30])
    known = CameraNormalizer.fit(embeddings[:40], camids[:40])
    column = [*camids[:40].tolist(), *[None] * 10]
    both = CameraNormalizer.fit(embeddings, column)
    np.testing.assert_array_equal(known.means, both.means)
    column = np.where(np.arange(50) < 40, camids, NO_CAMID)  # as a gallery keeps it
    np.testing.assert_array_equal(CameraNormalizer.fit(embeddings, column).means, both.means)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 99), counts=st.lists(st.integers(1, 12), min_size=2, max_size=5))
def test_offsets_and_lengths_give_normalised_similarities(seed, counts):
    embeddings, _, camids = crowd(seed, counts)
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    normalizer = CameraNormalizer.fit(embeddings, camids)
    queries = normalizer(embeddings[:3], [3, 4, 77][: len(embeddings[:3])])
    place = normalizer.mean_rows(camids, len(camids))
    dots = queries @ embeddings.astype(np.float32).T
    found = (dots - normalizer.offsets(queries)[:, place]) / normalizer.lengths(embeddings, camids)
    np.testing.assert_allclose(found, queries @ normalizer(embeddings, camids).T, atol=2e-5)
    np.testing.assert_allclose(np.linalg.norm(queries, axis=1), 1, atol=1e-6)


@pytest.mark.parametrize("shrinkage", ["auto", 0.0])
def test_crops_that_are_all_the_same_keep_a_direction(shrinkage):
    rows = np.tile([0.0, 3.0, 4.0], (5, 1))
    normalizer = CameraNormalizer.fit(rows, [1, 1, 2, 2, 2], shrinkage=shrinkage)
    result = normalizer(rows, [1, 1, 2, 2, 2])
    np.testing.assert_allclose(result, np.tile([0, 0.6, 0.8], (5, 1)), atol=1e-5)


def test_json_keeps_every_bit():
    embeddings, _, camids = crowd(8, [10, 11, 12])
    normalizer = CameraNormalizer.fit(embeddings, camids)
    again = CameraNormalizer.from_dict(json.loads(json.dumps(normalizer.to_dict())))
    np.testing.assert_array_equal(again.means, normalizer.means)
    assert again.means.dtype == np.float32
    assert again.counts == normalizer.counts
    assert repr(again) == "CameraNormalizer(3 cameras, 33 crops)"


@pytest.mark.parametrize(
    "again", [copy.copy, copy.deepcopy, lambda n: pickle.loads(pickle.dumps(n))]
)
def test_copies_are_the_same_and_cannot_be_written_to(again):
    embeddings, _, camids = crowd(8, [10, 11])
    names = np.array(["hall", 4], dtype=object)[camids - 3]
    normalizer = CameraNormalizer.fit(embeddings, names, shrinkage=0.5)
    copied = again(normalizer)
    assert copied.to_dict() == normalizer.to_dict()
    for array in (copied.camids, copied.means):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0


def test_cameras_of_any_numbers_come_back():
    camids = np.repeat([-(2**62) - 5, 2**63 - 1], 4)
    fitted = CameraNormalizer.fit(np.random.default_rng(0).normal(size=(8, 4)), camids)
    assert CameraNormalizer.from_dict(fitted.to_dict()).to_dict() == fitted.to_dict()


def test_cameras_may_have_names():
    embeddings, _, camids = crowd(8, [10, 11, 12])
    named = np.array(["hall", "yard", 5], dtype=object)[camids - 3]
    normalizer = CameraNormalizer.fit(embeddings, named)
    assert normalizer.counts == {"hall": 10, "yard": 11, 5: 12}
    expected = CameraNormalizer.fit(embeddings, camids)(embeddings, camids)
    state = json.loads(json.dumps(normalizer.to_dict()))
    assert sorted(state["camids"], key=str) == [5, "hall", "yard"]
    for one in (normalizer, CameraNormalizer.from_dict(state)):
        np.testing.assert_allclose(one(embeddings, named.tolist()), expected, atol=1e-6)
        assert one.counts == normalizer.counts


@pytest.mark.parametrize(
    "change",
    [
        lambda fields: fields.pop("means"),
        lambda fields: fields.update(camids=[4, 3]),
        lambda fields: fields.update(camids="yard"),
        lambda fields: fields.update(counts=[1]),
        lambda fields: fields.update(counts=[1.5, 2]),
        lambda fields: fields.update(counts=[-1, 2]),
        lambda fields: fields.update(counts=7),
        lambda fields: fields.update(means=[[0.1], [0.1]]),
        lambda fields: fields.update(means=[[2.0], [0.1], [0.1]]),
        lambda fields: fields.update(means=[[float("nan")], [0.1], [0.1]]),
        lambda fields: fields.update(means="none"),
        lambda fields: fields.update(camids=[], counts=[], means=[[0.1]]),
    ],
)
def test_a_damaged_state_is_refused(change):
    fields = {"camids": [3, 4], "counts": [1, 2], "means": [[0.2], [0.1], [0.15]]}
    CameraNormalizer.from_dict(fields)
    change(fields)
    with pytest.raises(InputError, match="no camera normaliser"):
        CameraNormalizer.from_dict(fields)


@pytest.mark.parametrize(
    ("embeddings", "camids", "message"),
    [
        ([[1, 2], [float("nan"), 1]], [1, 2], "Row 1 of embeddings has norm nan"),
        ([[1, 2], [0, 0]], [1, 2], "Row 1 of embeddings has norm 0"),
        ([[1, 2], [3, 4]], [1], "one value per row: 2 rows, 1 values"),
        ([[1, 2], [3, 4]], [1, 1], "at least two; got 1 \\(1\\)"),
        ([[1, 2], [3, 4]], [None, None], "at least two; got 0 \\(none is known\\)"),
        ([[1, 2], [3, 4]], [1, 2.5], "row 1 is 2.5"),
        ([[1, 2], [3, 4]], [1, "2"], "camids must be int, a name or None; row 1 is '2'"),
        ([[1, 2], [3, 4]], ["hall", "hall"], "at least two; got 1 \\(hall\\)"),
        ([[1, 2], [3, 4]], [True, None], "row 0 is True"),
        ([[1, 2], [3, 4]], [1, 2**63], "row 1 is"),
        ([[1, 2], [3, 4]], [1, float("nan")], "row 1 is nan"),
        (np.empty((0, 2)), [], "embeddings are empty"),
        ([1, 2], [1, 2], "matrix"),
    ],
)
def test_wrong_input_is_refused(embeddings, camids, message):
    with pytest.raises(InputError, match=message):
        CameraNormalizer.fit(embeddings, camids)


def test_wrong_input_of_a_fitted_one():
    embeddings, _, camids = crowd(9, [5, 6])
    normalizer = CameraNormalizer.fit(embeddings, camids)
    with pytest.raises(InputError, match="have 3 dimensions, the normaliser 24"):
        normalizer([[1, 2, 3]], [3])
    with pytest.raises(InputError, match="1 rows, 2 values"):
        normalizer(embeddings[:1], [3, 4])
    for wrong in (-0.1, 1.5, "full", None, np.array([0.1, 0.2])):
        with pytest.raises(InputError, match="shrinkage"):
            CameraNormalizer.fit(embeddings, camids, shrinkage=wrong)


def test_no_rows_are_no_rows():
    embeddings, _, camids = crowd(9, [5, 6])
    normalizer = CameraNormalizer.fit(embeddings, camids)
    assert normalizer(np.empty((0, 24)), []).shape == (0, 24)
    with pytest.raises(InputError, match="are empty"):
        normalizer(np.empty((1, 0)), [3])


def test_the_input_stays_as_it_was():
    embeddings, _, camids = crowd(10, [5, 6])
    kept = embeddings.copy(), camids.copy()
    CameraNormalizer.fit(embeddings, camids)(embeddings, camids)
    np.testing.assert_array_equal(embeddings, kept[0])
    np.testing.assert_array_equal(camids, kept[1])


@pytest.mark.parametrize("camids", [["7", 9], ["", 9], [1.5, 2], [True, 2], [None, 2], "ab"])
def test_a_state_with_cameras_that_nobody_has_is_refused(camids):
    fields = {"camids": camids, "counts": [1, 1], "means": [[0.1, 0.0]] * 3}
    with pytest.raises(InputError):
        CameraNormalizer.from_dict(fields)
