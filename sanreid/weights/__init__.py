"""Weights: the released list, local directories, the Hugging Face Hub, conversion.

Listing weights costs neither torch nor the network; safetensors is the only format that is
loaded, and a file whose SHA-256 is known is compared with it before anything of it is parsed.
"""

from __future__ import annotations

from sanreid.weights.card import model_card
from sanreid.weights.conversion import convert
from sanreid.weights.hub import push_directory
from sanreid.weights.lookup import LocatedWeights, download, fetch, locate, verify
from sanreid.weights.manifest import (
    HubFile,
    Manifest,
    WeightsEntry,
    list_weights,
    read_manifest,
)
from sanreid.weights.storage import load_into, read_state_dict, save_directory

__all__ = [
    "HubFile",
    "LocatedWeights",
    "Manifest",
    "WeightsEntry",
    "convert",
    "download",
    "fetch",
    "list_weights",
    "load_into",
    "locate",
    "model_card",
    "push_directory",
    "read_manifest",
    "read_state_dict",
    "save_directory",
    "verify",
]
