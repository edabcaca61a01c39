"""Images on their way into a model, as TensorFlow operations that a server can run."""

import tensorflow as tf

from bnzoo.export.image import Image

_JPEG = b"\xff\xd8\xff"
_PNG = b"\x89PNG\r\n\x1a\n"
# of red, green and blue in grey, in 65536ths, as Pillow has them (ITU-R 601-2)
_GREY = (19595, 38470, 7471)


class Pixels:
    """Turns images into the input of a model.

    Args:
        image: The `Image`.
        shape: Tuple, height, width and channels of the input.
    """

    def __init__(self, image: Image, shape: tuple[int, int, int]) -> None:
        self.image = image
        self.size, self.channels = shape[:2], shape[2]

    def normalise(self, images: tf.Tensor) -> tf.Tensor:
        """Images of one size, levels of 0 to 255 with any number of rows and columns, as the model takes them."""
        resized = self._resize(tf.cast(images, tf.float32))
        if self.image.bgr:
            resized = tf.reverse(resized, [-1])
        return (resized - tf.constant(self.image.mean, tf.float32)) / tf.constant(self.image.std, tf.float32)

    def decode_batch(self, files: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Decode a batch of JPEG and PNG files.

        Returns:
            The images as the model takes them, zeros for a file that cannot be decoded, and a bool for each file that
            says whether it was decoded. For an empty batch there is one image of zeros: with oneDNN TensorFlow's
            convolutions refuse a batch of none.
        """
        count = tf.size(files, tf.int64)

        def decode(index: tf.Tensor, file: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            return index, self.normalise(self._decode(file)[None])[0]

        # a graph has no `try`; a dataset can leave out the elements that raised
        decoded = tf.data.Dataset.from_tensor_slices(files).enumerate().map(decode, tf.data.AUTOTUNE).ignore_errors()
        # one more at the end, for a batch of which nothing is left, and for an empty one
        last = tf.data.Dataset.from_tensors((count, tf.zeros((*self.size, self.channels))))
        indices, images = decoded.concatenate(last).batch(count + 1).get_single_element()
        shape = tf.concat([[count + 1], tf.shape(images, tf.int64)[1:]], 0)
        usable = tf.scatter_nd(indices[:, None], tf.ones_like(indices), [count + 1])[:-1] > 0
        images = tf.scatter_nd(indices[:, None], images, shape)[: tf.maximum(count, 1)]
        return tf.ensure_shape(images, (None, *self.size, self.channels)), usable

    def _decode(self, file: tf.Tensor) -> tf.Tensor:
        """One file as levels of 0 to 255."""
        image = tf.cond(
            tf.strings.substr(file, 0, len(_JPEG)) == _JPEG,
            lambda: tf.io.decode_jpeg(file, dct_method="INTEGER_ACCURATE"),  # the fast one is up to 5 levels off
            lambda: tf.io.decode_png(self._png(file)),
        )
        image.set_shape((None, None, None))
        alone = image[..., :1]
        coloured = tf.shape(image)[-1] >= 3  # 2 are grey with opacity, 4 are colours with opacity
        if self.channels == 3:
            return tf.cond(coloured, lambda: image[..., :3], lambda: tf.repeat(alone, 3, axis=-1))
        return tf.cond(coloured, lambda: _grey(image), lambda: alone)

    @staticmethod
    def _png(file: tf.Tensor) -> tf.Tensor:
        """The file if it is a PNG: `decode_png` would take others too."""
        is_png = tf.Assert(tf.strings.substr(file, 0, len(_PNG)) == _PNG, ["neither JPEG nor PNG"])
        with tf.control_dependencies([is_png]):
            return tf.identity(file)

    def _resize(self, images: tf.Tensor) -> tf.Tensor:
        if self.image.crop is None:
            return self._resize_to(images, self.size)
        rows, columns = self.size
        height, width = tf.unstack(tf.cast(tf.shape(images)[1:3], tf.float64))
        factor = tf.maximum(rows / height, columns / width) / self.image.crop
        whole = tf.stack([height * factor, width * factor]) + 1e-6  # 224 / 0.875 is 256, not 255.99...
        images = self._resize_to(images, tf.cast(whole, tf.int32))
        top, left = tf.unstack((tf.shape(images)[1:3] - self.size) // 2)
        return images[:, top : top + rows, left : left + columns]

    def _resize_to(self, images: tf.Tensor, size: tf.Tensor) -> tf.Tensor:
        """Columns first, whole levels after each of the two: as Pillow does it."""
        rows = tf.shape(images)[1]
        for step in ((rows, size[1]), size):
            images = tf.image.resize(images, step, self.image.interpolation, antialias=True)
            images = tf.clip_by_value(tf.floor(images + 0.5), 0, 255)
        return images


def _grey(image: tf.Tensor) -> tf.Tensor:
    levels = tf.reduce_sum(tf.cast(image[..., :3], tf.int32) * tf.constant(_GREY), -1, keepdims=True)
    return tf.cast(tf.bitwise.right_shift(levels + 2**15, 16), tf.uint8)
