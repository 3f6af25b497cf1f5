"""Links and loads the kernels' object code on Linux for x86-64, without llvmlite, which makes a process 56 MB larger.

Only what LLVM writes of code for any address is known here, and that is little: sections that are loaded as they are,
and absolute addresses of 64 bits in them. System V ABI, AMD64 supplement; /usr/include/elf.h has the names.
"""

from __future__ import annotations

import ctypes
import mmap
import platform
import struct
import sys
from collections.abc import Iterator, Mapping

HEADER, SECTION, SYMBOL, RELOCATION = (
    struct.Struct(f) for f in ("<16sHHIQQQIHHHHHH", "<IIQQQQIIQQ", "<IBBHQQ", "<QQq")
)
ET_REL, EM_X86_64 = 1, 62
SHT_PROGBITS, SHT_SYMTAB, SHT_RELA = 1, 2, 4
SHF_WRITE, SHF_ALLOC = 1, 2
SHN_UNDEF = 0
R_X86_64_64 = 1


class UnknownError(Exception):
    """Something that this module does not know: the object code may be right all the same."""


def knows_this_machine() -> bool:
    return sys.platform == "linux" and platform.machine() == "x86_64" and sys.maxsize > 2**32


def load(code: bytes, symbol: str, outside: Mapping[str, int]) -> int:
    """The address of a function of relocatable object code, loaded for as long as the process lives.

    Args:
        code: the object file.
        symbol: the function's name.
        outside: the addresses of what the code may call besides itself.

    Raises:
        UnknownError: the machine is another, or the code has what is not known here.
        ValueError: it is damaged, or has no such function.
    """
    if not knows_this_machine():
        raise UnknownError("another machine")
    try:
        return _Object(code, outside).load(symbol)
    except (struct.error, IndexError, OverflowError) as error:
        raise ValueError(f"damaged object code: {error}") from None


class _Object:
    def __init__(self, code: bytes, outside: Mapping[str, int]) -> None:
        self.code, self.outside = code, outside
        ident, kind, machine, _, _, _, at, _, _, _, _, size, count, _ = HEADER.unpack_from(code)
        if (ident[:6], kind, machine, size) != (b"\x7fELF\x02\x01", ET_REL, EM_X86_64, SECTION.size):
            raise UnknownError("no relocatable file for x86-64")
        # name, type, flags, address, offset, size, link, info, alignment, size of an entry
        self.sections = [SECTION.unpack_from(code, at + i * size) for i in range(count)]
        self.places: dict[int, int] = {}  # of a section that is loaded, from the first
        self.size = 0
        for index, (_, kind, flags, _, offset, length, _, _, alignment, _) in enumerate(self.sections):
            if kind == SHT_PROGBITS and flags & SHF_ALLOC and length:
                if flags & SHF_WRITE:
                    raise UnknownError("data that is written to")
                if offset + length > len(code) or not 1 <= alignment <= mmap.PAGESIZE:
                    raise ValueError("damaged object code: a section outside of it")
                self.size = -(-self.size // alignment) * alignment
                self.places[index] = self.size
                self.size += length

    def entries(self, section: tuple[int, ...], kind: struct.Struct) -> Iterator[tuple[int, ...]]:
        offset, size = section[4:6]
        for at in range(offset, offset + size, kind.size):
            yield kind.unpack_from(self.code, at)

    def load(self, symbol: str) -> int:
        (table,) = (section for section in self.sections if section[1] == SHT_SYMTAB)
        names = self.sections[table[6]][4]
        symbols = [(self.name(names + at), index, value) for at, _, _, index, value, _ in self.entries(table, SYMBOL)]
        base = _writable(self.size)
        for index, place in self.places.items():
            offset, size = self.sections[index][4:6]
            ctypes.memmove(base + place, self.code[offset : offset + size], size)
        for section in self.sections:
            if section[1] == SHT_RELA and section[7] in self.places:
                for at, info, addend in self.entries(section, RELOCATION):
                    if info & 0xFFFFFFFF != R_X86_64_64:
                        raise UnknownError(f"a relocation of type {info & 0xFFFFFFFF}")
                    if at + 8 > self.sections[section[7]][5]:
                        raise ValueError("a relocation outside of its section")
                    target = self.address(base, *symbols[info >> 32]) + addend
                    ctypes.c_uint64.from_address(base + self.places[section[7]] + at).value = target
        found = [entry for entry in symbols if entry[0] == symbol and entry[1] in self.places]
        if not found:
            raise ValueError(f"no symbol {symbol}")
        _executable(base, self.size)
        return self.address(base, *found[0])

    def name(self, at: int) -> str:
        return self.code[at : self.code.index(b"\0", at)].decode()

    def address(self, base: int, name: str, index: int, value: int) -> int:
        if index in self.places:
            return base + self.places[index] + value
        if index == SHN_UNDEF and name in self.outside:
            return self.outside[name]
        raise UnknownError(f"a reference to {name or 'a section that is not loaded'}")


def _writable(size: int) -> int:
    """The address of fresh pages. They are never given back: threads may be in the code when the interpreter ends."""
    function = ctypes.CDLL(None, use_errno=True).mmap
    function.restype = ctypes.c_void_p
    function.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
    base = function(None, size, mmap.PROT_READ | mmap.PROT_WRITE, flags, -1, 0)
    if base is None or base == ctypes.c_void_p(-1).value:
        raise UnknownError(f"mmap: error {ctypes.get_errno()}")
    return int(base)


def _executable(base: int, size: int) -> None:
    """No longer writable, since no page is ever both."""
    function = ctypes.CDLL(None, use_errno=True).mprotect
    function.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    if function(base, size, mmap.PROT_READ | mmap.PROT_EXEC) != 0:
        raise UnknownError(f"mprotect: error {ctypes.get_errno()}")
