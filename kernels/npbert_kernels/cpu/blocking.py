"""Block sizes, each with the inequality that it comes from. Caches: 32 KiB and 512 KiB at least on today's cores."""

from __future__ import annotations

from .isa import selected

_ISA = selected()

# A tile of A (ROWS x KC) and the panel rows in flight stay in the first-level cache, a panel of W (KC x PANEL)
# and the block of A in the second: KC is as deep as BERT's hidden size goes, since each more block of k
# loads and stores C once more.
KC = 768
# Terms that one accumulator adds up before it goes into C: the error of a sum grows with the root of its length, and
# 256 keeps it at torch's own (768: 1.5 times).
CHAIN = 256
# Rows of one block: BLOCK_TILES ROWS x KC x 4 bytes and two panels of W fit the second-level cache.
BLOCK_TILES = max(1, 144 // _ISA.rows)
# Tokens that one thread takes through all steps before the next: its activations stay in the second-level cache.
CHUNK_TOKENS = BLOCK_TILES * _ISA.rows
# Floats behind each row of a buffer: rows whose length is a multiple of 4 KiB would share their cache sets. With
# panel columns a multiple of 128 bytes this makes every row an odd number of cache lines long.
ROW_PADDING = 16
