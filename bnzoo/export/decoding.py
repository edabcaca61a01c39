"""Images on their way into a model, as TensorFlow operations that a server can run."""

import tensorflow as tf

from bnzoo.export.image import Image
from bnzoo.pictures import MAX_PIXELS
from bnzoo.pictures.file import NAMES, decode

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

    def from_levels(self, images: tf.Tensor) -> tf.Tensor:
        """Return images of one size as the model takes them; an error if they are too long to be resized.

        Args:
            images: Tensor of levels of 0 to 255, `(batch, rows, columns, channels)`.
        """
        fits = tf.Assert(self._fits(images), ["the images are too long and narrow to be resized:", tf.shape(images)])
        with tf.control_dependencies([fits]):
            return self.normalise(images)

    def normalise(self, images: tf.Tensor) -> tf.Tensor:
        """Images of one size, levels of 0 to 255 with any number of rows and columns, as the model takes them."""
        resized = self._resize(images)
        if self.image.bgr:
            resized = tf.reverse(resized, [-1])
        return (resized - tf.constant(self.image.mean, tf.float32)) / tf.constant(self.image.std, tf.float32)

    def decode_files(self, files: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Decode a batch of image files.

        Args:
            files: String tensor `(batch,)`.

        Returns:
            The images as the model takes them, zeros for a file that is not decoded; and a string for each file that
            says why it is not, empty if it is.
        """
        count = tf.size(files, tf.int64)

        def decoded(index: tf.Tensor, file: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
            found = decode(file, self.image.max_pixels)
            levels = self._channels(found.image)[None]
            problem = tf.where(self._fits(levels), found.problem, "it is too long and narrow to be resized")
            nothing = tf.zeros((1, *self.size, self.channels))
            return index, tf.cond(problem == "", lambda: self.normalise(levels), lambda: nothing)[0], problem

        # a graph has no `try`; a dataset can leave out the elements that raised
        images = tf.data.Dataset.from_tensor_slices(files).enumerate().map(decoded, tf.data.AUTOTUNE).ignore_errors()
        # one more at the end, for a batch of which nothing is left
        last = tf.data.Dataset.from_tensors((count, tf.zeros((*self.size, self.channels)), ""))
        indices, images, found = images.concatenate(last).batch(count + 1).get_single_element()
        problems = tf.fill([count + 1], f"it is not a whole {NAMES} file")
        problems = tf.tensor_scatter_nd_update(problems, indices[:, None], found)[:-1]
        shape = tf.concat([[count + 1], tf.shape(images, tf.int64)[1:]], 0)
        images = tf.scatter_nd(indices[:, None], images, shape)[:-1]
        images = tf.where((problems == "")[:, None, None, None], images, 0.0)
        return tf.ensure_shape(images, (None, *self.size, self.channels)), problems

    def decode_batch(self, files: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Decode a batch of image files, as `decode_files` does.

        Returns:
            The images, and a bool for each file that says whether it was decoded.
        """
        images, problems = self.decode_files(files)
        return images, problems == ""

    def _channels(self, image: tf.Tensor) -> tf.Tensor:
        """Return an image of 1 to 4 channels with those that the model takes."""
        alone = image[..., :1]
        coloured = tf.shape(image)[-1] >= 3  # 2 are grey with opacity, 4 are colours with opacity
        if self.channels == 3:
            return tf.cond(coloured, lambda: image[..., :3], lambda: tf.repeat(alone, 3, axis=-1))
        return tf.cond(coloured, lambda: _grey(image), lambda: alone)

    def _fits(self, images: tf.Tensor) -> tf.Tensor:
        """Return whether images stay within the bound of pixels while they are resized; narrow ones may not."""
        rows, columns = tf.unstack(tf.cast(self._whole(images), tf.float64))
        most = tf.maximum(rows, tf.cast(tf.shape(images)[1], tf.float64)) * columns
        return most <= max(self.image.max_pixels, MAX_PIXELS)

    def _whole(self, images: tf.Tensor) -> tf.Tensor:
        """Return the rows and columns that whole images are resized to, before their middle is cut out."""
        if self.image.crop is None:
            return tf.constant(self.size, tf.int64)
        height, width = tf.unstack(tf.cast(tf.shape(images)[1:3], tf.float64))
        factor = tf.maximum(self.size[0] / height, self.size[1] / width) / self.image.crop
        # 224 / 0.875 is 256, not 255.99...
        return tf.cast(tf.stack([height * factor, width * factor]) + 1e-6, tf.int64)

    def _resize(self, images: tf.Tensor) -> tf.Tensor:
        images = self._resize_to(images, tf.cast(self._whole(images), tf.int32))
        if self.image.crop is None:
            return images
        rows, columns = self.size
        top, left = tf.unstack((tf.shape(images)[1:3] - self.size) // 2)
        return images[:, top : top + rows, left : left + columns]

    def _resize_to(self, images: tf.Tensor, size: tf.Tensor) -> tf.Tensor:
        """Columns first, whole levels after each of the two: as Pillow does it."""
        rows = tf.shape(images)[1]
        for step in ((rows, size[1]), size):
            # it takes levels as they are: a float32 copy of a large image would be four times as large
            resized = tf.image.resize(images, step, self.image.interpolation, antialias=True)
            images = tf.clip_by_value(tf.floor(tf.cast(resized, tf.float32) + 0.5), 0, 255)
        return images


def _grey(image: tf.Tensor) -> tf.Tensor:
    levels = tf.reduce_sum(tf.cast(image[..., :3], tf.int32) * tf.constant(_GREY), -1, keepdims=True)
    return tf.cast(tf.bitwise.right_shift(levels + 2**15, 16), tf.uint8)
