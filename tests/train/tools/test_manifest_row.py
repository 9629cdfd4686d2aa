"""A run's row for the manifest: whole, true elsewhere, with commands that there are."""

from __future__ import annotations

import json

import pytest

from sanreid.train.config.loader import config_from_dict
from sanreid.train.tools.manifest_row import _portable_path, manifest_row
from sanreid.weights.manifest import read_manifest


def row_of(sets, **changes):
    values = {
        "run": {"output": "/home/me/runs/x", "seed": 5, "name": "mine"},
        "data": {"sources": [{"folder": "/home/me/data/shop/train", "exclude_pids": "a/dev.txt"}]},
        "init": {"weights": "/home/me/weights/r50/model.safetensors"},
        "evaluation": {"sets": sets},
    }
    config = config_from_dict({**values, **changes})
    figures = {"mAP": 0.5, "mAP_low": 0.4, "mAP_high": 0.6, "mINP": 0.3, "rank1": 0.7,
               "rank5": 0.8, "num_queries": 9}  # fmt: skip
    data = [{"name": "shop", "terms": "ours", "identities": 2, "crops": 9}]
    state = {
        "commit": "a" * 40,
        "training_data": data,
        "metrics": {one["name"]: figures for one in sets},
    }
    return manifest_row(config, state)


TWO = (
    "--folder DATA/shop/val --folder here/b --shared-pids different "
    "--names folders --split first-per-camera"
)
PLACE = {"folder": "/home/me/data/shop/val", "names": "folders"}


@pytest.mark.parametrize(
    ("one", "wanted"),
    [
        ({"queries": "all", "gallery": "other_cameras", "sources": [PLACE]},
         "--folder DATA/shop/val --names folders --split cross-camera"),
        ({"queries": "all", "gallery": "all", "sources": [PLACE], "protocol": "cuhk03"},
         "--folder DATA/shop/val --names folders --split market1501 --protocol cuhk03"),
        ({"sources": [PLACE, {**PLACE, "folder": "here/b"}]},
         TWO),
        ({"sources": [{**PLACE, "only_pids": "dev.txt"}]},
         "--folder DATA/shop/val --names folders --split first-per-camera --pids dev.txt"),
    ],
)  # fmt: skip
def test_a_figures_command_measures_it_again(one, wanted):
    row = row_of([{"name": "x", **one}])
    command = row["metrics"][0]["command"]
    assert command == f"sanreid evaluate --weights mine {wanted}"
    from sanreid.cli import _parser

    _parser().parse_args(command.split()[1:])  # a command there is


def test_what_the_command_cannot_repeat_is_measured_with_the_run():
    sets = [{"name": "x", "sources": [PLACE]}]
    row = row_of(sets, evaluation={"sets": sets, "flip": True})
    assert row["metrics"][0]["command"].endswith(" --flip")
    for place in ({"folder": "shop.csv"}, {**PLACE, "one_camera": True}):
        [figure] = row_of([{"name": "x", "sources": [place]}])["metrics"]
        assert figure["command"] == "python -m sanreid.train evaluate RUN"


def test_a_row_is_complete_and_says_nothing_of_this_machine(tmp_path):
    row = row_of([{"name": "x", "sources": [PLACE]}])
    text = json.dumps(row)
    assert "/home/me" not in text
    used = row["trained_with"]
    assert (used["commit"], used["seed"]) == ("a" * 40, 5)
    assert used["config"]["data"]["sources"][0]["folder"] == "DATA/shop/train"
    assert used["config"]["data"]["sources"][0]["exclude_pids"] == "a/dev.txt"
    assert row["training_data"][0]["terms"] == "ours"
    terms = "(shop: ours), and of the weights it started from, DATA/r50/model.safetensors."
    assert row["license"] == f"Under the terms of the training data {terms}"
    assert {"mAP", "mAP_low", "mAP_high", "mINP", "rank1"} <= row["metrics"][0].keys()
    # With a file and its checksum it is what the manifest's own check takes.
    name = row.pop("name")
    whole = {**row, "file": f"sanreid/pretrained/{name}.safetensors", "sha256": "0" * 64,
             "size_bytes": 1}  # fmt: skip
    content = {"format_version": 1, "default": name, "weights": {name: whole}}
    (tmp_path / "weights_manifest.json").write_text(json.dumps(content))
    assert read_manifest(tmp_path / "weights_manifest.json").entry(name).metrics


@pytest.mark.parametrize(
    ("place", "told"),
    [
        ("/home/alice/crops", "DATA/crops"),
        ("/Users/alice/a/b/crops", "DATA/b/crops"),
        ("/data/shop/train", "DATA/shop/train"),
        ("../../alice/shop", "DATA/alice/shop"),
        ("runs/start", "runs/start"),
    ],
)
def test_a_home_folder_is_not_told(place, told):
    assert _portable_path(place) == told


def test_the_teacher_is_named_with_the_terms():
    taught = {"teacher": {"weights": "/home/me/zoo/net.xml", "input": "unit"}}
    row = row_of([{"name": "x", "sources": [PLACE]}], loss=taught)
    assert row["license"].endswith("and of the teacher it learned from, DATA/zoo/net.xml.")
    assert row["trained_with"]["config"]["loss"]["teacher"]["weights"] == "DATA/zoo/net.xml"
