"""The model card that travels with a weights directory, as ``README.md``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from sanreid.config import EncoderConfig
from sanreid.utils.arguments import check_kind
from sanreid.utils.words import counted
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
    check_kind(config, "config", EncoderConfig, "an EncoderConfig")
    name = entry.name if entry else "An image encoder"
    height, width = config.input_size
    source = repr(repo_id) if repo_id else '"path/to/this/folder"'
    front = _FRONT.format(license_name=_license_name(entry))
    sections = {
        "What it is": (
            f"An encoder of person crops for `sanreid`: "
            f"{config.backbone}, last stride {config.last_stride}, {config.pooling} pooling, "
            f"{_HEADS[config.head]}. One crop gives {config.embedding_dim} numbers, compared by "
            f"cosine similarity. {_supervision(entry)}"
        ),
        "Input": (
            f"RGB crops of one person each, resized to {height} x {width} pixels (height x "
            "width, the aspect ratio is not kept), divided by 255, normalised by mean "
            f"{list(config.mean)} and standard deviation {list(config.std)}. The library does "
            "all of it."
        ),
        "How to load it": (
            "```python\nimport sanreid\n\n"
            f"encoder = sanreid.SANEncoder.from_pretrained({source})\n"
            'embeddings = encoder.encode(["a.jpg", "b.jpg"])  '
            f"# (2, {config.embedding_dim}) float32, rows of L2 norm 1\n```"
        ),
        "Training data": _training_data(entry),
        "Training": _training(entry),
        "What it reaches": _metrics(entry),
        "Threshold": _threshold(entry),
        "Limits": _limits(entry),
        "Responsible use": (
            "Embeddings of people are personal data, and they can be linked across cameras: keep "
            "them as you would keep the pictures, delete them with the pictures. Use them where "
            "the people concerned have a lawful reason to expect it. Not for covert tracking, "
            "not for decisions about a person without human review, not for guessing traits "
            "such as origin, gender, health or belief."
        ),
        "Licence": _licence(entry),
    }
    body = "\n".join(f"\n## {title}\n\n{text}" for title, text in sections.items())
    return f"{front}\n# {name}\n{body}\n"


def _license_name(entry: WeightsEntry | None) -> str:
    if entry is None:
        return "not-recorded"
    is_research = any("research" in data["terms"].lower() for data in entry.training_data)
    return "research-only-data" if is_research else "described-in-this-card"


def _licence(entry: WeightsEntry | None) -> str:
    if entry is None:
        terms = "The terms of these weights are not recorded here"
    else:
        terms = entry.license.rstrip(".")
    mit = (
        ""
        if "MIT licence" in terms
        else " The MIT licence of the library covers its code, not these weights."
    )
    return f"{terms}.{mit}"


def _supervision(entry: WeightsEntry | None) -> str:
    if entry is None:
        return "How it was trained, and whether it tells people apart, is not recorded here."
    painted = (
        "It was trained as the encoder of a Semantics Aligning Network: with a decoder, "
        "discarded afterwards, that had to paint the person's whole body texture"
    )
    if entry.name.startswith("san-"):
        return f"{painted}."
    settings = _settings(entry)
    loss = settings.get("loss", {})
    if loss.get("reconstruction"):
        return f"{painted}, but without the Triplet ReID constraint: SAN in part."
    start = settings.get("init", {}).get("weights")
    if start and settings.get("clusters", {}).get("enabled"):
        return f"It was adapted from `{start}` to the cameras of crops without labels."
    if start:
        return f"This training had no texture supervision; it started from `{start}`."
    if loss:
        return "It is a baseline: trained without texture supervision."
    return "It is a baseline: not trained by the whole of SAN."


def _settings(entry: WeightsEntry) -> Mapping[str, Any]:
    """Return the settings of the training where they are recorded as such; else nothing."""
    settings = (entry.trained_with or {}).get("config")
    return settings if isinstance(settings, Mapping) else {}


def _training_data(entry: WeightsEntry | None) -> str:
    if entry is None or not entry.training_data:
        return _UNRECORDED_DATA
    return _table(("name", "terms", "identities", "crops"), entry.training_data)


def _training(entry: WeightsEntry | None) -> str:
    used = (entry.trained_with if entry else None) or {}
    settings = used.get("config")
    parts = (
        [settings]
        if isinstance(settings, str)
        else _describe_settings(settings or {}, reads=(entry.config if entry else {}))
    )
    if used.get("steps") is not None:
        parts.append(f"{used['steps']} steps")
    if used.get("seed") is not None:
        parts.append(f"seed {used['seed']}")
    if used.get("commit") not in (None, "unknown"):
        parts.append(f"code of commit `{used['commit']}`")
    if not parts:
        return "Not recorded in this directory."
    text = "; ".join(parts)
    return (
        f"{text[0].upper()}{text[1:]}. All settings are in the header of the weights "
        'file: `safetensors.safe_open(file, "np").metadata()["sanreid"]`.'
    )


def _describe_settings(settings: Mapping[str, Any], *, reads: Mapping[str, Any]) -> list[str]:
    """Describe the most telling settings; ``reads`` has the size of the encoder's crops."""
    parts = []
    own = settings.get("encoder", {}).get("input_size")
    if epochs := settings.get("run", {}).get("epochs"):
        steps = [
            f"to epoch {step['until_epoch']} at {step['size'][0]} x {step['size'][1]}"
            for step in settings["run"].get("sizes", ())
        ]
        if own and (steps or tuple(own) != tuple(reads.get("input_size", own))):
            steps.append(f"{'then ' if steps else ''}at {own[0]} x {own[1]}")
        parts.append(", ".join([counted(epochs, "epoch", "epochs"), *steps]))
    if weights := settings.get("init", {}).get("weights"):
        parts.append(f"started from `{weights}`, whose own training is not counted here")
    loss = settings.get("loss", {})
    if teacher := loss.get("teacher", {}).get("weights"):
        parts.append(f"taught by the embeddings of `{teacher}`")
    if settings.get("clusters", {}).get("enabled"):
        parts.append("without labels: clusters of the first crops named above stood for people")
    terms = ("identity", "triplet", "reconstruction", "tr", "cross_camera")
    if weighed := [f"{term} {loss[term]:g}" for term in terms if loss.get(term)]:
        parts.append(f"weights of the loss's terms: {', '.join(weighed)}")
    if decay := settings.get("ema", {}).get("decay"):
        parts.append(f"the weights' average, decay {decay:g}")
    return parts


def _metrics(entry: WeightsEntry | None) -> str:
    if entry is None or not entry.metrics:
        return "Not recorded in this directory."
    table = _table(("dataset", "protocol", "mAP", "rank1", "command"), entry.metrics)
    return f"Fractions, not percent; `--weights` takes a released name or a folder.\n\n{table}"


def _threshold(entry: WeightsEntry | None) -> str:
    if entry is None or entry.threshold is None:
        return "None was measured: calibrate each gallery on your own crops."
    known = entry.threshold
    return (
        f"A cosine similarity of {known['similarity']:g} or more, where nothing was measured on "
        f"your own crops: {known['false_match_rate']:.1%} of pairs of two people reached it and "
        f"{known['false_non_match_rate']:.0%} of pairs of one person did not, on "
        f"{known['crops']} (`{known['command']}`)."
    )


def _limits(entry: WeightsEntry | None) -> str:
    seen = f"{entry.limits}\n\n" if entry and entry.limits else ""
    return (
        f"{seen}Made for whole people, upright, one in a crop. Accuracy falls on cameras, places, "
        "clothing and seasons unlike those of the training data; a change of clothes, heavy "
        "occlusion and very small crops defeat it. No accuracy by group of people (age, sex, "
        "skin colour, dress, wheelchair use) is recorded. A similarity is not a proof of "
        "identity: thresholds must be set on your own data and matches looked at by a person."
    )


def _table(columns: tuple[str, ...], rows: Iterable[Mapping[str, Any]]) -> str:
    lines = [" | ".join(columns), " | ".join("---" for _ in columns)]
    lines += [" | ".join(_cell(row.get(column)) for column in columns) for row in rows]
    return "\n".join(f"| {line} |" for line in lines)


def _cell(value: object) -> str:
    text = "" if value is None else f"{value:,}" if isinstance(value, int) else str(value)
    return text.replace("|", "\\|").replace("\n", " ")
