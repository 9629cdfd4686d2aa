"""The contract of a gallery holds wherever it is kept: tests of the others, run on every store.

Each is a test of its own file, with what it parametrises; here its galleries are opened on a
store instead of in memory.
"""

from __future__ import annotations

import inspect
import itertools

import pytest

from sanreid.gallery import Gallery
from sanreid.gallery.milvus import connection
from sanreid.gallery.storage.opening import open_store
from tests.gallery import (
    test_camera_normalization,
    test_entries,
    test_filters,
    test_open_set,
    test_people,
    test_refinement,
    test_search,
)
from tests.gallery.milvus import fake
from tests.gallery.milvus.conftest import fake_server  # noqa: F401 - a fixture

CONTRACT = {
    test_entries: """what_was_added_is_what_is_got  get_keeps_the_order_asked_for
        entries_are_copies  len_in_and_ids  a_removed_id_may_be_given_by_the_caller
        nothing_added_gives_no_ids  bad_rows_say_what_is_wrong_and_change_nothing
        ids_of_numpy_and_of_any_order  ids_run_out_at_the_last_one  removed_entries_are_not_found
        remove_by_ids_and_by_condition  an_unknown_id_is_a_key_error_and_changes_nothing
        remove_wants_one_of_ids_and_where  update_changes_what_is_given_and_nothing_else
        bad_updates_change_nothing  the_first_fingerprint_given_is_kept""",
    test_search: """cosines_one_can_see  types_and_fills  an_empty_gallery_gives_empty_rows
        no_queries_give_no_rows  one_vector_is_one_query  min_similarity_takes_in_its_own_value
        ties_fall_to_the_smaller_id_whatever_the_order_of_adding
        market_rule_leaves_out_same_person_under_same_camera
        camera_alone_leaves_out_its_entries  bad_searches_say_what_is_wrong
        another_encoder_is_refused_by_name""",
    test_filters: """each_meaning  filters_see_entries_added_after_a_key_was_first_used
        numbers_at_the_borders_of_64_bits  timestamps_as_large_as_a_float_holds""",
    test_people: """a_gallery_without_people_is_clustered_and_named
        merge_makes_people_one  split_makes_a_new_person  rename_keeps_the_entries
        bad_names_change_nothing""",
    test_open_set: """identify_by_the_best_entry  identify_by_the_mean_of_the_best
        identify_under_rules  a_calibrated_gallery_needs_no_threshold""",
    test_camera_normalization: """search_equals_that_of_normalised_embeddings
        rules_filters_and_least_similarities_hold  stored_embeddings_stay_and_it_can_be_turned_off
        calibration_is_one_of_normalised_similarities""",
    test_refinement: """rerank_orders_the_candidates_by_their_neighbourhoods
        expand_adds_the_best_hits_to_the_query""",
}  # fmt: skip
ON_LITE = [
    "what_was_added_is_what_is_got",
    "update_changes_what_is_given_and_nothing_else",
    "a_removed_id_may_be_given_by_the_caller",
    "remove_by_ids_and_by_condition",
    "ties_fall_to_the_smaller_id_whatever_the_order_of_adding",
    "market_rule_leaves_out_same_person_under_same_camera",
    "types_and_fills",
    "min_similarity_takes_in_its_own_value",
    "a_calibrated_gallery_needs_no_threshold",
    "stored_embeddings_stay_and_it_can_be_turned_off",
    "merge_makes_people_one",
]  # each takes a second
TESTS = [
    getattr(module, f"test_{name}") for module, names in CONTRACT.items() for name in names.split()
]
number = itertools.count()


def cases(test):
    """Yield the arguments that a test is parametrised with."""
    marks = [mark for mark in getattr(test, "pytestmark", []) if mark.name == "parametrize"]
    for values in itertools.product(*(mark.args[1] for mark in marks)):
        arguments = {}
        for mark, given in zip(marks, values, strict=True):
            names = mark.args[0]
            names = [one.strip() for one in names.split(",")] if isinstance(names, str) else names
            if isinstance(given, type(pytest.param())):
                listed = given.values
            else:
                listed = given if len(names) > 1 else (given,)
            arguments |= dict(zip(names, listed, strict=True))
        yield arguments


def fixture(module, name, request, arguments):
    """Return a fixture's value: the file's own, made anew, or one of pytest's."""
    own = getattr(module, name, None)
    if own is None:
        return request.getfixturevalue(name)
    function = getattr(own, "_fixture_function", None) or inspect.unwrap(own)
    needed = inspect.signature(function).parameters
    return function(**{one: fixture(module, one, request, arguments) for one in needed})


def run(test, request):
    """Run a test with each of its arguments."""
    module = inspect.getmodule(test)
    for arguments in cases(test):
        needed = inspect.signature(test).parameters
        test(**{
            name: arguments[name] if name in arguments
            else fixture(module, name, request, arguments)
            for name in needed
        })  # fmt: skip


def open_on(monkeypatch, address):
    """Open galleries at addresses with a number in them instead of in memory."""

    def init(self, dim, *, index="auto", encoder_fingerprint=None):
        self._store = open_store(
            address.format(next(number)),
            dim=dim,
            mode="rw",
            index=index,
            fingerprint=encoder_fingerprint,
        )

    monkeypatch.setattr(Gallery, "__init__", init)


@pytest.mark.parametrize("test", TESTS, ids=lambda test: test.__name__[5:])
def test_on_a_fake_server(test, request, monkeypatch, fake_server):  # noqa: F811 - the fixture
    monkeypatch.setattr(fake.FakeClient, "noise", 1e-7)
    open_on(monkeypatch, "milvus://fake/g{}")
    run(test, request)


@pytest.mark.slow
@pytest.mark.parametrize("test", TESTS, ids=lambda test: test.__name__[5:])
def test_in_a_directory(test, request, monkeypatch, tmp_path):
    open_on(monkeypatch, str(tmp_path / "g{}"))
    run(test, request)


@pytest.mark.slow
@pytest.mark.parametrize("name", ON_LITE)
def test_on_milvus_lite(name, request, monkeypatch, tmp_path_factory):
    pytest.importorskip("milvus_lite")
    test = next(one for one in TESTS if one.__name__ == f"test_{name}")
    file = tmp_path_factory.getbasetemp() / "contract.db"
    open_on(monkeypatch, f"milvus-lite://{file}?name=g{{}}")
    run(test, request)
    assert connection._opened
