r"""Learning from a teacher: its embeddings, through a linear map, and its similarities.

The teacher has seen the clean crop, the student an augmented one. The first loss compares the
teacher's embedding with a linear map of the student's, since the two live in different spaces.
The second compares the cosine similarities of all pairs in the batch, computed from the student's
own embedding, which is what a search compares.

Source: the hints of Romero et al., "FitNets", ICLR 2015, arXiv:1412.6550, here on embeddings; the
similarity-preserving loss of Tung and Mori, ICCV 2019, arXiv:1907.09682, here on cosines.

Shapes: N crops, D numbers of the student, T of the teacher.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sanreid.errors import InputError
from sanreid.train import runtime
from sanreid.train.losses.objective import LossContext, LossInputs, register_loss
from sanreid.train.losses.terms import unit_rows

__all__ = ["embedding_loss", "similarity_loss"]


def embedding_loss(mapped: Tensor, taught: Tensor) -> Tensor:
    r"""Compute the mean of 1 - cosine between the mapped and the teacher's embeddings.

    Args:
        mapped: (N, T) float, the student's embeddings after the linear map.
        taught: (N, T) float, the teacher's.

    Returns:
        A scalar in [0, 2].

    Raises:
        InputError: The shapes differ.
    """
    if mapped.shape != taught.shape:
        raise InputError(
            f"The mapped embeddings have the shape {tuple(mapped.shape)}, the teacher's "
            f"{tuple(taught.shape)}; they must be the same."
        )
    with torch.autocast(mapped.device.type, enabled=False):
        return 1 - (unit_rows(mapped) * unit_rows(taught)).sum(1).mean()


def similarity_loss(embeddings: Tensor, taught: Tensor) -> Tensor:
    r"""Compute the mean squared difference of the two matrices of cosine similarities.

    .. math::
        L = \frac{1}{N^2} \sum_{a, b} \bigl(\cos(x_a, x_b) - \cos(t_a, t_b)\bigr)^2

    Args:
        embeddings: (N, D) float, the student's.
        taught: (N, T) float, the teacher's.

    Returns:
        A scalar in [0, 4].

    Raises:
        InputError: The numbers of rows differ.
    """
    if len(embeddings) != len(taught):
        raise InputError(
            f"There are {len(embeddings)} embeddings and {len(taught)} of the teacher; "
            "they must be of the same crops."
        )
    with torch.autocast(embeddings.device.type, enabled=False):
        student, teacher = unit_rows(embeddings), unit_rows(taught)
        return (student @ student.T - teacher @ teacher.T).square().mean()


# --- entries in the objective ---------------------------------------------------------------


def _embedding_weight(context: LossContext) -> float:
    return context.config.teacher.embedding if context.config.teacher.weights else 0.0


def _similarities_weight(context: LossContext) -> float:
    return context.config.teacher.similarities if context.config.teacher.weights else 0.0


def _linear_map(context: LossContext) -> nn.Module:
    return nn.Linear(context.embedding_dim, context.teacher_dim)


@register_loss("teacher", weight=_embedding_weight, head=_linear_map)
def _teacher(inputs: LossInputs) -> Tensor | None:
    if inputs.output is None or inputs.targets.taught is None:
        return None
    return embedding_loss(inputs.output.heads["teacher"], inputs.targets.taught)


@register_loss("teacher_similarities", weight=_similarities_weight)
def _teacher_similarities(inputs: LossInputs) -> Tensor | None:
    if inputs.output is None or inputs.targets.taught is None:
        return None
    return similarity_loss(inputs.embeddings, runtime.gather(inputs.targets.taught))
