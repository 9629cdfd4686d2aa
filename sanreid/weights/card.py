"""The model card that travels with a weights directory, as ``README.md``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from sanreid.config import EncoderConfig
from sanreid.weights.manifest import WeightsEntry

__all__ = ["model_card"]

_FRONT = """\
---
license: other
license_name: {license_name}
library_name: sanreid
pipeline_tag: image-feature-extraction
tags:
- person-re-identification
- reid
- image-embeddings
---
"""

_HEADS = {
    "pool": "the pooled map of the last stage",
    "fc": "Linear, BatchNorm, ReLU on the pooled map",
    "bnneck": "Linear without bias, BatchNorm on the pooled map",
}

_UNRECORDED_DATA = (
    "Not recorded in this directory. Public person re-identification data sets are, as a rule, "
    "for academic research only: unless you know otherwise, treat these weights so."
)


def model_card(
    config: EncoderConfig, *, entry: WeightsEntry | None = None, repo_id: str | None = None
) -> str:
    """Write a model card in Markdown, with the front matter the Hugging Face Hub reads.

    Args:
        config: The encoder's configuration.
        entry: The released weights it describes; without it, data, figures and terms read as
            not recorded.
        repo_id: The Hub repository it is for; the loading example names a folder when None.
    """
    name = entry.name if entry else "A person re-identification encoder"
    height, width = config.input_size
    place = repr(repo_id) if repo_id else '"path/to/this/folder"'
    front = _FRONT.format(license_name="research-only-data" if entry else "not-recorded")
    sections = {
        "What it is": (
            f"An encoder of person crops for `sanreid`: "
            f"{config.backbone}, last stride {config.last_stride}, {config.pooling} pooling, "
            f"{_HEADS[config.head]}. One crop gives {config.embedding_dim} numbers; crops of the "
            f"same person lie close by cosine similarity. {_supervision(entry)}"
        ),
        "Input": (
            f"RGB crops of one person each, resized to {height} x {width} pixels (height x "
            f"width, the aspect ratio is not kept), divided by 255, mean {list(config.mean)} "
            f"taken off, divided by {list(config.std)}. The library does all of it."
        ),
        "How to load it": (
            "```python\nimport sanreid\n\n"
            f"encoder = sanreid.SANEncoder.from_pretrained({place})\n"
            'embeddings = encoder.encode(["a.jpg", "b.jpg"])  '
            f"# (2, {config.embedding_dim}) float32, rows of L2 norm 1\n```"
        ),
        "Training data": _training_data(entry),
        "Training": _training(entry),
        "What it reaches": _metrics(entry),
        "Limits": _limits(entry),
        "Responsible use": (
            "Embeddings of people are personal data, and they can be linked across cameras: keep "
            "them as you would keep the pictures, delete them with the pictures. Use them where "
            "the people concerned have a lawful reason to expect it. Not for covert tracking, "
            "not for decisions about a person without human review, not for guessing traits "
            "such as origin, gender, health or belief."
        ),
        "Licence": (
            (entry.license if entry else "The terms of these weights are not recorded here.")
            + " The MIT licence of the library covers its code, not these weights."
        ),
    }
    body = "\n".join(f"\n## {title}\n\n{text}" for title, text in sections.items())
    return f"{front}\n# {name}\n{body}\n"


def _supervision(entry: WeightsEntry | None) -> str:
    if entry is None:
        return "How it was trained is not recorded in this directory."
    if entry.name.startswith("san-"):
        return (
            "It was trained as the encoder of a Semantics Aligning Network: with a decoder, since "
            "thrown away, that had to paint the person's whole body texture."
        )
    return "It is a baseline: trained without texture supervision."


def _training_data(entry: WeightsEntry | None) -> str:
    if entry is None or not entry.training_data:
        return _UNRECORDED_DATA
    return _table(("name", "terms", "identities", "crops"), entry.training_data)


def _training(entry: WeightsEntry | None) -> str:
    used = (entry.trained_with if entry else None) or {}
    known = [
        f"{what} `{used[key]}`"
        for key, what in (("commit", "code of commit"), ("seed", "seed"))
        if used.get(key) is not None
    ]
    if isinstance(used.get("config"), str):  # else a tree of settings, for a machine to read
        known.append(used["config"])
    if not known:
        return "Not recorded in this directory."
    said = "; ".join(known)
    return (
        f"{said[0].upper()}{said[1:]}. All that is recorded: `sanreid weights list --json`, "
        "`trained_with`."
    )


def _metrics(entry: WeightsEntry | None) -> str:
    if entry is None or not entry.metrics:
        return "Not recorded in this directory."
    table = _table(("dataset", "protocol", "mAP", "rank1", "command"), entry.metrics)
    return f"Fractions, not percent.\n\n{table}"


def _limits(entry: WeightsEntry | None) -> str:
    seen = f"{entry.limits}\n\n" if entry and entry.limits else ""
    return (
        f"{seen}Made for whole people, upright, one in a crop. Accuracy falls on cameras, places, "
        "clothing and seasons unlike those of the training data; a change of clothes, heavy "
        "occlusion and very small crops defeat it. It has not been measured for differences "
        "between groups of people. A similarity is not a proof of identity: thresholds must "
        "be set on your own data and matches looked at by a person."
    )


def _table(columns: tuple[str, ...], rows: Iterable[Mapping[str, Any]]) -> str:
    lines = [" | ".join(columns), " | ".join("---" for _ in columns)]
    lines += [" | ".join(_cell(row.get(column)) for column in columns) for row in rows]
    return "\n".join(f"| {line} |" for line in lines)


def _cell(value: object) -> str:
    text = "" if value is None else f"{value:,}" if isinstance(value, int) else str(value)
    return text.replace("|", "\\|").replace("\n", " ")
