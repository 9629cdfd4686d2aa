"""The architecture page agrees with the package."""

from __future__ import annotations

import re
from graphlib import CycleError, TopologicalSorter

import pytest

from sanreid.backends import packed
from sanreid.train.config.loader import config_from_dict
from tests import floor_plan, walks
from tests.train.conftest import paint_people, tiny_values

pytestmark = pytest.mark.skipif(not floor_plan.PAGE.is_file(), reason="docs/ is not beside tests/")


def test_the_table_lists_every_room_exactly_once():
    named = [row["room"].removesuffix(".py") for row in floor_plan.table()]
    assert len(named) == len(set(named))
    assert set(named) == floor_plan.rooms() | floor_plan.sub_rooms()


def test_the_imports_column_is_up_to_date():
    page = floor_plan.PAGE.read_text(encoding="utf-8")
    assert page == floor_plan.with_imports(page), "run: python -m tests.floor_plan"


def test_the_picture_is_up_to_date():
    drawn = floor_plan.PICTURE.read_text(encoding="utf-8")
    assert drawn == floor_plan.drawing(), "run: python -m tests.floor_plan"


def test_the_layers_cover_all_rooms():
    assert {room for layer in floor_plan.layers() for room in layer} == floor_plan.rooms()


def test_no_room_holds_more_than_14_modules():
    counts = {
        folder: len(list(folder.glob("*.py")))
        for folder in [floor_plan.PACKAGE, *floor_plan.PACKAGE.rglob("*/")]
    }
    assert {folder: count for folder, count in counts.items() if count > 14} == {}


def test_there_are_no_import_cycles_including_type_only_imports():
    graph = floor_plan.graph(with_types=True)
    edges = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    try:
        TopologicalSorter(edges).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


def drawn_walk(heading):
    """The files of a walk on the page: those of its table, and those named on the way."""
    page = floor_plan.PAGE.read_text(encoding="utf-8")
    section = page.partition(f"### {heading}")[2].partition("\n#")[0]
    table, _, helpers = section.partition("On the way:")
    return re.findall(r"^\| `([\w/]+\.py)`", table, re.MULTILINE), re.findall(
        r"`([\w/]+\.py)`", helpers
    )


def check_walk(heading, traced, *, at_most):
    main, helpers = drawn_walk(heading)
    assert len(main) <= at_most
    assert sorted(main + helpers) == sorted(traced)
    assert sorted(main, key=traced.index) == main  # the order in which they are entered


def test_the_walk_through_encode_is_as_drawn(tiny_encoder):
    if not packed.is_usable(tiny_encoder.dtype):
        pytest.skip("this torch has no packed convolutions here")
    check_walk("A crop through `encode`", walks.encode_walk(tiny_encoder), at_most=7)


def test_the_walk_through_search_is_as_drawn():
    check_walk("A query through `search`", walks.search_walk(), at_most=8)


def test_the_walk_through_a_training_step_is_as_drawn(tmp_path):
    people = paint_people(tmp_path / "people", people=8, crops=6)
    values = tiny_values(people, tmp_path / "run")
    values["run"]["max_steps"] = 2
    traced = walks.training_walk(config_from_dict(values))
    check_walk("A crop through one training step", traced, at_most=14)
