"""The architecture page agrees with the package."""

from __future__ import annotations

from graphlib import CycleError, TopologicalSorter

import pytest

from tests import floor_plan

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
