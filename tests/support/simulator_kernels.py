"""Kernels that are right with what is asked of them, and wrong without."""

from __future__ import annotations

from collections.abc import Callable

from simulated import simulator as d


def copied(wait: bool) -> Callable[..., None]:
    shared, done = d.shared(512), d.copies_wait(0)

    def kernel(source: int, out: int) -> None:
        base, lane = shared(), d.lane()
        d.copy16(lane >= 0, base + lane * 16, source + lane * 16)
        d.copies_commit()
        if wait:
            done()
        for i in range(4):
            d.store_float(lane >= 0, out + (i * 32 + lane) * 4, d.load_shared_float(base + (i * 32 + lane) * 4))

    return kernel


def handed_on(barrier: bool) -> Callable[..., None]:
    shared = d.shared(256)

    def kernel(source: int, out: int) -> None:
        base, lane, warp = shared(), d.lane(), d.warp()
        mine, other = warp * 32 + lane, (1 - warp) * 32 + lane
        d.store_shared_float(base + mine * 4, d.load_float(lane >= 0, source + mine * 4))
        if barrier:
            d.sync()
        d.store_float(lane >= 0, out + mine * 4, d.load_shared_float(base + other * 4))

    return kernel


def ring(barrier: bool) -> Callable[..., None]:
    """Each step: the first warp copies 128 floats, and both write a half of them out."""
    shared, done = d.shared(512), d.copies_wait(0)

    def kernel(source: int, out: int, steps: int) -> None:
        base, lane, warp = shared(), d.lane(), d.warp()
        for step in range(steps):
            if warp == 0:
                d.copy16(lane >= 0, base + lane * 16, source + step * 512 + lane * 16)
            d.copies_commit()
            done()
            d.sync()
            for i in range(2):
                at = (warp * 64 + i * 32 + lane) * 4
                d.store_float(lane >= 0, out + step * 512 + at, d.load_shared_float(base + at))
            if barrier:
                d.sync()

    return kernel
