from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch

from sanreid.errors import GalleryError, InputError
from sanreid.gallery import Calibration, Gallery, calibration, identification
from tests.gallery.reference import unit

EYE = np.eye(4)


def crops(people, each, *, dim=12, spread=0.6, seed=0):
    """Crops of ``people`` people, ``each`` of them under two cameras in turn."""
    rng = np.random.default_rng(seed)
    pids = np.repeat(np.arange(people), each)
    rows = rng.standard_normal((people, dim))[pids]
    rows = rows + spread * rng.standard_normal((len(pids), dim))
    return rows, pids, np.tile(np.arange(each) % 2, people)


def rates_by_loops(rows, pids, camids, threshold):
    """The definition: each pair of crops across cameras once."""
    matches = {True: [], False: []}
    rows = unit(rows)
    for a, b in itertools.combinations(range(len(rows)), 2):
        if camids is None or camids[a] != camids[b]:
            matches[bool(pids[a] == pids[b])].append(float(rows[a] @ rows[b]) >= threshold)
    return np.mean(matches[False]), 1 - np.mean(matches[True]), matches


@pytest.mark.parametrize("with_cameras", [False, True])
def test_calibration_equals_its_definition(with_cameras, monkeypatch):
    monkeypatch.setattr(calibration, "_BLOCK", 32)
    rows, pids, camids = crops(25, 4)
    camids = camids if with_cameras else None
    found = Gallery(12).calibrate(rows, pids, camids, false_match_rate=0.05)
    matched, missed, matches = rates_by_loops(rows, pids, camids, found.threshold)
    assert found.false_match_rate == pytest.approx(matched, abs=2e-3)
    assert found.false_non_match_rate == pytest.approx(missed, abs=2e-2)
    assert found.false_match_rate <= 0.05
    lower, _, _ = rates_by_loops(rows, pids, camids, found.threshold - 0.005)
    assert lower > 0.045  # no much lower threshold would do
    assert found.num_genuine == len(matches[True]) == sum(found.genuine_histogram)
    assert found.num_impostor == len(matches[False]) == sum(found.impostor_histogram)
    assert found.num_people == 25
    low, high = found.interval
    assert 0 < low < found.false_match_rate < high < 1
    assert found.false_match_rates[0] == 1
    assert found.false_match_rates[-1] == found.false_non_match_rates[0] == 0
    assert found.false_non_match_rates[-1] == 1
    middle = found.thresholds.index(0.0)
    assert found.false_match_rates[middle] == pytest.approx(
        rates_by_loops(rows, pids, camids, 0.0)[0], abs=2e-3
    )
    assert "Calibration(threshold=" in repr(found)


def test_a_threshold_one_can_see():
    # Two crops each of three people on the axes; strangers' cosines are 0, one pair's is 0.6.
    rows = [[1, 0, 0, 0]] * 2 + [[0.6, 0.8, 0, 0]] * 2 + [[0, 0, 1, 0]] * 2
    found = Gallery(4).calibrate(rows, [1, 1, 2, 2, 3, 3], false_match_rate=0.1)
    assert (found.num_genuine, found.num_impostor) == (3, 12)
    assert found.false_match_rate == 0
    assert found.threshold == pytest.approx(0.6, abs=1e-4)
    assert found.interval == (0.0, pytest.approx(-math.log(0.05) / 3))
    found = Gallery(4).calibrate(rows, [1, 1, 2, 2, 3, 3], false_match_rate=1 / 3)
    assert found.false_match_rate == pytest.approx(4 / 12)
    assert found.threshold == pytest.approx(0.0, abs=1e-4)


def test_rates_count_pairs_on_the_threshold_as_matches(monkeypatch):
    monkeypatch.setattr(calibration, "_BINS", 64)
    rows, pids, _ = crops(12, 3)
    found = Gallery(12).calibrate(rows, pids, false_match_rate=0.1)
    matched, missed, _ = rates_by_loops(rows, pids, None, found.threshold)
    assert found.false_match_rate == pytest.approx(matched)
    assert found.false_non_match_rate == pytest.approx(missed)
    assert found.threshold * 32 == round(found.threshold * 32)


def test_the_interval_holds_for_other_people():
    inside = 0
    for seed in range(20):
        rows, pids, camids = crops(80, 4, seed=seed)
        half = pids < 40
        found = Gallery(12).calibrate(rows[half], pids[half], camids[half], false_match_rate=0.02)
        other, _, _ = fast_rates(rows[~half], pids[~half], camids[~half], found.threshold)
        inside += found.interval[0] <= other <= found.interval[1]
    assert inside >= 17


def fast_rates(rows, pids, camids, threshold):
    near = unit(rows) @ unit(rows).T >= threshold
    counted = np.triu(camids[:, None] != camids, 1) & (pids[:, None] != pids)
    return near[counted].mean(), None, None


def test_rows_without_person_or_camera_are_left_out():
    rows, pids, camids = crops(10, 4)
    plain = Gallery(12).calibrate(rows, pids, camids, false_match_rate=0.1)
    more = np.concatenate([rows, rows[:3]])
    nobody = [*pids.tolist(), None, 5, None]
    nowhere = [*camids.tolist(), 0, None, 1]
    assert Gallery(12).calibrate(more, nobody, nowhere, false_match_rate=0.1) == plain


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"pids": [1, 1, 2, 2]}, "at least 3 people; got 2"),
        ({"pids": [1, 2, 3, 4]}, "0 genuine and 6 impostor pairs are too few"),
        ({"false_match_rate": 0.01}, "2 genuine|1 genuine and 5 impostor pairs are too few"),
        ({"camids": [1, 1, 1, 1]}, "0 genuine and 0 impostor pairs across cameras"),
        ({"false_match_rate": 0}, "false_match_rate must lie between 0 and 1; got 0"),
        ({"false_match_rate": "x"}, "false_match_rate must be a finite number"),
        ({"confidence": 1.0}, "confidence must lie between 0 and 1"),
        ({"pids": [1, 1, 2]}, "pids must have one value per row"),
        ({"embeddings": EYE[:, :2]}, "embeddings have 2 dimensions"),
    ],
)
def test_bad_calibrations_say_what_is_wrong(change, message):
    arguments = {"embeddings": EYE, "pids": [1, 1, 2, 3], "false_match_rate": 0.5, **change}
    with pytest.raises(InputError, match=message):
        Gallery(4).calibrate(arguments.pop("embeddings"), arguments.pop("pids"), **arguments)


def test_the_calibration_is_stored(tmp_path):
    rows, pids, camids = crops(10, 4)
    with Gallery.open(tmp_path / "g", dim=12, encoder_fingerprint="aa") as gallery:
        assert gallery.calibration is None
        found = gallery.calibrate(rows, pids, camids, false_match_rate=0.1)
        gallery.add(rows[:3])
        gallery.compact()
        assert gallery.calibration == found
        with pytest.raises(GalleryError, match="these come from bb"):
            gallery.calibrate(rows, pids, encoder_fingerprint="bb")
    loaded = Gallery.load(tmp_path / "g")
    assert loaded.calibration == found == Calibration.from_dict(found.to_dict())
    assert loaded.encoder_fingerprint == "aa"
    reader = Gallery.open(tmp_path / "g", mode="r")
    with reader, pytest.raises(GalleryError, match='mode="r"'):
        reader.calibrate(rows, pids, false_match_rate=0.1)


@pytest.fixture
def people():
    """Anna near the first axis three times, Bert once nearer, and someone unnamed nearest."""
    gallery = Gallery(3)
    gallery.add(
        [[1, 0.5, 0], [1, 0.6, 0], [0, 1, 0.1], [1, 0.1, 0], [1, 0, 0]],
        pids=["anna", "anna", "anna", "bert", None],
        camids=[1, 2, 1, 1, 1],
    )
    return gallery


def test_identify_by_the_best_entry(people):
    (found,) = people.identify([[1, 0, 0]], threshold=0.9)
    assert (found.pid, found.candidate, found.entry_ids) == ("bert", "bert", (3,))
    assert found.similarity == pytest.approx(1 / math.sqrt(1.01))
    assert found.margin == pytest.approx(1 / math.sqrt(1.01) - 1 / math.sqrt(1.25))
    assert people.identify([[1, 0.1, 0]], threshold=1.0)[0].pid == "bert"  # on the threshold
    (unknown,) = people.identify([[0, 0, 1]], threshold=0.9)
    assert (unknown.pid, unknown.candidate) == (None, "anna")


def test_identify_by_the_mean_of_the_best(people):
    query = [0.9, 1, 0]
    (best,) = people.identify(query, threshold=0.0)
    (mean,) = people.identify(query, threshold=0.0, group="mean", top=2)
    assert best.entry_ids == (1,)
    assert mean.entry_ids == (1, 0)
    rows = unit([[1, 0.6, 0], [1, 0.5, 0]]).astype(float) @ unit([query])[0]
    assert mean.similarity == pytest.approx(rows.mean(), abs=1e-6)
    (fewer,) = people.identify([1, 0, 0], threshold=0.0, group="mean", top=2)
    assert (fewer.pid, fewer.entry_ids) == ("bert", (3,))


def test_identify_under_rules(people):
    (found,) = people.identify([1, 0, 0], threshold=0.5, where={"camid": 2})
    assert (found.pid, found.entry_ids) == ("anna", (1,))
    assert math.isnan(found.margin)
    (found,) = people.identify([1, 0, 0], threshold=0.5, query_pids=["bert"], query_camids=[1])
    assert found.pid == "anna"
    (nobody,) = people.identify([1, 0, 0], threshold=0.5, where={"camid": 9})
    assert (nobody.pid, nobody.candidate, nobody.entry_ids) == (None, None, ())
    assert math.isnan(nobody.similarity)
    assert people.identify(np.empty((0, 3)), threshold=0.5) == []


@pytest.mark.parametrize("group", ["best", "mean"])
@pytest.mark.parametrize("first_k", [1, 2, 32])
def test_identify_equals_its_definition(group, first_k, monkeypatch):
    monkeypatch.setattr(identification, "_FIRST_K", first_k)
    rng = np.random.default_rng(5)
    rows, pids = rng.standard_normal((60, 4)), rng.integers(0, 9, 60)
    pids[pids == 8] = np.arange(100, 100 + (pids == 8).sum())  # some with one entry alone
    gallery = Gallery(4)
    gallery.add(rows, pids=pids)
    queries = rng.standard_normal((25, 4))
    for query, found in zip(queries, gallery.identify(
        queries, threshold=0.8, group=group, top=3
    ), strict=True):  # fmt: skip
        means = {}
        for pid in set(pids.tolist()):
            near = np.sort(unit(rows[pids == pid]).astype(float) @ unit([query])[0])[::-1]
            means[pid] = near[: 3 if group == "mean" else 1].mean()
        ranked = sorted(means, key=lambda pid: -means[pid])
        assert found.candidate == ranked[0]
        assert found.pid == (ranked[0] if means[ranked[0]] >= 0.8 else None)
        assert found.similarity == pytest.approx(means[ranked[0]], abs=1e-6)
        assert found.margin == pytest.approx(means[ranked[0]] - means[ranked[1]], abs=1e-6)


def test_a_calibrated_gallery_needs_no_threshold(people):
    with pytest.raises(InputError, match="not calibrated: call calibrate"):
        people.identify([1, 0, 0])
    rows, pids, camids = crops(10, 4, dim=3, spread=0.1)
    threshold = people.calibrate(rows, pids, camids, false_match_rate=0.1).threshold
    (found,) = people.identify([1, 0, 0])
    assert found == people.identify([1, 0, 0], threshold=threshold)[0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"group": "worst"}, "group must be 'best' or 'mean'"),
        ({"top": 0}, "top must be at least 1"),
        ({"threshold": float("nan")}, "threshold must be a finite number"),
        ({"query_pids": ["a"]}, "query_pids need query_camids"),
    ],
)
def test_bad_identifications(people, arguments, message):
    with pytest.raises(InputError, match=message):
        people.identify([1, 0, 0], **{"threshold": 0.5, **arguments})


def test_open_set_rates_one_can_count():
    gallery = Gallery(2)
    gallery.add([[1, 0], [0, 1]], pids=["anna", "bert"])
    # Enrolled: anna right at 1.0, bert taken for anna, bert right at 0.8. Strangers: 0.95, 0.71.
    queries = [[1, 0], [0.9, 0.1], [0.6, 0.8], [0.95, -0.3122], [-0.70, 0.71]]
    pids = ["anna", "bert", "bert", "carl", "dora"]
    report = gallery.evaluate_open_set(queries, pids, false_alarm_rates=[0, 0.5, 1])
    assert (report.num_enrolled, report.num_non_enrolled) == (3, 2)
    assert report.identification_rates == pytest.approx((1 / 3, 2 / 3, 2 / 3))
    assert report.measured_false_alarm_rates == (0, 0.5, 1)
    assert 0.95 < report.thresholds[0] < 0.951
    assert 0.71 < report.thresholds[1] < 0.713
    assert report.thresholds[2] == -1


def test_open_set_leaves_out_the_querys_camera():
    gallery = Gallery(2)
    gallery.add([[1, 0], [0, 1]], pids=["anna", "bert"], camids=[1, 1])
    report = gallery.evaluate_open_set(
        [[1, 0], [1, 0], [0, -1]], ["anna", "anna", "x"], [1, 2, 1],
        false_alarm_rates=[1.0], where={"camid": 1},
    )  # fmt: skip
    assert report.identification_rates == (1.0,)
    assert (report.num_enrolled, report.num_non_enrolled) == (1, 2)


def test_a_person_seen_by_the_querys_camera_alone_is_a_stranger_to_it():
    gallery = Gallery(2)
    gallery.add([[1, 0], [1, 0], [0, 1]], pids=["anna", "anna", "bert"], camids=[1, None, 1])
    queries, pids = [[1, 0], [0, 1], [0, 1]], ["anna", "bert", "bert"]
    # anna's entry without a camera is left; bert's only entry is left out for camera 1.
    report = gallery.evaluate_open_set(
        queries, iter(pids), iter([1, 1, None]), false_alarm_rates=[1.0]
    )
    assert (report.num_enrolled, report.num_non_enrolled) == (2, 1)
    assert report.identification_rates == (1.0,)
    with pytest.raises(
        InputError, match="people in the gallery .* and of people who are not enrolled"
    ):
        gallery.evaluate_open_set(queries, pids, false_alarm_rates=[1.0])


def test_a_query_with_nothing_to_compare_is_no_false_alarm():
    gallery = Gallery(2)
    gallery.add([[1, 0]], pids=["anna"], camids=[1])
    # The second query may find nothing: its similarity is NaN, which no threshold names.
    report = gallery.evaluate_open_set(
        [[1, 0], [1, 0], [0.6, 0.8]], ["anna", "anna", "x"], [2, 1, 2], false_alarm_rates=[0, 0.5]
    )
    assert (report.num_enrolled, report.num_non_enrolled) == (1, 2)
    assert report.thresholds[0] == pytest.approx(0.6, abs=1e-6)
    assert report.thresholds[0] > 0.6
    assert report.measured_false_alarm_rates == (0, 0.5)
    assert report.identification_rates == (1, 1)
    assert report.num_strangers == 2


def test_open_set_needs_both_kinds_of_queries(people):
    for pids in (["anna"], ["x"], [None]):
        with pytest.raises(
            InputError, match="people in the gallery .* and of people who are not enrolled"
        ):
            people.evaluate_open_set([[1, 0, 0]], pids)
    with pytest.raises(
        InputError, match="false_alarm_rates must be a number between 0 and 1; got 2"
    ):
        people.evaluate_open_set([[1, 0, 0]] * 2, ["anna", "x"], false_alarm_rates=[2])


def test_a_mean_over_more_than_there_are_is_one_over_all():
    gallery = Gallery(2)
    gallery.add([[1, 0], [0, 1], [0, 1]], pids=[1, 1, 2])
    for top in (2, 10**18):
        (found,) = gallery.identify([[0, 1]], group="mean", top=top, threshold=0.5)
        assert (found.pid, found.similarity, found.margin) == (2, 1.0, 0.5)


@pytest.mark.parametrize(
    "rates",
    [0.1, ["0.1"], [float("nan")], [1.5], [True], np.array(0.1), torch.tensor(0.1),
     pytest.param([10**5000], id="long"), pytest.param(10**5000, id="long number")],
)  # fmt: skip
def test_bad_false_alarm_rates(rates):
    gallery = Gallery(2)
    gallery.add([[1, 0]], pids=[1])
    with pytest.raises(
        InputError, match="false_alarm_rates must be a (list|number between 0 and 1); got"
    ):
        gallery.evaluate_open_set([[1, 0], [0, 1]], [1, 2], false_alarm_rates=rates)
