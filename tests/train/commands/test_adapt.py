"""``python -m sanreid.train adapt``: the whole way, its card, wrong input."""

from __future__ import annotations

import os
import shutil
import signal

import numpy as np
import pytest
import torch

from sanreid import SANEncoder
from sanreid.config import EncoderConfig
from sanreid.models import build_sa_enc
from sanreid.train.checkpoint import load_checkpoint
from sanreid.train.commands import main
from sanreid.train.config.loader import load_config
from sanreid.train.loop import pseudo_labels
from sanreid.weights.storage import save_directory
from tests.thin import THIN
from tests.train.conftest import paint_people

pytestmark = pytest.mark.usefixtures("one_thread")


START = EncoderConfig(backbone=THIN, head="bnneck", embedding_dim=16, input_size=(96, 48))


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Crops without labels, one folder for each camera, and an encoder that never saw them."""
    root = tmp_path_factory.mktemp("adapt")
    for n, file in enumerate(sorted(paint_people(root / "p", people=6, crops=4).rglob("*.png"))):
        home = root / "crops" / file.name.split("_")[0].replace("c", "cam")
        home.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, home / f"{n:04d}.png")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        state = build_sa_enc(START).state_dict()
    save_directory(root / "start", state_dict=state, config=START)
    return root


def adapt(site, run, *more, crops="crops"):
    settings = ("data.p=3", "data.k=4", "clusters.threshold=1.4", "run.epochs=1", "ema.decay=0")
    given = [str(site / crops), "--output", str(run), "--weights", str(site / "start")]
    given += ["--terms", "our own", "--quiet"]
    return main(["adapt", *given, *(part for one in settings for part in ("--set", one)), *more])


def embedded(weights, crops):
    encoder = SANEncoder.from_pretrained(weights, device="cpu", dtype="float32")
    return encoder.encode_files([crops]).embeddings


def test_the_whole_way(site, tmp_path, capsys):
    assert adapt(site, tmp_path / "run") == 0
    # The exported head holds the map that was learned on the embeddings.
    matrix = load_checkpoint(tmp_path / "run" / "last.ckpt")["model"]["encoder.head.weight"]
    assert (matrix - torch.eye(16)).abs().max() > 1e-4
    mapped = embedded(site / "start", site / "crops") @ matrix.numpy().T
    mapped /= np.linalg.norm(mapped, axis=1, keepdims=True)
    found = embedded(tmp_path / "run" / "weights", site / "crops")
    np.testing.assert_allclose(found, mapped, atol=2e-3)  # half precision on disk
    card = (tmp_path / "run" / "weights" / "README.md").read_text()
    assert "clusters of the first crops named above" in card
    assert adapt(site, tmp_path / "run", "--network", "--resume") == 1
    assert "another configuration" in capsys.readouterr().err
    assert main(["evaluate", str(tmp_path / "run"), "--which", "last", "--quiet"]) == 1
    assert f"--weights {tmp_path / 'run' / 'weights'}" in capsys.readouterr().err


def network(site, run, *more, **options):
    more = ("--network", "--size", "64x32", "--set", "init.freeze=[]", *more)
    return adapt(site, run, *more, **options)


def test_the_whole_way_of_the_network(site, tmp_path, capsys, caplog):
    caplog.set_level("INFO", "sanreid")
    assert network(site, tmp_path / "run") == 0
    said = capsys.readouterr().out
    assert said.startswith(
        "epoch  clusters  under several cameras  largest  in none  agreement\n    1 "
    )
    assert "from_pretrained" in said
    assert "next:" not in said + caplog.text  # the weights are written: there is nothing to export
    encoder = SANEncoder.from_pretrained(tmp_path / "run" / "weights", device="cpu")
    assert encoder.input_size == (64, 32)
    card = (tmp_path / "run" / "weights" / "README.md").read_text()
    assert "# adapted-from-start" in card
    assert "| crops, without labels, 2 cameras; identities: clusters | our own |" in card
    assert "to the cameras of crops without labels" in card
    assert "clusters of the first crops named above" in card
    assert network(site, tmp_path / "run") == 1  # it holds a run already
    assert "--resume" in capsys.readouterr().err


def test_stopped_by_a_signal_and_resumed(site, tmp_path, capsys, monkeypatch):
    make = pseudo_labels.PseudoLabels.make

    def stopped(self, epoch, stop):
        os.kill(os.getpid(), signal.SIGTERM)
        return make(self, epoch, stop)

    with monkeypatch.context() as patched:
        patched.setattr(pseudo_labels.PseudoLabels, "make", stopped)
        assert adapt(site, tmp_path / "run") == 128 + signal.SIGTERM
    assert "continue with --resume" in capsys.readouterr().out
    assert not (tmp_path / "run" / "weights").exists()
    assert adapt(site, tmp_path / "run", "--resume") == 0
    assert (tmp_path / "run" / "weights" / "model.safetensors").is_file()


def test_crops_in_a_table(site, tmp_path, capsys):
    files = sorted((site / "crops").rglob("*.png"))
    rows = [f"{file},t{n // 2},{file.parent.name[3:]}" for n, file in enumerate(files)]
    table = tmp_path / "crops.csv"
    table.write_text("\n".join(["path,pid,camid", *rows]) + "\n")
    assert adapt(site, tmp_path / "run", "--tracklets", crops=table) == 0
    assert "    1 " in capsys.readouterr().out


def test_wrong_input_is_one_line_and_changes_nothing(site, tmp_path, capsys):
    nowhere = tmp_path / "crops"
    nowhere.mkdir()
    for n in range(3):
        shutil.copy(site / "crops" / "cam1" / "0000.png", nowhere / f"{n}.png")
    for more, crops, message in (
        ((), tmp_path / "none", "does not exist"),
        ((), nowhere, "number after c or cam in its file name"),  # there is none
        ((), site / "crops" / "cam1", "images in"),
        (("--names", "nothing"), "crops", "names must be one of"),
        (("--weights", "san-r5"), "crops", "No weights"),
        (("--network", "--set", "init.weights=x"), "crops", "There are no weights at x"),
        (("--set", "encoder.head=fc"), "crops", "the head 'bnneck'"),
        (("--set", "loss.triplet_on=pooled"), "crops", "losses of the embedding alone"),
    ):
        assert adapt(site, tmp_path / "run", *more, crops=crops) == 1
        told = capsys.readouterr().err
        assert message in told
        assert told.count("\n") == 1
    assert not (tmp_path / "run").exists()
    with pytest.raises(SystemExit) as stopped:
        adapt(site, tmp_path / "run", "--size", "64")
    assert stopped.value.code == 2
    capsys.readouterr()
    with pytest.raises(SystemExit) as stopped:
        adapt(site, tmp_path / "run", "--size", "64x32")
    assert stopped.value.code == 2
    assert "--size needs --network" in capsys.readouterr().err
    with pytest.raises(SystemExit) as stopped:
        adapt(site, tmp_path / "run", "--tracklets")
    assert stopped.value.code == 2
    assert "--tracklets needs --names" in capsys.readouterr().err


def test_the_configuration_reads_cameras_from_names(monkeypatch):
    monkeypatch.setenv("SANREID_CROPS", "crops")
    config = load_config("adapt")
    assert config.clusters.learn == "map"
    other = load_config("adapt-network")
    assert other.clusters.learn == "network"
    assert other.data == config.data
    from sanreid.datasets.schemes import find_scheme

    scheme = find_scheme(config.data.sources[0].names)
    for file, camid in (
        ("cam2/0001.jpg", "2"),
        ("site/Camera_11/x.png", "11"),
        ("0002_c3s1_000451_03.jpg", "3"),
        ("c7/c8_1.jpg", "8"),
        ("1.jpg", None),
        ("abc12.jpg", None),
    ):
        read = scheme.read(file)
        assert (read and read[1]) == camid, file


def test_released_weights_may_be_named(tmp_path):
    from sanreid.train.networks.initialization import weights_files

    found = weights_files(type(tmp_path)("san-r50"))
    assert [file.name for file in found] == ["san-r50.safetensors"]


def test_paths_in_every_script(site, tmp_path):
    crops = tmp_path / "\U0001f600 caf\u00e9" / "crops"
    shutil.copytree(site / "crops", crops)
    assert (
        adapt(
            tmp_path.parent, tmp_path / "\U0001f601", "--weights", str(site / "start"), crops=crops
        )
        == 0
    )
    assert (tmp_path / "\U0001f601" / "weights" / "model.safetensors").is_file()


def test_a_map_is_of_the_encoder_as_it_is(site, tmp_path, capsys):
    assert adapt(site, tmp_path / "run", "--set", "encoder.input_size=[64,32]") == 1
    assert "[encoder] must be" in capsys.readouterr().err
    assert adapt(site, tmp_path / "run", "--set", "init.decoder=x") == 1
    assert "leave out run.sizes and init.decoder" in capsys.readouterr().err


def test_a_directory_that_is_called_like_released_weights(site, tmp_path, monkeypatch):
    shutil.copytree(site / "start", tmp_path / "san-r50")
    monkeypatch.chdir(tmp_path)
    assert adapt(site, tmp_path / "run", "--weights", "./san-r50") == 0
    kept = load_checkpoint(tmp_path / "run" / "last.ckpt")["config"]["init"]["weights"]
    assert kept == str((tmp_path / "san-r50").resolve())


def test_a_map_is_not_laid_on_another_encoder(site, tmp_path, capsys):
    shutil.copytree(site / "start", tmp_path / "start")
    start = ("--weights", str(tmp_path / "start"))
    assert adapt(site, tmp_path / "run", *start) == 0
    shutil.rmtree(tmp_path / "start")
    save_directory(tmp_path / "start", state_dict=build_sa_enc(START).state_dict(), config=START)
    export = ["export", str(tmp_path / "run"), str(tmp_path / "out"), "--which", "last", "--quiet"]
    assert main(export) == 1
    assert "is another encoder now" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_run_in_the_home_folder(site, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert adapt(site, "~/run") == 0
    assert (tmp_path / "run" / "weights" / "model.safetensors").is_file()


def test_several_processes_are_refused_before_they_begin(site, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert adapt(site, tmp_path / "run") == 1
    assert "adapt takes one process, but 2 were started" in capsys.readouterr().err
    assert main(["find-lr", "cpu-minutes", "--quiet"]) == 1
    assert "find-lr takes one process" in capsys.readouterr().err
