"""embed: gather a word's, a position's and a token type's row, add them, layer_norm."""

from __future__ import annotations

from ..dtypes import CODES, FLOAT32
from ..layout import (
    EMBED_BIAS,
    EMBED_CONVERTED,
    EMBED_DTYPE,
    EMBED_EPS,
    EMBED_IDS,
    EMBED_OUT,
    EMBED_POSITION_TABLE,
    EMBED_POSITIONS,
    EMBED_SCALES,
    EMBED_STORED,
    EMBED_TYPE_TABLE,
    EMBED_TYPES,
    EMBED_WEIGHT,
    EMBED_WIDTH,
    EMBED_WORDS,
    NONE,
)
from .convert import convert_row
from .frame import locate, next_of, number, row_bytes, word
from .layernorm import norm_row
from .reading import row_of_file
from .simd import (
    LANES,
    inlined,
    keep_first,
    kernel,
    load,
    load_bfloat16,
    load_bytes,
    load_first,
    load_first_bytes,
    load_float,
    load_float16,
    load_int,
    store,
)

GROUP = 4  # rows in one item
FLOAT16 = CODES["float16"]


@inlined
def floats_of_row(x, width, scale, out):
    """A row of int8, times its scale."""
    whole = width // LANES * LANES
    for i in range(0, whole, LANES):
        store(out + i * 4, load_bytes(x + i) * scale)
    if whole < width:
        store(out + whole * 4, load_first_bytes(x + whole, width - whole) * scale)


@inlined
def floats_of_halves(x, width, dtype, out):
    """A row of float16 or bfloat16, whole vectors of which may be read."""
    for i in range(0, width, LANES):
        floats = load_float16(x + i * 2) if dtype == FLOAT16 else load_bfloat16(x + i * 2)
        store(out + i * 4, keep_first(floats, width - i, 0.0))


@inlined
def add_row(a, width, out):
    """out = out + a."""
    whole = width // LANES * LANES
    for i in range(0, whole * 4, LANES * 4):
        store(out + i, load(out + i) + load(a + i))
    if whole < width:
        store(out + whole * 4, load(out + whole * 4) + load_first(a + whole * 4, width - whole))


@inlined
def copy_row(a, width, out):
    """out = a, and 0 up to the next whole vector."""
    whole = width // LANES * LANES
    for i in range(0, whole * 4, LANES * 4):
        store(out + i, load(a + i))
    if whole < width:
        store(out + whole * 4, load_first(a + whole * 4, width - whole))


@kernel
def embed(frame, rank, chunk, step, slot):
    """Tables in memory have rows of exactly `width` floats, and nothing behind the last: tails are read by mask.
    That of the word embeddings may be int8, with scales, or in a file.

    Without ids, its row t is token t's: it is the caller's inputs_embeds.
    """
    table_buffer, ids_buffer = word(step, EMBED_WORDS), word(step, EMBED_IDS)
    table, stride = locate(frame, table_buffer, chunk), row_bytes(frame, table_buffer)
    position_table, type_table = word(step, EMBED_POSITION_TABLE), word(step, EMBED_TYPE_TABLE)
    positions = locate(frame, word(step, EMBED_POSITIONS), chunk) if position_table != 0 else 0
    types = locate(frame, word(step, EMBED_TYPES), chunk) if type_table != 0 else 0
    weight, bias, eps = word(step, EMBED_WEIGHT), word(step, EMBED_BIAS), number(word(step, EMBED_EPS))
    out, ldout = locate(frame, word(step, EMBED_OUT), chunk), row_bytes(frame, word(step, EMBED_OUT))
    width, scales, stored = word(step, EMBED_WIDTH), word(step, EMBED_SCALES), word(step, EMBED_STORED)
    converted, dtype = word(step, EMBED_CONVERTED), word(step, EMBED_DTYPE)
    target, ldtarget = (locate(frame, converted, chunk), row_bytes(frame, converted)) if converted != NONE else (0, 0)
    ids = locate(frame, ids_buffer, chunk) if ids_buffer != NONE else 0
    while True:
        item = next_of(frame, rank, slot, (chunk.tokens + GROUP - 1) // GROUP)
        if item < 0:
            return
        for t in range(item * GROUP, min(chunk.tokens, (item + 1) * GROUP)):
            row = load_int(ids + t * 8) if ids_buffer != NONE else t
            a = table + row * stride
            b = position_table + load_int(positions + t * 8) * width * 4 if position_table != 0 else 0
            c = type_table + load_int(types + t * 8) * width * 4 if type_table != 0 else 0
            x = out + t * ldout
            if stored != NONE:
                a = row_of_file(frame, rank, row, stride, a)
                if a == 0:
                    return
            if scales != 0:
                floats_of_row(a, width, load_float(scales + row * 4), x)
                a = x
            elif stored != NONE and stored != FLOAT32:
                floats_of_halves(a, width, stored, x)
                a = x
            if a != x:
                copy_row(a, width, x)
            if c != 0:
                add_row(c, width, x)
            if b != 0:
                add_row(b, width, x)
            if weight != 0:
                norm_row(x, weight, bias, width, eps, x)
            if converted != NONE:
                convert_row(x, width, dtype, target + t * ldtarget)
