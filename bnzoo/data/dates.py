"""Dates: their forms as text, and their days since 1970, in NumPy and in TensorFlow."""

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    import pandas as pd
    import tensorflow as tf

_CLOCK = r"(?P<hour>[0-9]{2}):(?P<minute>[0-9]{2})(?::(?P<second>[0-9]{2}(?:\.[0-9]+)?))?"
_TIME = rf"(?:[T ]{_CLOCK}(?: ?(?:Z|UTC|\+00:?00))?)?"
_FIELDS = ("year", "month", "day", "hour", "minute", "second")
_OF_LETTER = {"Y": "year", "M": "month", "D": "day"}
# the days of 0001-01-01 and 9999-12-31
FIRST, LAST = -719162, 2932896


def _pattern(form: str) -> str:
    """Return the regular expression of a form, which Python and TensorFlow read alike."""
    digits = {"YYYY": "{4}", "MM": "{2}" if form.startswith("Y") else "{1,2}"}
    digits["DD"] = digits["MM"]
    words = (f"(?P<{_OF_LETTER[word[0]]}>[0-9]{digits[word]})" for word in re.findall(r"[YMD]+", form))
    return re.escape(re.sub(r"[YMD]", "", form)[0]).join(words) + _TIME


# Of two forms that fit, the first is taken: of 03/04/2020 the month is March, of 03-04-2020 April. A time may follow.
FORMS = {
    form: _pattern(form)
    for form in (
        *("YYYY-MM-DD", "YYYY/MM/DD", "DD.MM.YYYY", "MM/DD/YYYY", "DD/MM/YYYY"),
        *("DD-MM-YYYY", "MM-DD-YYYY"),
    )
}


class Dates(NamedTuple):
    """Dates as numbers: float64 arrays or tensors.

    Attributes:
        days: The days since 1970-01-01, with the time as a fraction.
        year: The year.
        month: The month, 1 to 12.
        valid: Boolean, whether there is a date.
    """

    days: Any
    year: Any
    month: Any
    valid: Any


def forms_of(texts: Sequence[str]) -> Iterator[str]:
    """Yield the forms that all texts have."""
    fitting = (form for form, pattern in FORMS.items() if len(texts) and re.fullmatch(pattern, texts[0]))
    return (form for form in fitting if of_texts(texts, form).valid.all())


def of_texts(texts: Sequence[str], form: str) -> Dates:
    """Return the dates of texts in NumPy. A text of another form has no date."""
    pattern = re.compile(FORMS[form])
    found = [pattern.fullmatch(text) for text in texts]
    numbers = [match.groups("0") if match else ("1",) * pattern.groups for match in found]
    fields = np.array(numbers, "S").astype(np.float64).reshape(-1, pattern.groups).T
    return _dates(
        np.array([match is not None for match in found], bool), **dict(zip(pattern.groupindex, fields, strict=True))
    )


def of_tensor(texts: "tf.Tensor", form: str) -> Dates:
    """Return the dates of texts in TensorFlow, as `of_texts` in NumPy."""
    import tensorflow as tf

    pattern = FORMS[form]
    fits = tf.strings.regex_full_match(texts, pattern)
    example = form.replace("YYYY", "0001").replace("MM", "01").replace("DD", "01")
    texts = tf.where(fits, texts, example)
    groups = re.compile(pattern).groupindex
    # a zero in front of a number, or instead of an absent one
    fields = {
        name: tf.strings.to_number(tf.strings.regex_replace(texts, rf"\A{pattern}\z", rf"0\{groups[name]}"), tf.float64)
        for name in _FIELDS
    }
    return _dates(fits, **fields)


def of_times(column: "pd.Series") -> Dates:
    """Return the dates of a column of dates or times. Those with a time zone are converted to UTC."""
    import pandas as pd

    times = pd.to_datetime(column, utc=True).dt.tz_localize(None).to_numpy("datetime64[us]")
    valid = ~np.isnat(times)
    times = np.where(valid, times, np.datetime64(0, "us"))
    days = times.astype(np.int64) / 86_400e6
    months = times.astype("datetime64[M]").astype(np.int64)
    return Dates(days, 1970.0 + months // 12, 1.0 + months % 12, valid)


def of_days(days: float) -> Dates:
    """Return the date of days since 1970-01-01."""
    month = np.datetime64(int(days // 1), "D").astype("datetime64[M]").astype(int)
    return Dates(days, 1970.0 + month // 12, 1.0 + month % 12, True)


def text_of(days: float, form: str) -> str:
    """Return days since 1970-01-01 as text."""
    year, month, day = str(np.datetime64(int(days // 1), "D")).split("-")
    return form.replace("YYYY", year).replace("MM", month).replace("DD", day)


def weekday(days: Any) -> Any:
    """Return the day of the week of days since 1970-01-01, 0 for Monday."""
    return (days + 3) // 1 % 7


def _dates(fits: Any, year: Any, month: Any, day: Any, hour: Any, minute: Any, second: Any) -> Dates:
    start = _days(year, month, 1)
    length = _days(year + month // 12, month % 12 + 1, 1) - start
    valid = fits & (year >= 1) & (month >= 1) & (month <= 12) & (day >= 1) & (day <= length)
    valid &= (hour <= 23) & (minute <= 59) & (second < 60)
    return Dates(start + day - 1 + (hour * 3600 + minute * 60 + second) / 86_400, year, month, valid)


def _days(year: Any, month: Any, day: Any) -> Any:
    """Return the days since 1970-01-01 in the Gregorian calendar, in which a year begins with March here."""
    since_march = (month + 9) % 12
    year = year - since_march // 10
    leap_days = year // 4 - year // 100 + year // 400
    return 365 * year + leap_days + (since_march * 306 + 5) // 10 + day - 1 - 719_468
