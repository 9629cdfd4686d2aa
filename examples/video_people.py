"""Re-identify people in a video: embed detections and match them against a gallery.

python examples/video_people.py                             # creates a video of rendered people
python examples/video_people.py street.mp4 --boxes det.txt  # with boxes from your detector

Boxes are lines "frame,id,left,top,width,height,..." as in MOTChallenge, with frames from 1. Needs
opencv-python-headless; if supervision is installed, boxes are passed as its Detections.
"""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from importlib import resources
from pathlib import Path

import numpy as np

import sanreid

try:
    import cv2
except ImportError:
    sys.exit("This example reads video with OpenCV: pip install opencv-python-headless")
try:
    from supervision import Detections
except ImportError:
    Detections = None

FPS = 10


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("video", nargs="?", type=Path)
    parser.add_argument("--boxes", type=Path, help="boxes of a detector for this video")
    parser.add_argument(
        "--threshold", type=float, default=0.5, help="calibrate it on your cameras"
    )
    parser.add_argument("--every", type=int, default=5, help="process every N-th frame")
    parser.add_argument("--weights", help="default: the bundled weights")
    args = parser.parse_args()
    if args.video is None:
        args.video, args.boxes = Path("people.avi"), Path("people.txt")
        make_video(args.video, args.boxes)
    elif args.boxes is None:
        parser.error("pass --boxes: sanreid re-identifies people, but a detector has to find them")

    encoder = sanreid.SANEncoder.from_pretrained(args.weights)
    gallery = sanreid.Gallery(encoder.embedding_dim, encoder_fingerprint=encoder.fingerprint)
    boxes, video = read_boxes(args.boxes), cv2.VideoCapture(str(args.video))
    if not video.isOpened():
        sys.exit(f"OpenCV cannot read {args.video}.")
    fps = video.get(cv2.CAP_PROP_FPS) or 25.0
    number = 0
    while True:
        read, frame = video.read()
        number += 1
        if not read:
            break
        if number % args.every or number not in boxes:
            continue
        xyxy = np.array(boxes[number])
        detections = xyxy if Detections is None else Detections(xyxy=xyxy)
        embeddings = encoder.encode_detections(frame, detections, color="bgr")
        assign_people(gallery, embeddings, xyxy, number / fps, args.threshold)
    video.release()

    print(f"{len(gallery.find({}))} detections of {gallery.stats()['pids']} people")
    for pid in range(1, gallery.stats()["pids"] + 1):
        seen = [entry.timestamp for entry in gallery.get(gallery.find({"pid": pid}))]
        print(f"person {pid}: {len(seen)} times from {min(seen):.1f} s to {max(seen):.1f} s")


def assign_people(
    gallery: sanreid.Gallery,
    embeddings: np.ndarray,
    xyxy: np.ndarray,
    seconds: float,
    threshold: float,
) -> None:
    """Assign each detection of a frame to a person seen before, or to a new one."""
    here: list[int] = []  # a person appears at most once per frame
    for embedding, box in zip(embeddings, xyxy, strict=True):
        others = {"pid": {"$nin": here}}
        hits = gallery.search(embedding, k=1, where=others, min_similarity=threshold)[0]
        here.append(hits[0].pid if hits else gallery.stats()["pids"] + 1)
        gallery.add(
            embedding,
            pids=[here[-1]],
            timestamps=[seconds],
            metadata=[{"box": [round(float(side), 1) for side in box]}],
        )


def read_boxes(path: Path) -> dict[int, list[list[float]]]:
    """Return the boxes by frame, as left, top, right, bottom."""
    boxes = defaultdict(list)
    for line in path.read_text(encoding="utf-8").splitlines():
        frame, _, left, top, width, height = (float(part) for part in line.split(",")[:6])
        boxes[int(frame)].append([left, top, left + width, top + height])
    return boxes


def make_video(path: Path, boxes: Path) -> None:
    """Write a video of walking rendered people; two return, seen by another camera."""
    samples = Path(str(resources.files("sanreid"))) / "demo"
    walks = [(1, 1, 0), (3, 1, 8), (5, 1, 16), (1, 3, 40), (3, 3, 52)]  # person, camera, start
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), FPS, (640, 288))
    lines = []
    for number in range(1, 91):
        frame = np.full((288, 640, 3), (168, 160, 156), np.uint8)
        for person, camera, start in walks:
            left = 16 * (number - start) - 128
            if not -64 < left < 576:
                continue
            crop = cv2.imread(str(samples / f"{person:04d}_c{camera}_rendered_0.jpg"))
            right = min(left + 128, 640)
            frame[16:272, max(left, 0) : right] = crop[:, max(-left, 0) : right - left]
            lines.append(f"{number},-1,{left},16,128,256,1,-1,-1,-1")
        writer.write(frame)
    writer.release()
    boxes.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print(f"{path}: {len(walks)} walks of 3 rendered people")


if __name__ == "__main__":
    main()
