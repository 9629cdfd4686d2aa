"""Learning without labels: clusters as people, their end, their resumption, what is refused."""

from __future__ import annotations

import logging

import numpy as np
import pytest
import torch

from sanreid.clustering import Clustering
from sanreid.errors import ConfigError, DatasetError, ImageError, TrainingError
from sanreid.metrics import evaluate_clustering
from sanreid.train.checkpoint import load_checkpoint
from sanreid.train.config import EvaluationSetConfig, SourceConfig
from sanreid.train.config.loader import config_from_dict
from sanreid.train.data.cluster_batches import ClusterBatches
from sanreid.train.evaluation.measuring import measure
from sanreid.train.evaluation.sets import EvaluationSet
from sanreid.train.loop import pseudo_labels
from sanreid.train.loop.engine import Engine
from sanreid.train.loop.journal import read_journal
from sanreid.train.textures.generator import load_generator
from sanreid.train.tools.textures import make_textures_of_run
from tests.train.conftest import paint_people, tiny_values

CPU = torch.device("cpu")
pytestmark = pytest.mark.usefixtures("one_thread")


def values(folder, output, **changes):
    """A run without labels: the untrained network sees little, so the threshold is high."""
    found = tiny_values(folder, output)
    found["clusters"] = {"enabled": True, "threshold": 1.4, "settled": 1.5}
    found["loss"] = {"identity": 0.0, "triplet": 1.0, "cross_camera": 1.0}
    found["data"] |= {"p": 3, "k": 2}
    for section, settings in changes.items():
        found[section] = {**found.get(section, {}), **settings}
    return found


def config(folder, output, **changes):
    return config_from_dict(values(folder, output, **changes))


@pytest.fixture(scope="module")
def crowd(tmp_path_factory):
    """Six people with four crops each, of two cameras."""
    return paint_people(tmp_path_factory.mktemp("crops") / "crowd", people=6, crops=4)


def clustering_of(labels, cameras=((1, 2),)):
    labels = np.asarray(labels, dtype=np.int64)
    count = int(labels.max()) + 1
    return Clustering(
        labels=labels,
        confidence=np.ones(len(labels), dtype=np.float32),
        medoids=np.arange(count),
        cameras=cameras * count if len(cameras) == 1 else cameras,
        times=np.full((count, 2), np.nan),
        threshold=0.5,
    )


@pytest.fixture
def clusters(monkeypatch):
    """Give a function that says what the next clusterings are; the last one is repeated."""

    def say(*labels, **options):
        queue = [clustering_of(one, **options) for one in labels]
        monkeypatch.setattr(
            pseudo_labels,
            "cluster_identities",
            lambda *_, **__: queue.pop(0) if len(queue) > 1 else queue[0],
        )

    return say


def test_a_run_learns_from_clusters_and_tells_of_them(crowd, tmp_path):
    changes = {"ema": {"decay": 0.5}, "data": {"p": 3, "k": 4}}
    outcome = Engine(config(crowd, tmp_path / "run", **changes)).run()
    rows = read_journal(tmp_path / "run" / "log.jsonl")
    told = [row for row in rows if row["kind"] == "clusters"]
    assert [row["epoch"] for row in told] == [0, 1]
    assert [{k: v for k, v in row.items() if k not in ("kind", "step")} for row in told] == (
        outcome.clusters
    )
    assert told[0]["agreement"] == -1
    assert 0 < told[1]["agreement"] <= 1
    trained = [row for row in rows if row["kind"] == "train"]
    assert outcome.step == len(trained) == 2 * (24 // 12)
    # The memory begins with the clusters' embeddings: the loss is there from the first step on.
    assert trained[0]["cross_camera"] > 0
    assert "identity" not in trained[0]
    state = load_checkpoint(tmp_path / "run" / "last.ckpt")
    labels = state["clusters"]["labels"]
    assert state["training_data"] == [
        {
            "name": "crowd, without labels, 2 cameras; identities: clusters",
            "terms": "unknown",
            "crops": 24,
            "identities": int(labels.max()) + 1,
        }
    ]


@pytest.mark.slow
def test_stopped_and_resumed_it_ends_the_same(crowd, tmp_path):
    Engine(config(crowd, tmp_path / "whole")).run()
    for steps in (2, 4, 5):
        cut = config(crowd, tmp_path / "cut", run={"max_steps": steps})
        Engine(cut, resume=steps > 2).run()
    Engine(config(crowd, tmp_path / "cut"), resume=True).run()
    whole, cut = (load_checkpoint(tmp_path / name / "last.ckpt") for name in ("whole", "cut"))
    for key, x in whole["model"].items():
        assert torch.equal(x, cut["model"][key]), key
    assert torch.equal(whole["clusters"]["labels"], cut["clusters"]["labels"])
    assert whole["clusters"]["history"] == cut["clusters"]["history"]
    told = [
        [row for row in read_journal(tmp_path / name / "log.jsonl") if row["kind"] == "clusters"]
        for name in ("whole", "cut")
    ]
    assert told[0] == told[1]


def test_it_ends_once_the_clusters_no_longer_change(crowd, tmp_path, clusters, caplog):
    first, second = np.arange(24) // 4, np.arange(24) // 3
    clusters(first, second, second)
    settled = {"clusters": {"settled": 0.99}, "run": {"epochs": 9}, "data": {"p": 6, "k": 2}}
    with caplog.at_level(logging.INFO, logger="sanreid"):
        outcome = Engine(config(crowd, tmp_path / "run", **settled)).run()
    assert outcome.step == 2 * 2
    agreement = evaluate_clustering(second, first).adjusted_mutual_information
    assert [row["agreement"] for row in outcome.clusters] == [
        -1,
        pytest.approx(agreement, abs=1e-4),
        1,
    ]
    assert "they no longer change" in caplog.text
    again = Engine(config(crowd, tmp_path / "run", **settled), resume=True).run()
    assert again.step == outcome.step
    assert len(again.clusters) == 3


@pytest.mark.parametrize(
    ("labels", "cameras", "message"),
    [
        (np.full(24, -1), ((1, 2),), "no two crops resemble each other"),
        (np.zeros(24), ((1, 2),), "all crops that resemble any other are one person"),
        (np.arange(24) // 12, ((1, 2),), r"only 2 groups .* a batch takes 3 \(data.p\)"),
        (np.arange(24) // 4, ((1,),), "nobody seems to have been seen by two cameras"),
    ],
)
def test_too_little_to_learn_from_is_refused(crowd, tmp_path, clusters, labels, cameras, message):
    clusters(labels, cameras=cameras)
    engine = Engine(config(crowd, tmp_path / "run"))
    before = {key: x.clone() for key, x in engine.learner.network.state_dict().items()}
    with pytest.raises(TrainingError, match=f"too little to learn from.*{message}"):
        engine.run()
    after = engine.learner.network.state_dict()
    assert all(torch.equal(x, after[key]) for key, x in before.items())


def test_one_camera_few_crops_and_damaged_ones_are_refused(tmp_path, crowd):
    few = paint_people(tmp_path / "few", people=1, crops=2)
    with pytest.raises(DatasetError, match="2 crops are too few .* 3 people with 2 crops each"):
        Engine(config(few, tmp_path / "run"))
    for file in paint_people(tmp_path / "one", people=4, crops=2).glob("*/c2_*"):
        file.unlink()
    with pytest.raises(DatasetError, match="all 4 crops are of camera 1"):
        Engine(config(tmp_path / "one", tmp_path / "run"))
    broken = paint_people(tmp_path / "broken", people=4, crops=2)
    (broken / "person01" / "c1_000.png").write_bytes(b"no image")
    with pytest.raises(ImageError, match=r"c1_000\.png"):
        Engine(config(broken, tmp_path / "run"))
    assert not (tmp_path / "run").exists()
    for wrong in ({"loss": {"identity": 1.0}}, {"clusters": {"threshold": 3.0}}):
        with pytest.raises(ConfigError, match="clusters"):
            config(crowd, tmp_path / "run", **wrong)


def test_batches_hold_clustered_crops_only_and_as_many_batches_as_all_crops(crowd, tmp_path):
    batches = ClusterBatches(config(crowd, tmp_path / "run"), CPU)
    labels = np.where(np.arange(24) < 16, np.arange(24) // 4, -1)
    batches.relabel(labels)
    epochs = [batches.epoch(n) for n in (0, 0, 1)]
    assert len(batches) == len(epochs[0]) == 4
    drawn = torch.stack(epochs[0])
    assert drawn.max() < 16
    assert torch.equal(drawn, torch.stack(epochs[1]))
    assert not torch.equal(drawn, torch.stack(epochs[2]))
    batch = batches.batch(batches.read(drawn[0], number=0), number=0, epoch=0)
    assert torch.equal(batch.targets.labels, torch.from_numpy(labels)[drawn[0]])
    # Each crop's proxy is its cluster's under its camera, and begins as their mean.
    proxies = batch.targets.proxies
    assert torch.equal(batches.proxy_pids[proxies], batch.targets.labels)
    rows = np.random.default_rng(0).normal(size=(24, 5)).astype(np.float32)
    sums = batches.proxy_means(rows)
    crop = int(drawn[0, 0])
    same = (labels == labels[crop]) & (batches.store.camids == batches.store.camids[crop]).numpy()
    torch.testing.assert_close(sums[proxies[0]], torch.from_numpy(rows[same].sum(0)))
    assert not sums[batches.proxy_pids < 0].any()


def test_tracklets_are_one_person_for_certain(crowd, tmp_path, monkeypatch):
    asked = {}

    def cluster(_, **options):
        asked.update(options)
        return clustering_of(np.arange(24) // 4)

    monkeypatch.setattr(pseudo_labels, "cluster_identities", cluster)
    for tracklets in (False, True):
        run = config(
            crowd,
            tmp_path / str(tracklets),
            clusters={"tracklets": tracklets},
        )
        engine = Engine(run)
        assert engine.clusters.make(0, lambda: False)
        pids = engine.batches.store.pids.tolist()
        assert asked["tracklets"] == (pids if tracklets else None)
    assert asked["threshold"] == 1.4


@pytest.mark.slow
def test_textures_of_the_crops_are_learned_beside_clusters(crowd, tmp_path, tiny_generator):
    values = {
        "data": {"sources": [{"folder": str(crowd), "textures": str(tmp_path / "t.tex")}]},
        "loss": {"reconstruction": 1.0},
        "decoder": {"width": 32},
        "run": {"max_steps": 1},
    }
    textured = config(crowd, tmp_path / "run", **values)
    make_textures_of_run(textured, load_generator(tiny_generator, device=CPU))
    Engine(textured).run()
    row = read_journal(tmp_path / "run" / "log.jsonl")[-1]
    assert row["reconstruction"] > 0
    assert {"triplet", "cross_camera"} <= row.keys()


def test_evaluation_with_camera_means_taken_out():
    rng = np.random.default_rng(0)
    pids, camids = np.repeat(np.arange(30), 4), np.tile([0, 0, 1, 1], 30)
    people, cameras = rng.normal(size=(30, 32)), rng.normal(size=(2, 32))
    own = people[pids] + cameras[camids] + rng.normal(scale=0.3, size=(120, 32))
    images = torch.zeros(120, 3, 1, 1, dtype=torch.uint8)
    found = {}
    for norm in (False, True):
        settings = EvaluationSetConfig(
            name="x",
            sources=(SourceConfig(folder="x"),),
            queries="all",
            gallery="all",
            camera_norm=norm,
        )
        one = EvaluationSet(settings, images, pids, camids)
        found[norm] = measure(own.astype(np.float32), one).mAP
    assert found[True] > found[False] + 0.03
