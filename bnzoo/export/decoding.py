"""Decoding and scaling of images, as TensorFlow operations that a server can run."""

import tensorflow as tf

from bnzoo.export.image import Image
from bnzoo.pictures import MAX_PIXELS
from bnzoo.pictures.file import NAMES, decode

# the weights of red, green and blue in grey, in 65536ths, as in Pillow (ITU-R 601-2)
_GREY = (19595, 38470, 7471)


class Pixels:
    """The conversion of images to the input of a model.

    Args:
        image: The `Image`.
        shape: Tuple, height, width and channels of the input.
    """

    def __init__(self, image: Image, shape: tuple[int, int, int]) -> None:
        self.image = image
        self.size, self.channels = shape[:2], shape[2]

    def from_levels(self, images: tf.Tensor) -> tf.Tensor:
        """Convert images of one size to the input of the model.

        Images that are too long to be resized raise an error of TensorFlow.

        Args:
            images: Tensor of levels of 0 to 255, `(batch, rows, columns, channels)`.
        """
        fits = tf.Assert(self._fits(images), ["the images are too long and narrow to be resized:", tf.shape(images)])
        with tf.control_dependencies([fits]):
            return self.normalise(images)

    def normalise(self, images: tf.Tensor) -> tf.Tensor:
        """Resize and scale images of one size, levels of 0 to 255, for the model."""
        resized = self._resize(images)
        if self.image.bgr:
            resized = tf.reverse(resized, [-1])
        return (resized - tf.constant(self.image.mean, tf.float32)) / tf.constant(self.image.std, tf.float32)

    def decode_files(self, files: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Decode a batch of image files.

        Args:
            files: String tensor `(batch,)`.

        Returns:
            The input of the model, with zeros for a file that is not decoded; and a string for each file, the reason
            why it is not decoded, else empty.
        """
        count = tf.size(files, tf.int64)

        def decoded(index: tf.Tensor, file: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
            picture = decode(file, self.image.max_pixels)
            levels = self._channels(picture.image)[None]
            problem = tf.where(self._fits(levels), picture.problem, "it is too long and narrow to be resized")
            nothing = tf.zeros((1, *self.size, self.channels))
            return index, tf.cond(problem == "", lambda: self.normalise(levels), lambda: nothing)[0], problem

        # a graph has no `try`, but a dataset can leave out the elements that raised an error
        images = tf.data.Dataset.from_tensor_slices(files).enumerate().map(decoded, tf.data.AUTOTUNE).ignore_errors()
        # one element more at the end, for a batch of which all were left out
        last = tf.data.Dataset.from_tensors((count, tf.zeros((*self.size, self.channels)), ""))
        indices, images, reasons = images.concatenate(last).batch(count + 1).get_single_element()
        problems = tf.fill([count + 1], f"it is a damaged {NAMES} file")
        problems = tf.tensor_scatter_nd_update(problems, indices[:, None], reasons)[:-1]
        shape = tf.concat([[count + 1], tf.shape(images, tf.int64)[1:]], 0)
        images = tf.scatter_nd(indices[:, None], images, shape)[:-1]
        images = tf.where((problems == "")[:, None, None, None], images, 0.0)
        return tf.ensure_shape(images, (None, *self.size, self.channels)), problems

    def decode_batch(self, files: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Decode a batch of image files, as `decode_files` does.

        Returns:
            The input of the model, and a bool for each file, whether it was decoded.
        """
        images, problems = self.decode_files(files)
        return images, problems == ""

    def _channels(self, image: tf.Tensor) -> tf.Tensor:
        """Convert an image of 1 to 4 channels to the channels of the model."""
        alone = image[..., :1]
        coloured = tf.shape(image)[-1] >= 3  # 2 are grey with opacity, 4 are colours with opacity
        if self.channels == 3:
            return tf.cond(coloured, lambda: image[..., :3], lambda: tf.repeat(alone, 3, axis=-1))
        return tf.cond(coloured, lambda: _grey(image), lambda: alone)

    def _fits(self, images: tf.Tensor) -> tf.Tensor:
        """Return whether images stay within the bound of pixels while they are resized, as narrow ones may not."""
        rows, columns = tf.unstack(tf.cast(self._whole(images), tf.float64))
        most = tf.maximum(rows, tf.cast(tf.shape(images)[1], tf.float64)) * columns
        return most <= max(self.image.max_pixels, MAX_PIXELS)

    def _whole(self, images: tf.Tensor) -> tf.Tensor:
        """Return the rows and columns of the resized images, before the centre is cut out."""
        if self.image.crop is None:
            return tf.constant(self.size, tf.int64)
        height, width = tf.unstack(tf.cast(tf.shape(images)[1:3], tf.float64))
        factor = tf.maximum(self.size[0] / height, self.size[1] / width) / self.image.crop
        # 224 / 0.875 must be 256, not 255
        return tf.cast(tf.stack([height * factor, width * factor]) + 1e-6, tf.int64)

    def _resize(self, images: tf.Tensor) -> tf.Tensor:
        images = self._resize_to(images, tf.cast(self._whole(images), tf.int32))
        if self.image.crop is None:
            return images
        rows, columns = self.size
        top, left = tf.unstack((tf.shape(images)[1:3] - self.size) // 2)
        return images[:, top : top + rows, left : left + columns]

    def _resize_to(self, images: tf.Tensor, size: tf.Tensor) -> tf.Tensor:
        """Resize images first in width, then in height, and round after each step, as Pillow does.

        Args:
            images: Tensor of levels of 0 to 255, `(batch, rows, columns, channels)`.
            size: Integer tensor, the new number of rows and of columns.

        Returns:
            Float32 tensor of whole numbers from 0 to 255.
        """
        rows = tf.shape(images)[1]
        for step in ((rows, size[1]), size):
            # without conversion: a float32 copy of a large image would take four times the memory
            resized = tf.image.resize(images, step, self.image.interpolation, antialias=True)
            images = tf.clip_by_value(tf.floor(tf.cast(resized, tf.float32) + 0.5), 0, 255)
        return images


def _grey(image: tf.Tensor) -> tf.Tensor:
    levels = tf.reduce_sum(tf.cast(image[..., :3], tf.int32) * tf.constant(_GREY), -1, keepdims=True)
    return tf.cast(tf.bitwise.right_shift(levels + 2**15, 16), tf.uint8)
