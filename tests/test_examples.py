"""The scripts of examples/ work on rendered people."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import pytest

from tests.people import write_people

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
pytestmark = pytest.mark.skipif(not EXAMPLES.is_dir(), reason="examples/ is not beside tests/")


@pytest.fixture
def run(monkeypatch, capsys):
    def call(script, *arguments):
        monkeypatch.setattr(sys, "argv", [script, *map(str, arguments)])
        runpy.run_path(str(EXAMPLES / script), run_name="__main__")
        return capsys.readouterr().out

    return call


def test_every_script_is_tested():
    tested = {"search_folder.py", "evaluate_dataset.py", "video_people.py"}
    assert {path.name for path in EXAMPLES.glob("*.py")} == tested


def test_search_folder(run, tiny_weights, tmp_path):
    crops = write_people(tmp_path / "crops", identities=3, cameras=2, size=(64, 32))
    (tmp_path / "crops" / "bad.jpg").write_bytes(b"not a picture")
    out = run("search_folder.py", tmp_path / "crops", crops[2], "-k", 2, "--weights", tiny_weights)
    lines = out.splitlines()
    assert lines[0].startswith(f"skipped {tmp_path / 'crops' / 'bad.jpg'}: ")
    assert lines[1] == "6 crops in the gallery"
    assert lines[2].split() == ["1", "1.000", str(crops[2])]
    assert len(lines) == 4


def test_evaluate_dataset(run, tiny_weights, tmp_path):
    write_people(tmp_path / "query", identities=3, cameras=1, size=(64, 32))
    write_people(tmp_path / "gallery", identities=3, cameras=3, size=(64, 32))
    out = run(
        "evaluate_dataset.py", tmp_path / "query", tmp_path / "gallery", "--weights", tiny_weights
    )
    lines = out.splitlines()
    assert lines[0].startswith("cosine      mAP ")
    assert "3 of 3 queries" in lines[0]
    assert lines[1].strip().startswith("mAP between ")
    assert lines[2].startswith("re-ranked   mAP ")


@pytest.mark.parametrize("with_supervision", [True, False])
def test_video_people(run, tiny_weights, tmp_path, monkeypatch, with_supervision):
    pytest.importorskip("cv2", reason="OpenCV is not installed (extra dev)")
    if with_supervision:
        pytest.importorskip("supervision", reason="supervision is not installed (extra dev)")
    else:
        monkeypatch.setitem(sys.modules, "supervision", None)  # as if not installed
    monkeypatch.chdir(tmp_path)
    options = ("--weights", tiny_weights, "--every", 15)
    lines = run("video_people.py", *options, "--threshold", 1).splitlines()
    assert lines[0] == "people.avi: 5 walks of 3 rendered people"
    boxes = (tmp_path / "people.txt").read_text(encoding="utf-8").splitlines()
    assert len(boxes) == 4 * 39 + 34  # the video ends during the last walk
    processed = sum(int(box.split(",")[0]) % 15 == 0 for box in boxes)
    people = len(lines) - 2
    assert lines[1] == f"{processed} detections of {people} people"
    assert people >= 5  # at threshold 1 only identical crops match

    video = ("people.avi", "--boxes", "people.txt")
    lines = run("video_people.py", *video, *options, "--threshold", -1).splitlines()
    assert lines[0] == f"{processed} detections of 3 people"  # at most three appear at once
    assert [line.split(":")[0] for line in lines[1:]] == ["person 1", "person 2", "person 3"]


def test_video_people_asks_for_boxes(run, tmp_path, capsys):
    pytest.importorskip("cv2", reason="OpenCV is not installed (extra dev)")
    with pytest.raises(SystemExit) as stop:
        run("video_people.py", tmp_path / "street.mp4")
    assert stop.value.code == 2
    assert "pass --boxes" in capsys.readouterr().err
