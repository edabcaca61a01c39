"""Image files as pixels: one decoder, of TensorFlow operations, for training and for the graph of a server."""

# 64 million, as the largest full-frame cameras have. A few kilobytes can declare more than any memory holds.
MAX_PIXELS = 2**26
# of the rows and of the columns, as JPEG and GIF have: a longer one is no picture, and costs much to resize
MAX_SIDE = 2**16 - 1
