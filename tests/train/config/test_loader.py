"""Reading configurations: inheritance, overrides, variables, and errors that name the key."""

from __future__ import annotations

import inspect
import re
from dataclasses import fields
from pathlib import Path

import pytest

from sanreid.config import BACKBONES
from sanreid.errors import ConfigError
from sanreid.train import config as config_module
from sanreid.train.config import TrainConfig
from sanreid.train.config.loader import (
    config_from_dict,
    config_to_dict,
    load_config,
    override,
    packaged_configs,
)
from sanreid.train.data.transforms import BatchAugmentation

SOURCE = '[[data.sources]]\nfolder = "crops"\nnames = "folders"\n'


def write(folder, text, name="run.toml"):
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_a_file_fills_the_dataclasses(tmp_path):
    path = write(
        tmp_path,
        "[run]\nepochs = 7\nsizes = [{ until_epoch = 2, size = [64, 32] }]\n"
        "[optimizer]\nlr = 1\nmilestones = [3, 5]\n[encoder]\ninput_size = [128, 64]\n" + SOURCE,
    )
    config = load_config(path)
    assert config.run.epochs == 7
    assert config.run.sizes[0].size == (64, 32)
    assert config.optimizer.lr == 1.0
    assert isinstance(config.optimizer.lr, float)
    assert config.optimizer.milestones == (3, 5)
    assert config.encoder.input_size == (128, 64)
    assert config.data.sources[0].folder == "crops"


def test_plain_values_and_back(tmp_path):
    config = load_config(write(tmp_path, SOURCE))
    assert config_from_dict(config_to_dict(config)) == config


def test_a_file_with_a_byte_order_mark(tmp_path):
    assert load_config(write(tmp_path, f"\ufeff{SOURCE}")) == load_config(write(tmp_path, SOURCE))


def test_overrides_are_typed_and_reach_into_lists(tmp_path):
    config = load_config(
        write(tmp_path, SOURCE),
        ["run.epochs=3", "optimizer.lr=1e-4", "data.sources.0.folder=other/place",
         "init.freeze=[\"stem\"]", "ema.warmup=false"],
    )  # fmt: skip
    assert (config.run.epochs, config.optimizer.lr) == (3, 1e-4)
    assert config.data.sources[0].folder == "other/place"
    assert config.init.freeze == ("stem",)
    assert config.ema.warmup is False
    assert override(config, ["run.seed=5"]).run.seed == 5


def test_the_released_pairing_is_for_four_crops_of_each(tmp_path):
    path = write(tmp_path, SOURCE)
    pairing = ["loss.tr=1.0", "loss.tr_pairing=fixed_positions"]
    assert load_config(path, pairing).data.k == 4
    with pytest.raises(ConfigError, match=r"'fixed_positions' needs data.k = 4; got 3"):
        load_config(path, [*pairing, "data.k=3"])
    renamed = load_config(path, ["loss.tr=1.0", "loss.tr_pairing=fixed_places"])
    assert renamed == load_config(path, pairing)  # the value of older files


def test_a_backbone_of_a_module_that_is_imported_first(tmp_path, monkeypatch):
    monkeypatch.setattr("sanreid.config.BACKBONES", dict(BACKBONES))
    monkeypatch.syspath_prepend(tmp_path)
    lines = ["from sanreid.models import register_backbone",
             "register_backbone('mine', channels=(8, 8, 8, 8), build=print)"]  # fmt: skip
    (tmp_path / "own_backbone.py").write_text("\n".join(lines))
    path = write(tmp_path, SOURCE)
    with pytest.raises(ConfigError, match="backbone must be one of"):
        load_config(path, ["encoder.backbone=mine"])
    settings = ["encoder.backbone=mine", 'run.imports=["own_backbone"]']
    assert load_config(path, settings).encoder.backbone == "mine"


def test_weights_of_own_losses_are_a_table(tmp_path):
    path = write(tmp_path, SOURCE + "[loss]\ncustom = { center = 1, arc = 0.5 }\n")
    assert load_config(path).loss.custom == {"center": 1.0, "arc": 0.5}
    assert load_config(path, ["loss.custom.arc=2"]).loss.custom["arc"] == 2.0
    for value in ("loss.custom=3", "loss.custom.arc=much"):
        with pytest.raises(ConfigError, match="must be a"):
            load_config(path, [value])


def test_extends_merges_tables_and_replaces_lists(tmp_path):
    write(tmp_path, "[run]\nepochs = 7\nseed = 4\n" + SOURCE, "base.toml")
    path = write(
        tmp_path,
        'extends = "base.toml"\n[run]\nepochs = 9\n[[data.sources]]\nfolder = "mine"\n',
    )
    config = load_config(path)
    assert (config.run.epochs, config.run.seed) == (9, 4)
    assert [source.folder for source in config.data.sources] == ["mine"]


def test_extends_in_a_circle(tmp_path):
    write(tmp_path, 'extends = "b.toml"\n', "a.toml")
    write(tmp_path, 'extends = "a.toml"\n', "b.toml")
    with pytest.raises(ConfigError, match="leads back"):
        load_config(tmp_path / "a.toml")


def test_variables_are_expanded_after_overrides(tmp_path, monkeypatch):
    path = write(tmp_path, SOURCE.replace("crops", "${CROPS_HOME}/a"))
    monkeypatch.delenv("CROPS_HOME", raising=False)
    with pytest.raises(ConfigError, match=r"data.sources.0.folder .*CROPS_HOME.*--set"):
        load_config(path)
    assert load_config(path, ["data.sources.0.folder=b"]).data.sources[0].folder == "b"
    monkeypatch.setenv("CROPS_HOME", "/home")
    assert load_config(path).data.sources[0].folder == "/home/a"


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("optimizer.learning_rate=1", "Unknown key 'optimizer.learning_rate'"),
        ("optimizer.wieght_decay=1", "Did you mean 'optimizer.weight_decay'"),
        ("runn.epochs=1", "Did you mean 'run'"),
        ("encoder.imput_size=[1, 2]", "Did you mean 'encoder.input_size'"),
        ("run.epochs=2.5", "run.epochs must be a whole number; got 2.5"),
        ("run.epochs=true", "must be a whole number"),
        ("run.epochs=0", "run.epochs must be at least 1; got 0"),
        ("run.precision=int4", "run.precision must be one of 'auto', 'bf16', 'fp16', 'fp32'"),
        ("optimizer.betas=[0.9]", "optimizer.betas must be a list of 2"),
        ("optimizer.betas=0.9", "optimizer.betas must be a list"),
        ("optimizer.milestones=[5, 3]", "must increase"),
        ("run=3", "run must be a table"),
        ("data.sources.1.folder=x", "not an index in a list of 1"),
        ("data.sources.0.folder.x=1", "is a value, not a table"),
        ("encoder.input_size.0.x=1", "'0' is a value, not a table"),
        ("data.sources.².folder=x", "not an index in a list of 1"),
        ("run.seed=123456789012345678901234", r"run.seed must be below 2\^63; got 1234"),
        ("run.epochs", "key=value"),
        ('init.freeze=["layer1"]', "in order"),
        ("data.k=1", "data.k must be at least 2"),
        ("loss.reconstruction=1.0", "there are no target textures"),
        ("loss.identity_softmax=circle", "must be one of 'plain', 'arcface', 'cosface'"),
        ("loss.identity_margin=1.5", r"loss.identity_margin must be in \[0, 1\]; got 1.5"),
        ("loss.identity_scale=0", "loss.identity_scale must be above 0; got 0"),
        ("loss.decoder_every=0", "loss.decoder_every must be at least 1; got 0"),
        ("pit.folder=pairs", "would have no effect"),
        ("encoder.backbone=vgg", "encoder: backbone must be one of"),
        ("decoder.width=40", "multiple of 32"),
        ("ema.decay=1.0", r"in \[0, 1\)"),
        ("data.sources.0.split=query", "split and options are of a dataset"),
        ("data.sources.0={folder='x', dataset='market1501', names='folders'}", "knows its own"),
    ],
)
def test_wrong_settings_name_the_key(tmp_path, setting, message):
    with pytest.raises(ConfigError, match=message):
        load_config(write(tmp_path, f"encoder.input_size = [64, 32]\n{SOURCE}"), [setting])


def test_nothing_to_minimise(tmp_path):
    with pytest.raises(ConfigError, match="nothing to minimize"):
        load_config(write(tmp_path, SOURCE), ["loss.identity=0", "loss.triplet=0"])


def test_san_pg_has_no_identities(tmp_path):
    values = ["data.sources=[]", "pit.folder=pairs", "loss.reconstruction=1.0"]
    with pytest.raises(ConfigError, match=r"loss.tr = loss.cross_camera = 0"):
        load_config(write(tmp_path, SOURCE), values)
    config = load_config(write(tmp_path, SOURCE), [*values, "loss.identity=0", "loss.triplet=0"])
    assert config.is_san_pg
    assert not config.is_san


def test_a_margin_is_of_the_identity_loss(tmp_path):
    values = ["loss.identity_softmax=arcface", "loss.identity=0"]
    with pytest.raises(ConfigError, match=r"is 'arcface', but loss.identity is 0"):
        load_config(write(tmp_path, SOURCE), values)


def test_every_step_has_something_to_minimize(tmp_path):
    values = ["loss.identity=0", "loss.triplet=0", "loss.tr=1.0", "loss.decoder_every=2"]
    with pytest.raises(ConfigError, match=r"decoder_every is 2, but only terms of SA-Dec"):
        load_config(write(tmp_path, SOURCE), values)
    assert load_config(write(tmp_path, SOURCE), [*values, "loss.triplet=1"])


@pytest.mark.parametrize(
    ("sources", "message"),
    [
        ([{"share": 1.5}], r"share must be in \[0, 1\]; got 1.5"),
        ([{"share": 0.7}, {"share": 0.5}], "the shares add up to 1.2; they may"),
        ([{"share": 0.7}, {"share": 0.2}], "add up to 0.9, but every source has one"),
        ([{"share": 0.7}, {"share": 0.3}, {}], r"leaves nothing for those without one: 2\."),
        ([{"share": 0.2, "people": "a"}, {"share": 0.2, "people": "a"}, {}],
         "people = 'a' count as one source"),
        ([{"share": 0.2, "people": "a"}, {"people": "a"}], "but every source has one"),
    ],
)  # fmt: skip
def test_shares_of_the_batch_are_possible(sources, message):
    values = [{"folder": str(n), **one} for n, one in enumerate(sources)]
    with pytest.raises(ConfigError, match=message):
        config_from_dict({"data": {"sources": values}})


def test_clusters_have_no_source():
    sources = [{"folder": "a", "share": 0.5}, {"folder": "b"}]
    values = {"data": {"sources": sources}, "clusters": {"enabled": True}, "loss": {"identity": 0}}
    with pytest.raises(ConfigError, match=r"clusters.enabled takes no shares"):
        config_from_dict(values)


def test_a_missing_required_key(tmp_path):
    with pytest.raises(ConfigError, match=r"data.sources.0 lacks folder"):
        load_config(write(tmp_path, '[[data.sources]]\nnames = "folders"\n'))


def test_no_such_file(tmp_path):
    with pytest.raises(ConfigError, match="cpu-hour"):
        load_config(tmp_path / "missing.toml")
    with pytest.raises(ConfigError, match="cannot be read as TOML"):
        load_config(write(tmp_path, "[run\n"))


@pytest.mark.parametrize("name", packaged_configs())
def test_every_packaged_configuration_is_in_order(name, monkeypatch):
    monkeypatch.setenv("SANREID_DATA", "/data")
    monkeypatch.setenv("SANREID_MADE", "/made")
    monkeypatch.setenv("SANREID_CROPS", "/crops")
    config = load_config(name)
    assert isinstance(config, TrainConfig)
    # A path on somebody's machine has no place in the package; a released name has.
    assert config.init.weights in ("", "san-r50")
    assert config_from_dict(config_to_dict(config)) == config


def test_every_setting_says_what_it_means():
    """Each field of each section stands in its docstring's Args, which the reference shows."""
    sections = [getattr(config_module, name) for name in config_module.__all__]
    for section in sections:
        text = section.__doc__
        if section is config_module.AugmentationConfig:  # it refers to those of its user
            text = BatchAugmentation.__doc__
        if section is TrainConfig:
            continue
        for one in fields(section):
            assert re.search(rf"^ +{one.name}: \S", text, re.MULTILINE), (section, one.name)
    shown = Path(__file__).parents[2] / "docs" / "reference" / "training.md"
    if shown.is_file():
        page = shown.read_text(encoding="utf-8")
        assert all(section.__name__ in page for section in sections if section is not TrainConfig)


def test_augmentation_has_the_settings_of_what_it_configures():
    parameters = inspect.signature(BatchAugmentation).parameters.keys() - {"mean", "std"}
    assert {one.name for one in fields(config_module.AugmentationConfig)} == parameters


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            ["run.epochs=2", "run.sizes=[{until_epoch=2, size=[32, 32]}]"],
            "leave at least",
        ),
        (["run.epochs=2", "run.sizes=[{until_epoch=1, size=[512, 32]}]"], "not exceed"),
        (["run.name='san-mine'"], "names that begin with 'san-'"),
    ],
)
def test_what_would_be_found_after_the_training_is_found_before(tmp_path, values, message):
    with pytest.raises(ConfigError, match=message):
        load_config(write(tmp_path, SOURCE), values)


def test_blanks_and_a_home_folder_of_plain_text(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    given = ["run.output = ~/runs/x", "run.name=~tilde"]
    config = load_config(write(tmp_path, SOURCE), given)
    assert config.run.output == f"{tmp_path}/runs/x"
    assert config.run.name == "~tilde"


def test_a_split_of_queries_needs_no_gallery_setting(tmp_path):
    one = "{name='x', queries='all', sources=[{folder='g'}], query_sources=[{folder='q'}]}"
    assert load_config(write(tmp_path, SOURCE), [f"evaluation.sets=[{one}]"]).evaluation.sets


def test_san_pg_learns_from_pairs_that_weigh_something(tmp_path):
    values = ["data.sources=[]", "pit.folder=pairs", "loss.reconstruction=1.0", "pit.weight=0"]
    with pytest.raises(ConfigError, match="nothing is learned"):
        load_config(write(tmp_path, SOURCE), [*values, "loss.identity=0", "loss.triplet=0"])
