"""Decoding of image files with TensorFlow operations, the same for training and for the graph of a server."""

# 67 million, as many as the largest full-frame cameras have. A few kilobytes can declare more than fits into memory.
MAX_PIXELS = 2**26
# The largest number of rows or columns, as in JPEG and GIF. Longer images are costly to resize.
MAX_SIDE = 2**16 - 1
# The largest file: uncompressed pixels of four channels of 16 bits.
MAX_BYTES = 8 * MAX_PIXELS
