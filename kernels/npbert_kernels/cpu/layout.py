"""What the recorder writes and the compiled entry reads: tables of 64-bit words. The one place that both agree on."""

from __future__ import annotations

import sys
from enum import IntEnum

from ..ops import ACTIVATIONS, POOLINGS

WORD = 8  # bytes
LINE = 64  # bytes of a cache line

READS_FILES = sys.platform != "win32"  # whether there is a call that reads at a place, which compiled code may make
ERRNO = "__errno_location" if sys.platform.startswith("linux") else "__error"  # where errno stands


class Op(IntEnum):
    EMBED = 0
    LINEAR = 1
    ATTENTION = 2
    LAYER_NORM = 3
    TAKE = 4
    POOL = 5
    NORMALIZE = 6
    PACK = 7
    RATE = 8
    CONCAT = 9
    CONVERT = 10
    CONVERT_WEIGHT = 11
    MULTIPLY = 12
    ROTARY = 13


class Axis(IntEnum):
    """Which rows a buffer has."""

    LOCAL = 0  # of one chunk of the batch; rows begin anew with each chunk
    TOKENS = 1  # all T of the batch
    SEQUENCES = 2  # all B of the batch
    SELECTED = 3  # all R of the batch
    FIXED = 4  # the same whatever the chunk: tables, masks


# The frame: one launch. Threads get its address and their rank. The last words change from call to call.
(
    FRAME_THREADS,
    FRAME_SYNC,  # address: the words below
    FRAME_STEPS,  # address: [steps, STEP_WORDS]
    FRAME_STEP_COUNT,
    FRAME_BUFFERS,  # address: [buffers, BUFFER_WORDS]
    FRAME_SLOT_BYTES,  # of one slot's buffers
    FRAME_SCRATCH,  # address: one area for each thread
    FRAME_SCRATCH_BYTES,  # of one area
    FRAME_CHUNK_COUNT,
    FRAME_SLOTS,  # how many chunks are under way at a time, at most one for each thread
    FRAME_GROUPS,  # of threads in a slot: threads / slots, rounded up
    FRAME_CHUNKS,  # address: [chunks + 1], the first sequence of each
    FRAME_CU_SEQLENS,  # address: [B + 1]
    FRAME_KEY_LENS,  # address: [B]
    FRAME_CU_SELECTED,  # address: [B + 1]
    FRAME_PAIRS_AT,  # address: [B], where what each sequence has for pairs of query and key begins, in floats a head
    FRAME_PROFILE,  # address: [steps] cycles that thread 0 spent, or 0
    FRAME_DESCRIPTOR,  # of the file that words are read from
    FRAME_KEPT,  # how many rows of that file a thread keeps in its scratch: a word for each that says which, the rows
    FRAME_KEPT_AT,  # bytes before these in each thread's scratch
    FRAME_CACHE,  # address: of keys and values that outlive the launch
    FRAME_CACHE_LAYER_BYTES,  # of one layer's
    FRAME_CACHE_AT,  # address: [B], floats before each sequence's in a layer's
    FRAME_CACHE_ROOM,  # address: [B], how many keys each sequence has room for
    FRAME_PAST_LENS,  # address: [B], how many of them earlier launches have left there
    FRAME_WORDS,
) = range(26)

# The words that threads share, in bytes from FRAME_SYNC; all are 0 before a launch. First the launch's own; then a line
# for each thread, which no other touches; then the slots, each with a ticket for each group.
SYNC_ABORT, SYNC_BEGUN, SYNC_FINISHED, SYNC_THREADS = 0, LINE, 2 * LINE, 3 * LINE
SYNC_FAILED = WORD  # beside the abort word, and written before it: why a file can't be read, an errno or ENDED; else 0
ENDED = -1  # the file is shorter than it was
THREAD_SERIAL, THREAD_GROUP, THREAD_DONE, THREAD_ITEMS, THREAD_CLOCK = range(5)  # words of a thread's line
SLOT_SERIAL, SLOT_CHUNK, SLOT_DONE, SLOT_TICKETS = 0, LINE, 2 * LINE, 3 * LINE
TICKET_BITS = 32  # a ticket: how many items are taken, and above these bits the serial number of their step


def sync_bytes(threads: int) -> int:
    """Room for the shared words, whatever the number of slots: slots times groups is less than twice the threads."""
    return SYNC_THREADS + threads * (LINE + SLOT_TICKETS + 2 * LINE)


STEP_WORDS = 19
BUFFER_BASE, BUFFER_ROW_BYTES, BUFFER_AXIS, BUFFER_WORDS = range(4)
NONE = -1  # in place of a buffer

# A step's words after its Op. Buffers by index, weights by address, floats as the bits of a float64, dtypes by their
# code. CONVERTED is a buffer for the same rows in another DTYPE, or NONE.
# The tables of positions and token types, and the norm's weight, are addresses; 0: the step has none of it.
(EMBED_WORDS, EMBED_IDS, EMBED_POSITION_TABLE, EMBED_POSITIONS, EMBED_TYPE_TABLE, EMBED_TYPES) = range(1, 7)
(EMBED_WEIGHT, EMBED_BIAS, EMBED_EPS, EMBED_WIDTH, EMBED_OUT, EMBED_CONVERTED, EMBED_DTYPE) = range(7, 14)
EMBED_SCALES = 14  # address: of int8 words; 0: words are floats
EMBED_STORED = 15  # the dtype in which a file holds the words, whose buffer then begins at a place in it, or NONE
(LINEAR_X, LINEAR_W, LINEAR_K, LINEAR_PANELS, LINEAR_BIAS, LINEAR_RESIDUAL, LINEAR_ACTIVATION, LINEAR_OUT) = range(1, 9)
LINEAR_ROWS = 9  # the axis of its rows
(LINEAR_DTYPE, LINEAR_OUT_DTYPE) = range(10, 12)  # of x and W; FLOAT32, or what the output is converted to at once
LINEAR_WIDTH = 12  # of the output's PANELS PANEL columns, those that carry something
(ATTENTION_QKV, ATTENTION_OUT, ATTENTION_HEADS, ATTENTION_SIZE, ATTENTION_SCALE, ATTENTION_MASK) = range(1, 7)
(ATTENTION_PROBS, ATTENTION_MASK_ROW, ATTENTION_RELATIVE, ATTENTION_COLUMNS) = range(7, 11)
(ATTENTION_TABLE, ATTENTION_STRIDE, ATTENTION_LAST) = range(11, 14)  # of relative: address, bytes of a row, P - 1
(ATTENTION_DTYPE, ATTENTION_ALLOWED) = range(14, 16)  # of QKV; a buffer
(ATTENTION_WINDOW, ATTENTION_CAUSAL) = range(16, 18)  # columns, or NONE; 0 or 1
ATTENTION_CACHE = 18  # the layer, of the keys and values that outlive the launch, or NONE
(MULTIPLY_A, MULTIPLY_B, MULTIPLY_WIDTH, MULTIPLY_OUT, MULTIPLY_ROWS) = range(1, 6)
(ROTARY_X, ROTARY_TABLE, ROTARY_POSITIONS, ROTARY_HEADS, ROTARY_SIZE, ROTARY_HALF, ROTARY_OUT) = range(1, 8)
(NORM_X, NORM_WEIGHT, NORM_BIAS, NORM_EPS, NORM_WIDTH, NORM_OUT, NORM_ROWS) = range(1, 8)
(NORM_CONVERTED, NORM_DTYPE) = range(8, 10)
(TAKE_X, TAKE_INDEX, TAKE_WIDTH, TAKE_OUT, TAKE_ROWS) = range(1, 6)
(POOL_X, POOL_MODE, POOL_WIDTH, POOL_OUT, POOL_FROM) = range(1, 6)
(CONCAT_X, CONCAT_WIDTH, CONCAT_OUT, CONCAT_COLUMN, CONCAT_ZEROS, CONCAT_ROWS) = range(1, 7)
(NORMALIZE_X, NORMALIZE_WIDTH, NORMALIZE_OUT, NORMALIZE_ROWS) = range(1, 5)
# Weights: addresses, strides in bytes.
(PACK_SOURCE, PACK_STRIDE, PACK_ROWS, PACK_WORDS, PACK_TARGET, PACK_DTYPE) = range(1, 7)
(CONVERT_WEIGHT_SOURCE, CONVERT_WEIGHT_SOURCE_STRIDE, CONVERT_WEIGHT_ROWS, CONVERT_WEIGHT_K) = range(1, 5)
(CONVERT_WEIGHT_TARGET, CONVERT_WEIGHT_TARGET_STRIDE, CONVERT_WEIGHT_DTYPE) = range(5, 8)
(CONVERT_X, CONVERT_WIDTH, CONVERT_DTYPE, CONVERT_OUT, CONVERT_ROWS) = range(1, 6)
(RATE_ROUNDS, RATE_TARGET, RATE_DTYPE) = range(1, 4)

ACTIVATION_NONE = 0
ACTIVATION_CODES = {name: code for code, name in enumerate(ACTIVATIONS, 1)}
POOL_CODES = {name: code for code, name in enumerate(POOLINGS)}
RELATIVE_NONE, RELATIVE_BIAS, RELATIVE_KEY, RELATIVE_KEY_QUERY = range(4)

COMPLETE, ABORTED = 0, 1  # what the entry returns
