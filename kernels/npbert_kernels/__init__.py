"""npbert's kernels: one set of ops (`ops`), defined in NumPy (`reference`) and compiled for the CPU (`cpu`)."""
