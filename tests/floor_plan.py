"""The floor plan of the package: its rooms, and which room imports which.

    python -m tests.floor_plan

draws ``docs/images/floor-plan.svg`` and fills the column "imports" of the table in
``docs/architecture.md``. ``tests/test_architecture.py`` checks that both are up to date.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import sanreid

if TYPE_CHECKING:
    from grimp import ImportGraph

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = Path(sanreid.__file__).parent
PAGE = ROOT / "docs" / "architecture.md"
PICTURE = ROOT / "docs" / "images" / "floor-plan.svg"
NOT_CODE = {"pretrained", "demo"}  # weights and sample crops
_ROW = re.compile(
    r"^\| `(?P<room>[\w/.]+)` \| (?P<what>[^|]+) \|(?P<imports>[^|]*)\|$", re.MULTILINE
)


@cache
def graph(*, with_types: bool) -> ImportGraph:
    """Return the import graph of the package, with or without imports used by types only."""
    import grimp  # of the development tools alone

    return grimp.build_graph(
        "sanreid", exclude_type_checking_imports=not with_types, cache_dir=None
    )


def room_of(module: str) -> str:
    """Return the top-level room of a module: ``"gallery"`` for ``sanreid.gallery.filters``."""
    return module.split(".")[1] if "." in module else ""


def rooms() -> set[str]:
    """Return the top-level rooms, without ``__init__`` and ``__main__`` of the package."""
    return {room_of(module) for module in graph(with_types=False).modules} - {"", "__main__"}


def sub_rooms() -> set[str]:
    """Return the packages inside rooms, as paths: ``"gallery/storage"``."""
    found = {path.parent.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("__init__.py")}
    return {path for path in found if "/" in path and path.split("/")[0] not in NOT_CODE}


def imports() -> dict[str, set[str]]:
    """Return the rooms that each room imports; imports used by types only do not count."""
    found: dict[str, set[str]] = {room: set() for room in rooms()}
    for module in graph(with_types=False).modules:
        room = room_of(module)
        if room in found:
            for target in graph(with_types=False).find_modules_directly_imported_by(module):
                found[room] |= {room_of(target)} & found.keys() - {room}
    return found


def layers() -> list[list[str]]:
    """Return the layers of ``pyproject.toml``, from top to bottom."""
    rules = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = rules["tool"]["importlinter"]["contracts"]
    (contract,) = [one for one in contracts if one.get("containers") == ["sanreid"]]
    return [re.split(r"\s*[|:]\s*", layer) for layer in contract["layers"]]


def table() -> Iterator[re.Match[str]]:
    """Yield the rows of the page's tables: room, what it is for, imports."""
    return _ROW.finditer(PAGE.read_text(encoding="utf-8"))


def with_imports(page: str) -> str:
    """Return the page with the column of imports filled."""
    found = imports()

    def row(match: re.Match[str]) -> str:
        room = match["room"].removesuffix(".py")
        if room not in found:
            return match[0]
        names = ", ".join(f"`{name}`" for name in sorted(found[room])) or "none"
        return f"| `{match['room']}` | {match['what']} | {names} |"

    return _ROW.sub(row, page)


def drawing() -> str:
    """Return the picture: one row of boxes per layer, the uppermost on top."""
    purposes = {row["room"].removesuffix(".py"): row["what"] for row in table()}
    inside = {
        room: sorted(path.split("/", 1)[1] for path in sub_rooms() if path.startswith(room + "/"))
        for room in rooms()
    }
    width, height, gap, left = 980, 62, 12, 16
    parts, top = [], gap
    for layer in layers():
        box = (width - 2 * left - gap * (len(layer) - 1)) / len(layer)
        for index, room in enumerate(layer):
            x = left + index * (box + gap)
            middle = x + box / 2
            contents = ", ".join(path for path in inside[room] if "/" not in path)
            shape = f'x="{x:.0f}" y="{top}" width="{box:.0f}" height="{height}" rx="6"'
            parts += [
                f'<rect {shape} fill="#cfe3f7" stroke="#333"/>',
                _text(middle, top + 19, room, size=14, weight="bold"),
                _text(middle, top + 36, _short(purposes[room], box), size=11),
                _text(middle, top + 52, _short(contents, box), size=11, fill="#2b5a86"),
            ]
        top += height + gap
    label = "The rooms of sanreid in layers: each imports only from layers below it"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {top}" role="img" '
        f'font-family="Helvetica, Arial, sans-serif" aria-label="{label}">\n'
        f'<rect width="{width}" height="{top}" fill="#fff"/>\n' + "\n".join(parts) + "\n</svg>\n"
    )


def _text(
    x: float, y: float, text: str, *, size: int, weight: str = "normal", fill: str = "#111"
) -> str:
    return (
        f'<text x="{x:.0f}" y="{y}" text-anchor="middle" font-size="{size}" '
        f'font-weight="{weight}" fill="{fill}">{text}</text>'
    )


def _short(text: str, box: float) -> str:
    """Cut a text that is wider than its box; a letter of 11 px is about 5.6 px wide."""
    plain = text.replace("`", "").strip()
    most = int(box / 5.6)
    return plain if len(plain) <= most else plain[: most - 1].rstrip(" ,;") + "…"


def main() -> None:
    """Write the picture and the column of imports."""
    PAGE.write_text(with_imports(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    PICTURE.write_text(drawing(), encoding="utf-8")


if __name__ == "__main__":
    main()
