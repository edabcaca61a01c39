"""Small complete programs to read, run and copy. Each answers one question."""
