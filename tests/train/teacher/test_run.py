"""A run with a teacher: what its batches ask for, how it resumes, what it exports."""

from __future__ import annotations

import pytest
import torch

from sanreid.config import EncoderConfig
from sanreid.datasets import read_crops
from sanreid.encoder import SANEncoder
from sanreid.errors import TrainingError
from sanreid.models import build_sa_enc
from sanreid.train.checkpoint import load_checkpoint
from sanreid.train.data.crop_batches import CropBatches
from sanreid.train.data.sources import joined_for_training
from sanreid.train.loop.engine import Engine
from sanreid.train.loop.journal import read_journal
from sanreid.train.tools.export import export_run
from sanreid.weights import read_state_dict
from tests.thin import THIN

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def teachers(tmp_path_factory):
    """Two small encoders of sanreid with other sizes and dimensions than the student."""
    folders = []
    for seed in (0, 1):
        config = EncoderConfig(backbone=THIN, embedding_dim=24, input_size=(32, 32))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            module = build_sa_enc(config)
        folders.append(tmp_path_factory.mktemp("teacher") / "weights")
        SANEncoder(module, config, device="cpu", dtype="float32").save_pretrained(folders[-1])
    return folders


def test_each_crop_has_the_teachers_embedding_of_the_clean_crop(tiny_run, teachers):
    config = tiny_run(loss={"teacher": {"weights": str(teachers[0])}})
    batches = CropBatches(config, CPU)
    assert batches.teacher_dim == 24
    indices = batches.epoch(0)[1]
    taught = batches.batch(batches.read(indices, number=1), number=1, epoch=0).targets.taught
    paths = [batches.store.paths[index] for index in indices.tolist()]
    expected = SANEncoder.from_pretrained(teachers[0]).encode(paths)
    torch.testing.assert_close(taught, torch.from_numpy(expected), atol=1e-3, rtol=0)


@pytest.mark.usefixtures("one_thread")
def test_a_run_with_it_resumes_to_the_bit_and_exports_the_encoder_alone(
    tiny_run, teachers, tmp_path
):
    loss = {"teacher": {"weights": str(teachers[0])}}
    data = {"cache_dir": str(tmp_path / "cache")}
    Engine(tiny_run("whole", loss=loss, data=data)).run()
    rows = [r for r in read_journal(tmp_path / "whole" / "log.jsonl") if r["kind"] == "train"]
    assert rows[-1]["teacher"] < rows[0]["teacher"]
    assert rows[0]["teacher_similarities"] > 0

    Engine(tiny_run("cut", loss=loss, data=data, run={"max_steps": 3})).run()
    Engine(tiny_run("cut", loss=loss, data=data), resume=True).run()
    whole, cut = (load_checkpoint(tmp_path / name / "last.ckpt") for name in ("whole", "cut"))
    assert whole["model"]["heads.teacher.weight"].shape == (24, 16)
    assert all(torch.equal(x, cut["model"][key]) for key, x in whole["model"].items())

    out = export_run(tmp_path / "whole", tmp_path / "out", which="last")
    assert not [key for key in read_state_dict(out / "model.safetensors") if "teacher" in key]


@pytest.mark.usefixtures("one_thread")
def test_another_teacher_is_noticed_on_resume(tiny_run, teachers):
    for n, changes in enumerate(({"weights": str(teachers[1])}, {"embedding": 1.0})):
        loss = {"teacher": {"weights": str(teachers[0])}}
        Engine(tiny_run(f"run{n}", loss=loss, run={"max_steps": 1})).run()
        loss["teacher"] |= changes
        with pytest.raises(TrainingError, match="teacher"):
            Engine(tiny_run(f"run{n}", loss=loss), resume=True)


@pytest.mark.usefixtures("one_thread")
def test_without_a_teacher_the_first_weights_are_as_ever(tiny_run, teachers, tmp_path):
    Engine(tiny_run("plain", run={"max_steps": 1})).run()
    taught = {"teacher": {"weights": str(teachers[0])}}
    Engine(tiny_run("taught", loss=taught, run={"max_steps": 1})).run()
    plain, more = (
        load_checkpoint(tmp_path / x / "last.ckpt")["model"] for x in ("plain", "taught")
    )
    assert more.keys() - plain.keys() == {"heads.teacher.weight", "heads.teacher.bias"}


def test_sources_of_the_same_people_share_identities_and_cameras(people, others):
    one, three = read_crops(people, names="folders"), read_crops(others, names="folders")
    halves = one.select(one.camids == 1), one.select(one.camids == 2)
    apart = joined_for_training([halves[0], three, halves[1]])
    assert apart.num_identities == 8 + 6 + 8
    joined = joined_for_training([halves[0], three, halves[1]], people=["same", "", "same"])
    assert joined.paths == apart.paths
    assert joined.num_identities == 8 + 6
    who = dict(zip(joined.paths, joined.pids.tolist(), strict=True))
    seen = dict(zip(joined.paths, joined.camids.tolist(), strict=True))
    assert {len({who[p] for p in one.paths if p.parent == home})
            for home in {p.parent for p in one.paths}} == {1}  # fmt: skip
    assert len({who[path] for path in one.paths}) == 8
    assert not {who[path] for path in one.paths} & {who[path] for path in three.paths}
    assert len({seen[path] for path in one.paths}) == len(set(one.camids.tolist()))
