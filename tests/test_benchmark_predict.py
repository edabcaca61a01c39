import pandas as pd
import pytest

from recipes.benchmarks import predict


@pytest.mark.slow
def test_the_benchmark_runs(tmp_path, capfd):
    predict.main(tmp_path, quick=True)
    head, *rows = capfd.readouterr().out.splitlines()[-3:]
    assert head.split() == ["images", "seconds", "MB", "images/s"]
    assert [row.split()[0] for row in rows] == ["5", "40"]
    assert len(pd.read_csv(tmp_path / "40.csv")) == 40
