"""The functions of `sentence_transformers.util` that need no training, for NumPy arrays."""

from __future__ import annotations

from numpy.typing import ArrayLike

from npbert.checks import checked_count
from npbert.sentence.precision import quantize_embeddings
from npbert.sentence.retrieval import (
    community_detection,
    paraphrase_mining,
    paraphrase_mining_embeddings,
    semantic_search,
)
from npbert.sentence.similarity import (
    Vectors,
    as_vectors,
    cos_sim,
    dot_score,
    euclidean_sim,
    manhattan_sim,
    normalize_embeddings,
    pairwise_angle_sim,
    pairwise_cos_sim,
    pairwise_dot_score,
    pairwise_euclidean_sim,
    pairwise_manhattan_sim,
)

__all__ = [
    "community_detection",
    "cos_sim",
    "dot_score",
    "euclidean_sim",
    "manhattan_sim",
    "normalize_embeddings",
    "pairwise_angle_sim",
    "pairwise_cos_sim",
    "pairwise_dot_score",
    "pairwise_euclidean_sim",
    "pairwise_manhattan_sim",
    "paraphrase_mining",
    "paraphrase_mining_embeddings",
    "pytorch_cos_sim",
    "quantize_embeddings",
    "semantic_search",
    "truncate_embeddings",
]

pytorch_cos_sim = cos_sim  # its older name


def truncate_embeddings(embeddings: ArrayLike, truncate_dim: int | None) -> Vectors:
    """The leading numbers of each vector of [..., H], a view of them; None keeps all.

    Raises:
        ValueError: they are no numbers, or truncate_dim is no positive whole number.
    """
    kept = None if truncate_dim is None else checked_count("truncate_dim", truncate_dim, 1)
    return as_vectors("embeddings", embeddings)[..., :kept]
