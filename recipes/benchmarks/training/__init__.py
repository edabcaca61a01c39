"""Compare the time of a training step with other libraries, and with the same network without norms."""
