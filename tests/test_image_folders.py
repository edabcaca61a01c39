import errno
import os
import pickle
import warnings
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from portable import ON_LINUX, make_pipe, make_socket

from bnzoo import data, machine, tuning
from bnzoo.cli.inputs import load_data
from bnzoo.data import sources


def save(folder, image=None, classes=("cat", "dog"), count=5, suffix=".png", **options):
    """Write a folder with several equal images for each class."""
    image = Image.new("L", (6, 5), 7) if image is None else image
    for name in classes:
        (folder / name).mkdir(parents=True, exist_ok=True)
        for number in range(count):
            image.save(folder / name / f"{number}{suffix}", **options)
    return folder


def x_of(dataset):
    return np.concatenate([part.x for part in (dataset.train, dataset.validation, dataset.test)])


@pytest.fixture(autouse=True)
def _no_warnings():
    """Fail a test that causes an unexpected warning."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        yield


def test_what_operating_systems_leave_behind_is_no_image_and_no_class(tmp_path):
    save(tmp_path)
    for name in ("._0.png", ".DS_Store", "Thumbs.db", "desktop.ini"):
        (tmp_path / name).write_bytes(b"stray")
        (tmp_path / "cat" / name).write_bytes(b"stray")
    for folder in ("__MACOSX/cat", ".ipynb_checkpoints", "cat/.ipynb_checkpoints", "dog/__MACOSX"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "0.png").write_bytes(b"stray")
    found = data.load(tmp_path)
    assert (found.labels, len(x_of(found))) == (("cat", "dog"), 10)


def test_files_that_are_not_read_are_counted(tmp_path):
    save(tmp_path)
    for name in ("cat/a.heic", "cat/b.HEIC", "dog/README", "beside.png"):
        (tmp_path / name).write_bytes(b"anything")
    (tmp_path / "dog/more").mkdir()
    counts = r"are ignored: 2 \.heic, 1 \.png, 1 folder, 1 without a suffix, such as .*beside\.png"
    with pytest.warns(UserWarning, match=counts) as said:
        assert len(x_of(data.load(tmp_path))) == 10
    assert len(said) == 1
    assert said[0].filename == __file__


def test_formats_that_cannot_be_served_are_named(tmp_path):
    save(tmp_path)
    save(tmp_path, suffix=".webp", lossless=True)
    save(tmp_path, suffix=".tiff", count=1)
    save(tmp_path, suffix=".bmp")
    with pytest.warns(UserWarning, match=r"`serve_image_bytes` .*12 of 32 images.*TIFF: 2, WebP: 10.*PNG"):
        assert (x_of(data.load(tmp_path)) == 7).all()


def test_the_content_decides_not_the_name(tmp_path):
    save(tmp_path, suffix=".jpg", format="GIF")
    assert (x_of(data.load(tmp_path)) == 7).all()
    (tmp_path / "cat/x.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n")
    with pytest.raises(ValueError, match=r"cat/x\.png cannot be read as an image: it is no PNG, JPEG"):
        data.load(tmp_path)


def test_all_files_that_cannot_be_read_are_in_one_message(tmp_path):
    whole = (save(tmp_path) / "cat/0.png").read_bytes()
    for name in ("cat/1", "cat/2", "dog/0", "dog/3"):
        (tmp_path / f"{name}.png").write_bytes(b"")
    some = r"cat/1\.png cannot .*: it is empty; .*cat/2\.png .*: it is empty; .*dog/0\.png cannot .*: it is empty$"
    with pytest.raises(ValueError, match=rf"^4 of 10 images cannot be read, such as: .*{some}"):
        data.load(tmp_path)
    for name in ("cat/1", "cat/2", "dog/0", "dog/3"):
        (tmp_path / f"{name}.png").write_bytes(whole if name == "dog/3" else whole[:-20])
    with pytest.raises(ValueError, match=r"^3 of 10 images cannot be read: .*png cannot .*: it is a damaged JPEG, PNG"):
        data.load(tmp_path)


def strange(kind, path):
    if kind == "pipe":
        make_pipe(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "socket":
        make_socket(path)
    else:
        path.symlink_to("/dev/zero" if kind == "device" else "nowhere")


@pytest.mark.parametrize("kind", ["pipe", "folder", "socket", "device", "file"])
def test_what_is_no_regular_file_is_not_opened(tmp_path, monkeypatch, kind):
    monkeypatch.chdir(tmp_path)
    save(tmp_path)
    strange(kind, tmp_path / "dog/x.png")
    message = r"There is no file .*dog/x\.png" if kind == "file" else rf"dog/x\.png is a {kind}"
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        data.load(tmp_path)


def test_a_class_that_is_a_broken_link_is_named(tmp_path):
    save(tmp_path)
    (tmp_path / "eel").symlink_to("nowhere")
    with pytest.raises(ValueError, match="eel is a link to a file or folder that does not exist"):
        data.load(tmp_path)


@pytest.mark.parametrize("name", [b"caf\xe9", b"a\nb", b"\x1b[31mred"])
def test_a_class_needs_a_name_that_can_be_printed(tmp_path, name):
    save(tmp_path)
    (tmp_path / os.fsdecode(name)).mkdir()
    with pytest.raises(ValueError, match="the name of a class must have printable characters") as raised:
        data.load(tmp_path)
    assert str(raised.value).isprintable()


def test_a_folder_that_may_not_be_read_is_named(tmp_path, monkeypatch):
    save(tmp_path)
    listed = type(tmp_path).iterdir

    def iterdir(path):  # root may read everything
        if path.name == "dog":
            raise PermissionError(13, "Permission denied", str(path))
        return listed(path)

    monkeypatch.setattr(type(tmp_path), "iterdir", iterdir)
    with pytest.raises(PermissionError, match="dog: no permission to read this folder"):
        data.load(tmp_path)


def test_16_bits_stay_and_are_not_mixed(tmp_path):
    levels = np.linspace(0, 65535, 30).astype(np.uint16).reshape(5, 6)
    save(tmp_path, Image.fromarray(levels))
    with pytest.warns(UserWarning, match="16-bit PNG: 10"):
        deep = data.load(tmp_path)
    assert deep.input_shape == (5, 6, 1)
    np.testing.assert_array_equal(deep.test.x[0, ..., 0], levels)
    with pytest.warns(UserWarning, match="16-bit PNG"):
        twice = x_of(data.load(tmp_path, image_size=(10, 6)))
    np.testing.assert_allclose(twice.mean(), levels.mean(), rtol=0.01)

    Image.new("L", (6, 5)).save(tmp_path / "dog/flat.png")
    with (
        pytest.raises(ValueError, match=r"dog/flat\.png: its values have 8 bits, .* 16 bits"),
        pytest.warns(UserWarning, match="16-bit PNG"),
    ):
        data.load(tmp_path)


def test_fractions_stay_and_nan_is_refused(tmp_path):
    levels = np.linspace(-1, 1, 30, dtype=np.float32).reshape(5, 6)
    save(tmp_path, Image.fromarray(levels), suffix=".tif")
    with pytest.warns(UserWarning, match="TIFF: 10"):
        np.testing.assert_array_equal(data.load(tmp_path).test.x[0, ..., 0], levels)
    levels[2, 2] = np.nan
    Image.fromarray(levels).save(tmp_path / "cat/3.tif")
    with pytest.warns(UserWarning, match="TIFF: 10"), pytest.raises(ValueError, match=r"cat/3\.tif .*NaN"):
        data.load(tmp_path)


def test_an_integer_is_both_sides(tmp_path):
    assert data.load(save(tmp_path), image_size=8).input_shape == (8, 8, 1)


@pytest.mark.parametrize(
    "size", [0, -3, True, 2.5, "64", 20000, (0, 0), (8,), (8, 8, 3), (8, 8.0), (8, 10**12), {8, 9}]
)
def test_sizes_that_no_image_has(tmp_path, size):
    with pytest.raises(ValueError, match=r"`image_size` must be .* from 1 to 16384\. Received: image_size="):
        data.load(save(tmp_path, count=1), image_size=size)


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    return tmp_path / "keras/bnzoo"


def test_more_than_memory_or_disk_hold_is_refused_at_the_first_image(tmp_path, monkeypatch, cache):
    monkeypatch.setattr(machine, "memory", lambda: 4 * 10 * 64 * 64 - 1)
    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=40_959))
    message = r"10 images of 64x64 pixels need 40,960 bytes, .* the 40,959 bytes that are free in .*keras/bnzoo; choose"
    with pytest.raises(ValueError, match=message):
        data.load(save(tmp_path / "images"), image_size=64)
    assert not list(cache.glob("*.npy"))


def test_a_folder_of_the_cache_that_cannot_be_written_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "file"))
    (tmp_path / "file").write_bytes(b"")
    message = r"more memory than `max_memory`, .*file/bnzoo, cannot be written \(Not a directory\): set KERAS_HOME to"
    with pytest.raises(ValueError, match=rf"images: 10 images of 5x6 pixels need {message}"):
        data.load(save(tmp_path / "images"), max_memory=1)
    batches = tf.data.Dataset.from_tensors((np.zeros((4, 3), np.float32), np.zeros(4)))
    with pytest.raises(ValueError, match=rf"`train`: its inputs need {message}"):
        data.Dataset.from_tf_data(batches, batches, batches, max_memory=1)


@ON_LINUX
def test_more_than_a_user_may_store_is_refused(tmp_path, monkeypatch, cache):
    def allocate(file, start, size):
        raise OSError(errno.EDQUOT, "Disk quota exceeded")

    monkeypatch.setattr("os.posix_fallocate", allocate)
    with pytest.raises(ValueError, match=r"10 images of 64x64 pixels need 40,960 bytes, more than may be written to"):
        data.load(save(tmp_path / "images"), image_size=64, max_memory=1)
    assert not [path for path in cache.iterdir() if not path.name.endswith(".lock")]


def test_above_the_limit_images_are_held_in_a_file_that_the_next_run_reads(tmp_path, monkeypatch, cache):
    folder = save(tmp_path / "images", Image.new("RGB", (6, 5), (1, 2, 3)))
    for name in ("cat", "dog"):  # the first one is grey
        Image.linear_gradient("L").resize((6, 5)).save(folder / name / "0.png")
    held, stored = data.load(folder), data.load(folder, max_memory=10 * 6 * 5 * 3 - 1)
    assert [type(found.train.x) for found in (held, stored)] == [np.ndarray, np.memmap]
    assert stored.fingerprint == held.fingerprint
    assert stored.scale == held.scale
    copy = pickle.loads(pickle.dumps(stored)).test
    np.testing.assert_array_equal(copy.x, held.test.x)
    assert isinstance(copy.x, np.memmap), "another process maps the file too"
    few = pickle.loads(pickle.dumps(data.Split(stored.train.x[2:4], stored.train.y[2:4])))
    np.testing.assert_array_equal(few.x, held.train.x[2:4])

    monkeypatch.setattr("bnzoo.data.images.read", None)
    assert data.load(folder).fingerprint == held.fingerprint
    (file,) = cache.glob("*.npy")
    assert file.stat().st_size == 128 + 900
    os.utime(folder / "cat/1.png", (0, 0))
    with pytest.raises(TypeError):  # it is read again
        data.load(folder)


def test_a_file_larger_than_any_image_is_not_read(tmp_path):
    save(tmp_path)
    with (tmp_path / "dog/x.png").open("wb") as file:
        file.truncate(2**40)  # a sparse file, which takes no disk space
    with pytest.raises(ValueError, match=r"dog/x\.png .*it has 1,099,511,627,776 bytes"):
        data.load(tmp_path)


def test_on_the_command_line_a_warning_is_one_line(tmp_path, capfd):
    save(tmp_path)
    (tmp_path / "cat/a.heic").write_bytes(b"anything")
    assert load_data(str(tmp_path), None, None, 4).input_shape == (4, 4, 1)
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith("bnzoo: warning: Some files are ignored: 1 .heic, such as ")


def test_all_images_of_a_folder_in_the_order_of_their_files(tmp_path):
    for number, label in enumerate("ab"):
        (tmp_path / label).mkdir()
        for i in range(2):
            Image.fromarray(np.full((2, 2, 3), 10 * number + i, np.uint8)).save(tmp_path / label / f"{i}.png")
    x, y, labels = sources.image_folder(tmp_path)
    assert (x[:, 0, 0, 0].tolist(), y.tolist(), labels) == ([0, 1, 10, 11], [0, 0, 1, 1], ["a", "b"])


def test_each_image_has_the_label_of_its_folder(tmp_path):
    for number, name in enumerate("ab"):
        save(tmp_path, Image.new("L", (6, 5), number), classes=[name])
    found = data.load(tmp_path)
    for part in (found.train, found.validation, found.test):
        assert (part.x[:, 0, 0, 0] == part.y).all()


@pytest.fixture
def different(tmp_path):
    """A folder of 60 different images in two classes."""
    random = np.random.default_rng(0)
    for number in range(60):
        path = tmp_path / "images" / "ab"[number % 2] / f"{number:02}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(random.integers(0, 256, (7, 6, 3), np.uint8)).save(path)
    return tmp_path / "images"


@pytest.fixture
def decoded(monkeypatch):
    """The files that are decoded; all folders count as large."""
    monkeypatch.setattr("bnzoo.data.images._SMALL", 0)
    read, files = data.decoded.read, []
    monkeypatch.setattr("bnzoo.data.decoded.read", lambda file, size: files.append(file) or read(file, size))
    return files


@pytest.mark.slow
@pytest.mark.parametrize("max_memory", [None, 1])
def test_images_of_a_large_folder_are_decoded_when_they_are_used(cache, different, request, max_memory):
    whole = data.load(different, image_size=4)
    decoded = request.getfixturevalue("decoded")
    large, meanwhile = (data.load(different, image_size=4, max_memory=max_memory) for _ in range(2))
    assert (large.train.x.shape, large.train.x.dtype, large.input_shape) == (whole.train.x.shape, np.uint8, (4, 4, 3))
    assert decoded == []
    np.testing.assert_array_equal(large.train.x[3:5], whole.train.x[3:5])
    np.testing.assert_array_equal(large.train.x[[4, 7]], whole.train.x[[4, 7]])
    assert len(decoded) == 3, "none is decoded twice"
    copy = pickle.loads(pickle.dumps(large))
    np.testing.assert_array_equal(copy.train.x[4], whole.train.x[4])
    assert len(decoded) == (3 if max_memory else 4), "another process shares the file"
    fingerprint = large.fingerprint
    assert not list(cache.glob("*.npy")), "it has its name only when it is complete"
    np.testing.assert_array_equal(x_of(large), x_of(whole))
    assert len(list(cache.glob("*.npy"))) == (1 if max_memory else 0)
    np.testing.assert_array_equal(x_of(meanwhile), x_of(whole))
    np.testing.assert_array_equal(x_of(large), x_of(whole))
    assert len(list(cache.glob("*.npy"))) == (1 if max_memory else 0), "both have written the same file"
    assert large.scale == whole.scale, "there are fewer images than in the sample"
    if max_memory:
        decoded.clear()
        again = data.load(different, image_size=4)
        assert (again.fingerprint, again.scale) == (fingerprint, whole.scale)
        np.testing.assert_array_equal(x_of(again), x_of(whole))
        assert decoded == []
    (different / "a/00.png").write_bytes((different / "a/02.png").read_bytes())
    assert data.load(different, image_size=4).fingerprint != fingerprint
    assert fingerprint != data.load(different, image_size=5).fingerprint


@pytest.mark.parametrize(("workers", "shared"), [(2, False), (3, True)])
def test_workers_share_the_memory_of_a_large_folder(cache, different, decoded, monkeypatch, workers, shared):
    size = 60 * 7 * 6 * 3
    monkeypatch.setattr(machine, "memory", lambda: 4 * 2 * size)  # a quarter of it holds the images twice
    found = load_data(str(different), None, None, None, workers=workers)
    copies = [pickle.loads(pickle.dumps(found)) for _ in range(workers)]
    for copy in copies:
        np.testing.assert_array_equal(x_of(copy), x_of(copies[0]))
    assert len(decoded) == (60 if shared else 60 * workers)


def test_the_scale_of_a_large_folder_is_that_of_a_sample(cache, different, decoded, monkeypatch):
    monkeypatch.setattr("bnzoo.data.decoded.Decoded.sample", 20)
    large = data.load(different)
    mean, variance = large.scale
    assert len(decoded) == 20
    x = np.asarray(large.train.x, np.float64)
    exact, deviations = x.mean((0, 1, 2)), x.mean((1, 2)).std(0)
    assert (np.abs(mean - exact) <= 3 * deviations / 20**0.5).all()
    np.testing.assert_allclose(variance, x.var((0, 1, 2)), rtol=0.1)


def study_of(examples, directory):
    space = tuning.MLPSpace(depths=(1,), norms=("batch",), width=4, learning_rates=(0.01, 0.1, 2), batch_size=8)
    return tuning.Study(space, examples, directory, epochs=2)


@pytest.mark.slow
@pytest.mark.parametrize("max_memory", [None, 1])
def test_a_search_on_images_that_are_decoded_on_demand_gives_the_same_results(
    tmp_path, cache, different, request, max_memory
):
    found = [data.load(different)]
    request.getfixturevalue("decoded")
    found += [data.load(different, max_memory=max_memory) for _ in range(2)]
    studies = [study_of(some, tmp_path / str(i)) for i, some in enumerate(found)]
    scores = [[trial.history for trial in study.run(lambda *event: None).trials] for study in studies]
    assert scores[0] == scores[1] == scores[2]
    assert studies[1].export().measures == studies[0].export().measures


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_a_damaged_file_ends_a_search(tmp_path, cache, different, decoded, monkeypatch, workers):
    monkeypatch.setattr("bnzoo.data.decoded.Decoded.sample", 1)
    (file,) = different.glob("a/10.png")
    file.write_bytes(file.read_bytes()[:60])
    study = study_of(data.load(different), tmp_path / "study")
    with pytest.raises(ValueError, match=r"a/10\.png cannot be read as an image: it is a damaged JPEG, PNG") as raised:
        study.run(lambda *event: None, workers=workers)
    assert "\n" not in str(raised.value)
