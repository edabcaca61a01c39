"""Speed, measured as a ratio in one interleaved run."""
