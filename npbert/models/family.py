"""What tells one family of encoders from another, as data: the names of its tensors, and a few flags.

Names are as in transformers' bare model; a layer's follow its prefix. All but `relative_key` and `relative_bias`
name a linear or a LayerNorm, whose tensors are `<name>.weight` and `<name>.bias`.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from npbert_kernels.ops import Activation

WORDS = "embeddings.word_embeddings.weight"
POSITIONS = "embeddings.position_embeddings.weight"
TOKEN_TYPES = "embeddings.token_type_embeddings.weight"
EMBEDDINGS_NORM = "embeddings.LayerNorm"


class LayerNames(NamedTuple):
    query: str = "attention.self.query"
    key: str = "attention.self.key"
    value: str = "attention.self.value"
    attention_output: str = "attention.output.dense"
    attention_norm: str = "attention.output.LayerNorm"
    intermediate: str = "intermediate.dense"
    output: str = "output.dense"
    output_norm: str = "output.LayerNorm"
    relative_key: str = "attention.self.distance_embedding.weight"  # where position_embedding_type asks for it


class HeadNames(NamedTuple):
    """A head: a linear with an activation, a LayerNorm, a linear; the first two only where it has them."""

    out: str  # the last linear
    dense: str | None = None
    activation: Activation | None = None  # None: the config's hidden_act
    activation_key: str | None = None  # the config's key that names the activation, where that is not hidden_act
    norm: str | None = None
    factorised: bool = False  # dense leads to E, not to H
    pooled: bool = False  # dense is the encoder's pooler
    bias: str | None = None  # the last bias's name, where it is not, or not only, `<out>.bias`
    tied: bool = False  # the last weight is the word embeddings', unless the config says otherwise


TOKEN_CLASSIFICATION, QUESTION_ANSWERING = HeadNames(out="classifier"), HeadNames(out="qa_outputs")
POOLED_CLASSIFIER = HeadNames(out="classifier", pooled=True)


class Family(NamedTuple):
    """The defaults are BERT's."""

    prefix: str  # of the encoder's tensors in the file of a model with a head
    layer: LayerNames = LayerNames()
    layer_prefix: str = "encoder.layer.{group}."  # `inner` counts the layers of a group
    projection: str | None = None  # of factorised embeddings, E to H
    always_projected: bool = False  # also where E is H
    pooler: str | None = "pooler.dense"
    token_types: bool = True
    relative_scaled: bool = True  # what relative positions add to scores is divided by the root of D with them
    relative_bias: str | None = None  # added to all layers' scores, by how far query and key are apart
    pretraining: str = r"cls\..+"  # a pattern: what files often carry besides, and a bare encoder has no use for
    heads: Mapping[str, HeadNames] = MappingProxyType({})  # by what they are for: see `heads`
