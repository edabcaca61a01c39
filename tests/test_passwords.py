import pytest

from bnzoo.passwords import is_password_option, mask_passwords


@pytest.mark.parametrize(
    "text",
    [
        "postgresql://me:secret@host/studies",
        "postgresql+psycopg://me:sec%40ret@host:5432/studies",
        "postgresql://me:more secret@words@host/studies",
        "postgresql://:secret@host/studies",
        "postgresql://host/studies?user=me&password=secret%26more&sslmode=require",
        "mysql://host/studies?passwd=secret",
        "mssql+pyodbc:///?odbc_connect=DRIVER%3DX%3BPWD%3Dsecret%3BUID%3Dme",
        "postgresql//me:secret@host",
        "me:secret@host",
        "the database postgresql://me:secret@host/a cannot be used, nor postgresql://me:secret@host/b",
        "host=here user=me password='more secret'",
        "--db-password=secret",
    ],
)
def test_no_password_is_left(text):
    masked = mask_passwords(text)
    assert "***" in masked
    assert not [word for word in ("sec", "ret", "more", "words") if word in masked]
    assert mask_passwords(masked) == masked


@pytest.mark.parametrize(
    "text",
    [
        "postgresql://me@host/studies",
        "sqlite:///study.db",
        "https://example.org:8501/v1",
        "tune vit --option class_token=true,false --option width=8",
        "pass `max_bytes=12`, at 12:30",
    ],
)
def test_what_is_no_password_stays(text):
    assert mask_passwords(text) == text


def test_options_whose_value_is_a_password():
    assert is_password_option("--db-password")
    assert not is_password_option("--depths")
    assert not is_password_option("--class_token")
    assert not is_password_option("password")
