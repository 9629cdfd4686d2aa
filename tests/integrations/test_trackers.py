"""The real trackers of other libraries over a rendered clip; skipped where they are missing."""

from __future__ import annotations

import numpy as np
import pytest

from sanreid.backends import export
from sanreid.integrations import read_boxes
from tests.people import rendered_person

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]  # theirs are not ours

FRAMES = 12


@pytest.fixture(scope="module")
def people():
    """Crops of three people (128, 64, 3), BGR."""
    return [np.asarray(rendered_person(i, size=(128, 64)))[:, :, ::-1] for i in (1, 2, 3)]


def clip(people):
    """Render frames (BGR) and detections (3, 6): x1, y1, x2, y2, confidence, class."""
    for step in range(FRAMES):
        frame = np.full((360, 640, 3), 90, np.uint8)
        rows = []
        for number, crop in enumerate(people):
            left = 40 + 150 * number + (-6 if number == 1 else 8) * step
            top = 60 + 40 * number
            frame[top : top + 128, left : left + 64] = crop
            rows.append([left, top, left + 64, top + 128, 0.9, 0])
        yield frame, np.array(rows, dtype=float)


def tracked(tracker, people):
    return [np.asarray(tracker.update(boxes, frame))[:, :5] for frame, boxes in clip(people)]


def test_boxmot_takes_the_encoder_itself(tiny_encoder, people):
    boxmot = pytest.importorskip("boxmot")

    class ByHand:
        """The library's own loop: the crops cut by hand, embedded one after another."""

        def get_features(self, boxes, image):
            crops = [image[int(t) : int(b), int(l) : int(r)] for l, t, r, b in boxes]  # noqa: E741
            return tiny_encoder.encode(crops, color="bgr")

    found, wanted = (
        tracked(boxmot.BotSort(reid_model=model, use_cmc=False), people)
        for model in (tiny_encoder, ByHand())
    )
    assert len(found) == FRAMES
    for ours, theirs in zip(found, wanted, strict=True):
        np.testing.assert_allclose(ours, theirs)
    assert len(np.unique(np.concatenate(found[2:])[:, 4])) == 3  # three people, three tracks


@pytest.mark.parametrize("backend", ["onnx", "torchscript"])
def test_boxmot_loads_an_export(backend, tiny_encoder, people, tmp_path):
    boxmot = pytest.importorskip("boxmot")
    suffix = {"onnx": "onnx", "torchscript": "torchscript"}[backend]
    path = tmp_path / f"tiny.{suffix}"
    export(tiny_encoder, path, backend=backend, input_form="normalized")
    tracks = tracked(boxmot.BotSort(reid_weights=path, device="cpu", use_cmc=False), people)
    assert len(np.unique(np.concatenate(tracks[2:])[:, 4])) == 3


def test_tracks_of_boxmot_are_boxes(tiny_encoder, people):
    boxmot = pytest.importorskip("boxmot")
    tracker = boxmot.BotSort(reid_model=tiny_encoder, use_cmc=False)
    for frame, boxes in clip(people):
        tracks = tracker.update(boxes, frame)
    assert tiny_encoder.encode_detections(frame, tracks, color="bgr").shape == (3, 16)


def test_results_of_ultralytics_are_boxes(tiny_encoder, people):
    pytest.importorskip("ultralytics")
    import torch
    from ultralytics.engine.results import Results

    frame, boxes = next(clip(people))
    for rows in (boxes, boxes[:0]):
        results = Results(frame, path="", names={0: "person"}, boxes=torch.tensor(rows))
        wanted = tiny_encoder.encode_detections(frame, rows[:, :4], color="bgr")
        for given in (results, [results], results.boxes):
            np.testing.assert_array_equal(read_boxes(given), rows[:, :4])
            np.testing.assert_array_equal(
                tiny_encoder.encode_detections(frame, given, color="bgr"), wanted
            )


def test_detections_of_supervision_are_boxes(tiny_encoder, people):
    supervision = pytest.importorskip("supervision")
    frame, boxes = next(clip(people))
    detections = supervision.Detections(xyxy=boxes[:, :4], confidence=boxes[:, 4])
    np.testing.assert_array_equal(read_boxes(detections), boxes[:, :4])
    found = tiny_encoder.encode_detections(frame, detections[:2], color="bgr")
    assert found.shape == (2, 16)
