"""The whole way at toy size, by its commands: pairs, SAN-PG, textures, training, export, use."""

from __future__ import annotations

import json

import numpy as np
import pytest

from sanreid import SANEncoder
from sanreid.cli import main as sanreid
from sanreid.datasets import read_crops
from sanreid.train.commands import main as train
from sanreid.train.loop.journal import read_journal
from tests.train.conftest import paint_people
from tests.train.pit.command import main as pit

TINY = """
[encoder]
backbone = "resnet18"
head = "{head}"
embedding_dim = {dim}
input_size = [64, 32]

[decoder]
width = 32

[run]
output = "{output}"
name = "{name}"
epochs = {epochs}
sizes = {sizes}
precision = "fp32"
log_every = 1
pictures_every = 1

[pit]
folder = "pairs"
per_batch = 4
{more}
"""
SIZES = "[{ until_epoch = 1, size = [32, 32] }]"
SAN_PG = """held_out = 2
[loss]
identity = 0.0
triplet = 0.0
reconstruction = 1.0
surface = 1.0
"""
SAN = """
[[data.sources]]
folder = "real"
names = "folders"
name = "Painted people"
terms = "none"
textures = "real.tex"

[[data.sources]]
folder = "rendered/crops"
names = "market1501"
max_identities = 7
one_camera = true
textures = "rendered/textures.tex"

[data]
p = 4
k = 2

[augmentation]
hue = 0.05
saturation = 0.2
gamma = 0.3
camera_style = 0.5
grayscale = 0.1

[loss]
reconstruction = 1.0
tr = 0.1
cross_camera = 0.5
decoder_warmup_epochs = 0.5

[init]
decoder = "san-pg"
freeze = ["stem"]
freeze_epochs = 1

[ema]
decay = 0.9

[[evaluation.sets]]
name = "others"
queries = "all"
gallery = "other_cameras"
sources = [{ folder = "others", names = "folders" }]
"""


@pytest.mark.slow
def test_from_nothing_to_an_encoder_that_is_used(studio, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    paint_people(tmp_path / "real", people=6, crops=4)
    paint_people(tmp_path / "others", people=5, crops=4, seed=1)
    size = ["--identities", "8", "--images-per-identity", "2"]
    assert pit(["render", "pairs", *size, "--processes", "1"]) == 0
    (tmp_path / "san-pg.toml").write_text(
        TINY.format(
            head="pool",
            dim=512,
            output="run-pg",
            name="san-pg",
            epochs=2,
            sizes=SIZES,
            more=SAN_PG,
        )
    )
    assert train(["san-pg.toml", "--quiet", "--set", "decoder.copy=true"]) == 0
    assert train(["export", "run-pg", "san-pg", "--quiet"]) == 0
    assert pit(["judge", "pairs", "--weights", "san-pg", "--held-out", "2"]) == 0
    assert train(["pairs", "pairs", "rendered"]) == 0
    (tmp_path / "san.toml").write_text(
        TINY.format(
            head="bnneck", dim=16, output="run", name="toy", epochs=2, sizes=SIZES, more=SAN
        )
    )
    assert train(["textures", "san.toml", "--weights", "san-pg", "--device", "cpu"]) == 0
    assert train(["san.toml", "--quiet", "--set", "run.max_steps=2"]) == 0
    assert train(["san.toml", "--quiet", "--resume"]) == 0
    assert train(["export", "run", "weights", "--quiet"]) == 0
    capsys.readouterr()

    rows = read_journal(tmp_path / "run-pg" / "log.jsonl")
    assert all({"pit", "surface"} <= row.keys() for row in rows if row["kind"] == "train")
    rows = read_journal(tmp_path / "run" / "log.jsonl")
    terms = {"identity", "triplet", "reconstruction", "tr", "pit", "cross_camera"}
    assert all(terms <= row.keys() for row in rows if row["kind"] == "train")
    assert (tmp_path / "run" / "pictures" / "epoch-0002.png").is_file()
    row = json.loads((tmp_path / "weights" / "manifest_row.json").read_text())
    assert row["name"] == "san-toy"
    assert [one["name"] for one in row["training_data"]] == [
        "Painted people",
        "crops",
        "PIT, rendered people",
        "PIT, rendered people",  # which SAN-PG, the start, had fewer of: some were held out
    ]
    assert [one["identities"] for one in row["training_data"]] == [6, 7, 8, 6]

    # The row's command measures what the row says.
    figures = row["metrics"][0]
    command = figures["command"].replace("san-toy", "weights").split()[1:]
    assert sanreid([*command, "--json", "--dtype", "float32"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["mAP"] == pytest.approx(figures["mAP"], abs=0.002)  # the weights are float16
    assert found["results"][0]["mAP_interval"] == pytest.approx(
        [figures["mAP_low"], figures["mAP_high"]], abs=0.01
    )
    encoder = SANEncoder.from_pretrained("weights", device="cpu")
    embeddings = encoder.encode(list(read_crops("others", names="folders").paths))
    assert embeddings.shape == (20, 16)
    np.testing.assert_allclose(np.linalg.norm(embeddings, axis=1), 1, atol=1e-5)
