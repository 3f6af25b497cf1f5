"""A character map as sentencepiece compiles it: what XLM-R's, CamemBERT's and ALBERT's normalizers are made of."""

from __future__ import annotations

import struct
import unicodedata
from collections.abc import Mapping


def compile_charsmap(replacements: Mapping[str, str]) -> bytes:
    """A double-array trie of UTF-8 keys, then the replacements, each ended by a zero byte.

    As `tokenizers` reads it: the unit of a node holds an offset, which with a byte gives the place of the
    next one (exclusive or); byte 0 leads to the value, the place of a replacement.
    """
    texts, places = b"", {}
    for key, value in replacements.items():
        places[key.encode()] = len(texts)
        texts += value.encode() + b"\0"
    root: dict[int, object] = {}
    for key, place in places.items():
        node = root
        for byte in key:
            node = node.setdefault(byte, {})  # type: ignore[assignment]
        node[0] = place
    units = {0: 0}
    nodes, free = [(root, 0)], 1
    while nodes:
        node, at = nodes.pop()
        # An offset that fits into 21 bits as it stands, so that the bit that scales it is never set.
        offset = free
        while any((at ^ offset ^ byte) in units for byte in node):
            offset += 1
        if len(node) > 32:
            free = offset
        assert offset < 1 << 21
        units[at] |= offset << 10
        for byte, child in node.items():
            place = at ^ offset ^ byte
            if isinstance(child, int):
                units[at] |= 1 << 8
                units[place] = child | 1 << 31  # a value, no byte
            else:
                units[place] = byte
                nodes.append((child, place))  # type: ignore[arg-type]
    size = (max(units) | 255) + 1
    trie = b"".join(struct.pack("<I", units.get(place, 0)) for place in range(size))
    return struct.pack("<I", len(trie)) + trie + texts


def nmt_nfkc(characters: str) -> bytes:
    """What sentencepiece calls nmt_nfkc, of these characters: NFKC; white space to spaces, controls to nothing."""
    replacements = {}
    for character in characters:
        kind = unicodedata.category(character)
        value = unicodedata.normalize("NFKC", character)
        if character in "\t\n\r\u2028\u2029\u200b\ufeff" or kind == "Zs":
            value = " "
        elif kind == "Cc":
            value = ""
        if value != character and character != "\0":
            replacements[character] = value
    return compile_charsmap(replacements)
