"""Small folders laid out as the real data sets are, with empty files for crops."""

import base64
import json
from pathlib import Path

__all__ = ["NEW_PROTOCOL", "cuhk03", "market1501", "msmt17", "viper", "write"]

# The variables of CUHK03's new protocol for four crops, as SciPy's savemat writes them
# (level 5, compressed); the first 124 bytes, a text, are left out.
NEW_PROTOCOL = b" " * 124 + base64.b64decode(
    """
AAFJTQ8AAABhAAAAeJzjY2BgCGBkYGAD0hxADGSCASuUzwIVY4Ty0zJzUnMyi0v4gGwHBoQ+FjR9IPV8SOYJQPmG
8QYGhvFA0lCvIC8dIka+OUbxBmaUmQM0wcAY5B4japgDJM0h5gAAMXMV9g8AAAA1AAAAeJzjY2BgiABiNiDmgNIg
wArlswAxIxSD5HISk1JzihkYOIFsBQYY+GCPQmd0OcBoAOl3B/IPAAAAMQAAAHic42NgYHAAYjYg5gBiTgYIYIXy
mYCYEYpBciVFiZl58ZkpFVB1TEDICFQEAGnSBEkPAAAAMAAAAHic42NgYHAAYjYg5gBibgYIYIXyGZEwJxAXlqYW
VcZnplRA1bEwMDEwA2kAbBoEZA8AAAA4AAAAeJzjY2BgCABiNiDmgNIgwArlMwExIxRzA3F6Yk5OalFlfGZKBVgd
JxALMMAAhwOEFnAAANAiBdQPAAAAKwAAAHic42NgYLAAYjYg5oBiEGCFslmAmBGKQWLJibmeKWA+CwMjEyMTADK4
Al4PAAAAOgAAAHic42NgYEgAYjYg5oDSIMAK5TMBMTMQMzKwMKQXZaZwAtkGDOiAwwFCf7CH0AJQPgOUFnEAANVb
BNQPAAAAKgAAAHic42NgYDAAYjYg5gBiFgYIYIXyGaFijEAyL78kVQBIl6RWlAAAKVUD9w8AAAA4AAAAeJzjY2Bg
qABiNiDmAGImBghghfIZ4ZiJobgEJM4CVgPiJwJpPiC2QNLPh1M/BPAgiYMAANK8AoY=
    """
)
NEW_FILES = ("1_001_1_01.png", "1_001_2_06.png", "2_003_1_02.png", "2_003_2_07.png")


def write(root: Path, *files: str) -> Path:
    for file in files:
        path = root / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return root


def market1501(root: Path) -> Path:
    return write(
        root / "Market-1501-v15.09.15",
        "bounding_box_train/0002_c1s1_000451_03.jpg",
        "bounding_box_train/0002_c2s1_000551_01.jpg",
        "bounding_box_train/0007_c3s3_077419_03.jpg",
        "bounding_box_train/Thumbs.db",
        "query/0001_c1s1_001051_00.jpg",
        "query/0003_c6s3_000776_00.jpg",
        "bounding_box_test/-1_c1s1_000401_03.jpg",
        "bounding_box_test/0000_c1s1_000151_01.jpg",
        "bounding_box_test/0001_c2s1_000301_00.jpg",
        "bounding_box_test/0003_c4s6_015641_00.jpg",
    )


def cuhk03(root: Path) -> Path:
    """After the extraction: both kinds of boxes and the rules of both protocols."""
    for boxes in ("labeled", "detected"):
        write(root, *(f"images_{boxes}/{file}" for file in NEW_FILES))
        write(root, f"images_{boxes}/5_049_1_01.png")
        (root / f"cuhk03_new_protocol_config_{boxes}.mat").write_bytes(NEW_PROTOCOL)
    (root / "testsets.json").write_text(json.dumps([[[1, 1]], [[2, 3], [5, 49]]]))
    return root


def msmt17(root: Path, version: int = 1) -> Path:
    base = root / f"MSMT17_V{version}"
    train, test = ("train", "test") if version == 1 else ("mask_train_v2", "mask_test_v2")
    lists = {
        "list_train.txt": (
            "0000/0000_000_01_0303morning_0008_0.jpg 0",
            "0000/0000_001_14_x_0.jpg 0",
        ),
        "list_val.txt": ("0000/0000_002_15_0303noon_0008_1.jpg 0",),
        "list_query.txt": ("0000/0000_000_02_0303morning_0015_0.jpg 0",),
        "list_gallery.txt": ("0000/0000_003_05_x_0.jpg 0", "0009/0009_000_01_x_0.jpg 9"),
    }
    for name, lines in lists.items():
        folder = train if name in ("list_train.txt", "list_val.txt") else test
        write(base, *(f"{folder}/{line.split()[0]}" for line in lines))
        (base / name).write_text("\n".join(lines) + "\n")
    return base


def viper(root: Path, people: int = 6) -> Path:
    for person in range(0, people * 3, 3):
        write(root / "VIPeR", f"cam_a/{person:03}_45.bmp", f"cam_b/{person:03}_90.bmp")
    return root
