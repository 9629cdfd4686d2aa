"""Re-identify people in videos of several cameras: tracklets, a gallery, "known or new".

python examples/video_people.py                                 # renders clips of two cameras
python examples/video_people.py gate.mp4 hall.mp4 --boxes gate.txt hall.txt
python examples/video_people.py rtsp://10.0.0.5/1 --detector yolo11n.pt --gallery people.gallery

Boxes come from a file, lines "frame,id,left,top,width,height,confidence,..." as in MOTChallenge,
with frames from 1, or from a detector of ultralytics, if that is installed. A stream that breaks
off is opened again. Needs opencv-python-headless.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path

import numpy as np

import sanreid

try:
    import cv2
except ImportError:
    sys.exit("This example reads video with OpenCV: pip install opencv-python-headless")

FPS = 10
LEAST_LINK = 0.5  # overlap plus similarity
LONGEST_PAUSE_S = 60.0
Detector = Callable[[int, np.ndarray], np.ndarray]  # number, frame -> (N, 5): corners, confidence


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("videos", nargs="*", metavar="VIDEO", help="one per camera; file or URL")
    parser.add_argument("--boxes", nargs="+", type=Path, help="boxes of a detector, per video")
    parser.add_argument("--detector", metavar="MODEL", help="weights for ultralytics")
    parser.add_argument("--gallery", type=Path, help="keep people here; default: in memory")
    parser.add_argument(
        "--threshold", type=float, help="calibrate it on your cameras; default: the weights' own"
    )
    parser.add_argument("--every", type=int, default=3, help="process every N-th frame")
    parser.add_argument("--gap", type=float, default=1.5, help="seconds after which a track ends")
    parser.add_argument("--weights", help="default: the bundled weights")
    args = parser.parse_args()
    if not args.videos:
        args.videos, args.boxes = make_videos()
    if len(args.boxes or []) != len(args.videos) and not args.detector:
        parser.error("pass --boxes, one per video, or --detector: sanreid does not find people")

    encoder = sanreid.SANEncoder.from_pretrained(args.weights)
    if args.threshold is None:
        if encoder.default_threshold is None:
            parser.error("these weights have no default threshold: pass --threshold")
        args.threshold = encoder.default_threshold.similarity
    people = People(encoder, args.gallery, args.threshold)
    cameras = []
    for camid, video in enumerate(args.videos, start=1):
        detect = yolo(args.detector) if args.detector else from_file(args.boxes[camid - 1])
        cameras.append((camid, video, detect))

    def watch(camera: tuple[int, str, Detector]) -> None:
        camid, video, detect = camera
        for tracklet in follow(encoder, frames(video, args.every), detect, camid, args.gap):
            people.take(tracklet)

    with contextlib.closing(people.gallery):
        if any(is_live(video) for video in args.videos):
            with ThreadPoolExecutor(len(cameras)) as threads:
                list(threads.map(watch, cameras))
        else:
            for camera in cameras:
                watch(camera)
        people.report()


@dataclass
class Tracklet:
    """Crops of one person under one camera, in sequence."""

    camid: int
    box: np.ndarray
    seen: float
    embeddings: list[np.ndarray] = field(default_factory=list)
    quality: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    boxes: list[list[float]] = field(default_factory=list)

    @property
    def mean(self) -> np.ndarray:
        """The quality-weighted mean, not normalised."""
        return np.average(self.embeddings, axis=0, weights=self.quality)


class People:
    """A gallery of tracklets, and who is known."""

    def __init__(self, encoder: sanreid.SANEncoder, path: Path | None, threshold: float) -> None:
        dim, fingerprint = encoder.embedding_dim, encoder.fingerprint
        self.gallery = (
            sanreid.Gallery(dim, encoder_fingerprint=fingerprint)
            if path is None
            else sanreid.Gallery.open(path, dim=dim, encoder_fingerprint=fingerprint, wait=10)
        )
        self._threshold, self._deciding = threshold, threading.Lock()
        self._spans: list[tuple[int, float, float, int]] = []  # camera, from, until, person

    def take(self, tracklet: Tracklet) -> None:
        """Say whose tracklet it is, somebody known or somebody new, and add it."""
        start, end = tracklet.seconds[0], tracklet.seconds[-1]
        count = len(tracklet.seconds)
        with self._deciding:  # two cameras must not give one number to two new people
            beside = [  # nobody is twice under one camera at one time
                pid
                for camid, first, last, pid in self._spans
                if camid == tracklet.camid and first <= end and start <= last
            ]
            (found,) = self.gallery.identify(
                tracklet.mean, threshold=self._threshold, where={"pid": {"$nin": beside}}
            )
            known = [pid for pid in self.gallery.counts("pid") if isinstance(pid, int)]
            pid = found.pid if found.pid is not None else max(known, default=0) + 1
            self.gallery.add_tracklets(
                tracklet.embeddings,
                [f"camera {tracklet.camid} {start:.2f} s"] * count,
                pids=[pid] * count,
                camids=[tracklet.camid] * count,
                timestamps=tracklet.seconds,
                metadata=[{"box": box} for box in tracklet.boxes],
                quality=tracklet.quality,
            )
            self._spans.append((tracklet.camid, start, end, pid))
        known_or_new = f"{found.similarity:.2f}" if found.pid is not None else "new"
        print(
            f"camera {tracklet.camid}: {start:.1f} to {end:.1f} s, {count} crops: person {pid} "
            f"({known_or_new})"
        )

    def report(self) -> None:
        """Print where each person was seen."""
        print(f"{len(self._spans)} tracklets of {len({pid for *_, pid in self._spans})} people")
        seen = defaultdict(list)
        for camid, start, end, pid in sorted(self._spans, key=lambda span: span[1]):
            seen[pid].append(f"camera {camid} from {start:.1f} to {end:.1f} s")
        for pid in sorted(seen, key=str):
            print(f"person {pid}: {', '.join(seen[pid])}")


def follow(
    encoder: sanreid.SANEncoder,
    video: Iterator[tuple[int, float, np.ndarray]],
    detect: Detector,
    camid: int,
    gap_s: float,
) -> Iterator[Tracklet]:
    """Link the boxes of one camera into tracklets; yield each when it has ended.

    A box continues the track whose last box overlaps it and whose last crop looks like it: tracks
    seen last come first, among them the best pair. boxmot and supervision do better in a crowd.
    """
    tracks: list[Tracklet] = []
    for number, seconds, frame in video:
        ended = [track for track in tracks if seconds - track.seen > gap_s]
        tracks = [track for track in tracks if seconds - track.seen <= gap_s]
        yield from ended
        found = detect(number, frame)
        embeddings, kept = encoder.encode_detections(
            frame, found[:, :4], color="bgr", on_error="skip"
        )
        found = found[kept]
        links = [
            (link(track, box, embedding), row, track)
            for row, (box, embedding) in enumerate(zip(found, embeddings, strict=True))
            for track in tracks
        ]
        chosen: dict[int, Tracklet] = {}
        for strength, row, track in sorted(links, key=lambda one: (-one[2].seen, -one[0])):
            taken = any(track is one for one in chosen.values())
            if strength > LEAST_LINK and row not in chosen and not taken:
                chosen[row] = track
        weights = quality(frame, found)
        for row, (box, embedding) in enumerate(zip(found, embeddings, strict=True)):
            if row not in chosen:
                chosen[row] = Tracklet(camid, box[:4], seconds)
                tracks.append(chosen[row])
            track = chosen[row]
            track.box, track.seen = box[:4], seconds
            track.embeddings.append(embedding)
            track.quality.append(weights[row])
            track.seconds.append(seconds)
            track.boxes.append([round(float(side), 1) for side in box[:4]])
    yield from tracks


def link(track: Tracklet, box: np.ndarray, embedding: np.ndarray) -> float:
    """Return how well a box continues a track: overlap and similarity, 0 without any overlap."""
    low, high = np.maximum(track.box[:2], box[:2]), np.minimum(track.box[2:], box[2:4])
    shared = np.prod(np.maximum(high - low, 0))
    overlap = shared / (area(track.box) + area(box) - shared)
    return float(overlap + track.embeddings[-1] @ embedding) if overlap > 0 else 0.0


def quality(frame: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """Return the weight of each box's crop: its quality times the detector's confidence."""
    corners = np.maximum(boxes[:, :4], 0).astype(int) + np.array([0, 0, 1, 1])
    crops = [frame[top:bottom, left:right] for left, top, right, bottom in corners]
    judged = sanreid.crop_quality(
        crops, boxes=boxes[:, :4], frame_size=frame.shape[:2], color="bgr"
    )
    return judged.score * boxes[:, 4] + 1e-6  # a track of bad crops still has a mean


def area(box: np.ndarray) -> float:
    return float((box[2] - box[0]) * (box[3] - box[1]))


def is_live(video: str) -> bool:
    """Whether a video is a stream or a camera, which goes on after an error."""
    return "://" in str(video) or str(video).isdigit()


def frames(video: str, every: int = 1) -> Iterator[tuple[int, float, np.ndarray]]:
    """Yield number from 1, seconds, frame; open a live source again whenever it breaks off.

    Seconds are those of the file, or of the clock. The pause before the next try doubles from one
    second to a minute, and is a second again after a frame was read.
    """
    number, pause = 0, 1.0
    while True:
        capture = cv2.VideoCapture(int(video) if str(video).isdigit() else str(video))
        if not capture.isOpened() and not is_live(video):
            sys.exit(f"OpenCV cannot read {video}.")
        fps = capture.get(cv2.CAP_PROP_FPS) or 25.0
        while capture.isOpened():
            read, frame = capture.read()
            if not read:
                break
            number, pause = number + 1, 1.0
            if number % every == 0:
                yield number, time.time() if is_live(video) else number / fps, frame
        capture.release()
        if not is_live(video):
            return
        print(f"{video} broke off; next try in {pause:g} s", file=sys.stderr)
        time.sleep(pause)
        pause = min(2 * pause, LONGEST_PAUSE_S)


def from_file(path: Path) -> Detector:
    """Return a detector that reads the boxes of a file."""
    boxes = defaultdict(list)
    for line in path.read_text(encoding="utf-8").splitlines():
        frame, _, left, top, width, height, *more = (float(part) for part in line.split(","))
        confidence = more[0] if more else 1.0
        boxes[int(frame)].append([left, top, left + width, top + height, confidence])
    return lambda number, _: np.array(boxes[number], dtype=float).reshape(-1, 5)


def yolo(weights: str) -> Detector:
    """Return a detector of ultralytics, for people only."""
    try:
        from ultralytics import YOLO  # noqa: PLC0415 - optional
    except ImportError:
        sys.exit("--detector needs ultralytics: pip install ultralytics")
    model = YOLO(weights)

    def detect(_: int, frame: np.ndarray) -> np.ndarray:
        (result,) = model(frame, classes=[0], verbose=False)
        return result.boxes.data[:, :5].cpu().numpy().astype(float)

    return detect


def make_videos() -> tuple[list[str], list[Path]]:
    """Write clips of rendered people who walk past two cameras, and their boxes."""
    walks = {  # person, first frame
        "gate": [(1, 0), (3, 10), (5, 20), (1, 48)],  # person 1 comes back
        "hall": [(3, 0), (7, 14), (1, 28)],  # 3 and 1 from the gate, and somebody new
    }
    videos, boxes = [], []
    for camid, (name, people) in enumerate(walks.items(), start=1):
        videos.append(f"{name}.avi")
        boxes.append(Path(f"{name}.txt"))
        make_video(videos[-1], boxes[-1], camid, people)
    print(f"{' and '.join(videos)}: 7 walks of 4 rendered people under 2 cameras")
    return videos, boxes


def make_video(path: str, boxes: Path, camid: int, walks: list[tuple[int, int]]) -> None:
    samples = Path(str(resources.files("sanreid"))) / "demo"
    writer = cv2.VideoWriter(path, cv2.VideoWriter.fourcc(*"MJPG"), FPS, (640, 288))
    crops = {
        person: cv2.imread(str(samples / f"{person:04d}_c{camid}_rendered_0.jpg"))
        for person, _ in walks
    }
    lines = []
    for number in range(1, 91):
        frame = np.full((288, 640, 3), (168, 160, 156), np.uint8)
        for person, start in walks:
            left = 16 * (number - start) - 128
            if not -64 < left < 576:
                continue
            right = min(left + 128, 640)
            frame[16:272, max(left, 0) : right] = crops[person][:, max(-left, 0) : right - left]
            lines.append(f"{number},-1,{left},16,128,256,1,-1,-1,-1")
        writer.write(frame)
    writer.release()
    boxes.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
