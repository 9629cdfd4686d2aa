"""Module paths and programs of the previous version keep working, with a warning."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module

import pytest

from sanreid.train import renamed

KNOWN = [
    ("settings", "load_config", "config.loader"),
    ("engine", "Engine", "loop.engine"),
    ("export", "load_run", "checkpoint"),
    ("network", "build_network", "networks.initialization"),
    ("network", "JointForward", "networks.san"),
    ("pairs", "as_source", "tools.rendered_source"),
    ("transforms", "normalize_crops", "networks.normalization"),
    ("data.texture_store", "TextureStore", "textures.store"),
    ("data", "TextureWriter", "textures.writer"),
    ("textures", "load_generator", "textures.generator"),
    ("textures", "make_textures", "textures.making"),
    ("pit.atlas", "Atlas", "pit.generate.atlas"),
    ("pit.making", "make_pair", "pit.generate.pairs"),
    ("pit.people", "draw_person", "pit.generate.people.identity"),
    ("pit.render", "Studio", "pit.generate.studio"),
    ("pit.render", "render", "pit.generate.render"),
    ("pit.scene", "CROP_SIZE", "pit.generate.scenes.scene"),
    ("pit.report", "painted_sheet", "pit.generate.sheets"),
    ("pit.shards", "write_shard", "pit.generate.shard_writer"),
    ("pit.tables", "compute_tables", "pit.generate.atlas_tables"),
    ("data.texture_format", "RECORD", "textures.format"),
    ("pit.palette", "Rows", "pit.generate.clothing.palette"),
]


@pytest.mark.parametrize(("module", "name", "home"), KNOWN)
def test_an_old_path_gives_what_moved_and_warns(module, name, home):
    old = import_module(f"sanreid.train.{module}")
    with pytest.warns(DeprecationWarning, match=f"{module}.{name} is now sanreid.train.{home}"):
        found = getattr(old, name)
    assert found is getattr(import_module(f"sanreid.train.{home}"), name)


def test_a_renamed_object_is_found_under_its_old_name():
    from sanreid.train.loop.stopping import StopRequest

    with pytest.warns(DeprecationWarning, match=r"stopping.StopWish is now .*StopRequest"):
        from sanreid.train.stopping import StopWish
    assert StopWish is StopRequest

    from sanreid.train.pit.generate.surface import Surface

    with pytest.warns(DeprecationWarning, match=r"pit.places.Places is now .*Surface"):
        from sanreid.train.pit.places import Places
    assert Places is Surface

    from sanreid.train.pit.generate.people.body import check_pit_extra

    with pytest.warns(DeprecationWarning, match=r"body.require_extra is now .*check_pit_extra"):
        from sanreid.train.pit.body import require_extra
    assert require_extra is check_pit_extra


def test_losses_are_where_they_were():
    from sanreid.train.losses import batch_hard_triplet_loss, terms, tr_constraint

    assert batch_hard_triplet_loss is terms.batch_hard_triplet_loss
    assert tr_constraint is terms.tr_constraint


def test_an_unknown_name_is_an_error_and_an_unknown_module_too():
    with pytest.raises(AttributeError, match=r"sanreid.train.settings.* has no attribute 'nope'"):
        _ = import_module("sanreid.train.settings").nope
    with pytest.raises(ModuleNotFoundError):
        import_module("sanreid.train.never_there")


@pytest.mark.parametrize("modules", renamed._MODULES.values())
def test_every_row_of_the_table_names_modules_that_exist(modules):
    for module in modules.split():
        import_module(f"sanreid.train.{module}")


@pytest.mark.parametrize("name", ["textures", "pairs", "pit"])
def test_an_old_program_is_the_command_and_warns(name):
    done = subprocess.run(
        [sys.executable, "-W", "default", "-m", f"sanreid.train.{name}", "--help"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert f"usage: python -m sanreid.train {name}" in done.stdout
    assert f"DeprecationWarning: python -m sanreid.train.{name} is now" in done.stderr
