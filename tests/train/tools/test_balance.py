"""The balance of the loss's terms is that of their gradients at the encoder."""

from __future__ import annotations

import shutil

import pytest

from sanreid.errors import ConfigError, InputError, TrainingError
from sanreid.train.__main__ import main
from sanreid.train.loop.engine import Engine
from sanreid.train.tools.balance import gradient_balance
from sanreid.train.tools.evaluate import evaluate_run

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def trained(tiny_run, tmp_path):
    """Train one of the tiny runs and give its folder."""

    def train(**changes):
        Engine(tiny_run(run={"epochs": 1, "max_steps": 2}, **changes)).run()
        return tmp_path / "run"

    return train


def test_one_term_alone_is_the_whole(trained):
    found = gradient_balance(trained(loss={"triplet": 0.0}), batches=2)
    assert list(found) == ["identity"]
    for pull in found["identity"].values():
        assert pull.norm > 0
        assert pull.relative == pytest.approx(1, abs=1e-6)
        assert pull.cosine == pytest.approx(1, abs=1e-6)


def test_means_are_of_the_batches_there_are(trained):
    folder = trained(loss={"triplet": 0.0})  # an epoch has fewer batches than are asked for
    for pull in gradient_balance(folder, batches=100)["identity"].values():
        assert pull.cosine == pytest.approx(1, abs=1e-6)


def test_terms_are_unweighted_and_may_be_asked_for(trained):
    # The margin is so wide that the triplets of a network this thin pull as well.
    folder = trained(loss={"tr": 0.01, "margin": 10.0}, decoder={"width": 32})
    found = gradient_balance(folder, batches=1)
    assert list(found) == ["identity", "triplet", "tr"]
    heavier = gradient_balance(folder, overrides=["loss.tr=100.0"], batches=1)
    assert heavier["tr"]["layer4"].norm == pytest.approx(found["tr"]["layer4"].norm, rel=1e-4)
    without = gradient_balance(folder, overrides=["loss.triplet=0.0"], batches=1)
    assert list(without) == ["identity", "tr"]
    assert without["tr"]["layer4"].norm == pytest.approx(found["tr"]["layer4"].norm, rel=1e-4)
    assert without["tr"]["layer4"].relative != pytest.approx(found["tr"]["layer4"].relative)


def test_frozen_stages_are_left_out(trained):
    folder = trained(init={"freeze": ["stem", "layer1", "layer2", "layer3"]})
    assert list(gradient_balance(folder, batches=1)["identity"]) == ["layer4"]


def test_command_prints_a_line_for_each_term(trained, capsys):
    assert main(["balance", str(trained()), "--batches", "1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0].strip() for line in lines[1:]] == ["identity", "triplet"]
    assert "layer3" in lines[1]


def test_wrong_input_is_refused(trained, tmp_path):
    with pytest.raises(InputError, match="at least 1; got 0"):
        gradient_balance(tmp_path, batches=0)
    with pytest.raises(TrainingError, match="it holds no run"):
        gradient_balance(tmp_path)
    # The margin is so wide that the triplets of a network this thin pull as well.
    folder = trained(loss={"tr": 0.01, "margin": 10.0}, decoder={"width": 32})
    with pytest.raises(ConfigError, match="to compare with"):
        gradient_balance(folder, overrides=["loss.identity=0.0", "loss.triplet=0.0"])


def test_what_does_not_fit_any_more_is_told(tiny_run, tmp_path, others):
    copy = shutil.copytree(others, tmp_path / "people")
    data = {"sources": [{"folder": str(copy), "names": "folders"}], "p": 4, "k": 2}
    Engine(tiny_run(data=data, run={"max_steps": 2})).run()
    with pytest.raises(TrainingError, match=r"run do not fit .*size mismatch for .*head"):
        gradient_balance(tmp_path / "run", overrides=["encoder.embedding_dim=32"])
    with pytest.raises(TrainingError, match=r"run do not fit .*size mismatch for head"):
        evaluate_run(tmp_path / "run", which="last", overrides=["encoder.embedding_dim=32"])
    shutil.rmtree(copy / "person00")
    with pytest.raises(TrainingError, match=r"not those that the run in .*run trained on"):
        gradient_balance(tmp_path / "run")
