"""Benchmarks of npbert beside its peers, and the parity table. Not part of the wheel."""
