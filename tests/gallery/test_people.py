"""Entries without labels to named people, and back."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest

from sanreid.errors import GalleryError, InputError, UnknownIdError
from sanreid.gallery import Gallery
from tests.gallery.reference import unit


def crops(people=8, each=5, *, dim=32, spread=0.15, seed=0):
    rng = np.random.default_rng(seed)
    pids = np.repeat(np.arange(1, people + 1), each)
    centers = rng.standard_normal((people + 1, dim))
    return centers[pids] + spread * rng.standard_normal((len(pids), dim)), pids


def pids_of(gallery):
    return {entry.id: entry.pid for entry in gallery.get(gallery.ids)}


@pytest.fixture
def gallery():
    gallery = Gallery(4)
    gallery.add(np.eye(4)[[0, 0, 1, 1, 2, 3]], pids=["a", "a", "b", "b", 7, None])
    return gallery


def test_a_gallery_without_people_is_clustered_and_named():
    rows, true = crops()
    gallery = Gallery(32)
    gallery.add(rows)
    proposal = gallery.cluster(threshold=0.8)
    assert len(proposal) == 8
    assert proposal.ids.tolist() == list(range(40))
    assert set(pids_of(gallery).values()) == {None}  # nothing is changed yet
    before = gallery.assign(proposal)
    named = pids_of(gallery)
    for a, b in itertools.combinations(range(40), 2):
        assert (named[a] == named[b]) == (true[a] == true[b])
    assert set(named.values()) == set(range(1, 9))
    again = gallery.assign(before)
    assert set(pids_of(gallery).values()) == {None}
    gallery.assign(again)
    assert pids_of(gallery) == named


def test_people_who_are_known_name_their_groups():
    rows, _ = crops()
    gallery = Gallery(32)
    gallery.add(rows, pids=["anna", None, None, "anna", "eve"] + [9] + [None] * 34)
    proposal = gallery.cluster(threshold=0.8)
    gallery.assign(proposal)
    named = pids_of(gallery)
    assert [named[row] for row in range(5)] == ["anna", "anna", "anna", "anna", "eve"]
    assert {named[row] for row in range(5, 10)} == {9}
    assert {named[row] for row in range(10, 40)} == set(range(10, 16))  # after the highest number


def test_proposals_made_together_stay_apart():
    rows = np.repeat(np.eye(8)[[0, 1, 4, 5]], 2, axis=0)
    gallery = Gallery(8)
    gallery.add(rows, camids=[1] * 4 + [2] * 4)
    first, second = (gallery.cluster({"camid": camid}, threshold=0.8) for camid in (1, 2))
    assert set(first.pids) == set(second.pids) == {1, 2}
    for proposal in (first, second, first, second):  # twice changes nothing
        gallery.assign(proposal)
        assert gallery.counts("pid")[1] == 2
    assert gallery.counts("pid") == {1: 2, 2: 2, 3: 2, 4: 2}


def test_names_given_since_a_proposal_are_kept():
    rows, _ = crops(people=3, each=3)
    gallery = Gallery(32)
    gallery.add(rows)
    proposal = gallery.cluster(threshold=0.8)
    gallery.update([0], pids=["anna"])
    gallery.update([4], pids=[1])  # somebody else than the proposal's 1
    undo = gallery.assign(proposal)
    named = pids_of(gallery)
    assert named[0] == "anna"
    assert named[4] == 1
    assert named[1] == named[2] not in (1, 2, 3)
    assert [named[row] for row in (3, 5, 6, 7, 8)] == [2, 2, 3, 3, 3]
    gallery.assign(undo)
    assert gallery.counts("pid") == {None: 7, "anna": 1, 1: 1}


@pytest.mark.parametrize(
    ("change", "wanted"),
    [
        (lambda gallery: gallery.rename("bob", "rob"), "rob"),
        (lambda gallery: gallery.update([0], pids=[None]), 2),
    ],
)
@pytest.mark.parametrize("stranger", [True, False])
def test_a_person_of_a_proposal_is_followed_and_no_stranger_is_joined(change, wanted, stranger):
    gallery = Gallery(8)
    gallery.add(np.repeat(np.eye(8)[:2], 3, axis=0), pids=["bob"] + [None] * 5)
    proposal = gallery.cluster(threshold=0.5)
    assert proposal.pids == ("bob", "bob", "bob", 1, 1, 1)
    change(gallery)
    if stranger:
        gallery.add([np.eye(8)[7]], pids=["bob"])
    gallery.assign(proposal)
    named = pids_of(gallery)
    assert named[1] == named[2] == wanted
    assert named[3] == named[4] == named[5] == 1
    assert gallery.counts("pid").get("bob", 0) == stranger


def test_only_entries_that_match_are_clustered():
    rows, _ = crops()
    gallery = Gallery(32)
    gallery.add(rows, camids=np.tile([1, 2], 20), metadata=[{"n": n} for n in range(40)])
    proposal = gallery.cluster({"n": {"$gte": 20}}, threshold=0.8)
    assert proposal.ids.tolist() == list(range(20, 40))
    assert len(proposal) == 4
    assert len(gallery.assign(proposal)) == 20
    with pytest.raises(InputError, match="at least two entries"):
        gallery.cluster({"n": 3})


def test_certain_pairs_and_tracklets_are_kept():
    rows, _ = crops(4)
    gallery = Gallery(32)
    gallery.add(rows, ids=np.arange(20) + 100, metadata=[{"track": n // 10} for n in range(20)])
    apart = gallery.cluster(cannot_link=[(100, 101)])
    assert apart.labels[0] != apart.labels[1] or apart.labels[0] == -1
    together = gallery.cluster(must_link=[[100, 119]])
    assert together.labels[0] == together.labels[19] >= 0
    tracks = gallery.cluster(tracklet_key="track")
    assert len(set(tracks.labels[:10].tolist())) == 1
    for bad in ([[0, 1]], [[100]], [[100, 101, 102]], [["a", "b"]]):
        with pytest.raises(InputError, match="must_link must be pairs of ids|ids must be ints"):
            gallery.cluster(must_link=bad)


def test_crops_of_one_moment_under_one_camera_are_different_people():
    gallery = Gallery(32)
    rows, _ = crops(3)
    gallery.add(rows, camids=[1] * 15, timestamps=np.repeat(np.arange(5.0), 3))
    labels = gallery.cluster().labels
    for frame in range(5):
        inside = [label for label in labels[3 * frame : 3 * frame + 3] if label >= 0]
        assert len(inside) == len(set(inside))


def test_a_calibrated_threshold_decides(gallery):
    rows, true = crops(12, 6, spread=0.5)
    gallery = Gallery(32)
    gallery.add(rows)
    gallery.calibrate(rows, true, false_match_rate=0.01)
    assert gallery.cluster().threshold == pytest.approx(gallery.calibration.threshold)
    assert gallery.cluster(threshold=0.9).threshold == 0.9


def test_a_threshold_that_is_given_answers_alike_in_a_calibrated_gallery():
    rows, true = crops(12, 6, spread=0.5)
    camids = np.tile([1, 2], 36)
    gallery = Gallery(32)
    gallery.add(rows + camids[:, None], camids=camids)
    plain = gallery.cluster(threshold=0.4).labels
    gallery.calibrate(rows, true)
    np.testing.assert_array_equal(gallery.cluster(threshold=0.4).labels, plain)


def test_a_threshold_of_tracklets_does_not_decide_across_cameras():
    rows, true = crops(12, 6, spread=0.5)
    gallery = Gallery(32)
    gallery.add(rows, metadata=[{"track": int(pid)} for pid in true])
    plain = gallery.cluster()
    gallery.calibrate(rows, true, false_match_rate=0.01)
    settings = gallery._store.settings
    of_tracklets = {**settings.calibration, "source": "tracklets"}
    gallery._store.change_settings(lambda _: replace(settings, calibration=of_tracklets))
    found = gallery.cluster()
    assert found.threshold == plain.threshold
    np.testing.assert_array_equal(found.labels, plain.labels)


def test_an_entry_that_is_gone_leaves_all_as_it_was():
    rows, _ = crops(3)
    gallery = Gallery(32)
    gallery.add(rows)
    proposal = gallery.cluster()
    gallery.remove([4])
    with pytest.raises(UnknownIdError, match="no entry 4"):
        gallery.assign(proposal)
    assert set(pids_of(gallery).values()) == {None}


@pytest.mark.parametrize("bad", [None, 3, {"ids": [1]}, [1, 2], "a", np.zeros(3)])
def test_only_proposals_are_assigned(gallery, bad):
    with pytest.raises(InputError, match=r"assign\(\) takes what cluster\(\)"):
        gallery.assign(bad)


def test_merge_makes_people_one(gallery):
    undo = gallery.merge(["a", 7], into="a")
    assert list(pids_of(gallery).values()) == ["a", "a", "b", "b", "a", None]
    assert undo.ids.tolist() == [4]  # the others had that name before
    gallery.assign(undo)
    assert list(pids_of(gallery).values()) == ["a", "a", "b", "b", 7, None]
    gallery.merge({"a", "b"}, into="c")
    assert gallery.counts("pid") == {"c": 4, 7: 1, None: 1}
    gallery.merge(["c"], into=7)
    assert gallery.counts("pid") == {7: 5, None: 1}


def test_split_makes_a_new_person(gallery):
    undo = gallery.split([1, 5])
    assert list(pids_of(gallery).values()) == ["a", 8, "b", "b", 7, 8]
    gallery.assign(undo)
    assert list(pids_of(gallery).values()) == ["a", "a", "b", "b", 7, None]
    gallery.split(1, pid="a2")
    assert list(pids_of(gallery).values()) == ["a", "a2", "b", "b", 7, None]
    gallery.split([1], pid="a2")  # who is that person already may stay
    with pytest.raises(InputError, match="'b' has 2 other entries already. Use update"):
        gallery.split([1], pid="b")


def test_rename_keeps_the_entries(gallery):
    undo = gallery.rename("b", to=12)
    assert list(pids_of(gallery).values()) == ["a", "a", 12, 12, 7, None]
    with pytest.raises(InputError, match="7 has 1 other entries already. Use merge"):
        gallery.rename("a", to=7)
    gallery.assign(undo)
    assert list(pids_of(gallery).values()) == ["a", "a", "b", "b", 7, None]
    assert len(gallery.rename("a", to="a")) == 0
    gallery.rename(7, to="7")
    assert list(pids_of(gallery).values()) == ["a", "a", "b", "b", "7", None]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda g: g.merge([], into="a"), "at least one person"),
        (lambda g: g.merge(["a", "x"], into="a"), "no entries of the person 'x'"),
        (lambda g: g.merge(["a", None], into="a"), "no entries of the person None"),
        (lambda g: g.merge("ab", into="a"), "pids must be a list of the people to merge"),
        (lambda g: g.merge(7, into="a"), "pids must be a list of the people to merge"),
        (lambda g: g.merge(["a"], into=None), "into must be a person"),
        (lambda g: g.merge(["a"], into=1.5), "into must be int, str or None; row 0 is 1.5"),
        (lambda g: g.split([]), "needs the ids"),
        (lambda g: g.split([99]), "no entry 99"),
        (lambda g: g.rename("x", to="y"), "no entries of the person 'x'"),
        (lambda g: g.rename("a", to=None), "to must be a person"),
        (lambda g: g.rename("a", to=""), "to must be an int or a text that is not empty; got ''"),
        (lambda g: g.merge(["a"], into=" "), "into must be an int or a text that is not empty"),
        (lambda g: g.split([0], pid="\t"), "pid must be an int or a text that is not empty"),
        (lambda g: g.rename(None, to="a"), "pid must be a person"),
    ],
)
def test_bad_names_change_nothing(gallery, call, message):
    before = pids_of(gallery)
    with pytest.raises((InputError, UnknownIdError), match=message):
        call(gallery)
    assert pids_of(gallery) == before


def test_a_person_without_a_name_can_be_given_one():
    gallery = Gallery(2)
    gallery.add([[1, 0]], pids=[""])
    gallery.rename("", to="anna")
    assert pids_of(gallery) == {0: "anna"}


def test_each_change_is_one_durable_commit(tmp_path):
    rows, _ = crops(4)
    with Gallery.open(tmp_path / "g", dim=32) as gallery:
        gallery.add(rows)
        undo = gallery.assign(gallery.cluster(threshold=0.8))
        reader = Gallery.open(tmp_path / "g", mode="r")
        named = pids_of(gallery)
        assert pids_of(reader) == named
        gallery.merge([1, 2], into="both")
        gallery.split([0], pid="alone")
        gallery.rename(3, to="three")
        with pytest.raises(GalleryError, match='mode="r"'):
            reader.assign(undo)
        reader.close()
        wanted = pids_of(gallery)
    with Gallery.open(tmp_path / "g") as gallery:
        assert pids_of(gallery) == wanted
        assert gallery.counts("pid") == {"both": 9, "three": 5, 4: 5, "alone": 1}
        np.testing.assert_allclose(
            [entry.embedding for entry in gallery.get(gallery.ids)], unit(rows), atol=1e-6
        )


def test_doubtful_pairs_are_those_closest_to_the_threshold():
    # Angles on a circle; the cosines of neighbours: 0.995 (a, a), 0.70 (a, b), 0.48 (b, None).
    angles = {0: ("a", 0.0), 1: ("a", 0.1), 2: ("b", 0.895), 3: (None, 1.965), 4: ("c", 3.9)}
    gallery = Gallery(2)
    gallery.add(
        [[np.cos(a), np.sin(a)] for _, a in angles.values()], pids=[p for p, _ in angles.values()]
    )
    pairs = gallery.doubtful(10, threshold=0.69)
    assert [pair.ids for pair in pairs[:2]] == [(1, 2), (2, 3)]
    assert [pair.pids for pair in pairs[:2]] == [("a", "b"), ("b", None)]
    assert pairs[0].similarity == pytest.approx(np.cos(0.795), abs=1e-6)
    assert not pairs[0].is_same
    assert gallery.doubtful(1)[0].ids == (2, 3)  # the default threshold is 0.475
    (same,) = [pair for pair in pairs if pair.is_same]
    assert (same.ids, same.pids) == ((0, 1), ("a", "a"))
    assert len({frozenset(pair.ids) for pair in pairs}) == len(pairs)
    gallery.merge(["a", "b"], into="a")
    assert ("a", "b") not in [pair.pids for pair in gallery.doubtful(10)]
    assert Gallery(2).doubtful() == []


def test_doubtful_pairs_equal_their_definition():
    rows, true = crops(6, 4, dim=8, spread=0.8)
    gallery = Gallery(8)
    gallery.add(rows, pids=true)
    near = unit(rows).astype(float) @ unit(rows).astype(float).T
    best = {}
    for a in range(24):
        order = [int(b) for b in np.argsort(-near[a], kind="stable") if b != a][:8]
        for same in (True, False):
            found = [b for b in order if (true[a] == true[b]) == same][:1]
            for b in found:
                key = frozenset([true[a], true[b]])
                pair = (abs(near[a, b] - 0.3), (min(a, b), max(a, b)))
                best[key] = min(best.get(key, pair), pair)
    wanted = [pair for _, pair in sorted(best.values())]
    assert [pair.ids for pair in gallery.doubtful(99, threshold=0.3)] == wanted


def test_new_people_have_numbers_of_64_bits():
    gallery = Gallery(2)
    gallery.add([[1, 0], [1, 0.1], [0, 1], [0.1, 1]], pids=[2**63 - 1, 2, None, None])
    gallery.split([1])
    assert gallery.get([1])[0].pid == 1
    gallery.assign(gallery.cluster())
    assert pids_of(gallery) == {0: 2**63 - 1, 1: 1, 2: 2, 3: 2}


def test_tracklets_of_a_table_are_whole_numbers():
    rows, true = crops()
    gallery = Gallery(32)
    gallery.add(rows, metadata=[{"track": float(pid)} for pid in np.roll(true, 1)])
    tracks = gallery.cluster(tracklet_key="track")
    for row in range(1, 40):
        same = true[row] == true[row - 1]
        assert not same or tracks.labels[(row + 1) % 40] == tracks.labels[row]


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("trak", "None of the entries has the metadata key 'trak'"),
        ("list", r"the metadata 'list' of entry 0 is \[1\]"),
        ("half", "the metadata 'half' of entry 0 is 1.5"),
        ("flag", "the metadata 'flag' of entry 0 is True"),
    ],
)
def test_metadata_that_name_no_tracklets_are_refused(gallery, key, message):
    gallery.update([0], metadata=[{"list": [1], "half": 1.5, "flag": True}])
    with pytest.raises(InputError, match=message):
        gallery.cluster(tracklet_key=key)


def test_crops_of_one_frame_are_not_doubtful():
    rows = [[1, 0], [1, 0.1], [1, 1]]
    gallery = Gallery(2)
    gallery.add(rows, camids=[1, 1, 2], timestamps=[5, 5, 5])
    assert [pair.ids for pair in gallery.doubtful()] == [(0, 2), (1, 2)]
    gallery.update([0], timestamps=[6])
    assert (0, 1) in [pair.ids for pair in gallery.doubtful()]
    gallery.update([0, 1], pids=["a", "a"], timestamps=[5, 5])
    assert (0, 1) in [pair.ids for pair in gallery.doubtful()]  # one person in two places
