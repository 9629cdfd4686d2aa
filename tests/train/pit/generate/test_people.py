from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from sanreid.train.pit.generate.clothing.fabrics import (
    FABRICS,
    PATTERNED,
    draw_fabric,
    noise,
    soft,
)
from sanreid.train.pit.generate.clothing.garments import GARMENTS, cover
from sanreid.train.pit.generate.clothing.painting import paint_person
from sanreid.train.pit.generate.clothing.palette import HAIR, LEGS, SHOES, SKIN, TORSO, draw_color
from sanreid.train.pit.generate.people.identity import draw_person


def people(count, **options):
    return [draw_person(np.random.default_rng([7, n]), **options) for n in range(count)]


def test_identities_differ_and_are_dressed_variously():
    drawn = people(300)
    assert len({str(p.describe()) + str(p.skin) for p in drawn}) == 300
    kinds = {g.kind for p in drawn for g in p.garments} - {"hair", "beard"}
    assert len(kinds) >= 12
    assert kinds <= set(GARMENTS)
    assert np.mean([p.is_patterned for p in drawn]) >= 0.4
    assert {p.phenotypes["gender"] > 0.5 for p in drawn} == {True, False}


def test_the_same_seed_gives_the_same_person():
    first, second = (draw_person(np.random.default_rng(3)) for _ in range(2))
    assert first.describe() == second.describe()
    np.testing.assert_array_equal(first.skin, second.skin)


def test_adults_only_means_adults():
    assert min(p.phenotypes["age"] for p in people(300, adults_only=True)) >= 0.64
    assert min(p.phenotypes["age"] for p in people(300)) < 0.62


TOPS_AND_LEGS = ("jacket", "open jacket", "suit jacket", "down jacket", "coat", "vest", "T-shirt",
                 "long-sleeved shirt", "polo shirt", "tank top", "button shirt", "sweater",
                 "hooded sweater", "dress", "trousers", "jeans", "shorts", "skirt",
                 "leggings")  # fmt: skip


def is_dark(person):
    worn = [g for g in person.garments if g.kind in TOPS_AND_LEGS]
    return all(g.fabric.colors[0].max() < 0.26 for g in worn)


def share(drawn, wears):
    return float(np.mean([wears(person) for person in drawn]))


def test_on_the_street_people_are_plainer_darker_and_wear_more_coats_hoods_and_bags():
    plain, street = people(500), people(500, street=True)
    assert share(street, is_dark) > share(plain, is_dark) + 0.15
    assert share(street, lambda p: p.is_patterned) < share(plain, lambda p: p.is_patterned) - 0.15
    for kinds in (("coat", "open jacket", "jacket", "down jacket"), ("hood",), ("backpack",)):
        assert share(street, lambda p, k=kinds: p.has(*k)) > share(
            plain, lambda p, k=kinds: p.has(*k)
        )
    ages = np.array([p.phenotypes["age"] for p in street])
    assert 0.06 < (ages < 0.6).mean() < 0.2
    assert (ages > 0.85).mean() > 0.08


def test_on_the_street_nobody_wears_two_coats_or_a_hat_under_a_hood():
    for person in people(500, street=True):
        kinds = [g.kind for g in person.garments]
        coats = ("jacket", "open jacket", "suit jacket", "down jacket", "coat", "vest")
        assert sum(kind in coats for kind in kinds) <= 1, kinds
        assert sum(kind in ("backpack", "shoulder bag") for kind in kinds) <= 1, kinds
        assert len(kinds) == len(set(kinds)), kinds


def test_a_backpack_without_straps_is_seen_from_behind_alone(studio):
    surface = studio.vertices
    person = next(
        p for p in people(200, street=True)
        if any(g.kind == "backpack" and g.cut.get("front") == 0 for g in p.garments)
    )  # fmt: skip
    pack = next(g for g in person.garments if g.kind == "backpack")
    covered = cover(pack, surface) > 0.5
    assert (surface.position[covered, 1] > 0.02).all()
    with_straps = replace(pack, cut={**pack.cut, "front": 1.0})
    assert (surface.position[cover(with_straps, surface) > 0.5, 1] < 0).any()


def test_everybody_is_clothed(studio):
    surface = studio.vertices
    torso = surface.part["torso"] & (surface.position[:, 2] < 0.5) & (surface.position[:, 2] > 0.0)
    chest = surface.part["torso"] & (np.abs(surface.position[:, 2] - 0.45) < 0.08)
    for person in people(60):
        bare = np.ones(len(surface.arm))
        for garment in person.garments:
            if garment.kind not in ("backpack", "shoulder bag", "hair"):
                bare *= 1 - cover(garment, surface)
        assert bare[torso].mean() < 0.05, person.describe()
        assert bare[chest].mean() < 0.2, person.describe()


def test_garments_sit_on_their_part(studio):
    surface = studio.vertices
    for person in people(40):
        for garment in person.garments:
            covered = cover(garment, surface) > 0.5
            assert covered.any() or garment.kind in ("watch", "gloves"), garment.kind
            if garment.kind in ("shoes", "trainers", "socks", "boots"):
                assert surface.position[covered, 2].max() < -0.3
            if garment.kind in ("cap", "hat", "beanie", "beard", "glasses"):
                assert not covered[~(surface.part["head"] | surface.part["neck"])].any()
            if garment.kind in ("trousers", "jeans", "shorts", "skirt"):
                assert not covered[surface.part["arm"] | surface.part["head"]].any()


def test_a_texture_is_whole_and_in_range(studio):
    person = people(1)[0]
    texture = paint_person(person, studio.atlas, studio.texels)
    assert texture.shape == (256, 256, 3)
    assert texture.dtype == np.float32
    assert 0 <= texture.min() <= texture.max() <= 1
    again = paint_person(person, studio.atlas, studio.texels)
    np.testing.assert_array_equal(texture, again)


@pytest.mark.parametrize("kind", FABRICS)
def test_fabrics_paint_colors(studio, kind):
    rng = np.random.default_rng(5)
    ground, figure, accent = (np.full(3, x, np.float32) for x in (0.2, 0.8, 0.5))
    cloth = draw_fabric(rng, kind, ground, figure, accent).paint(studio.vertices)
    assert cloth.shape == (len(studio.vertices.arm), 3)
    assert 0 <= cloth.min() <= cloth.max() <= 1
    torso = cloth[studio.vertices.part["torso"] | studio.vertices.part["arm"]]
    if kind in PATTERNED:
        assert torso.max() - torso.min() > 0.35  # the figure shows
    elif kind == "plain":
        assert torso.std() < 0.05


def test_alike_colors_are_moved_apart():
    grey = np.full(3, 0.3, np.float32)
    fabric = draw_fabric(np.random.default_rng(0), "stripes", grey, grey, grey)
    assert np.abs(fabric.colors[1] - fabric.colors[0]).min() > 0.2


def test_soft_edges_known_values():
    np.testing.assert_allclose(soft(np.array([-1, 0, 0.0035, 1])), [0, 0.5, 1, 1])


def test_noise_is_smooth_and_in_range():
    line = np.stack([np.linspace(0, 1, 2000), np.zeros(2000), np.zeros(2000)], 1)
    values = noise(line.astype(np.float32), 0.1, np.random.default_rng(0))
    assert 0 <= values.min() < 0.3
    assert 0.7 < values.max() <= 1
    assert np.abs(np.diff(values)).max() < 0.02


@pytest.mark.parametrize("rows", [TORSO, LEGS, SKIN, HAIR, SHOES])
def test_palettes_are_shares_and_colors(rows):
    assert sum(row[2] for row in rows) == pytest.approx(1, abs=0.04)
    rng = np.random.default_rng(0)
    drawn = np.stack([draw_color(rng, rows) for _ in range(400)])
    assert 0 < drawn.min() <= drawn.max() < 1
    mean = sum(np.array(row[0]) * row[2] for row in rows) / sum(row[2] for row in rows) / 255
    np.testing.assert_allclose(drawn.mean(0), mean, atol=0.05)
