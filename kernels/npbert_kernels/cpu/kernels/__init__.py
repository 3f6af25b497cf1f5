"""What numba compiles, and all that is hashed to know compiled code by, with `isa`, `layout` and `blocking` above."""
