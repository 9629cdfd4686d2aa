"""Draw the pictures of results in the docs, from the package's rendered people.

    python -m tests.benchmarks.pictures_of_results [OUT] [--pairs PAIRS] [--run RUN] [--plain RUN]

With ``--pairs``, a folder written by ``sanreid.train pit render``, also draw those of the page on
pairs, which needs the extra ``pit``. With ``--run``, the folder of a training run with SA-Dec,
also draw its decoder's predictions. With ``--plain``, a texture generator that copies no pixels,
also draw what copying adds. The screenshots of the browsable page need Debian's chromium
and chromedriver, and selenium.
"""

from __future__ import annotations

import argparse
import io
import shutil
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

import sanreid
from sanreid import viz
from sanreid.cli.demo import SHOWN
from sanreid.datasets import CropSet, read_crops
from sanreid.images import load_crop
from sanreid.train.pit import PITDataset

ROOT = Path(__file__).resolve().parents[2]
SAMPLES = Path(sanreid.__file__).parent / "demo"
QUALITY = 82


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", nargs="?", type=Path, default=ROOT / "docs" / "images")
    parser.add_argument("--pairs", type=Path, help="folder of rendered pairs to draw")
    parser.add_argument("--run", help="training run whose decoder's predictions are drawn")
    parser.add_argument("--plain", help="texture generator that copies no pixels")
    args = parser.parse_args()
    if args.run and args.pairs is None:
        parser.error("--run needs --pairs")
    out = args.out
    out.mkdir(parents=True, exist_ok=True)
    encoder = sanreid.SANEncoder.from_pretrained(device="cpu", dtype="float32")
    crops = read_crops(SAMPLES, names="market1501")
    embeddings = encoder.encode(crops.paths)
    ask = crops.camids == 1
    gallery = sanreid.Gallery(encoder.embedding_dim, encoder_fingerprint=encoder.fingerprint)
    gallery.add(
        embeddings[~ask],
        pids=crops.pids[~ask].tolist(),
        camids=crops.camids[~ask].tolist(),
        metadata=[{"path": str(path)} for path in crops.select(~ask).paths],
    )
    calibration = gallery.calibrate(
        embeddings, crops.pids.tolist(), crops.camids.tolist(), false_match_rate=0.01
    )

    queries = crops.select(ask)
    rankings(gallery, queries, embeddings[ask], out)
    result = gallery.search(embeddings[ask][:3], k=7)
    result = result.with_queries(pids=queries.pids[:3].tolist(), camids=[1] * 3)
    draw(viz.ranked_list_figure(queries.paths[:3], result), out / "viz-ranked-list.jpg")

    # The same people seen from far away, as crops of 10 x 5 pixels.
    small = [Image.open(path).resize((5, 10), Image.Resampling.BOX) for path in crops.paths]
    reports = {
        name: sanreid.evaluate(
            rows[ask], crops.pids[ask], crops.camids[ask],
            rows[~ask], crops.pids[~ask], crops.camids[~ask],
        )
        for name, rows in (("crops of 256 x 128", embeddings),
                           ("crops of 10 x 5", encoder.encode(small)))
    }  # fmt: skip
    draw(viz.cmc_figure(reports), out / "viz-cmc.png")
    draw(viz.precision_recall_figure(reports), out / "viz-precision-recall.png")
    draw(viz.similarity_histogram(calibration), out / "viz-similarities.png")

    first, second = (crops.of_pids([int(queries.pids[2])]).paths[n] for n in (0, 1))
    draw(viz.activation_map(encoder, first), out / "viz-activation.jpg")
    draw(viz.similarity_map(encoder, first, second), out / "viz-similarity.jpg")
    draw(viz.gallery_map(gallery), out / "viz-map.jpg")
    pairs = PITDataset(ROOT / "examples" / "pairs")
    first_pairs = range(min(4, len(pairs)))
    draw(
        viz.texture_sheet(
            [pairs.crop(n) for n in first_pairs],
            [pairs.texture(n) for n in first_pairs],
            labels=[f"person {pairs.identities[n]}" for n in first_pairs],
        ),
        out / "viz-textures.jpg",
    )
    if shutil.which("chromium") and shutil.which("chromedriver"):
        screenshots(gallery, out)
    if args.plain:
        shown = ("0001_c3", "0002_c4", "0003_c1", "0003_c3", "0004_c1",
                 "0006_c4", "0007_c3", "0007_c4", "0008_c1", "0005_c4")  # fmt: skip
        drawn = np.isin([path.name[:7] for path in crops.paths], shown)
        write(copied_pixels(crops.select(drawn), args.plain), out / "san-pg-copy.jpg")
    if args.pairs is not None:
        painters = {"san-pg.jpg": "san-pg"} | ({"san-decoder.jpg": args.run} if args.run else {})
        rendered_pairs(PITDataset(args.pairs), painters, out)


def rankings(
    gallery: sanreid.Gallery, queries: CropSet, embeddings: np.ndarray, out: Path
) -> None:
    """Draw two people for the front page, and the first three of ``sanreid demo``."""
    for name, people, k, title in (
        ("front.jpg", (5, 7), 8, None),
        ("demo.jpg", (1, 2, 3), SHOWN, "Camera 1 asks, cameras 2 to 4 answer"),
    ):
        asked = np.isin(queries.pids, people)
        pids = queries.pids[asked].tolist()
        result = gallery.search(embeddings[asked], k).with_queries(
            pids=pids, camids=[1] * len(pids)
        )
        write(viz.ranked_list(queries.select(asked).paths, result, title=title), out / name)


def rendered_pairs(pairs: PITDataset, painters: dict[str, str], out: Path) -> None:
    """Draw people, the parts of pairs, and the painters' predictions, by picture name."""
    from sanreid.train.pit.generate.sheets import neutral_views, painted_sheet
    from sanreid.train.pit.generate.studio import Studio
    from sanreid.train.textures.generator import load_generator

    studio = Studio.open()
    firsts = np.unique(pairs.identities, return_index=True)[1].tolist()  # a pair of each person
    people = [pairs.crop(n) for n in firsts[:24]]
    write(tiled(people, columns=12, width=1024), out / "pit-people.jpg")
    parts = []
    for n in firsts[:6]:
        texture, seen = pairs.texture(n), pairs.seen(n)[..., None]
        views = neutral_views(studio, texture / np.float32(255))
        parts.append(
            np.hstack([pairs.crop(n), texture, np.where(seen, texture, texture // 4), *views])
        )
    write(tiled(parts, columns=2, width=1194), out / "pit-textures.jpg")
    last = firsts[-8:]  # the last 60 of the 929 people were held out of training
    crops, truths = [pairs.crop(n) for n in last], [pairs.texture(n) for n in last]
    for name, weights in painters.items():
        painted = painted_sheet(studio, load_generator(weights), crops, truths=truths)
        write(tiled([painted], columns=1, width=1344), out / name)


def copied_pixels(crops: CropSet, plain: str) -> Image.Image:
    """Draw crops, each with torso and legs as ``plain`` paints them and as ``san-pg`` does."""
    from sanreid.train.pit.report import painted
    from sanreid.train.pit.tables import load_tables
    from sanreid.train.textures.generator import load_generator

    off_body = ~load_tables()["valid"].astype(bool)[..., None]
    columns = [[load_crop(path, (210, 105)) for path in crops.paths]]
    for weights in (plain, "san-pg"):
        generator = load_generator(weights)
        small = [load_crop(path, generator.encoder.input_size) for path in crops.paths]
        pictures = np.rint(painted(generator, np.stack(small))).astype(np.uint8)
        columns.append(list(np.where(off_body, np.uint8(255), pictures)[:, :210, :165]))
    parts = [np.hstack(part) for part in zip(*columns, strict=True)]
    return tiled(parts, columns=len(parts) // 2, width=1568)


def tiled(pictures: list[np.ndarray], *, columns: int, width: int) -> Image.Image:
    """Arrange pictures of one size in complete rows, scaled down to ``width`` pixels."""
    columns = min(columns, len(pictures))
    rows = [
        np.hstack(pictures[start : start + columns])
        for start in range(0, len(pictures) - columns + 1, columns)
    ]
    picture = Image.fromarray(np.vstack(rows))
    height = round(picture.height * width / picture.width)
    return picture.resize((width, height), Image.Resampling.LANCZOS)


def draw(figure: Figure, path: Path) -> None:
    """Write a figure small: few colors for curves, JPEG for crops."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110, bbox_inches="tight")
    with Image.open(buffer) as image:
        write(image.convert("RGB"), path)


def write(picture: Image.Image, path: Path) -> None:
    if path.suffix == ".png":
        picture.quantize(64).save(path, optimize=True)
    else:
        picture.save(path, quality=QUALITY, optimize=True)


def screenshots(gallery: sanreid.Gallery, out: Path) -> None:
    """Show the page after a click, and with clusters while they are decided, in both schemes."""
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or ""
    flags = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking",
             "--disable-component-update", "--disable-sync", "--hide-scrollbars",
             "--window-size=1100,760")  # fmt: skip
    for flag in flags:
        options.add_argument(flag)
    driver = webdriver.Chrome(options, webdriver.ChromeService(shutil.which("chromedriver")))
    try:
        with tempfile.TemporaryDirectory() as folder:
            shown, unnamed = copied(gallery, named=True), copied(gallery, named=False)
            like = f"#like={shown.ids[3]}"
            page = page_of(shown, Path(folder, "people.html"))
            clustering = unnamed.cluster()
            mixed, strangers = mixed_row(clustering, [one.pid for one in shown.get(shown.ids)])
            clusters = page_of(unnamed, Path(folder, "clusters.html"), clustering)
            for scheme in ("light", "dark"):
                features = [{"name": "prefers-color-scheme", "value": scheme}]
                driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
                for name, address in (
                    ("browse", f"{page.as_uri()}{like}"),
                    ("clusters", clusters.as_uri()),
                ):
                    driver.get("about:blank")
                    driver.get(address)
                    if name == "clusters":
                        row = f"[data-cluster='{mixed}']"
                        driver.find_element("css selector", f"{row} input.name").send_keys("anna")
                        for place in strangers:  # the row is drawn anew each time
                            tile = f"{row} .members > li:has([data-place='{place}']) .not"
                            driver.find_element("css selector", tile).click()
                        driver.execute_script(
                            "document.activeElement.blur(); document.querySelector(arguments[0])"
                            ".scrollIntoView(); scrollBy(0, -130)",
                            row,
                        )
                    with Image.open(io.BytesIO(driver.get_screenshot_as_png())) as image:
                        write(image.convert("RGB"), out / f"{name}-{scheme}.jpg")
    finally:
        driver.quit()


def mixed_row(clustering: sanreid.Clustering, pids: list[int]) -> tuple[int, list[int]]:
    """Return the first cluster that holds two people, and the places of the smaller part."""
    for number in range(len(clustering)):
        places = clustering.members(number).tolist()
        counted = Counter(pids[place] for place in places).most_common()
        if len(counted) > 1:
            return number, [place for place in places if pids[place] != counted[0][0]]
    raise SystemExit("No cluster holds two people: choose other crops for the page of clusters.")


def copied(gallery: sanreid.Gallery, *, named: bool) -> sanreid.Gallery:
    """Copy a gallery, with one more key of metadata, with its people or without."""
    entries = gallery.get(gallery.ids)
    shown = sanreid.Gallery(gallery.dim)
    shown.add(
        np.stack([entry.embedding for entry in entries]),
        pids=[entry.pid for entry in entries] if named else None,
        camids=[entry.camid for entry in entries],
        metadata=[{"path": entry.metadata["path"], "location": "entrance"} for entry in entries],
    )
    return shown


def page_of(gallery: sanreid.Gallery, path: Path, clustering=None) -> Path:
    """Write a page without the folders of this machine."""
    viz.write_gallery_page(gallery, path, title="people", clustering=clustering)
    path.write_text(path.read_text().replace(str(SAMPLES), "crops"))
    return path


if __name__ == "__main__":
    main()
