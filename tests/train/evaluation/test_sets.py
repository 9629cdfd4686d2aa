"""Reading the crops of a run's sources, and measuring: who asks whom, and how sure that is."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from PIL import Image

from sanreid.datasets import CropSet
from sanreid.errors import DatasetError
from sanreid.train.config import EvaluationSetConfig, SourceConfig
from sanreid.train.data.sources import (
    data_digest,
    joined_for_evaluation,
    joined_for_training,
    read_source,
)
from sanreid.train.evaluation.measuring import Measurement, measure
from sanreid.train.evaluation.sets import EvaluationSet, load_sets


def crop_set(pids, camids, name="a"):
    paths = tuple(f"{name}/{n}.jpg" for n in range(len(pids)))
    return CropSet(name, paths, pids, camids)


def test_people_of_different_sources_differ_and_cameras_do_not():
    joined = joined_for_evaluation([crop_set([7, 9], [1, 2]), crop_set([7, 8], [1, 2], "b")])
    assert joined.pids.tolist() == [1, 3, 4, 5]
    assert joined.camids.tolist() == [1, 2, 1, 2]
    same = joined_for_evaluation(
        [crop_set([7, 9], [1, 2]), crop_set([7, 8], [1, 2], "b")], same_people=True
    )
    assert same.pids.tolist() == [7, 9, 7, 8]


def test_sources_of_the_same_people_tell_them_by_name(tmp_path):
    for name in ("labeled/anna", "labeled/bob", "detected/bob", "detected/carl"):
        (tmp_path / name).mkdir(parents=True)
        Image.new("RGB", (8, 16)).save(tmp_path / name / "c1.png")
    sets = [
        read_source(SourceConfig(folder=str(tmp_path / folder), names="folders"))
        for folder in ("labeled", "detected")
    ]
    anna, bob, bob_again, carl = joined_for_training(sets, people=["x", "x"]).pids.tolist()
    assert bob == bob_again
    assert len({anna, bob, carl}) == 3


def test_the_digest_of_crops_tells_people_and_cameras_apart():
    digests = {data_digest(crop_set(*one)) for one in (([1], [1]), ([1], [2]), ([2], [1]))}
    assert len(digests) == 3


def test_reading_a_source_leaves_identities_out(people, tmp_path):
    whole = read_source(SourceConfig(folder=str(people), names="folders"))
    some = tmp_path / "pids.txt"
    some.write_text("\n".join(map(str, whole.identities[:3])))
    for key, count in (("exclude_pids", 30), ("only_pids", 18)):
        kept = read_source(SourceConfig(folder=str(people), names="folders", **{key: str(some)}))
        assert len(kept) == count
    some.write_text("person01\n person07 \n\n")  # folders have names, too
    kept = read_source(SourceConfig(folder=str(people), names="folders", only_pids=str(some)))
    assert set(kept.labels) == {"person01", "person07"}
    few = read_source(SourceConfig(folder=str(people), names="folders", max_identities=2))
    assert few.num_identities == 2
    with pytest.raises(DatasetError, match="cannot be read as a list"):
        read_source(
            SourceConfig(folder=str(people), names="folders", only_pids=str(tmp_path / "none"))
        )
    some.write_text("99999")
    for key in ("exclude_pids", "only_pids"):
        with pytest.raises(DatasetError, match=r"Nobody in people is listed .*another data set"):
            read_source(SourceConfig(folder=str(people), names="folders", **{key: str(some)}))
    some.write_text("\n".join(set(whole.labels)))
    with pytest.raises(DatasetError, match="none is left"):
        read_source(SourceConfig(folder=str(people), names="folders", exclude_pids=str(some)))
    flat = tmp_path / "flat"
    flat.mkdir()
    Image.new("RGB", (8, 16)).save(flat / "0002_c1s1_000001_00.jpg")
    some.write_text("2\nanna\n")
    with pytest.raises(DatasetError, match=r"one number per line; it has 'anna'"):
        read_source(SourceConfig(folder=str(flat), only_pids=str(some)))


def measured(queries, gallery, pids, camids, embeddings, protocol="market1501"):
    config = EvaluationSetConfig(
        name="x",
        sources=(SourceConfig(folder="x"),),
        queries=queries,
        gallery=gallery,
        protocol=protocol,
    )
    images = torch.zeros(len(pids), 3, 2, 2, dtype=torch.uint8)
    one = EvaluationSet(config, images, np.array(pids), np.array(camids))
    return Measurement.of(measure(np.array(embeddings, dtype=np.float32), one))


# Angles on a circle, in degrees: the smaller the difference, the more similar.
def circle(*degrees):
    return [[math.cos(math.radians(d)), math.sin(math.radians(d))] for d in degrees]


def test_the_first_crop_of_each_camera_asks_and_the_rest_answers():
    # pid 1: camera 1 crops 0 and 1, camera 2 crop 2. pid 2: crop 3 (camera 1), 4 and 5 (camera 2).
    pids, camids = [1, 1, 1, 2, 2, 2], [1, 1, 2, 1, 2, 2]
    found = measured("first_of_camera", "rest", pids, camids, circle(0, 5, 10, 20, 40, 22))
    # Gallery: crops 1 and 5. Query 0 has only its own camera's crop: not counted. Query 2 (10
    # degrees) finds crop 1 at 5 before crop 5 at 12: right. Query 3 (20) finds crop 5 first.
    # Query 4 shares camera 2 with crop 5: not counted.
    assert found.num_queries == 2
    assert (found.mAP, found.rank1) == (1.0, 1.0)


def test_only_other_cameras_answer():
    # Person 1 at 0 and 30 degrees, person 2 at 20 and 50, cameras 1 and 2.
    pids, camids, places = [1, 1, 2, 2], [1, 2, 1, 2], circle(0, 30, 20, 50)
    found = measured("all", "other_cameras", pids, camids, places)
    # 0 -> 30 right. 30 -> 20 wrong, then 0: AP 1/2. 20 -> 30 wrong, then 50: 1/2. 50 -> 20 right.
    assert found.num_queries == 4
    assert found.mAP == pytest.approx(0.75)
    assert found.rank1 == pytest.approx(0.5)
    # With the query's camera left in, 0 meets 20 (the other person) before 30: AP 1/2; 50 meets
    # 30, then 20: 1/2; 30 meets 20, 50, then 0: 1/3; 20 meets 30, 0, then 50: 1/3.
    every = measured("all", "all", pids, camids, places)
    assert every.mAP == pytest.approx((1 / 2 + 1 / 2 + 1 / 3 + 1 / 3) / 4)


def test_a_set_nobody_can_be_found_in_is_refused_before_the_training(people):
    with pytest.raises(DatasetError, match=r"'x': no query has a match.*2 people, 2 cameras"):
        measured("all", "other_cameras", [1, 2], [1, 2], circle(0, 90))
    source = SourceConfig(folder=str(people / "person00"), names="folders")
    with pytest.raises(DatasetError, match="no images"):
        load_sets([EvaluationSetConfig(name="x", sources=(source,))], (64, 32))
    crops = people.parent / "one-camera"
    for person in ("a", "b"):
        (crops / person).mkdir(parents=True)
        for n in range(2):
            Image.new("RGB", (32, 64)).save(crops / person / f"c1_{n}.png")
    source = SourceConfig(folder=str(crops), names="folders")
    for queries, gallery in (
        ("first_of_camera", "rest"),
        ("all", "all"),
        ("all", "other_cameras"),
    ):
        config = EvaluationSetConfig(
            name="one camera", sources=(source,), queries=queries, gallery=gallery
        )
        with pytest.raises(DatasetError, match=r"2 people, 1 cameras.*names = "):
            load_sets([config], (64, 32))
    for person in ("a", "b"):  # one crop under each of two cameras: all would be queries
        (crops / person / "c1_1.png").rename(crops / person / "c2_1.png")
    config = EvaluationSetConfig(name="x", sources=(source,))
    with pytest.raises(DatasetError, match='no others are left to search. Set queries = "all"'):
        load_sets([config], (64, 32))
    every = EvaluationSetConfig(
        name="x", sources=(source,), queries="all", gallery="other_cameras"
    )
    assert len(load_sets([every], (64, 32))) == 1


def test_the_interval_is_over_the_people_of_all_cameras_together():
    rng = np.random.default_rng(0)
    pids = np.repeat(np.arange(1, 13), 4)
    camids = np.tile([1, 1, 2, 3], 12)
    embeddings = rng.standard_normal((13, 6))[pids] + rng.standard_normal((48, 6))
    found = measured("all", "other_cameras", pids, camids, embeddings)
    # By hand: each query's average precision among the crops of the other cameras.
    unit = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
    precisions: dict[int, list[float]] = {}
    for i in range(48):
        others = np.flatnonzero(camids != camids[i])
        ranked = others[np.argsort(-(unit[others] @ unit[i]))]
        places = np.flatnonzero(pids[ranked] == pids[i]) + 1
        precisions.setdefault(pids[i], []).append(
            float(np.mean(np.arange(1, len(places) + 1) / places))
        )
    every = [value for one in precisions.values() for value in one]
    assert found.mAP == pytest.approx(np.mean(every), abs=1e-6)
    means = []
    for _ in range(4000):
        drawn = rng.choice(list(precisions), len(precisions))
        means.append(np.mean([value for pid in drawn for value in precisions[pid]]))
    low, high = np.quantile(means, [0.025, 0.975])
    assert found.mAP_low == pytest.approx(low, abs=0.015)
    assert found.mAP_high == pytest.approx(high, abs=0.015)


def test_single_gallery_shot_shows_each_person_once():
    # Person 1 asks at 0 degrees; its crops under camera 2 lie at 10 and 80, person 2's at 30.
    pids, camids, places = [1, 1, 1, 2, 2], [1, 2, 2, 1, 2], circle(0, 10, 80, 200, 30)
    single = measured("all", "other_cameras", pids, camids, places, protocol="cuhk03")
    multi = measured("all", "other_cameras", pids, camids, places)
    assert single.mAP == multi.mAP
    assert multi.rank1 > single.rank1  # half of the draws show the crop at 80 alone
