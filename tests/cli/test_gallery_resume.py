"""``sanreid gallery build`` goes on where it was killed."""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sanreid.cli import main
from sanreid.cli.gallery import resuming
from sanreid.encoder import SANEncoder
from sanreid.gallery import Gallery
from tests.people import write_people


@pytest.fixture
def interrupted(run, people, tiny, tmp_path, monkeypatch):
    """A build of 16 crops that was stopped after 8 of them; gives its arguments."""
    real, calls = SANEncoder.encode_files, []

    def two_calls(self, *args, **kwargs):
        if len(calls) == 2:
            raise KeyboardInterrupt
        calls.append(args)
        return real(self, *args, **kwargs)

    build = ("gallery", "build", people, tmp_path / "g", "--weights", tiny, "--batch-size", "1")
    with monkeypatch.context() as patch:
        patch.setattr(resuming, "_COMMIT_S", 0.0)
        patch.setattr(SANEncoder, "encode_files", two_calls)
        status, _, err = run(*build)
    assert status == 130
    assert "8 embedded files are kept in" in err
    assert not (tmp_path / "g").exists()
    return build


def entries(path):
    gallery = Gallery.load(path)
    return sorted(gallery.get(gallery.ids), key=lambda entry: entry.metadata["path"])


def test_the_same_command_resumes_and_leaves_nothing_beside(run, interrupted, people, tmp_path):
    status, out, err = run(*interrupted)
    assert status == 0
    assert "8 of these files were embedded by a build that was interrupted" in err
    assert "16 added" in out
    assert sorted(path.name for path in tmp_path.iterdir()) == ["g"]
    assert [entry.metadata["path"] for entry in entries(tmp_path / "g")] == sorted(
        map(str, people.iterdir())
    )


def test_what_is_there_is_replaced_when_the_resumed_build_is_complete(run, interrupted, tmp_path):
    Gallery(16).save(tmp_path / "g")
    assert "exists already" in run(*interrupted)[2]
    assert (tmp_path / "g.building").is_dir()
    assert run(*interrupted, "--overwrite")[0] == 0
    assert len(entries(tmp_path / "g")) == 16
    assert sorted(path.name for path in tmp_path.iterdir()) == ["g"]


def test_other_weights_or_options_begin_anew(run, interrupted, tmp_path):
    status, out, err = run(*interrupted, "--flip")
    assert status == 0
    assert "interrupted" not in err
    assert "16 added" in out


@pytest.mark.parametrize("key", ["dtype", "backend"])
def test_another_arithmetic_is_refused(run, interrupted, tmp_path, key):
    noted = tmp_path / "g.building" / "build.json"
    options = json.loads(noted.read_text())
    noted.write_text(json.dumps(options | {key: "another"}))
    status, out, err = run(*interrupted)
    assert (status, out) == (1, "")
    assert f"was begun with {key} another, not {options[key]}" in err
    noted.write_text(json.dumps({k: v for k, v in options.items() if k != key}))  # an older one
    assert run(*interrupted)[0] == 0
    assert len(entries(tmp_path / "g")) == 16


def test_a_build_killed_at_its_very_end_is_complete(run, interrupted, tmp_path, monkeypatch):
    def killed(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(resuming.shutil, "rmtree", killed)
        assert run(*interrupted)[0] == 130
    assert sorted(path.name for path in tmp_path.iterdir()) == ["g", "g.building"]
    status, out, err = run(*interrupted)
    assert status == 0
    assert "had put the gallery in its place already" in err
    assert out == f"{tmp_path / 'g'}: 0 added, 16 entries\n"
    assert [path.name for path in tmp_path.iterdir()] == ["g"]
    assert "exists already" in run(*interrupted)[2]


def test_a_build_killed_before_it_is_in_its_place_resumes(run, interrupted, tmp_path, monkeypatch):
    def killed(self, target):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", killed)
        status, _, err = run(*interrupted)
    assert status == 130
    assert "16 embedded files are kept in" in err
    status, out, _ = run(*interrupted)
    assert status == 0
    assert "16 added" in out
    assert [path.name for path in tmp_path.iterdir()] == ["g"]


def test_a_file_that_changed_is_embedded_again(run, tiny, tmp_path, monkeypatch):
    crops = tmp_path / "crops"
    files = sorted(write_people(crops, identities=2, cameras=1, size=(64, 32)))
    (crops / "0009_c1s1_000001_00.jpg").write_bytes(b"not a picture")
    build = ("gallery", "build", crops, tmp_path / "g", "--weights", tiny, "--batch-size", "1")
    monkeypatch.setattr(resuming, "_BATCHES", 1)
    monkeypatch.setattr(resuming, "_COMMIT_S", 0.0)
    assert run(*build)[0] == 1
    (crops / "0009_c1s1_000001_00.jpg").unlink()
    Image.new("RGB", (32, 64), "red").save(files[0])
    files[1].unlink()
    assert run(*build)[0] == 0
    [entry] = entries(tmp_path / "g")
    expected = Gallery(len(entry.embedding))  # which makes the norm 1 to the last digit
    expected.add(SANEncoder.from_pretrained(tiny, device="cpu").encode(files[0]))
    [alone] = expected.get(expected.ids)
    np.testing.assert_array_equal(entry.embedding, alone.embedding)


def test_a_folder_of_that_name_is_left_as_it_is(run, people, tiny, tmp_path):
    (tmp_path / "g.building").mkdir()
    (tmp_path / "g.building" / "mine").write_text("mine")
    status, _, err = run("gallery", "build", people, tmp_path / "g", "--weights", tiny)
    assert status == 1
    assert "Move it away" in err
    assert (tmp_path / "g.building" / "mine").read_text() == "mine"


def build_in_child(arguments):
    """Build with a commit after every fourth file, silently."""
    resuming._COMMIT_S = 0.0
    with Path(os.devnull).open("w") as nowhere:
        sys.stdout = sys.stderr = nowhere
        os._exit(main(arguments))


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="children are forked: they start at once")
@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_killed_twenty_times_each_path_stands_once(tiny, tmp_path):
    files = sorted(write_people(tmp_path / "crops", identities=6, cameras=4, size=(64, 32)))
    fork = multiprocessing.get_context("fork")

    def start(path):
        arguments = ["gallery", "build", str(tmp_path / "crops"), str(path), "--weights", tiny]
        child = fork.Process(
            target=build_in_child, args=([*arguments, "--batch-size", "1", "--device", "cpu"],)
        )
        child.start()
        return child

    began = time.monotonic()
    whole = start(tmp_path / "whole")
    whole.join()
    assert whole.exitcode == 0
    whole_s = time.monotonic() - began
    rng, kills, resumed, turns = random.Random(0), 0, 0, 0
    while kills < 20:
        path, ended = tmp_path / f"g-{turns}", False
        while not ended:
            child = start(path)
            child.join(timeout=whole_s * rng.uniform(0.1, 0.9))
            if child.exitcode is None:
                child.kill()
                child.join()
                kills += 1
                resumed += (tmp_path / f"g-{turns}.building" / "entries").exists()
            elif child.exitcode == 1:  # killed between the gallery's completion and the clean-up
                assert path.exists()
                break
            else:
                assert child.exitcode == 0
                ended = True
        assert [entry.metadata["path"] for entry in entries(path)] == [str(file) for file in files]
        turns += 1
    assert resumed > 5
    for one, other in zip(entries(tmp_path / "whole"), entries(tmp_path / "g-0"), strict=True):
        np.testing.assert_allclose(one.embedding, other.embedding, atol=1e-6)
