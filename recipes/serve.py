"""Serve an exported model with MLflow, compare its answers with the model's, and measure it under load.

python -m recipes.serve [MODEL.keras] [--data DATA] [--folder FOLDER] [--seconds 10]

Install it with `pip install -e ".[serve]"`, preferably in a separate virtual environment: MLflow has about 50
dependencies. Without a model, a ResNet-8 is trained on the digits first. The SavedModel of `bnzoo.export` is served
unchanged. `describe` writes the file `MLmodel` that MLflow needs. With `--folder`, the model can be served again later:
`mlflow models serve -m FOLDER --env-manager local`.

Results on 2 cores, shared by clients, server and other programs: ready after 18 to 27 s. Accuracy over HTTP 96.94 % on
359 test digits; outputs differ from the model's by at most 3e-6 of the largest output. 86 to 112 requests (322 to 421
images) per second from eight clients, median 61 to 86 ms, 99th percentile 151 to 220 ms.
"""

import contextlib
import importlib.util
import os
import signal
import socket
import subprocess
import sys
import sysconfig
import tempfile
import threading
import time
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Annotated, NamedTuple, Self

import keras
import numpy as np
import requests
import tensorflow as tf
import typer

import bnzoo
from bnzoo.data import Dataset

SIGNATURE = "serve"  # the signature for float tensors
CLIENTS = 8
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # read when MLflow is imported, here and by the server
Arrays = dict[str, np.ndarray]


def main(
    model: Annotated[Path | None, typer.Argument()] = None,
    source: Annotated[str, typer.Option("--data")] = "digits",
    folder: Annotated[Path | None, typer.Option()] = None,
    seconds: Annotated[float, typer.Option()] = 10.0,
) -> None:
    """Export a model, serve it, compare its answers with the model's, and measure it under load.

    Args:
        model: A `.keras` file. By default a small ResNet is trained.
        source: The data, as in `bnzoo.data.load`. Its test images are sent to the server.
        folder: The folder for the served model. By default it is temporary.
        seconds: The duration of the load test.
    """
    if importlib.util.find_spec("mlflow") is None:
        typer.echo(
            'MLflow is not installed. Run `pip install -e ".[serve]"` in a separate virtual environment.', err=True
        )
        raise typer.Exit(2)
    signal.signal(
        signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM)
    )  # the default would skip the exit of `with` blocks
    examples = bnzoo.data.load(source)
    network = bnzoo.load_model(model) if model else trained(examples)
    if network.input_shape[1:] != examples.input_shape:
        raise typer.BadParameter(
            f"the input shape of the model is {network.input_shape[1:]}, but {source} has examples of shape "
            f"{examples.input_shape}. Pass data of the model's shape with --data."
        )
    with tempfile.TemporaryDirectory() as scratch:
        served = export(network, folder or Path(scratch) / "served", examples)
        start = time.perf_counter()
        with Server(served.folder) as server:
            print(f"{server.url} is ready after {time.perf_counter() - start:.1f} s")
            measure(server.url, served, network, examples, seconds)


def measure(url: str, served: "Served", model: keras.Model, examples: Dataset, seconds: float) -> None:
    """Print the differences between the answers and the model's outputs, and the speed of the server."""
    inputs, expected = {served.input: examples.test.x}, {served.output: model.predict(examples.test.x, verbose=0)}
    answers = predict(url, inputs)
    accuracy = (answers[served.output].argmax(-1) == examples.test.y).mean()
    print(f"largest difference {difference(answers, expected):.1e} of the largest output; accuracy {accuracy:.2%}")

    calls = load(url, inputs, expected, seconds)
    rate, images = len(calls) / seconds, sum(call.images for call in calls) / seconds
    median, slow = np.percentile([1000 * call.seconds for call in calls], [50, 99])
    print(
        f"{len(calls)} requests from {CLIENTS} clients in {seconds:.0f} s without an error: {rate:.0f} requests and "
        f"{images:.0f} images per second, median {median:.0f} ms, 99th percentile {slow:.0f} ms; "
        f"largest difference {max(call.difference for call in calls):.1e}"
    )


def trained(digits: Dataset, epochs: int = 8) -> keras.Model:
    """Train a small ResNet for raw pixels, for a few seconds."""
    keras.utils.set_random_seed(0)
    model = bnzoo.ResNetCifar(8, input_shape=digits.input_shape, classes=digits.classes)
    model.compile(keras.optimizers.Adam(3e-3), "sparse_categorical_crossentropy", jit_compile=False)
    model.fit(*digits.train, batch_size=64, epochs=epochs, verbose=0)
    bnzoo.tools.recalibrate_batch_norm(model, digits.train.x)  # moving statistics lag behind a short training
    return model


class Served(NamedTuple):
    """A folder that MLflow serves.

    Attributes:
        folder: Path of the folder with `MLmodel`.
        input: String, the name of the input.
        output: String, the name of the output that equals the output of the model.
    """

    folder: Path
    input: str
    output: str


def export(model: keras.Model, folder: Path, examples: Dataset) -> Served:
    """Export a model with one input and one output, with the description for MLflow."""
    bnzoo.export.saved_model(model, folder / "1", labels=examples.labels, sample=examples.test.x)
    inputs, outputs = describe(folder)
    own = model.output_names[0]
    return Served(folder, inputs[0], own if own in outputs else "probabilities")


def describe(folder: Path, version: str = "1") -> tuple[list[str], list[str]]:
    """Write `MLmodel` next to a SavedModel, and return the names of its inputs and outputs.

    `mlflow.tensorflow.save_model` would load the model and save it again, as a Keras file or as a module without
    signatures. The model type below, the oldest one, loads any SavedModel unchanged. The server uses the tensor
    signature to convert JSON numbers to float32, and to reject other shapes with a message that has both shapes.
    """
    import mlflow.pyfunc
    from mlflow.models import Model, ModelSignature
    from mlflow.types import Schema, TensorSpec

    def schema(tensors: dict[str, tf.TensorSpec]) -> Schema:
        shapes = {name: [-1 if size is None else size for size in tensor.shape] for name, tensor in tensors.items()}
        return Schema([TensorSpec(np.dtype(t.dtype.as_numpy_dtype), shapes[name], name) for name, t in tensors.items()])

    call = tf.saved_model.load(str(folder / version)).signatures[SIGNATURE]
    inputs, outputs = call.structured_input_signature[1], call.structured_outputs
    description = Model(signature=ModelSignature(schema(inputs), schema(outputs)))
    description.add_flavor(
        "tensorflow",
        model_type="tf1-estimator",
        saved_model_dir=version,
        meta_graph_tags=["serve"],
        signature_def_key=SIGNATURE,
    )
    mlflow.pyfunc.add_to_model(description, loader_module="mlflow.tensorflow")
    description.save(folder / "MLmodel")
    return list(inputs), list(outputs)


class Server:
    """MLflow's model server as a context manager: ready at the start of the block, stopped at its end.

    Args:
        folder: Path of the folder with `MLmodel`.
        patience: Float, the timeout of the start in seconds.
    """

    def __init__(self, folder: Path, patience: float = 180.0) -> None:
        self.folder = folder.resolve()
        self.patience = patience
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        """Start the server and wait until it is ready.

        Raises:
            RuntimeError: If the server exits. The message has its log.
            TimeoutError: If the server is not ready in time. The message has its log.
        """
        self._scratch = tempfile.TemporaryDirectory()
        options = f"--env-manager local --host 127.0.0.1 --port {self.port}".split()
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "mlflow", "models", "serve", "--model-uri", self.folder, *options],
                cwd=self._scratch.name,
                env=_environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # a new process group, so that its children can be stopped with it
            )
        try:
            self._wait()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        """Stop the server and its child processes."""
        try:
            self._end()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(timeout=10)
        finally:
            self._end(at_once=True)
            self.process.wait()
            self._scratch.cleanup()

    @property
    def log(self) -> str:
        """The output of the server."""
        return self._log.read_text(encoding="utf-8", errors="replace")

    @property
    def _log(self) -> Path:
        return Path(self._scratch.name) / "log"

    def _wait(self) -> None:
        end = time.monotonic() + self.patience
        while not self.answers():
            if self.process.poll() is not None:
                raise RuntimeError(f"The server exited with status {self.process.returncode}. Its log:\n{self.log}")
            if time.monotonic() > end:
                raise TimeoutError(f"The server was not ready after {self.patience:g} s. Its log:\n{self.log}")
            time.sleep(0.1)

    def answers(self) -> bool:
        """Return `True` if the health endpoint of the server answers."""
        try:
            return requests.get(f"{self.url}/ping", timeout=10).ok
        except requests.RequestException:
            return False

    def _end(self, at_once: bool = False) -> None:
        """Ask the server and the processes that it started to end, or end them at once. Windows has no such groups."""
        if not hasattr(os, "killpg"):
            self.process.kill() if at_once else self.process.terminate()
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL if at_once else signal.SIGTERM)


def _environment() -> dict[str, str]:
    """Return the environment with this Python's scripts on `PATH`, where MLflow looks for `uvicorn`."""
    path = os.pathsep.join([sysconfig.get_path("scripts"), os.environ.get("PATH", os.defpath)])
    return {**os.environ, "PATH": path}


def predict(url: str, inputs: Arrays, session: requests.Session | None = None) -> Arrays:
    """Return the outputs of the server by name, for inputs by name.

    Args:
        url: String, the address of the server.
        inputs: Dict of arrays, with the batch as first axis.
        session: A `requests.Session`, to reuse its connection.

    Raises:
        RuntimeError: If the server answers with an error. The message has its text.
    """
    body = {"inputs": {name: array.tolist() for name, array in inputs.items()}}
    response = (session or requests).post(f"{url}/invocations", json=body, timeout=60)
    if not response.ok:  # the reason is at the end of the text, after the data
        raise RuntimeError(f"The server answered with status {response.status_code}: {response.text[-500:]}")
    return {name: np.asarray(values) for name, values in response.json()["predictions"].items()}


def difference(outputs: Arrays, expected: Arrays) -> float:
    """Return the largest difference from the expected outputs, relative to the largest expected value."""
    return max(float(np.abs(outputs[name] - array).max() / np.abs(array).max()) for name, array in expected.items())


class Call(NamedTuple):
    """A request: its number of images, its seconds, and the difference of its answer from the expected outputs."""

    images: int
    seconds: float
    difference: float


def load(
    url: str,
    inputs: Arrays,
    expected: Arrays,
    seconds: float,
    clients: int = CLIENTS,
    sizes: tuple[int, ...] = (1, 2, 8),
) -> list[Call]:
    """Send requests from several clients at the same time, each without a pause.

    Args:
        url: String, the address of the server.
        inputs: Dict of arrays. Each request sends a random slice of them.
        expected: Dict of arrays, the expected outputs.
        seconds: Float, the duration.
        clients: Integer, the number of threads.
        sizes: Tuple of integers, the batch sizes of the requests, chosen at random.

    Returns:
        A list of `Call`s.

    Raises:
        RuntimeError: At the first request that fails.
    """
    stop = threading.Event()
    count = len(next(iter(inputs.values())))

    def client(seed: int) -> list[Call]:
        random, calls = np.random.default_rng(seed), []
        with requests.Session() as session:
            while not stop.is_set():
                size = int(random.choice(sizes))
                first = random.integers(count - size + 1)
                part, right = ({k: a[first : first + size] for k, a in x.items()} for x in (inputs, expected))
                start = time.perf_counter()
                outputs = predict(url, part, session)
                calls.append(Call(size, time.perf_counter() - start, difference(outputs, right)))
        return calls

    with ThreadPoolExecutor(clients) as pool:
        try:
            running = [pool.submit(client, seed) for seed in range(clients)]
            wait(running, timeout=seconds, return_when=FIRST_EXCEPTION)
        finally:
            stop.set()
    return [call for each in running for call in each.result()]


if __name__ == "__main__":
    typer.run(main)
