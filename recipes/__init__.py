"""Complete small programs to read, run and copy; one question each."""
