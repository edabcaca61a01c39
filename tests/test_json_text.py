import json
import math

import pytest

from bnzoo.json_text import json_ready, json_text

CONTENT = {"loss": math.nan, "curve": (1.0, math.inf, [-math.inf]), "name": "a", "none": None, "yes": True, "count": 3}


def test_what_is_not_finite_becomes_a_string_that_float_reads():
    ready = json_ready(CONTENT)
    assert ready == {**CONTENT, "loss": "nan", "curve": [1.0, "inf", ["-inf"]]}
    assert math.isnan(float(ready["loss"]))
    assert float(ready["curve"][1]) == math.inf


def test_the_text_is_strict_json():
    def refuse(constant):
        pytest.fail(f"{constant} is not JSON")

    text = json_text(CONTENT)
    assert json.loads(text, parse_constant=refuse) == json_ready(CONTENT)
    assert text.endswith("}\n")
