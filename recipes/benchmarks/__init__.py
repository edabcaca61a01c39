"""Benchmarks of speed and memory, measured as ratios in one interleaved run."""
