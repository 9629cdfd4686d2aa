"""Person re-identification with SAN encoders.

Names are loaded when first used, so that ``import sanreid`` costs neither torch nor faiss.

>>> import sanreid
>>> sanreid.__version__.count(".")
2
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sanreid.cameras import CameraNormalizer
    from sanreid.clustering import Clustering, cluster_identities
    from sanreid.encoder import EncodedFiles, SANEncoder
    from sanreid.errors import (
        ChecksumError,
        ConfigError,
        DatasetError,
        GalleryError,
        GalleryLockedError,
        ImageError,
        InputError,
        MissingExtraError,
        NoGalleryError,
        SanreidError,
        TrainingError,
        UnknownIdError,
        UnknownWeightsError,
        UnsupportedError,
        WeightsError,
    )
    from sanreid.gallery import Gallery, SearchResult
    from sanreid.metrics import (
        ClusteringReport,
        EvaluationReport,
        evaluate,
        evaluate_clustering,
        evaluate_distances,
    )
    from sanreid.quality import CropQuality, crop_quality
    from sanreid.rerank import k_reciprocal_rerank
    from sanreid.weights import list_weights

__version__ = "0.1.0"

_MODULES = (  # loaded when named
    "backends",
    "cameras",
    "clustering",
    "config",
    "datasets",
    "encoder",
    "errors",
    "gallery",
    "images",
    "integrations",
    "metrics",
    "models",
    "quality",
    "rerank",
    "scale",
    "serve",
    "viz",
    "weights",
)

_HOME = {
    "CameraNormalizer": "sanreid.cameras",
    "ChecksumError": "sanreid.errors",
    "Clustering": "sanreid.clustering",
    "ClusteringReport": "sanreid.metrics",
    "ConfigError": "sanreid.errors",
    "CropQuality": "sanreid.quality",
    "DatasetError": "sanreid.errors",
    "EncodedFiles": "sanreid.encoder",
    "EvaluationReport": "sanreid.metrics",
    "Gallery": "sanreid.gallery",
    "GalleryError": "sanreid.errors",
    "GalleryLockedError": "sanreid.errors",
    "ImageError": "sanreid.errors",
    "InputError": "sanreid.errors",
    "MissingExtraError": "sanreid.errors",
    "NoGalleryError": "sanreid.errors",
    "SANEncoder": "sanreid.encoder",
    "SanreidError": "sanreid.errors",
    "SearchResult": "sanreid.gallery",
    "TrainingError": "sanreid.errors",
    "UnknownIdError": "sanreid.errors",
    "UnsupportedError": "sanreid.errors",
    "UnknownWeightsError": "sanreid.errors",
    "WeightsError": "sanreid.errors",
    "cluster_identities": "sanreid.clustering",
    "crop_quality": "sanreid.quality",
    "evaluate": "sanreid.metrics",
    "evaluate_clustering": "sanreid.metrics",
    "evaluate_distances": "sanreid.metrics",
    "k_reciprocal_rerank": "sanreid.rerank",
    "list_weights": "sanreid.weights",
}

__all__ = [  # noqa: RUF022 - in the order a reader meets them
    "SANEncoder",
    "EncodedFiles",
    "Gallery",
    "SearchResult",
    "evaluate",
    "evaluate_distances",
    "EvaluationReport",
    "k_reciprocal_rerank",
    "CameraNormalizer",
    "cluster_identities",
    "Clustering",
    "evaluate_clustering",
    "ClusteringReport",
    "crop_quality",
    "CropQuality",
    "list_weights",
    "SanreidError",
    "InputError",
    "ImageError",
    "ConfigError",
    "DatasetError",
    "WeightsError",
    "UnknownWeightsError",
    "ChecksumError",
    "GalleryError",
    "GalleryLockedError",
    "UnknownIdError",
    "UnsupportedError",
    "MissingExtraError",
    "NoGalleryError",
    "TrainingError",
    "__version__",
]


def __getattr__(name: str) -> Any:  # noqa: ANN401 - any public object
    if name in _MODULES:
        return import_module(f"{__name__}.{name}")
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(_HOME[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *_MODULES})
