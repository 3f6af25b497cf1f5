"""The ops that a forward pass may call, and what a backend offers. No others exist.

Shape letters, the same everywhere: B sequences, T packed tokens, R selected rows, S longest length, H hidden,
N heads, D head size, I intermediate, V vocabulary, P positions, L layers.

A batch is packed: the tokens of all sequences lie end to end in one [T, ...] array. `cu_seqlens` tells where
each sequence begins, so nothing is ever computed on padding. A backend either computes at once (`reference`)
or records (`cpu`): a forward pass can't tell which, and must treat what an op returns as opaque.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, fields
from enum import Enum
from typing import Any, Literal, NamedTuple, Protocol, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float32]
Ints: TypeAlias = NDArray[np.int64]
Rows: TypeAlias = Any  # what an op returns: [T, width], [B, width] or [R, width], an array or a recorded one
Placed: TypeAlias = Any  # a weight as the backend keeps it

Activation: TypeAlias = Literal[
    "gelu_erf", "gelu_tanh", "relu", "silu", "tanh", "gelu_10", "quick_gelu", "mish", "sigmoid"
]
ACTIVATIONS: tuple[Activation, ...] = get_args(Activation)
Pooling: TypeAlias = Literal["mean", "max", "mean_sqrt_len_tokens", "weightedmean", "lasttoken"]
POOLINGS: tuple[Pooling, ...] = get_args(Pooling)


Dtype: TypeAlias = Literal["float32", "bfloat16", "int8", "float16"]
DTYPES: tuple[Dtype, ...] = ("float32", "bfloat16", "int8")  # that Ops defines products for; a GPU's are cuda.DTYPES


def checked_dtype(dtype: str) -> Dtype:
    """Raises ValueError for a dtype that Ops defines no products for."""
    if not isinstance(dtype, str) or dtype not in DTYPES:
        raise ValueError(f"dtype: wanted one of {', '.join(DTYPES)}, found {dtype!r}")
    return dtype


@dataclass(frozen=True, eq=False)
class Quantized:
    """A weight [out, in] that is int8 already: values times scales [out], values from -127 to 127.

    Raises ValueError for shapes or dtypes that do not fit, and for scales that are not positive, not normal, or so
    large that what they stand for is not finite.
    """

    values: NDArray[np.int8]  # [out, in]
    scales: Floats  # [out]

    @classmethod
    def of(cls, weight: Floats) -> Quantized:
        """A weight's rows w as rint(w (127 / m)), m their largest magnitude and at least 2^-119."""
        largest = np.maximum(np.abs(weight).max(axis=1, initial=0), np.float32(2.0**-119))
        values = np.rint(weight * (np.float32(127) / largest)[:, None])
        return cls(values.astype(np.int8), largest / np.float32(127))

    @property
    def shape(self) -> tuple[int, ...]:
        return self.values.shape

    def __getitem__(self, rows: Any) -> Floats:
        """Rows as the numbers that they stand for, each product rounded once: float32 [..., in]."""
        floats: Floats = self.values[rows] * self.scales[rows][..., None]
        return floats

    def __post_init__(self) -> None:
        values, scales = self.values, self.scales
        if values.dtype != np.int8 or values.ndim != 2:
            raise ValueError(f"values: wanted int8 [out, in], found {values.dtype} {list(values.shape)}")
        check_scales(scales, len(values))


def check_scales(scales: Floats, rows: int) -> None:
    """Raises ValueError for scales of int8 rows that are not so many, or out of range."""
    if scales.dtype != np.float32 or scales.shape != (rows,):
        raise ValueError(f"scales: wanted float32 [{rows}], found {scales.dtype} {list(scales.shape)}")
    least, most = np.finfo(np.float32).tiny, np.finfo(np.float32).max / np.float32(128)
    fine = (scales >= least) & (scales <= most)  # a NaN is neither
    if not fine.all():
        row = int(np.argmin(fine))
        wanted = f"positive finite numbers, from {least:.3g} to {most:.3g}"
        raise ValueError(f"scales: wanted {wanted}, found {scales[row]:.3g} at [{row}]")


class FileRows(ABC):
    """A table [V, E] that stays in a file, where its rows lie end to end; a row is read when it is asked for."""

    shape: tuple[int, int]
    dtype: Dtype  # as what the file holds it
    scales: Floats | None  # [V], of int8
    offset: int  # bytes of the file before row 0

    @abstractmethod
    def descriptor(self) -> int:
        """Of the file, to read rows by, and `check` after. Raises OSError if it has changed since it was opened."""

    @abstractmethod
    def check(self, descriptor: int, failed: int = 0) -> None:
        """Raises OSError if rows that were read by a descriptor may not be the table's.

        failed: the errno of a read that failed, or -1 where the file had ended; else 0.
        """

    @abstractmethod
    def __getitem__(self, rows: Any) -> Floats:
        """Rows, by a slice or by ids [...]: float32 [..., E]. Raises OSError."""


TableRows: TypeAlias = Floats | Quantized | FileRows  # [V, E], to gather from


class Along(Enum):
    """What an array of a batch has an entry for."""

    TOKENS = "token"  # [T, ...]
    SEQUENCES = "sequence"  # [B]
    BOUNDARIES = "boundary"  # [B + 1]: the entries of sequence b are those from [b] to [b + 1]
    SELECTED = "selected row"  # [R]
    PAIRS = "pair of query and key"  # [length, key_len] of each sequence, one after another
    BATCH = "batch"  # anything that sequences do not share out


class BatchField(NamedTuple):
    """A field of Batch, for all that goes over them: packing, cutting, symbols, checks."""

    name: str
    along: Along
    counts: Along | None  # what its numbers count from the batch's beginning: rows, or entries of `selected`
    optional: bool  # read where the caller gives it; a program is recorded for the ones that are there


def _array(along: Along, *, counts: Along | None = None, optional: bool = False, **default: Any) -> Any:
    return field(metadata={"along": along, "counts": counts, "optional": optional}, **default)


class Cached(NamedTuple):
    """Where a layer's attention finds the keys and values of earlier calls, and leaves those of this one."""

    floats: Rows  # [floats of a layer]: of each sequence [2, N, room, D], keys and then values, D as the backend has it
    at: Rows  # [B]
    room: Rows  # [B]
    past: Rows  # [B]


@dataclass(frozen=True, eq=False, kw_only=True)
class Batch:
    """One packed batch, checked: every index is in range, every array C-contiguous.

    The rows of sequence b are cu_seqlens[b] to cu_seqlens[b + 1]; each sequence has at least one. Its first
    key_lens[b] rows are those that the attention mask keeps, in order. The rows after them (position 0, or all rows
    where a loss counts them) are masked out: they act as queries but never as keys, and are not pooled.
    """

    # [T] rows of the word embeddings; None where inputs_embeds are given
    ids: Ints | None = _array(Along.TOKENS, default=None)
    positions: Ints = _array(Along.TOKENS)  # [T] rows of the position embeddings
    token_types: Ints = _array(Along.TOKENS)  # [T] rows of the token type embeddings
    cu_seqlens: Ints = _array(Along.BOUNDARIES, counts=Along.TOKENS)  # [B + 1]
    key_lens: Ints = _array(Along.SEQUENCES)  # [B]
    first: Ints = _array(Along.SEQUENCES, counts=Along.TOKENS)  # [B] the row of each sequence's position 0
    inputs_embeds: Floats | None = _array(Along.TOKENS, optional=True, default=None)  # [T, H]
    # [L, most heads of a layer] factors on the probabilities
    head_mask: Floats | None = _array(Along.BATCH, optional=True, default=None)
    allowed: Floats | None = _array(
        Along.PAIRS, optional=True, default=None
    )  # 1 where a query attends to a key, else 0
    # [T] where each row stood in its sequence before packing: for attention that depends on distance
    columns: Ints | None = _array(Along.TOKENS, default=None)
    # [R] rows, each greater than the last: for heads that look at some tokens only
    selected: Ints | None = _array(Along.SELECTED, counts=Along.TOKENS, default=None)
    cu_selected: Ints | None = _array(Along.BOUNDARIES, counts=Along.SELECTED, default=None)  # [B + 1]
    # [B] the row at which each sequence's pooling begins
    pooled_from: Ints | None = _array(Along.SEQUENCES, counts=Along.TOKENS, default=None)
    # What outlives a call: Backend.cache, as [L, floats of a layer]; where in these each sequence's keys and values
    # begin, how many tokens they have room for, and how many stand there already. A call adds its own.
    cache: Floats | None = _array(Along.BATCH, optional=True, default=None)
    cache_at: Ints | None = _array(Along.SEQUENCES, optional=True, default=None)  # [B]
    cache_room: Ints | None = _array(Along.SEQUENCES, optional=True, default=None)  # [B]
    past_lens: Ints | None = _array(Along.SEQUENCES, optional=True, default=None)  # [B]

    @property
    def pairs(self) -> Ints:
        """[B]: of queries and keys in each sequence, those of earlier calls among them."""
        keys = self.key_lens if self.past_lens is None else self.past_lens + self.key_lens
        return np.diff(self.cu_seqlens) * keys

    def head_mask_of(self, layer: int) -> Rows | None:
        """A layer's factors on the probabilities; None where a call has none."""
        return None if self.head_mask is None else self.head_mask[layer]

    def cached(self, layer: int) -> Cached | None:
        """What attention of a layer takes; None where a call leaves nothing behind."""
        if self.cache is None:
            return None
        return Cached(self.cache[layer], self.cache_at, self.cache_room, self.past_lens)


BATCH_FIELDS = tuple(BatchField(one.name, **one.metadata) for one in fields(Batch))
OPTIONAL = tuple(one.name for one in BATCH_FIELDS if one.optional)


def symbols(make: Callable[[BatchField], Any], given: Collection[str]) -> Batch:
    """A batch of what `make` gives for each field that a program may read.

    given: the optional fields that are there; inputs_embeds stand in for ids.
    """
    absent = {name for name in OPTIONAL if name not in given} | ({"ids"} if "inputs_embeds" in given else set())
    made: dict[str, Any] = {one.name: None if one.name in absent else make(one) for one in BATCH_FIELDS}
    return Batch(**made)


class Ops(Protocol):
    """What a forward pass calls. All arithmetic is float32, but for the products of `linear` with reduced weights:

    bfloat16: x and the weight are rounded to bfloat16, to the nearest and ties to even, and summed in float32.
    int8: see Store.linear; a row of x becomes bytes from 0 to 255 for as long as it is multiplied. With the row's
    low = min(x, 0) and high = max(x, 0), span = max(high - low, 2^-119), inverse = 254 / span and
    zero = rint(-low inverse): byte = rint(x inverse + zero), and
    y = float(sum over k of (byte - zero) value) scale (span / 254), then the residual or the bias, then the other.
    Sums are exact, all else is float32 in this order: the same bits everywhere. A row that isn't finite gives NaN.
    """

    def embed(
        self,
        words: Placed,
        ids: Rows,
        positions: tuple[Placed, Rows] | None,
        token_types: tuple[Placed, Rows] | None,
        norm: Placed | None,
    ) -> Rows:
        """[T, H]: layer_norm(words[ids] + table[positions] + table[token_types]); what is None is left out.

        The words alone may be Quantized, or FileRows: then a row that can't be read is an OSError of the program.
        """

    def embed_rows(
        self,
        inputs_embeds: Rows,
        positions: tuple[Placed, Rows] | None,
        token_types: tuple[Placed, Rows] | None,
        norm: Placed | None,
    ) -> Rows:
        """[T, H]: as embed, from rows that stand in for the word embeddings."""

    def linear(
        self, x: Rows, weights: Placed, *, activation: Activation | None = None, residual: Rows | None = None
    ) -> Rows:
        """[rows, out]: activation(x @ weight.T + bias), or x @ weight.T + bias + residual."""

    def multiply(self, a: Rows, b: Rows) -> Rows:
        """[rows, width]: a b, element by element; the gate of a gated unit. Not on a GPU."""

    def rotary(self, qkv: Rows, table: Placed, positions: Rows, *, heads: int, head_size: int) -> Rows:
        """qkv [T, 3 N D], queries and keys rotated by position, values as they are. https://arxiv.org/abs/2104.09864

        qkv is what linear gave with a weight placed with heads_out. table [P, D] was placed by Store.table: of each
        position the D / 2 cosines, then the D / 2 sines. With x and y the halves of a head, it becomes
        x cos - y sin, y cos + x sin. Not on a GPU.
        """

    def attention(
        self,
        qkv: Rows,
        cu_seqlens: Rows,
        key_lens: Rows,
        *,
        heads: int,
        head_size: int,
        head_mask: Rows | None = None,
        allowed: Rows | None = None,
        probs: bool = False,
        relative: Placed | None = None,
        columns: Rows | None = None,
        window: int | None = None,
        causal: bool = False,
        cached: Cached | None = None,
        dtype: Dtype = "float32",
    ) -> tuple[Rows, Rows | None]:
        """Context [T, N D] and, if asked for, the probabilities.

        qkv [T, 3 N D] is what linear gave with a weight placed with heads_out. In each sequence and head:
        softmax(q k^T / sqrt(D)) v over the first key_lens[b] rows; a sequence without keys gets zeros.
        The first N of head_mask multiply the probabilities. The probabilities come flat: for each sequence
        [N, length, key_len], one after another.

        allowed is the batch's: where it is 0, a query's probability of a key is 0, and what is left of them adds up to
        1 as ever. A query that may attend to no key gets zeros. On a GPU there is none.

        relative is what Store.relative_bias or Store.relative_key gave, and needs columns [T]: with i and j the
        columns of a query and a key, it adds bias[head, j - i + P - 1] to each score, or
        q . E[i - j + P - 1] / sqrt(D), or (q + k) . E[i - j + P - 1] / sqrt(D).

        window: a query attends to keys that stand at most so many columns from it. causal: and to none behind it. Both
        need columns [T]. A query that is left without a key gets zeros. Neither is there on a GPU.

        cached is the batch's: the keys and values of the first key_lens[b] rows are added to those of earlier calls,
        which stand in its first past[b] rows, and queries attend to all of them; key_len is past[b] + key_lens[b] then.
        Earlier calls' keys stand before all columns, so there is no window and nothing relative. Not on a GPU.

        dtype is that of the two products: float32, or bfloat16, which Store.relative_key can't have. In bfloat16
        q, k, v and e^(score - largest) are rounded to it; sums, and what these are divided by, stay float32. A backend
        whose stores have its own dtype multiplies in that one.
        """

    def layer_norm(self, x: Rows, norm: Placed) -> Rows:
        """[rows, H]: (x - mean) / sqrt(variance + eps) * weight + bias, the variance biased."""

    def take(self, x: Rows, rows: Rows) -> Rows:
        """x[rows]: [B, H] of the batch's `first` or `pooled_from`, [R, H] of its `selected`."""

    def pool(self, x: Rows, cu_seqlens: Rows, key_lens: Rows, mode: Pooling, *, first: Rows | None = None) -> Rows:
        """[B, H], over the first n = key_lens[b] rows of each sequence; 0 where there are none.

        mean; max; mean_sqrt_len_tokens: sum / sqrt(n); weightedmean: row t = 0, 1, ... weighs t + 1;
        lasttoken: row n - 1.
        first is the batch's pooled_from: rows before first[b] are left out then, n counts the others, and t still
        counts all.
        """

    def concat(self, parts: Sequence[Rows]) -> Rows:
        """[rows, sum of widths]: side by side."""

    def normalize(self, x: Rows) -> Rows:
        """[rows, H]: x / max(|x|, 1e-12), the Euclidean norm."""


class Store(Protocol):
    """Where a model's weights live, in the form that the backend's ops read. Arrays are float32, C-contiguous.

    A store has a dtype, that of the weights of `linear`; all else is float32.
    """

    def linear(
        self,
        weight: Floats | Quantized,
        bias: Floats | None,
        *,
        heads_out: int | None = None,
        heads_in: int | None = None,
    ) -> Placed:
        """weight [out, in], bias [out]. In int8 a row w becomes rint(w (127 / m)), its scale m / 127, where m is
        its largest magnitude and at least 2^-119. What is Quantized is int8 whatever the store's dtype.

        heads_out: the output is made of that many query, then key, then value heads (out = 3 heads D).
        heads_in: the input is the context of that many heads (in = heads D).
        """

    def norm(self, weight: Floats, bias: Floats | None, eps: float) -> Placed:
        """weight, bias [H]; None: there is no bias, as a GPU's norms must not have it."""

    def table(self, rows: TableRows) -> Placed:
        """rows [V, H], kept as they are and not copied; on a GPU uploaded."""

    def relative_bias(self, bias: Floats) -> Placed:
        """bias [N, 2P - 1]: of a key that stands 1 - P to P - 1 columns behind its query (MPNet)."""

    def relative_key(self, rows: Floats, *, query: bool, scaled: bool = True) -> Placed:
        """rows [2P - 1, D], of a query that stands 1 - P to P - 1 columns behind its key.

        BERT's relative_key, or with `query` its relative_key_query (https://arxiv.org/abs/2009.13658). What the rows
        add to a score is divided by the root of D as the score is, but where `scaled` is False, as in ALBERT.
        """

    def attention_dtype(self, qkv: Placed, relative: Placed | None = None) -> Dtype:
        """The `dtype` of attention that goes with a weight placed with heads_out, and with what is added to scores."""


Forward: TypeAlias = Callable[[Ops, Batch], dict[str, Rows]]


class Program(Protocol):
    """A forward pass, ready to run as often as one likes, from several threads at once."""

    def __call__(self, batch: Batch) -> dict[str, Floats]:
        """The arrays that the forward pass named: [T, width], [B, width], [R, width], or flat probabilities."""


class Backend(Protocol):
    """One of `reference`, `cpu`, `cuda`."""

    name: str

    def store(self, nbytes: int, *, dtype: Dtype = "float32") -> Store:
        """A store for weights of about nbytes of float32, that keeps those of `linear` in dtype.

        On a GPU the backend has a dtype, which is that of all its stores: what ops return has it as well.
        """

    def cache(self, layers: int, sequences: int, heads: int, room: int, head_size: int) -> Floats:
        """[L, B, 2, N, room, D or more], of any content, for the keys and values that outlive a call; the caller's own.

        Raises ValueError where attention has no form for it.
        """

    def record(self, forward: Forward, given: Collection[str] = ()) -> Program:
        """The program of a forward pass, for batches that have these of the optional fields."""
