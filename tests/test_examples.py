"""The scripts of examples/ work on rendered people."""

from __future__ import annotations

import runpy
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from sanreid.gallery import Gallery
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


@pytest.mark.slow
def test_video_people(run, tiny_weights, tmp_path, monkeypatch):
    pytest.importorskip("cv2", reason="OpenCV is not installed (extra dev)")
    monkeypatch.chdir(tmp_path)
    options = ("--weights", tiny_weights)
    lines = run("video_people.py", *options, "--threshold", 1.1).splitlines()
    assert lines[0] == "gate.avi and hall.avi: 7 walks of 4 rendered people under 2 cameras"
    tracklets, report = lines[1:8], lines[8:]
    assert tracklets[0] == "camera 1: 0.6 to 4.2 s, 13 crops: person 1 (new)"
    assert all(line.endswith("(new)") for line in tracklets)  # no crop reaches the threshold
    assert report[0] == "7 tracklets of 7 people"
    assert report[7] == "person 7: camera 2 from 3.3 to 6.9 s"

    videos = ("gate.avi", "hall.avi", "--boxes", "gate.txt", "hall.txt", "--gallery", "people")
    lines = run("video_people.py", *videos, *options, "--threshold", -1).splitlines()
    people = [line.split("person ")[1].split()[0] for line in lines[:7]]
    assert people[:3] == ["1", "2", "3"]  # at one time under one camera, so not one person
    assert "new" not in "".join(lines[3:7])  # all others are somebody known
    with Gallery.open(tmp_path / "people", mode="r") as gallery:
        first = gallery.get(gallery.ids[0])[0]
        assert len(gallery) == 7
    assert (first.pid, first.camid, first.timestamp) == (1, 1, 0.6)
    with pytest.raises(SystemExit):  # these weights have no default threshold
        run("video_people.py", *videos, *options)
    assert len(first.metadata["crops"]) == 13
    assert first.metadata["crops"][0]["box"] == [-32.0, 16.0, 96.0, 272.0]


def test_video_people_asks_for_boxes(run, tmp_path, capsys):
    pytest.importorskip("cv2", reason="OpenCV is not installed (extra dev)")
    for given in ([], ["--boxes", "a.txt", "b.txt"]):
        with pytest.raises(SystemExit) as stop:
            run("video_people.py", tmp_path / "street.mp4", *given)
        assert stop.value.code == 2
        assert "pass --boxes" in capsys.readouterr().err


@pytest.fixture
def video(monkeypatch):
    """The names of the script; OpenCV opens captures that are listed here, then no more."""
    cv2 = pytest.importorskip("cv2", reason="OpenCV is not installed (extra dev)")
    names = runpy.run_path(str(EXAMPLES / "video_people.py"))
    names["opened"], names["captures"], names["pauses"] = [], [], []

    class Capture:
        def __init__(self, source):
            names["opened"].append(source)
            self.frames = names["captures"].pop(0)

        def isOpened(self):  # noqa: N802 - OpenCV's name
            return self.frames is not None

        def get(self, _):
            return 25.0

        def read(self):
            return (True, self.frames.pop(0)) if self.frames else (False, None)

        def release(self):
            pass

    monkeypatch.setattr(cv2, "VideoCapture", Capture)
    monkeypatch.setattr(time, "sleep", names["pauses"].append)
    return names


def test_a_stream_is_opened_again_after_longer_and_longer_pauses(video, capsys):
    video["captures"] += [[1, 2], None, None, [3], *[None] * 8, [4]]
    read = video["frames"]("rtsp://camera/1")
    assert [next(read)[2] for _ in range(4)] == [1, 2, 3, 4]
    assert video["pauses"] == [1, 2, 4, 1, 2, 4, 8, 16, 32, 60, 60, 60]
    assert set(video["opened"]) == {"rtsp://camera/1"}
    assert "rtsp://camera/1 broke off; next try in 60 s" in capsys.readouterr().err


def test_a_file_ends_and_its_seconds_are_its_own(video):
    video["captures"] += [[1, 2, 3, 4, 5], None]
    assert list(video["frames"]("a.mp4", 2)) == [(2, 2 / 25, 2), (4, 4 / 25, 4)]
    assert video["pauses"] == []
    with pytest.raises(SystemExit, match=r"OpenCV cannot read b.mp4"):
        next(video["frames"]("b.mp4"))


class EmbedsColors:
    """Embeds a box as the colour of its first pixel."""

    embedding_dim, fingerprint = 3, "colors"

    def encode_detections(self, frame, boxes, *, color, on_error):
        assert (color, on_error) == ("bgr", "skip")
        kept = [row for row, box in enumerate(boxes) if box[0] < frame.shape[1]]
        rows = [frame[int(top), int(max(left, 0))] for left, top, _, _ in boxes[kept]]
        rows = np.array(rows, np.float32).reshape(-1, 3)
        return rows / np.linalg.norm(rows, axis=1, keepdims=True), np.array(kept, int)


def walk(*people, steps=6):
    """Render (color, first left, step) as boxes 20 wide; return frames, and their boxes."""
    frames, boxes = [], {}
    for number in range(1, steps + 1):
        frame, boxes[number] = np.zeros((40, 300, 3), np.uint8), []
        for color, first, step in people:
            left = first + number * step
            frame[:, max(left, 0) : left + 20] = color
            boxes[number].append([left, 0, left + 20, 40, 1.0])
        frames.append((number, float(number), frame))
    return frames, boxes


def test_boxes_become_tracklets_and_tracklets_people(video, capsys):
    red, blue, green = (0, 10, 200), (200, 10, 0), (0, 200, 10)
    people = video["People"](EmbedsColors(), None, 0.9)

    def take(camid, *walks):
        frames, boxes = walk(*walks)
        tracklets = video["follow"](
            EmbedsColors(), iter(frames), lambda number, _: np.array(boxes[number]), camid, 1.5
        )
        for tracklet in tracklets:
            people.take(tracklet)

    take(1, (red, 0, 5), (blue, 100, -5))
    take(2, (blue, 0, 5), (green, 285, 5))  # green leaves the frame after two steps
    take(3, (red, 0, 5), (red, 100, 5))  # twins: two people, being there at one time
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("crops: ")[1] for line in lines] == [
        "person 1 (new)", "person 2 (new)", "person 3 (new)", "person 2 (1.00)",
        "person 1 (1.00)", "person 4 (new)",
    ]  # fmt: skip
    assert lines[2].startswith("camera 2: 1.0 to 2.0 s, 2 crops")  # ended before the other
    people.report()
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "6 tracklets of 4 people"
    assert lines[2] == "person 2: camera 1 from 1.0 to 6.0 s, camera 2 from 1.0 to 6.0 s"


def test_the_weight_of_a_crop(video):
    frame = np.random.default_rng(0).integers(0, 256, (288, 640, 3), dtype=np.uint8)
    whole = [100, 16, 228, 272, 1.0]
    boxes = np.array([whole, [-64, 16, 64, 272, 1.0], [*whole[:4], 0.5], [100, 16, 132, 80, 1.0]])
    weights = video["quality"](frame, boxes)
    assert weights[0] > 2 * weights[1]  # cut off by the frame's border
    np.testing.assert_allclose(weights[2], weights[0] / 2, rtol=1e-4)  # doubtful
    assert weights[0] > weights[3]  # small
    assert len(video["quality"](frame, boxes[:0])) == 0
