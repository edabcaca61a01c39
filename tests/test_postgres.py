import optuna
import pytest

psycopg = pytest.importorskip("psycopg", reason="psycopg is not installed: pip install 'psycopg[binary]'")


def test_what_is_committed_outlives_a_server_that_goes_away(postgres):
    url = postgres.new_database()
    with psycopg.connect(url) as open_connection:
        open_connection.execute("CREATE TABLE numbers AS SELECT 3 AS number")
        open_connection.commit()
        with postgres.away():
            with pytest.raises(psycopg.OperationalError):
                open_connection.execute("SELECT 1")
            with pytest.raises(psycopg.OperationalError, match="Connection refused"):
                psycopg.connect(url)
    with psycopg.connect(url) as connection:
        assert connection.execute("SELECT number FROM numbers").fetchall() == [(3,)]


def test_a_new_database_is_empty_and_knows_nothing_of_others(postgres):
    for url in (postgres.new_database(), postgres.new_database()):
        with psycopg.connect(url) as connection:
            connection.execute("CREATE TABLE mine (number integer)")


@pytest.mark.slow
def test_optuna_keeps_its_studies_there(postgres):
    url = postgres.new_database()
    study = optuna.create_study(study_name="square", storage=url)
    trial = study.ask()
    study.tell(trial, trial.suggest_float("x", 0, 1) ** 2)
    stored = optuna.load_study(study_name="square", storage=url)
    assert stored.best_value == trial.params["x"] ** 2


def test_a_server_that_cannot_start_shows_its_log(postgres):
    settings = postgres.data / "postgresql.conf"
    kept = settings.read_text()
    with postgres.away():
        settings.write_text(f"{kept}\nnonsense = 1\n")
        try:
            with pytest.raises(RuntimeError, match='unrecognized configuration parameter "nonsense"'):
                postgres.start()
        finally:
            settings.write_text(kept)
