import json
import os
import socket
import time

import numpy as np
import pytest
import tensorflow as tf
from portable import ON_POSIX

# both are in the extra `serve`, which needs a separate environment
requests = pytest.importorskip("requests")
from recipes import serve  # noqa: E402

pytestmark = [ON_POSIX, pytest.mark.slow, pytest.mark.extras("mlflow")]

JSON = {"Content-Type": "application/json"}
BLANK = np.zeros((2, 8, 8, 1)).tolist()
INCOMPLETE = [BLANK[0], BLANK[1][:5]]


@pytest.fixture(scope="module")
def model(digits):
    return serve.trained(digits)


@pytest.fixture(scope="module")
def served(model, digits, tmp_path_factory):
    return serve.export(model, tmp_path_factory.mktemp("serving") / "digits", digits)


@pytest.fixture(scope="module")
def expected(model, served, digits):
    return {served.output: model.predict(digits.test.x, verbose=0)}


@pytest.fixture(scope="module")
def server(served):
    with serve.Server(served.folder) as running:
        yield running
    assert has_ended(running)


@pytest.fixture
def post(server):
    """Send a body, and check that the server still answers afterwards."""

    def send(body, headers=JSON):
        response = requests.post(f"{server.url}/invocations", data=body, headers=headers, timeout=60)
        assert serve.predict(server.url, {"image": np.zeros((1, 8, 8, 1))})["probabilities"].shape == (1, 10)
        return response

    return send


def image(value) -> str:
    return json.dumps({"inputs": {"image": value}})


def has_ended(server: serve.Server, seconds: float = 10) -> bool:
    """Return True once the process group has ended and the port is closed, which can take a moment."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            os.killpg(server.process.pid, 0)
        except ProcessLookupError:
            with socket.socket() as client:
                return client.connect_ex(("127.0.0.1", server.port)) != 0
        time.sleep(0.05)
    return False


@pytest.mark.parametrize("size", [1, 2, 7, 300])
def test_answers_are_those_of_the_model(server, served, expected, digits, size):
    outputs = serve.predict(server.url, {served.input: digits.test.x[:size]})
    assert outputs[served.output].shape == (size, 10)
    assert serve.difference(outputs, {served.output: expected[served.output][:size]}) < 1e-5


def test_the_accuracy_is_there_over_http(server, served, digits):
    answers = serve.predict(server.url, {served.input: digits.test.x})[served.output]
    assert (answers.argmax(-1) == digits.test.y).mean() > 0.9


@pytest.mark.parametrize("shape", [(1, 9, 8, 1), (1, 8, 8, 3), (8, 8, 1), (0,), (1, 2, 3, 4, 5)])
def test_a_wrong_shape_is_named(post, shape):
    response = post(image(np.zeros(shape).tolist()))
    assert response.status_code == 400
    assert f"Shape of input {shape} does not match expected shape (-1, 8, 8, 1)" in response.json()["message"]


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("{not json", "valid JSON"),
        (b"\xff\xfe\x00", "valid JSON"),
        ("", "valid JSON"),
        (" " * 20_000_000, "valid JSON"),
        ("[1, 2]", "Received a list"),
        (json.dumps({"image": BLANK}), "exactly one of the input fields"),
        (json.dumps({"inputs": None}), "Shape of input"),
        (json.dumps({"inputs": {"picture": BLANK}}), "missing inputs ['image']"),
        (image([[[["a"]] * 8] * 8]), "could not convert string to float"),
        (image({"a": 1}), "must be a string or a real number"),
        (image(INCOMPLETE), "inhomogeneous shape"),
        (image([[[[10**400]] * 8] * 8]), "too large"),
        (image(np.zeros((1, 400, 400, 1)).tolist()), "(1, 400, 400, 1) does not match"),
    ],
    ids=lambda value: None if len(value) < 40 else f"{value[:20]} ({len(value)} bytes)",
)
def test_garbage_is_a_bad_request(post, body, reason):
    response = post(body)
    assert response.status_code == 400
    assert reason in response.json()["message"]


@pytest.mark.parametrize("content_type", ["text/plain", "image/jpeg", "application/json; charset=latin-1"])
def test_another_content_type_is_refused(post, content_type):
    response = post(image(BLANK).encode(), {"Content-Type": content_type})
    assert response.status_code == 415
    assert "support" in response.text


@pytest.mark.parametrize("unknown", [np.nan, None])
def test_mlflow_lets_nan_through_to_the_model(post, served, unknown):
    """The status is not 4xx, because a tensor signature has only shape and type.

    The answer depends on the processor: with oneDNN the ReLU of NaN is 0, elsewhere NaN.
    """
    response = post(image([[[[unknown]] * 8] * 8]))
    assert response.status_code == 200
    model = tf.saved_model.load(served.folder / "1").signatures[serve.SIGNATURE]
    expected = model(**{served.input: tf.fill((1, 8, 8, 1), np.float32("nan"))})[served.output]
    answer = np.asarray(response.json()["predictions"][served.output], np.float32)
    np.testing.assert_allclose(answer, expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("body", "headers"),
    [(image(BLANK).encode(), {}), ('{"inputs":' + "[" * 100_000 + "]" * 100_000 + "}", JSON)],
    ids=["no content type", "nested too deep"],
)
def test_mlflow_calls_these_its_own_fault(post, body, headers):
    """MLflow's code answers 500 before it uses the model, so the folder of the model cannot change it."""
    assert post(body, headers).status_code == 500


def test_ten_seconds_of_load_without_an_error(server, served, expected, digits):
    calls = serve.load(server.url, {served.input: digits.test.x}, expected, seconds=10, clients=8, sizes=(1, 3, 16))
    assert {call.images for call in calls} == {1, 3, 16}
    assert len(calls) > 33
    assert max(call.difference for call in calls) < 1e-5
    assert server.answers()


def test_an_interrupt_ends_the_server_and_all_that_it_started(served):
    server = serve.Server(served.folder)
    with pytest.raises(KeyboardInterrupt), server:
        assert server.answers()
        raise KeyboardInterrupt
    assert has_ended(server)


def test_a_server_that_cannot_start_shows_its_log(tmp_path):
    server = serve.Server(tmp_path)
    with pytest.raises(RuntimeError, match=r"exited with status [\s\S]*MLmodel"), server:
        pass
    assert has_ended(server)


def test_a_server_that_takes_too_long_is_ended(served):
    server = serve.Server(served.folder, patience=0.5)
    with pytest.raises(TimeoutError, match="was not ready after"), server:
        pass
    assert has_ended(server)
