"""Kernels, each made by a function of what is fixed when it is compiled. The same source runs on a GPU and simulated.

Rules that make this so: a kernel is written for a warp. `lane` differs within it, and what depends on `lane` never
decides a branch or the end of a loop: it is a predicate of a load, a store or `select`. Memory is reached by
addresses in bytes, int64, through the primitives in `device` and nothing else. Constants are f32(...), or Numba makes
them float64.
"""
