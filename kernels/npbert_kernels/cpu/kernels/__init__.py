"""What numba compiles. Compiled code is known by a hash of these sources and of what they import (`objects.name`)."""
