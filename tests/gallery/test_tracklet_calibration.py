"""Thresholds without labels: against the definition, pair by pair, and what is refused."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from sanreid.errors import InputError
from sanreid.gallery import Gallery

DIM = 16


def recording(seed=0, cameras=2, people=12, seconds=30):
    """Crops of people who walk through cameras, each for some seconds, one crop a second."""
    rng = np.random.default_rng(seed)
    looks = rng.standard_normal((people, DIM)) + 0.6
    rows, names, camids, times = [], [], [], []
    for camera in range(cameras):
        for person in range(people):
            start = int(rng.integers(0, seconds))
            for second in range(start, start + int(rng.integers(2, 8))):
                rows.append(looks[person] + 0.8 * rng.standard_normal(DIM))
                names.append(f"{camera}/{person}")
                camids.append(camera)
                times.append(float(second))
    return np.array(rows), names, camids, times


def pairs_by_definition(rows, names, camids, times):
    """Similarities of genuine and of impostor pairs, two crops at a time."""
    unit = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    frames = list(zip(camids, times, strict=True))
    apart = {
        frozenset((names[a], names[b]))
        for a, b in combinations(range(len(rows)), 2)
        if names[a] != names[b] and frames[a] == frames[b]
    }
    genuine, impostor = [], []
    for a, b in combinations(range(len(rows)), 2):
        similarity = float(unit[a] @ unit[b])
        if names[a] == names[b]:
            genuine.append(similarity)
        elif frozenset((names[a], names[b])) in apart:
            impostor.append(similarity)
    return np.array(genuine), np.array(impostor)


def test_calibration_equals_its_definition():
    rows, names, camids, times = recording()
    gallery = Gallery(DIM)
    found = gallery.calibrate_tracklets(
        rows, names, camids=camids, timestamps=times, false_match_rate=0.05
    )
    genuine, impostor = pairs_by_definition(rows, names, camids, times)
    assert (found.num_genuine, found.num_impostor) == (len(genuine), len(impostor))
    assert found.num_people == len(set(names))
    assert found.source == "tracklets"
    assert "24 tracklets)" in repr(found)
    wanted = np.sort(impostor)[::-1][int(0.05 * len(impostor))]
    assert found.threshold == pytest.approx(wanted, abs=1e-4)
    assert found.false_match_rate == pytest.approx((impostor >= found.threshold).mean())
    missed = (genuine < found.threshold).mean()
    assert found.false_non_match_rate == pytest.approx(missed, abs=2e-3)
    low, high = found.interval
    assert low < found.false_match_rate < high
    assert gallery.calibration == found


def test_pairs_one_can_count():
    gallery = Gallery(2)
    found = gallery.calibrate_tracklets(
        [[1, 0], [1, 0.1], [0, 1], [0.1, 1], [1, 1]],
        ["a", "a", "b", "b", "c"],
        camids=[1, 1, 1, 1, 2],
        timestamps=[0.0, 1.0, 1.0, 2.0, 1.0],  # a and b meet at second 1; c is elsewhere
        false_match_rate=0.25,
    )
    assert (found.num_genuine, found.num_impostor) == (2, 4)
    assert found.false_match_rate <= 0.25
    assert found.false_non_match_rate == 0


def test_the_true_rate_is_about_the_measured_one():
    measured, true = [], []
    for seed in range(6):
        rows, names, _, times = recording(seed, cameras=1, people=20)
        found = Gallery(DIM).calibrate_tracklets(
            rows, names, timestamps=times, false_match_rate=0.05
        )
        unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
        upper = np.triu_indices(len(rows), 1)
        differ = np.array(names)[upper[0]] != np.array(names)[upper[1]]
        true.append(((unit @ unit.T)[upper][differ] >= found.threshold).mean())
        measured.append(found.false_match_rate)
    assert np.mean(true) == pytest.approx(np.mean(measured), rel=0.3)


def test_long_tracklets_are_thinned():
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((200, DIM))
    found = Gallery(DIM).calibrate_tracklets(
        rows, [0] * 100 + [1] * 100, timestamps=[float(n % 100) for n in range(200)],
        false_match_rate=0.1,
    )  # fmt: skip
    assert (found.num_genuine, found.num_impostor) == (2 * 16 * 15 // 2, 16 * 16)


def test_it_is_stored_and_normalised_by_cameras(tmp_path):
    rows, names, camids, times = recording()
    with Gallery.open(tmp_path / "g", dim=DIM) as gallery:
        gallery.add(rows, camids=camids)
        plain = gallery.calibrate_tracklets(
            rows, names, camids=camids, timestamps=times, false_match_rate=0.05
        )
        normalizer = gallery.normalize_cameras()
        assert gallery.calibration is None
        found = gallery.calibrate_tracklets(
            rows, names, camids=camids, timestamps=times, false_match_rate=0.05
        )
        alone = Gallery(DIM).calibrate_tracklets(
            normalizer(rows, camids), names, camids=camids, timestamps=times,
            false_match_rate=0.05,
        )  # fmt: skip
        assert found.threshold == pytest.approx(alone.threshold, abs=1e-4)
        assert found.threshold != plain.threshold
    with Gallery.open(tmp_path / "g", mode="r") as reader:
        assert reader.calibration == found
        assert len(reader.identify(rows[:2])) == 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"timestamps": [0.0, 0.0, 0.0, 2.0]},
         r"The tracklet 'a' has two crops in the frame of camera 1 at 0 s"),
        ({"timestamps": [1_700_000_000.25] * 4, "camids": ["gate"] * 4},
         "two crops in the frame of camera gate at 1700000000.25 s"),
        ({"camids": ["gate", "yard", "gate", "gate"]}, "has several camids: 'gate', 'yard'"),
        ({"timestamps": [0.0, 1.0, 7.0, 8.0]},
         "2 genuine and 0 impostor pairs of tracklets are too few .* 0 pairs of tracklets share"),
        ({"tracklet_names": ["a", "b", "c", "d"]}, "No tracklet has two crops"),
        ({"false_match_rate": 0.01}, "at least 1 and 100 are wanted"),
        ({"false_match_rate": 1.5}, "false_match_rate must lie between 0 and 1; got 1.5"),
        ({"confidence": 0}, "confidence must lie between 0 and 1; got 0"),
        ({"camids": [1, 2, 1, 1]}, "The tracklet 'a' has several camids: 1, 2"),
        ({"timestamps": [0.0]}, "timestamps must have one value per row: 4 rows, 1 values"),
        ({"tracklet_names": [0.5] * 4}, "tracklets must be int or str; row 0 is 0.5"),
        ({"embeddings": np.zeros((4, 2))}, "Row 0 of embeddings is all zeros"),
    ],
)  # fmt: skip
def test_bad_calibrations_change_nothing(change, message):
    gallery = Gallery(2)
    good = {
        "embeddings": [[1, 0], [1, 0.1], [0, 1], [0.1, 1]],
        "tracklet_names": ["a", "a", "b", "b"],
        "camids": [1, 1, 1, 1],
        "timestamps": [0.0, 1.0, 1.0, 2.0],
        "false_match_rate": 0.25,
    }
    gallery.calibrate_tracklets(**good)
    before = gallery.calibration
    with pytest.raises(InputError, match=message):
        gallery.calibrate_tracklets(**good | change)
    assert gallery.calibration == before
