"""Who is seen by which camera, and the names that say so."""

from __future__ import annotations

from collections import Counter

import pytest

from sanreid.datasets import read_crops
from sanreid.errors import InputError
from sanreid.train.pit.generate.cameras.camera import HOURS
from sanreid.train.pit.generate.cameras.sightings import PeopleSettings, draw_sightings

SETTINGS = PeopleSettings(400, 60, seed=2)


def test_each_identity_is_seen_by_3_to_6_cameras_in_1_to_4_crops():
    cameras, crops = Counter(), Counter()
    for identity in range(SETTINGS.identities):
        sightings = draw_sightings(SETTINGS, identity)
        cameras[len({s.camera for s in sightings})] += 1
        crops.update(len(s.frames) for s in sightings)
        assert all(1 <= s.camera <= 60 and 0 <= s.hour < HOURS for s in sightings)
        assert all(len(set(s.frames)) == len(s.frames) for s in sightings)
    assert set(cameras) == {3, 4, 5, 6}
    assert set(crops) == {1, 2, 3, 4}
    assert min(cameras.values()) > 60


def test_many_identities_share_each_camera():
    seen = Counter(s.camera for i in range(400) for s in draw_sightings(SETTINGS, i))
    assert len(seen) == 60
    assert min(seen.values()) >= 12


def test_names_are_read_as_person_and_camera(tmp_path):
    wanted = []
    for identity in (0, 7):
        for sighting in draw_sightings(SETTINGS, identity):
            for name in sighting.names(identity):
                (tmp_path / name).touch()
                wanted.append((identity + 1, sighting.camera))
    crops = read_crops(tmp_path, names="market1501")
    assert sorted(zip(crops.pids.tolist(), crops.camids.tolist(), strict=True)) == sorted(wanted)
    assert len(crops.without_ignored()) == len(wanted)


def test_with_few_cameras_all_see_everybody():
    two = PeopleSettings(1, 2)
    assert [s.camera for s in draw_sightings(two, 0)] == [1, 2]


def test_wrong_settings_are_refused():
    for identities, cameras, seed in ((0, 2, 0), (1, 1, 0), (1, 2, -1)):
        with pytest.raises(InputError, match=f"got {identities}, {cameras} and {seed}"):
            PeopleSettings(identities, cameras, seed)
