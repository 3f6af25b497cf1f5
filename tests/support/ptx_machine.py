"""A GPU that runs PTX, in NumPy: what the compilers made of a kernel, a block at a time, on the simulator's memory.

The simulator runs the kernels' source, and says itself what a primitive does; here the text of each instruction does,
by NVIDIA's manual (PTX ISA 9). Of it there is what NVVM makes of these kernels; all else is a NotImplementedError.

A register is an array with an element for each of a block's threads. Threads that part at a branch go on in the order
of their places in the code, and so meet again; an instruction of a whole warp wants all of its lanes there. Warps go
side by side or, by `simulator.rules`, one after another up to a barrier, the last first. Registers and shared memory
begin as bytes of 0xFF, addresses are checked, and cp.async lands by the rules.
"""

from __future__ import annotations

import itertools
import re
import struct
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from npbert_kernels.cuda import simulator

WARP = simulator.WARP
SHARED_AT = 1024  # of a block's shared memory; what is below is the system's
KINDS: dict[str, Any] = {
    "pred": np.bool_,
    "f16": np.float16,
    "f32": np.float32,
    "s32": np.int32,
    "s64": np.int64,
    **{f"{letter}{bits}": np.dtype(f"uint{bits}").type for letter in "bu" for bits in (16, 32, 64)},
}
OPERAND = re.compile(r"\{[^}]*\}|\[[^\]]*\]|[^\s,{}\[\]]+")
STATEMENT = re.compile(r"\s*(?:(?P<scope>[{}])|(?P<label>[\w$]+):(?!:)|(?P<text>[^;]+);)")


@dataclass(frozen=True)
class Register:
    number: int
    kind: str


Operand = Any  # a Register, a list of them, a number, a name, or an address as (Operand, offset)


@dataclass
class Instruction:
    op: str
    operands: list[Operand]
    guard: Register | None = None
    negated: bool = False


@dataclass
class Code:
    parameters: list[str]  # their kinds
    waits: bool  # it may be launched before the kernels before have ended
    instructions: list[Instruction] = field(default_factory=list)
    labels: dict[str, int] = field(default_factory=dict)
    registers: int = 0


def parsed(ptx: str) -> Code:
    """The one kernel of a module."""
    text = re.sub(r"//[^\n]*", "", ptx)
    head, _, body = text.partition(".entry")[2].partition(")")
    code = Code(re.findall(r"\.param\s+\.(\w+)", head), ".target sm_8" not in text)
    scopes: list[dict[str, Register]] = []
    at = 0
    while match := STATEMENT.match(body, at):
        at = match.end()
        if match["scope"] == "{":
            scopes.append({})
        elif match["scope"]:
            scopes.pop()
        elif match["label"]:
            code.labels[match["label"]] = len(code.instructions)
        elif match["text"].strip().startswith(".reg"):
            for name, kind in declared(match["text"]):
                scopes[-1][name] = Register(code.registers, kind)
                code.registers += 1
        else:
            names = {name: register for scope in scopes for name, register in scope.items()}
            code.instructions.append(instruction(match["text"].strip(), names))
    assert not body[at:].strip(), body[at : at + 80]
    return code


def declared(text: str) -> Iterator[tuple[str, str]]:
    kind, names = re.fullmatch(r"\s*\.reg\s+\.(\w+)\s+(.*?)\s*", text).groups()  # type: ignore[union-attr]
    kind = {"u16": "b16", "u32": "b32", "u64": "b64"}.get(kind, kind)
    for name in re.split(r"\s*,\s*", names):
        if many := re.fullmatch(r"(.+)<(\d+)>", name):
            yield from ((f"{many[1]}{i}", kind) for i in range(int(many[2])))
        else:
            yield name, kind


def instruction(text: str, names: dict[str, Register]) -> Instruction:
    match = re.fullmatch(r"(?:@(!?)(\S+)\s+)?([\w.]+)\s*(.*)", text, re.DOTALL)
    assert match, text
    operands = [operand(part, names) for part in OPERAND.findall(match[4])]
    return Instruction(match[3], operands, names[match[2]] if match[2] else None, match[1] == "!")


def operand(text: str, names: dict[str, Register]) -> Operand:
    if text in names:
        return names[text]
    if text[0] == "{":
        return [names[part.strip()] for part in text[1:-1].split(",")]
    if text[0] == "[":
        base, _, offset = text[1:-1].partition("+")
        return operand(base.strip(), names), int(offset or 0)
    if re.fullmatch(r"0[fF][0-9a-fA-F]{8}", text):
        return struct.unpack(">f", bytes.fromhex(text[2:]))[0]
    return int(text, 0) if re.fullmatch(r"-?(0x[0-9a-fA-F]+|\d+)", text) else text


# What an instruction gives of what it is given, both arrays of the kind that its name ends with --------------


def _fused(x: Any, y: Any, z: Any) -> Any:
    """Exact but for the sum, which is rounded twice."""
    return x.astype(np.float64) * y + z


def _down(exact: Any) -> Any:
    near = exact.astype(np.float32)
    return np.where(near > exact, np.nextafter(near, np.float32(-np.inf)), near)


def _flushed(x: Any) -> Any:
    return np.where(np.abs(x) < np.float32(2.0**-126), np.float32(0) * x, x)


def _inserted(part: Any, whole: Any, at: Any, length: Any) -> Any:
    mask = ((1 << int(length)) - 1) << int(at)
    return (whole & np.uint64(~mask & (2**64 - 1))) | ((part << np.uint64(at)) & np.uint64(mask))


def _shifted(shift: Callable[..., Any]) -> Callable[..., Any]:
    """By an amount of any kind; all bits gone, where there are fewer."""

    def by(x: Any, amount: Any) -> Any:
        bits, amount = x.dtype.itemsize * 8, np.asarray(amount).astype(np.int64)
        kept = np.minimum(amount, bits - 1).astype(x.dtype)
        gone = shift(shift(x, kept), x.dtype.type(1))
        return np.where(amount < bits, shift(x, kept), gone)

    return by


ARITHMETIC: dict[str, Callable[..., Any]] = {
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "mul.lo": np.multiply,
    "mad.lo": lambda x, y, z: x * y + z,
    "div.rn": np.divide,
    "sqrt.rn": np.sqrt,
    "fma.rn": _fused,
    "fma.rm": lambda x, y, z: _down(_fused(x, y, z)),
    "ex2.approx.ftz": lambda x: _flushed(np.exp2(_flushed(x))),
    "rcp.rn": np.reciprocal,
    "rcp.approx.ftz": lambda x: _flushed(np.float32(1) / _flushed(x)),
    "abs": np.abs,
    "neg": np.negative,
    "copysign": lambda sign, x: np.copysign(x, sign),
    "min": np.fmin,
    "max": np.fmax,
    "and": np.bitwise_and,
    "or": np.bitwise_or,
    "xor": np.bitwise_xor,
    "not": np.invert,
    "shl": _shifted(np.left_shift),
    "shr": _shifted(np.right_shift),
    "bfi": _inserted,
    "mov": lambda x: x,
    "cvt.sat.f32": lambda x: np.where(x > 0, np.minimum(x, np.float32(1)), np.float32(0)),
}
COMPARED: dict[str, Callable[..., Any]] = {
    "eq": np.equal,
    "ne": lambda x, y: (x < y) | (x > y),
    "lt": np.less,
    "le": np.less_equal,
    "gt": np.greater,
    "ge": np.greater_equal,
    "equ": lambda x, y: ~(x < y) & ~(x > y),
    "neu": np.not_equal,
    "ltu": lambda x, y: ~(x >= y),
    "leu": lambda x, y: ~(x > y),
    "gtu": lambda x, y: ~(x <= y),
    "geu": lambda x, y: ~(x < y),
    "num": lambda x, y: (x == x) & (y == y),
    "nan": lambda x, y: (x != x) | (y != y),
}
# cvt: to what, from what, and how
CONVERTED: dict[str, tuple[str, str, Callable[..., Any]]] = {
    "cvt.u64.u32": ("u64", "u32", lambda x: x),
    "cvt.s64.s32": ("s64", "s32", lambda x: x),
    "cvt.u32.u64": ("u32", "u64", lambda x: x),
    "cvt.rn.f32.s64": ("f32", "s64", lambda x: x),
    "cvt.f32.f16": ("f32", "f16", lambda x: x),
    "cvt.rn.f16.f32": ("f16", "f32", lambda x: x),
    "cvt.rn.bf16.f32": ("b16", "f32", simulator.to_bfloat16),
    "cvt.rn.bf16x2.f32": ("b32", "f32", lambda high, low: simulator.pack_bfloat16(low, high)),
    "cvt.rn.f16x2.f32": ("b32", "f32", lambda high, low: simulator.pack_float16(low, high)),
}
WHOLE_WARP = ("mma.", "ldmatrix.", "shfl.")
LEAVING = ("bra", "bar.", "ret")


class Written:
    """Which bytes of the device's memory kernels wrote."""

    def __init__(self) -> None:
        self.generation = -1

    def __call__(self) -> Any:
        if self.generation != simulator.memory.generation:
            self.generation, self.bytes = simulator.memory.generation, np.zeros(simulator.MEMORY_BYTES, bool)
        return self.bytes


written = Written()
Run = Callable[[Any], None]  # what a thread does, of those that a mask names


class Kernel:
    """A compiled kernel. One thread of Python's uses it at a time."""

    def __init__(self, ptx: str) -> None:
        self.code = parsed(ptx)
        self.lock = threading.Lock()
        self.made: dict[int, Block] = {}  # by how many threads there are

    def launch(self, grid: tuple[int, int], threads: int, args: Sequence[Any], shared: int) -> None:
        assert len(args) == len(self.code.parameters), "as many arguments as a kernel has parameters"
        given = [KINDS[kind](arg) for kind, arg in zip(self.code.parameters, args, strict=True)]
        with self.lock, np.errstate(all="ignore"):
            if threads not in self.made:
                self.made[threads] = Block(self.code, threads)
            for y, x in itertools.product(range(grid[1]), range(grid[0])):
                self.made[threads].run((x, y), given, shared)


class Block:
    """The registers of a block's threads, and its instructions as functions on them."""

    def __init__(self, code: Code, threads: int) -> None:
        self.threads, self.labels, self.waits = threads, code.labels, code.waits
        self.bits = np.zeros((code.registers, threads), np.uint64)
        self.instructions = code.instructions
        self.runs = [self._made(one) for one in code.instructions]

    def run(self, at: tuple[int, int], args: Sequence[Any], shared: int) -> None:
        self.at, self.args = at, args
        self.bits[:] = 2**64 - 1
        self.shared = np.full(shared, 0xFF, np.uint8)
        self.copies: list[tuple[Any, ...]] = []  # under way: of which threads, in which group of each, what
        self.committed = np.zeros(self.threads, np.int64)
        self.place = np.zeros(self.threads, np.int64)
        self.ordered = np.full(self.threads, not self.waits)  # what the kernels before wrote is there
        self.waiting, self.over = np.zeros(self.threads, bool), np.zeros(self.threads, bool)
        while not self.over.all():
            ready = ~self.over & ~self.waiting
            if ready.any():
                if simulator.rules.backwards:
                    ready &= np.arange(self.threads) // WARP == np.flatnonzero(ready)[-1] // WARP
                self._go_on(ready)
                continue
            if self.over.any() or len(set(self.place.tolist())) > 1:
                raise RuntimeError("a barrier that some threads did not come to")
            self.waiting[:] = False
        if self.copies:
            raise RuntimeError("a block that ended with copies under way")

    def _go_on(self, ready: Any) -> None:
        """Those that are least far, until they meet others or part."""
        place = int(self.place[ready].min())
        mask = ready & (self.place == place)
        ahead = self.place[ready & ~mask]
        end = int(ahead.min()) if len(ahead) else len(self.runs)
        chosen = None if mask.all() else mask
        while place < end:
            one = self.instructions[place]
            place += 1
            if one.op.startswith(LEAVING):
                self._leave(one, mask, place)
                return
            now = chosen
            if one.guard is not None:
                now = self._true(one) & mask
                if not now.any():
                    continue
            if now is not None and one.op.startswith(WHOLE_WARP):
                lanes = now.reshape(-1, WARP)
                if (lanes.any(1) != lanes.all(1)).any():
                    raise RuntimeError(f"{one.op}: some lanes of a warp are elsewhere")
            self.runs[place - 1](now)
        self.place[mask] = place

    def _leave(self, one: Instruction, mask: Any, following: int) -> None:
        taken = mask if one.guard is None else mask & self._true(one)
        self.place[mask] = following
        if one.op == "ret":
            self.over |= taken
        elif one.op == "bar.sync":
            self.waiting |= taken
        else:
            self.place[taken] = self.labels[one.operands[0]]

    def _true(self, one: Instruction) -> Any:
        assert one.guard is not None
        return self._view(one.guard, "pred") != one.negated

    # -- operands ------------------------------------------------------------------------------
    def _view(self, register: Register, kind: str) -> Any:
        """A register's low bytes as a kind, an element for each thread."""
        size = np.dtype(KINDS[kind]).itemsize
        return self.bits[register.number].view(np.uint8).reshape(self.threads, 8)[:, :size].view(KINDS[kind])[:, 0]

    def _reader(self, operand: Operand, kind: str) -> Callable[[], Any]:
        if isinstance(operand, Register):
            view = self._view(operand, kind)
            return lambda: view
        if isinstance(operand, str):
            return self._special(operand)
        if kind != "f32":
            operand = int(operand) % 2 ** (8 * np.dtype(KINDS[kind]).itemsize)
            bits = np.uint64(operand)
            constant = np.full(self.threads, bits).view(np.uint8).reshape(self.threads, 8)
            wide = np.ascontiguousarray(constant[:, : np.dtype(KINDS[kind]).itemsize]).view(KINDS[kind])[:, 0]
        else:
            wide = np.full(self.threads, operand, np.float32)
        return lambda: wide

    def _special(self, name: str) -> Callable[[], Any]:
        if name == "%tid.x":
            return lambda: np.arange(self.threads, dtype=np.uint32)
        if name in ("%ctaid.x", "%ctaid.y"):
            return lambda: np.full(self.threads, self.at[name.endswith("y")], np.uint32)
        if name == "tiles":
            return lambda: np.full(self.threads, SHARED_AT, np.uint64)
        raise NotImplementedError(name)

    def _write(self, register: Register, kind: str) -> Callable[[Any, Any], None]:
        view = self._view(register, kind)

        def write(value: Any, mask: Any) -> None:
            if mask is None:
                view[:] = value
            else:
                np.copyto(view, value, where=mask, casting="unsafe")

        return write

    def _computed(self, target: Register, to: str, work: Callable[..., Any], sources: list[Callable[[], Any]]) -> Run:
        write = self._write(target, to)
        return lambda mask: write(work(*(source() for source in sources)), mask)

    def _all(self, mask: Any) -> Any:
        return np.ones(self.threads, bool) if mask is None else mask

    # -- instructions --------------------------------------------------------------------------
    def _made(self, one: Instruction) -> Run:
        op, operands = one.op, one.operands
        stem, _, kind = op.rpartition(".")
        if op.startswith(LEAVING):
            return lambda mask: None  # `_leave` does them
        if op in CONVERTED:
            to, source, work = CONVERTED[op]
            return self._computed(operands[0], to, work, [self._reader(x, source) for x in operands[1:]])
        if stem == "mov" and any(isinstance(x, list) for x in operands):
            return self._halves(*operands)
        if stem.startswith("setp."):
            work = COMPARED[stem[5:]]
            return self._computed(operands[0], "pred", work, [self._reader(x, kind) for x in operands[1:]])
        if stem == "selp":
            sources = [self._reader(operands[3], "pred"), *(self._reader(x, kind) for x in operands[1:3])]
            return self._computed(operands[0], kind, np.where, sources)
        if stem in ("shl", "shr"):
            sources = [self._reader(operands[1], kind), self._reader(operands[2], "u32")]
            return self._computed(operands[0], kind, ARITHMETIC[stem], sources)
        if stem == "bfi":
            sources = [self._reader(x, kind) for x in operands[1:3]]
            return self._computed(operands[0], kind, lambda x, y: _inserted(x, y, *operands[3:]), sources)
        if stem in ARITHMETIC:
            return self._computed(operands[0], kind, ARITHMETIC[stem], [self._reader(x, kind) for x in operands[1:]])
        first = op.partition(".")[0]
        special = {
            "ld": self._load,
            "st": self._store,
            "cp": self._copy,
            "ldmatrix": self._matrices,
            "mma": self._product,
            "shfl": self._shuffle,
            "griddepcontrol": self._order,
        }
        if first not in special:
            raise NotImplementedError(op)
        return special[first](op, operands)

    def _halves(self, target: Operand, source: Operand) -> Run:
        """mov.b32 of two 16-bit registers, or into two."""
        if isinstance(target, list):
            word = self._reader(source, "b32")
            low, high = (self._write(register, "b16") for register in target)

            def split(mask: Any) -> None:
                low(word() & 0xFFFF, mask)
                high(word() >> 16, mask)

            return split
        low_half, high_half = (self._reader(register, "b16") for register in source)
        return self._computed(
            target, "b32", lambda low, high: low.astype(np.uint32) | high.astype(np.uint32) << 16, [low_half, high_half]
        )

    def _order(self, op: str, operands: list[Operand]) -> Run:
        """Kernels run one after another; but none may count on it."""
        return lambda mask: self.ordered.__setitem__(self._all(mask), True)

    def _address(self, operand: Operand) -> Callable[[], Any]:
        base, offset = operand
        read = self._reader(base, "u64" if base == "tiles" or base.kind == "b64" else "u32")
        return lambda: read().astype(np.int64) + offset

    def _in_shared(self, at: Any, kind: str, width: int) -> tuple[Any, Any]:
        """Shared memory as elements of a kind, and which of them begin each run of `width`."""
        at, nbytes = at - SHARED_AT, np.dtype(KINDS[kind]).itemsize
        if (at % (nbytes * width)).any() or (at < 0).any() or (at + nbytes * width > len(self.shared)).any():
            raise RuntimeError("a misaligned address of shared memory, or one outside of it")
        return self.shared[: len(self.shared) // nbytes * nbytes].view(KINDS[kind]), at // nbytes

    def _memory(self, space: str, at: Any, kind: str, width: int) -> tuple[Any, Any]:
        return self._in_shared(at, kind, width) if space == "shared" else simulator.memory.view(at, KINDS[kind], width)

    def _reads(self, at: Any, nbytes: int) -> None:
        """Before the kernels before have ended, only what none of them writes."""
        if not self.ordered.all() and (written()[at] | written()[at + nbytes - 1]).any():
            raise RuntimeError("a read of what a kernel wrote, before griddepcontrol.wait")

    def _load(self, op: str, operands: list[Operand]) -> Run:
        space, kind = op.split(".")[1], op.rpartition(".")[2]
        targets = operands[0] if isinstance(operands[0], list) else [operands[0]]
        views = [self._view(target, kind) for target in targets]
        if space == "param":
            number = int(re.search(r"_param_(\d+)$", operands[1][0])[1])  # type: ignore[index]
            return lambda mask: views[0].__setitem__(self._all(mask), self.args[number])
        address = self._address(operands[1])

        def load(mask: Any) -> None:
            mask = self._all(mask)
            at = address()[mask]
            values, index = self._memory(space, at, kind, len(views))
            if space == "global":
                self._reads(at, np.dtype(KINDS[kind]).itemsize * len(views))
            for i, view in enumerate(views):
                view[mask] = values[index + i]

        return load

    def _store(self, op: str, operands: list[Operand]) -> Run:
        space, kind = op.split(".")[1], op.rpartition(".")[2]
        address = self._address(operands[0])
        sources = [self._reader(x, kind) for x in (operands[1] if isinstance(operands[1], list) else [operands[1]])]

        def store(mask: Any) -> None:
            mask = self._all(mask)
            at = address()[mask]
            values, index = self._memory(space, at, kind, len(sources))
            if space == "global":
                if not self.ordered.all():
                    raise RuntimeError("a write before griddepcontrol.wait")
                nbytes = np.dtype(KINDS[kind]).itemsize * len(sources)
                written()[at[:, None] + np.arange(nbytes)] = True
            for i, source in enumerate(sources):
                values[index + i] = source()[mask]

        return store

    def _copy(self, op: str, operands: list[Operand]) -> Run:
        if op == "cp.async.commit_group":
            return lambda mask: self.committed.__setitem__(self._all(mask), self.committed[self._all(mask)] + 1)
        if op == "cp.async.wait_group":
            return lambda mask: self._wait(self._all(mask), operands[0])
        assert (op, operands[2]) == ("cp.async.cg.shared.global", 16), op
        to, source, kept = self._address(operands[0]), self._address(operands[1]), self._reader(operands[3], "u32")

        def copy(mask: Any) -> None:
            threads = np.flatnonzero(self._all(mask))
            self._reads(source()[threads][kept()[threads] > 0], 16)
            self.copies.append((threads, self.committed[threads], to()[threads], source()[threads], kept()[threads]))
            if simulator.rules.land_at_once:
                self._land(*self.copies.pop())

        return copy

    def _wait(self, mask: Any, newest: int) -> None:
        """Until at most that many of a thread's newest groups are under way."""
        still = []
        for threads, group, *what in self.copies:
            due = mask[threads] & (group < self.committed[threads] - newest)
            self._land(threads[due], group[due], *(one[due] for one in what))
            if not due.all():
                still.append((threads[~due], group[~due], *(one[~due] for one in what)))
        self.copies = still

    def _land(self, threads: Any, group: Any, to: Any, source: Any, kept: Any) -> None:
        words = np.zeros((len(threads), 4), np.uint32)
        whole = kept == 16
        assert (whole | (kept == 0)).all(), "16 bytes, or none and zeros"
        values, index = simulator.memory.view(source[whole], np.uint32, 4)
        words[whole] = values[index[:, None] + np.arange(4)]
        values, index = self._in_shared(to, "u32", 4)
        values[index[:, None] + np.arange(4)] = words

    def _warps(self, mask: Any) -> Any:
        """Which warps; all of their lanes are there."""
        return np.flatnonzero(self._all(mask).reshape(-1, WARP)[:, 0])

    def _matrices(self, op: str, operands: list[Operand]) -> Run:
        assert ".x4." in op, op
        views = [self._view(target, "u32").reshape(-1, WARP) for target in operands[0]]
        address = self._address(operands[1])

        def load(mask: Any) -> None:
            warps = self._warps(mask)
            values, index = self._in_shared(address().reshape(-1, WARP)[warps], "u32", 4)
            rows = values[index[..., None] + np.arange(4)]  # [warps, 4 matrices of 8 rows, 4 words]
            elements = np.ascontiguousarray(rows).view(np.uint16).reshape(-1, 4, 8, 8)
            if ".trans." in op:
                elements = np.ascontiguousarray(elements.swapaxes(2, 3))
            words = elements.reshape(-1, 4, 64).view(np.uint32)  # lane l has row l / 4, elements 2 (l % 4) and the next
            for i, view in enumerate(views):
                view[warps] = words[:, i]

        return load

    def _product(self, op: str, operands: list[Operand]) -> Run:
        kind = re.fullmatch(r"mma\.sync\.aligned\.m16n8k16\.row\.col\.f32\.(bf16|f16)\.\1\.f32", op)
        assert kind, op
        work = simulator.mma_bfloat16 if kind[1] == "bf16" else simulator.mma_float16
        targets = [self._view(target, "f32").reshape(-1, WARP) for target in operands[0]]
        words = [self._view(x, "u32").reshape(-1, WARP) for x in (*operands[1], *operands[2])]
        sums = [self._view(x, "f32").reshape(-1, WARP) for x in operands[3]]

        def product(mask: Any) -> None:
            for warp in self._warps(mask):
                found = work(*(x[warp] for x in words), *(x[warp] for x in sums))
                for target, value in zip(targets, found, strict=True):
                    target[warp] = value

        return product

    def _shuffle(self, op: str, operands: list[Operand]) -> Run:
        assert operands[3:] == [31, 0xFFFFFFFF], op
        target, source = operands[0], self._reader(operands[1], "u32")
        other = self._reader(operands[2], "u32")
        write, lanes = self._write(target, "u32"), np.arange(self.threads)
        flipped = op == "shfl.sync.bfly.b32"
        assert flipped or op == "shfl.sync.idx.b32", op

        def shuffle(mask: Any) -> None:
            given = other().astype(np.int64)
            lane = lanes ^ given if flipped else given
            write(source()[lanes // WARP * WARP + lane % WARP], mask)

        return shuffle
