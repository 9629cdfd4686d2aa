"""Figures of a clustering against their definitions, pair by pair and crop by crop."""

from __future__ import annotations

import itertools
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sanreid import ClusteringReport, InputError, evaluate_clustering


def by_loops(labels, pids):
    """(precision, recall) pairwise and BCubed, by definition."""
    labels = [("alone", i) if label == -1 else label for i, label in enumerate(labels)]
    crops = range(len(labels))
    joined = {(i, j) for i, j in itertools.combinations(crops, 2) if labels[i] == labels[j]}
    real = {(i, j) for i, j in itertools.combinations(crops, 2) if pids[i] == pids[j]}
    pairwise = (
        len(joined & real) / len(joined) if joined else 1,
        len(joined & real) / len(real) if real else 1,
    )
    precision, recall = [], []
    for i in crops:
        cluster = {j for j in crops if labels[j] == labels[i]}
        person = {j for j in crops if pids[j] == pids[i]}
        precision.append(len(cluster & person) / len(cluster))
        recall.append(len(cluster & person) / len(person))
    return pairwise, (np.mean(precision), np.mean(recall))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(-1, 4), st.sampled_from(["a", "b", 3, 4])), min_size=1))
def test_equals_the_definition(crops):
    labels, pids = zip(*crops, strict=True)
    report = evaluate_clustering(list(labels), list(pids))
    pairwise, bcubed = by_loops(labels, pids)
    assert (report.pairwise_precision, report.pairwise_recall) == pytest.approx(pairwise)
    assert (report.bcubed_precision, report.bcubed_recall) == pytest.approx(bcubed)
    for f1, (precision, recall) in (
        (report.pairwise_f1, pairwise),
        (report.bcubed_f1, bcubed),
    ):
        expected = 2 * precision * recall / (precision + recall) if precision + recall else 0
        assert f1 == pytest.approx(expected)
    assert report.num_crops == len(labels)
    assert report.num_people == len(set(pids))


def test_a_value_worked_out_by_hand():
    # Clusters {a, a, b} and {b, b}: of 3 + 1 joined pairs 1 + 1 are right; of 1 + 3 real ones 2.
    report = evaluate_clustering([0, 0, 0, 1, 1], ["a", "a", "b", "b", "b"])
    assert (report.pairwise_precision, report.pairwise_recall) == (0.5, 0.5)
    assert report.bcubed_precision == pytest.approx((2 / 3 + 2 / 3 + 1 / 3 + 1 + 1) / 5)
    assert report.bcubed_recall == pytest.approx((1 + 1 + 1 / 3 + 2 / 3 + 2 / 3) / 5)
    assert (report.num_clusters, report.num_alone, report.num_people) == (2, 0, 2)
    assert isinstance(report, ClusteringReport)
    assert report.as_dict()["pairwise_f1"] == 0.5
    assert "pairwise F1 0.500" in repr(report)


def test_all_right_and_all_alone():
    right = evaluate_clustering([1, 1, 0], [5, 5, 6])
    assert right.pairwise_f1 == right.bcubed_f1 == right.adjusted_mutual_information == 1
    alone = evaluate_clustering([-1, -1, -1], [5, 5, 6])
    assert (alone.pairwise_precision, alone.pairwise_recall, alone.pairwise_f1) == (1, 0, 0)
    assert (alone.num_clusters, alone.num_alone) == (0, 3)
    assert alone.bcubed_precision == 1


def test_junk_and_unknown_people_are_not_counted():
    counted = evaluate_clustering([0, 0, 1], [5, 6, 6])
    with_others = evaluate_clustering([0, 0, 1, 1, 0, 0], [5, 6, 6, -1, None, "-1"])
    assert with_others == counted


def test_labels_and_pids_are_not_changed():
    labels, pids = np.array([-1, 0, 0]), np.array([4, 4, 4])
    evaluate_clustering(labels, pids)
    assert labels.tolist() == [-1, 0, 0]


@pytest.mark.parametrize(
    "pids",
    [
        pd.Series([7, None, 7, 8], dtype="Int64"),
        pd.Series(["a", None, "a", "b"]),
        np.ma.array([7, 0, 7, 8], mask=[0, 1, 0, 0]),
    ],
)
def test_people_that_a_table_lacks_are_not_counted(pids):
    report = evaluate_clustering([0, 0, 0, -1], pids)
    assert str(report).endswith("1 cluster and 1 alone, 2 people, 3 crops")


@pytest.mark.parametrize(
    ("labels", "pids", "message"),
    [
        ([0, 1], [1], "one value per label, 2 in all; got 1"),
        ([0.5, 1], [1, 2], "labels are whole numbers"),
        ([[0, 1]], [1, 2], "labels are whole numbers"),
        ([-2, 1], [1, 2], "-1 \\(alone\\) or cluster numbers from 0; got -2"),
        ([0, 1], [1, 2.5], "pids must be int, str or None; row 1 is 2.5"),
        ([0, 1], [True, 2], "row 0 is True"),
        ([0, 1], [1, np.array([1, 2])], r"row 1 is ndarray of shape \(2,\)"),
        ([0, 1], [None, -1], "No crop has a pid"),
        ([], [], "No crop has a pid"),
        ([[]], [1], "labels are whole numbers"),
        ([0.0], [1], "labels are whole numbers"),
        ([0], 5, "pids"),
        (np.ma.array([0, 0, 1], mask=[0, 0, 1]), [1, 1, 2], "labels hold masked numbers"),
    ],
)
def test_wrong_input_is_refused(labels, pids, message):
    with pytest.raises(InputError, match=message):
        evaluate_clustering(labels, pids)


def test_labels_may_be_any_whole_numbers():
    large = np.array([2**64 - 1, 2**64 - 1, 2**63, 3], dtype=np.uint64)
    people = [7, 7, 8, 8]
    assert evaluate_clustering(large, people) == evaluate_clustering([2, 2, 1, 0], people)
    signed = [2**63 - 1, 2**63 - 1, -1, -1]
    assert evaluate_clustering(signed, people) == evaluate_clustering([0, 0, -1, -1], people)


def test_a_clustering_in_place_of_its_labels_is_told():
    found = SimpleNamespace(labels=np.array([0, 0]))
    with pytest.raises(InputError, match=r"pass its \.labels"):
        evaluate_clustering(found, [1, 1])
