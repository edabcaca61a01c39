import json
import re
import sys
import warnings
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
from portable import make_pipe
from sklearn.compose import make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from bnzoo import data
from bnzoo.data import csv_tables, tables

ROWS = 200


def houses(rows=ROWS):
    """Return a table with every kind of column."""
    random = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "area": random.normal(90, 30, rows).round(1),
            "rooms": random.integers(1, 9, rows),
            "garden": random.random(rows) < 0.4,
            "built": np.where(random.random(rows) < 0.3, np.nan, random.integers(1900, 2020, rows)),
            "heating": random.choice(["gas", "oil", "heat pump"], rows),
            "view": np.where(random.random(rows) < 0.3, None, random.choice(["lake", "street"], rows)),
        }
    )
    frame["price"] = (1000 * frame.area + 5000 * frame.garden + random.normal(size=rows)).round(2)
    frame["kind"] = random.choice(["flat", "house"], rows)
    return frame


def save(frame, path):
    frame.to_csv(path, index=False) if path.suffix == ".csv" else frame.to_parquet(path)
    return path


@pytest.fixture(params=[".csv", ".parquet"])
def table(request, tmp_path):
    if request.param == ".parquet":
        pytest.importorskip("pyarrow")
    return lambda frame: save(frame, tmp_path / f"houses{request.param}")


def parts(dataset):
    return dataset.train, dataset.validation, dataset.test


def find(frame, split, column="area"):
    """Return the rows of the table in a split, identified by the different numbers in the first column."""
    places = {np.float32(value): place for place, value in enumerate(frame[column])}
    assert len(places) == len(frame)
    return frame.iloc[[places[value] for value in split.x[:, 0]]]


def distinct(rows=ROWS):
    frame = houses(rows)
    frame["area"] = np.random.default_rng(1).permutation(rows) + 0.25
    return frame


def test_a_regression_as_scikit_learn_encodes_it(table):
    frame = distinct()
    found = data.load(table(frame), target="price")
    assert (found.task, found.classes, found.labels) == ("regression", 0, ())
    assert [len(part.y) for part in parts(found)] == [130, 30, 40]
    train = find(frame, found.train)
    theirs = make_column_transformer(
        (SimpleImputer(strategy="median", add_indicator=True), ["area", "rooms", "garden", "built"]),
        (OneHotEncoder(handle_unknown="ignore"), ["heating", "view", "kind"]),
        sparse_threshold=0,
    )
    theirs.fit(train.assign(garden=train.garden.astype(float)))
    for part in parts(found):
        rows = find(frame, part)
        expected = theirs.transform(rows.assign(garden=rows.garden.astype(float))).astype(np.float32)
        np.testing.assert_array_equal(part.x, expected)
        np.testing.assert_array_equal(part.y, rows.price.astype(np.float32))
    assert found.target_scale == (pytest.approx(train.price.mean()), pytest.approx(train.price.var(ddof=0)))
    # fmt: off
    assert found.encoder.features == [
        "area", "rooms", "garden", "built", "built is missing", "heating=gas", "heating=heat pump", "heating=oil",
        "view=lake", "view=street", "view is missing", "kind=flat", "kind=house",
    ]
    # fmt: on


def test_a_classification_as_pandas_encodes_it(table):
    frame = distinct().drop(columns=["price", "built"])
    found = data.load(table(frame), target="kind")
    assert (found.task, found.labels) == ("classification", ("flat", "house"))
    for part in parts(found):
        rows = find(frame, part)
        words = [pd.get_dummies(rows[name].fillna("~")) for name in ("heating", "view")]
        expected = pd.concat([rows[["area", "rooms", "garden"]], *words], axis=1).to_numpy(np.float32)
        np.testing.assert_array_equal(part.x, expected)
        assert [found.labels[label] for label in part.y] == list(rows.kind)
    share = (frame.kind == "flat").mean()
    assert all(abs((part.y == 0).mean() - share) < 0.02 for part in parts(found)), "stratified"


def test_what_is_learned_comes_from_the_training_rows_alone(tmp_path):
    frame = distinct()
    path = save(frame, tmp_path / "houses.csv")
    found = data.load(path, target="price")
    rest = frame.index.difference(find(frame, found.train).index)
    frame.loc[rest, "built"] = 5000.0
    frame.loc[rest, "heating"] = "nuclear"
    frame.loc[rest[::2], "heating"] = None
    frame.loc[rest[::3], "rooms"] = None
    save(frame, path)
    again = data.load(path, target="price")
    assert again.encoder == found.encoder
    np.testing.assert_array_equal(again.train.x, found.train.x)
    heating = [place for place, feature in enumerate(again.encoder.features) if feature.startswith("heating=")]
    assert len(heating) == 3
    assert not again.test.x[:, heating].any(), "neither unknown words nor new missing values are one of the known"
    filled = find(frame, again.test).rooms.isna().to_numpy()
    assert (again.test.x[filled, 1] == find(frame, found.train).rooms.median()).all()


def test_the_splits_depend_on_the_seed(tmp_path):
    path = save(houses(), tmp_path / "houses.csv")
    first = data.load(path, target="price")
    assert data.load(path, target="price").fingerprint == first.fingerprint
    assert data.load(path, target="price", seed=1).fingerprint != first.fingerprint
    sizes = [len(part.y) for part in parts(data.load(path, target="price", validation=0.3, test=0.1))]
    assert sizes == [120, 60, 20]


@pytest.mark.parametrize(
    ("values", "task", "labels"),
    [
        (np.arange(ROWS) % 3, "classification", ("0", "1", "2")),
        (np.arange(ROWS) % 20 - 3, "classification", tuple(map(str, range(-3, 17)))),
        (np.arange(ROWS) % 21, "regression", ()),
        (np.arange(ROWS) % 2 + 0.0, "regression", ()),
        (np.arange(ROWS) % 2 == 1, "classification", ("False", "True")),
        (np.array(["yes", "no"])[np.arange(ROWS) % 2], "classification", ("no", "yes")),
        ([None, 0, 1, 2] * (ROWS // 4), "classification", ("0", "1", "2")),
        ([None, 0.5, 1, 2] * (ROWS // 4), "regression", ()),
    ],
)
@pytest.mark.filterwarnings("ignore:.* 50 of 200 rows are left out")
def test_the_task_follows_from_the_target(table, values, task, labels):
    found = data.load(table(houses().assign(price=values)), target="price")
    assert (found.task, found.labels) == (task, labels)
    assert found.train.y.dtype == (np.int32 if labels else np.float32)


def test_the_task_can_be_chosen(tmp_path):
    path = save(houses().assign(price=np.arange(ROWS) % 3 + 0.0, rooms=np.arange(ROWS) % 6), tmp_path / "houses.csv")
    assert data.load(path, target="price", task="classification").labels == ("0", "1", "2")
    rooms = data.load(path, target="rooms", task="regression")
    assert (rooms.classes, set(rooms.train.y)) == (0, set(range(6)))
    assert data.load(path, target="rooms").classes == 6
    with pytest.raises(ValueError, match=r"'kind' is text \('(flat|house)' at index 0\); a regression needs numbers"):
        data.load(path, target="kind", task="regression")
    with pytest.raises(ValueError, match=r"Unknown `task`: 'regresion'\. Did you mean 'regression'"):
        data.load(path, target="rooms", task="regresion")


def test_kinds_that_only_parquet_has(tmp_path):
    pytest.importorskip("pyarrow")
    frame = pd.DataFrame(
        {
            "town": np.array(["Ulm", "Bonn"])[np.arange(ROWS) % 2],
            "count": pd.array([None, *range(1, ROWS)], "Int64"),
            "sold": pd.array([None, *[True, False] * (ROWS // 2 - 1), True], "boolean"),
            "cost": [Decimal(i) / 4 for i in range(ROWS)],
            "size": pd.Categorical(
                np.array(["small", "large", "huge"])[np.arange(ROWS) % 3], ["small", "large", "huge"], ordered=True
            ),
        }
    ).set_index("town")
    found = data.load(save(frame, tmp_path / "shop.parquet"), target="size")
    assert found.labels == ("small", "large", "huge"), "categories keep the order that they have"
    assert found.encoder.features[:3] == ["town=Bonn", "town=Ulm", "count"], "an index with a name is a column"
    rows = [
        {"town": "Ulm", "count": None, "sold": True, "cost": Decimal("0.25")},
        {"town": "Rome", "count": 7, "sold": None, "cost": 3},
    ]
    x = dict(zip(found.encoder.features, found.encode(rows).T.tolist(), strict=True))
    assert (x["town=Bonn"], x["town=Ulm"]) == ([0, 0], [1, 0])
    assert x["count"] == [found.encoder.columns[1].median, 7]
    assert x["cost"] == [0.25, 3]
    assert x["sold"][0] == 1


def test_categories_may_be_numbers():
    codes = pd.DataFrame({"code": pd.Categorical([10, 20, 10]), "grade": pd.Categorical([1.0, 2.5, None])})
    encoder = data.TableEncoder.learn(codes)
    assert encoder.features == ["code=10", "code=20", "grade=1", "grade=2.5", "grade is missing"]
    assert encoder.encode([{"code": 20.0, "grade": 1}, {"code": "10", "grade": None}]).tolist() == [
        [0, 1, 1, 0, 0],
        [1, 0, 0, 0, 1],
    ]


def test_the_encoding_is_repeated_where_the_model_serves(tmp_path):
    frame = distinct()
    found = data.load(save(frame, tmp_path / "houses.csv"), target="price")
    found.encoder.save(tmp_path / "encoder.json")
    encoder = data.TableEncoder.load(tmp_path / "encoder.json")
    assert encoder == found.encoder
    rows = find(frame, found.test)
    np.testing.assert_array_equal(encoder.encode(rows), found.test.x)
    np.testing.assert_array_equal(found.encode(rows[rows.columns[::-1]]), found.test.x)
    asked = json.loads(rows.drop(columns="price").to_json(orient="records"))
    np.testing.assert_array_equal(encoder.encode(asked), found.test.x)
    np.testing.assert_array_equal(encoder.encode(asked[:1]), found.test.x[:1])
    assert encoder.encode([]).shape == (0, len(encoder.features))

    text = (tmp_path / "encoder.json").read_text()
    median = json.dumps(encoder.columns[0].median)
    wrongs = ("[]", "{", "[" * 99_999, "{}", '{"columns": 3}', '{"columns": [3]}', text.replace("numeric", "number"))
    changes = (('"median"', '"mean"'), (median, "NaN"), (median, '"big"'), ('"unit": 1.0', '"unit": 0'), ('"gas"', "7"))
    for wrong in (*wrongs, *(text.replace(*change) for change in changes)):
        assert wrong != text
        (tmp_path / "wrong.json").write_text(wrong)
        with pytest.raises(ValueError, match=r"wrong\.json was not written by `TableEncoder\.save`"):
            data.TableEncoder.load(tmp_path / "wrong.json")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda row: {**row, "area": "big"},
            r"'area' must hold numbers, but it holds text \('big' at index 0\)",
        ),
        (lambda row: {**row, "area": np.inf}, "column 'area' holds 1 values that are infinite"),
        (lambda row: {**row, "area": 1e39}, "column 'area' holds 1 values that are infinite or too large for float32"),
        (lambda row: {**row, "area": pd.Timestamp("2020-01-01")}, "column 'area' must hold numbers, .*datetime"),
        (lambda row: {**row, "heating": ["gas"]}, "column 'heating' holds values of mixed or unsupported types"),
        (lambda row: {**row, "heating": pd.Timestamp("2020-01-01")}, "column 'heating' holds times"),
        (lambda row: {name: row[name] for name in row if name != "rooms"}, "row 1 has no column 'rooms'; .* None"),
        (lambda row: "area", "`rows` must be a DataFrame or a list of dicts"),
    ],
)
def test_rows_that_cannot_be_encoded(tmp_path, change, message):
    frame = houses()
    encoder = data.load(save(frame, tmp_path / "houses.csv"), target="price").encoder
    row = {"area": 1, "rooms": 2, "garden": True, "built": None, "heating": "oil", "view": None, "kind": "flat"}
    good = encoder.encode([row])
    assert good[0, :4].tolist() == [1, 2, 1, encoder.columns[3].median]
    with pytest.raises(ValueError, match=message):
        encoder.encode([row, change(row)] if message.startswith("row 1") else [change(row)])
    with pytest.raises(ValueError, match="column 'area' is missing; the columns are rooms, garden"):
        encoder.encode(frame.drop(columns="area"))
    with pytest.raises(ValueError, match="columns 'rooms', 'garden' are missing; the columns are area, built"):
        encoder.encode(frame.drop(columns=["rooms", "garden"]))
    with pytest.raises(ValueError, match="column 'area' occurs more than once"):
        encoder.encode(pd.concat([frame, frame.area], axis=1))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: f.assign(view=None), "column 'view' has no value in any of the 130 training rows; drop it"),
        (lambda f: f.assign(area=f.area.where(f.index != 7, np.inf)), "column 'area' .* infinite .* at index 7;"),
        (
            lambda f: f.assign(heating=[f"h{i}" for i in f.index]),
            "'heating' has 130 different texts .* identifies the rows",
        ),
        (lambda f: f.assign(rooms=f.area.astype(str).where(f.index % 50 > 0, "?")), "'rooms' .* '[?]' at index"),
        (lambda f: f.assign(price=1.5), "the target 'price' is 1.5 in every example"),
        (lambda f: f.assign(price="cheap"), "only one class .cheap."),
        (lambda f: f.assign(price=[*"ab" * 99, "c", "c"]), "class 'c' has only 2 examples"),
        (lambda f: f.assign(price=None), "target 'price' has no value in any row"),
        (lambda f: f.assign(price=f.price.where(f.index != 7, -np.inf)), "target 'price' is infinite .* index 7"),
        (
            lambda f: f.assign(price=f.price.astype(str).where(f.index != 7, "n.n.")),
            "in most rows, .* 'n.n.' at index 7",
        ),
        (lambda f: f[["price"]], "has only one column, 'price'"),
        (lambda f: f[:0], "no rows"),
        (lambda f: f[:5], "the part train gets 1 of the 5 examples"),
        (lambda f: f.rename(columns={"price": "Price"}), "Unknown column in `target`: 'price'. Did you mean 'Price'"),
    ],
)
def test_bad_tables(table, change, message):
    with pytest.raises(ValueError, match=message) as raised:
        data.load(table(change(houses())), target="price")
    assert "houses." in str(raised.value), "the file is named"


def test_a_column_of_durations_is_refused(tmp_path):
    pytest.importorskip("pyarrow")
    frame = houses().assign(sold=pd.Timedelta(days=2), built=pd.Timestamp("2020-01-01"))
    path = save(frame, tmp_path / "houses.parquet")
    with pytest.raises(ValueError, match=r"column 'sold' holds times \(timedelta64\); convert them to numbers"):
        data.load(path, target="price")
    with pytest.raises(ValueError, match="the target 'built' holds times"):
        data.load(path, target="built")
    frame["sold"] = [[1, 2]] * ROWS
    with pytest.raises(ValueError, match="column 'sold' holds values of mixed or unsupported types"):
        data.load(save(frame, path), target="price")


@pytest.mark.parametrize(
    "form",
    [
        "%Y-%m-%d",
        "%Y-%m-%dT%H:%M:%SZ",
        "%Y/%m/%d %H:%M UTC",
        "%d.%m.%Y",
        "%m/%d/%Y",
        "%d/%m/%Y",
        "%d-%m-%Y",
        "%m-%d-%Y",
        None,
    ],
)
def test_dates_become_numbers_as_pandas_and_scikit_learn_make_them(form):
    seconds = np.random.default_rng(0).integers(-(2**33), 2**33, ROWS)  # from 1697 to 2242
    times = pd.Series(pd.to_datetime(seconds, unit="s")).dt.floor("min")
    times[:2] = pd.Timestamp("2000-02-29"), pd.NaT
    column = times if form is None else times.dt.strftime(form)
    if form is not None and "%H" not in form:
        times = times.dt.floor("D")
    encoder = data.TableEncoder.learn(pd.DataFrame({"sold": column}))
    assert encoder.features == ["sold", "sold year", "sold month", "sold weekday", "sold is missing"]
    found = encoder.encode(pd.DataFrame({"sold": column}))
    days = (times - pd.Timestamp("1970-01-01")) / pd.Timedelta(days=1)
    filled = times.fillna(pd.Timestamp("1970-01-01") + pd.Timedelta(days=days.median()))
    scaler = StandardScaler().fit(days.dropna().to_frame())
    expected = scaler.transform(days.fillna(days.median()).to_frame())
    np.testing.assert_allclose(found[:, :1], expected, rtol=1e-6, atol=1e-7)
    parts = [filled.dt.year, filled.dt.month, filled.dt.day_of_week, times.isna()]
    np.testing.assert_array_equal(found[:, 1:], np.stack(parts, axis=1).astype(np.float32))
    again = data.TableEncoder.from_config(json.loads(json.dumps(encoder.get_config())))
    np.testing.assert_array_equal(again.encode([{"sold": value} for value in column]), found)


@pytest.mark.filterwarnings("ignore:.* rows are left out")
@pytest.mark.parametrize("options", [{"target": "kind"}, {"target": "area"}, {"target": "area", "task": "regression"}])
def test_the_text_among_numbers_is_blamed_and_no_valid_value(tmp_path, options):
    frame = distinct().astype({"area": str})
    frame.loc[[2, 4], "area"] = "NA"  # a missing value
    frame.loc[6, "area"] = "n.n."
    with pytest.raises(ValueError, match=r"'area' .*'n\.n\.' at index 6\b"):
        data.load(save(frame, tmp_path / "houses.csv"), **options)


def test_the_value_that_cannot_be_predicted_from_is_blamed(tmp_path):
    encoder = data.TableEncoder.learn(pd.DataFrame({"size": [1.5, 2], "sold": ["2020-01-01", "2020-01-02"]}))
    path = tmp_path / "new.csv"
    for bad, message in (("many", r"'size' must hold numbers, .* \('many' at index 3\)"), ("4", "'soon' at index 2")):
        path.write_text(f"size,sold\n3,2020-02-03\nNA,NA\n4,soon\n{bad},2020-02-03\n")
        with pytest.raises(ValueError, match=message):
            encoder.encode(csv_tables.read(path, texts=encoder.texts))


def test_texts_that_are_no_dates():
    for texts in (["2020-02-30", "2020-01-01"], ["2020-13-01"], ["2020-01-01 24:00"], ["01.02.2020", "2020-01-01"]):
        assert data.TableEncoder.learn(pd.DataFrame({"sold": texts})).features[0].startswith("sold="), texts
    encoder = data.TableEncoder.learn(pd.DataFrame({"sold": ["2020-01-01", "2020-01-02"]}))
    with pytest.raises(
        ValueError, match="'sold' must hold dates in the form YYYY-MM-DD, but it holds 'soon' at index 0"
    ):
        encoder.encode([{"sold": "soon"}])
    [column] = encoder.get_config()["columns"]
    for wrong in ({"form": "soon"}, {"median": 1e9}, {"unit": 0}, {"shift": None}):
        with pytest.raises((ValueError, TypeError), match=next(iter(wrong))):
            data.TableEncoder.from_config({"columns": [{**column, **wrong}]})


@pytest.mark.parametrize(
    ("form", "name", "other"), [("%d/%m/%Y", "DD/MM/YYYY", "MM/DD/YYYY"), ("%m-%d-%Y", "MM-DD-YYYY", "DD-MM-YYYY")]
)
def test_one_day_above_12_decides_the_form_of_all_dates(tmp_path, form, name, other):
    """The row may be in any split."""
    dates = pd.date_range("2001-01-01", periods=600)
    dates = pd.Series(dates[dates.day <= 12][:ROWS])
    dates[5] = pd.Timestamp("2002-05-31")
    frame = distinct().assign(sold=dates.dt.strftime(form))
    iso = save(frame.assign(sold=dates.dt.strftime("%Y-%m-%d")), tmp_path / "iso.csv")
    path = save(frame, tmp_path / "houses.csv")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for seed in range(6):
            found, expected = (data.load(file, target="price", seed=seed) for file in (path, iso))
            assert (found.encoder.columns[-1].form, found.fingerprint) == (name, expected.fingerprint)
    save(frame.drop(5), path)
    message = rf"houses\.csv: the dates in column 'sold' are read as {other}, but all of them fit {name} too"
    with pytest.warns(UserWarning, match=message) as caught:
        assert data.load(path, target="price").encoder.columns[-1].form == other
    assert [warning.filename for warning in caught] == [__file__]


def test_rare_categories_are_one_as_scikit_learn_groups_them():
    words = [f"w{i}" for i in range(120) for _ in range(120 - i)]
    frame = pd.DataFrame({"word": np.random.default_rng(0).permutation([*words, None])})
    encoder = data.TableEncoder.learn(frame)
    asked = pd.DataFrame({"word": ["w0", "w99", "w100", "unseen"]})
    theirs = OneHotEncoder(max_categories=101, handle_unknown="infrequent_if_exist", sparse_output=False)
    expected = theirs.fit(frame.dropna()).transform(asked)
    np.testing.assert_array_equal(encoder.encode(asked)[:, :-1], expected)
    assert encoder.features[-2:] == ["word is other", "word is missing"]
    assert encoder.encode([{"word": None}, {"word": ""}]).tolist() == [[*[0] * 101, 1]] * 2
    again = data.TableEncoder.from_config(json.loads(json.dumps(encoder.get_config())))
    assert again == encoder


def test_which_column_is_asked(tmp_path):
    path = save(houses(), tmp_path / "houses.csv")
    with pytest.raises(
        ValueError,
        match=r"`target` \(`--target`\), the column to predict, is missing; .* one of: area, rooms, .*, price, kind$",
    ):
        data.load(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "it is empty; its first line must have the names"),
        (b"\n\n", "it is empty; its first line must have the names"),
        (b"area,price\n", "no rows"),
        (b"area,area,price\n1,2,3\n", "2 columns are named 'area'"),
        (b",area,price\n0,1,2\n", "column 1 has no name; if it is the index"),
        (b"1,2,3\n4,5,6\n", "its first line has only numbers"),
        (b"area,price\n1,2\n1,2,3\n", "a line has another number of values"),
        (b"area,price\n1,2,3\n1,2,3\n", "a line has another number of values"),
        (b"area:price\n1:2\n", "has only one column, 'area:price'; .* name the separator|Unknown column in `target`"),
        (b"price\n1\n", "has only one column, 'price'"),
        (b'area,price\n1,2\n3,"4\n5,6\n', "houses.csv cannot be read as a CSV table: a quote in line 3 is not closed"),
        (b'area,price\n1,"2\n3,"4\n5,6\n', "a quote in line 2 is not closed before the line ends"),
    ],
)
def test_broken_csv(tmp_path, text, message):
    (tmp_path / "houses.csv").write_bytes(text)
    with pytest.raises(ValueError, match=message):
        data.load(tmp_path / "houses.csv", target="price")


@pytest.mark.filterwarnings("ignore:.* count the rows")
def test_csv_as_spreadsheets_and_people_write_it(tmp_path):
    rows = "".join(f"{i}, {'ab'[i % 2]}, {i / 7}\r\n" for i in range(50))
    (tmp_path / "houses.csv").write_text("\ufeffarea, Straße, price\r\n" + rows, encoding="utf-8")
    assert data.load(tmp_path / "houses.csv", target="price").encoder.features == ["area", "Straße=a", "Straße=b"]


def written(frame, path, encoding="utf-8", **form):
    frame.to_csv(path, index=False, encoding=encoding, **form)
    return path


@pytest.mark.parametrize(
    ("form", "sentence"),
    [
        ({"sep": ";", "decimal": ",", "encoding": "cp1252"}, "semicolon, decimal comma, encoding Windows-1252"),
        ({"sep": "\t", "encoding": "utf-16"}, "tab, encoding utf-16"),
        ({"sep": "|", "encoding": "utf-16-le"}, "vertical bar, encoding utf-16-le"),
        ({"sep": ",", "encoding": "utf-16-be"}, "comma, encoding utf-16-be"),
        ({"sep": ",", "encoding": "utf-32"}, "comma, encoding utf-32"),
    ],
)
def test_the_dialect_of_a_csv_file_is_found(tmp_path, form, sentence):
    frame = distinct().assign(heating=lambda f: f.heating.replace("oil", "\u00d6l, schwer; \u20ac"))
    plain = data.load(written(frame, tmp_path / "plain.csv"), target="price")
    path = written(frame, tmp_path / "houses.csv", **form)
    with pytest.warns(UserWarning, match=rf"houses\.csv is read with separator {sentence}") as caught:
        found = data.load(path, target="price")
    assert [warning.filename for warning in caught] == [__file__]
    assert found.encoder == plain.encoder
    assert found.fingerprint == plain.fingerprint
    known = {"separator": form["sep"], "encoding": form["encoding"]}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore" if "decimal" in form else "error")
        assert data.load(path, target="price", **known).fingerprint == plain.fingerprint


def decimals(form):
    return [form.format(number) for number in np.random.default_rng(0).uniform(1, 900, ROWS)]


@pytest.mark.parametrize(
    ("numbers", "separator", "sentence"),
    [
        (
            ["250.000", "99.500", "950"],
            ";",
            r"250\.000 in the column 'cost' is read as 250\.0\. If the point",
        ),
        (["250.000", "99.500", "950"], ",", r"250\.000 in the column 'cost' is read as 250\.0"),
        (
            ["1,234", "98,765", "123,456"],
            "\t",
            r"1,234 in the column 'cost' is read as 1\.234\. If the comma",
        ),
        (["-1,234", "765", "123,456"], ";", r"-1,234 in the column 'cost' is read as -1\.234"),
        (decimals("{:.3f}"), ",", None),
        ([text.rstrip("0") for text in decimals("{:.3f}")], ";", None),
        (decimals("{:.3f}"), ";", None),
        (decimals("{:.2f}"), ";", None),
        (["0.125", "1.250", "2"], ";", None),
        (["1.250", "2.500", "1500"], ";", None),
        (["1.250", "2.500", "0"], ",", None),
        (["250", "99", "950"], ";", None),
    ],
)
def test_thousands_separators_are_suspected(tmp_path, numbers, separator, sentence):
    frame = pd.DataFrame({"cost": np.resize(numbers, ROWS), "kind": np.resize(["flat", "house", "hut"], ROWS)})
    path = written(frame, tmp_path / "houses.csv", sep=separator)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        data.load(path, target="kind")
    found = [warning for warning in caught if "is read as" in str(warning.message)]
    assert len(found) == (sentence is not None)
    for warning in found:
        assert re.search(rf"houses\.csv: {sentence}", str(warning.message))
        assert warning.filename == __file__


def test_decimals_of_three_digits_beside_other_decimals(tmp_path):
    frame = pd.DataFrame({"cost": decimals("{:.3f}"), "size": decimals("{:.1f}"), "kind": ["a", "b"] * (ROWS // 2)})
    with pytest.warns(UserWarning, match="is read with") as caught:
        data.load(written(frame, tmp_path / "houses.csv", sep=";"), target="kind")
    assert len(caught) == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"encoding": "utf-8"}, r"it is not utf-8 \(invalid .*\); omit `encoding`"),
        ({"encoding": "klingon"}, "`encoding` must be a text encoding .* 'klingon'"),
        ({"encoding": "base64"}, "`encoding` must be a text encoding .* 'base64'"),
        ({"separator": ";;"}, "`separator` must be one character, .* ';;'"),
        ({"drop": "area"}, "`drop` must be a sequence of columns"),
        ({"drop": ["arae"]}, r"Unknown column in `drop`: 'arae'\. Did you mean 'area'"),
        ({"drop": ["price"]}, "the target 'price' is also in `drop`"),
    ],
)
def test_options_that_do_not_fit_a_csv_file(tmp_path, options, message):
    path = written(houses().assign(heating="\u00d6l"), tmp_path / "houses.csv", "latin-1")
    with pytest.raises(ValueError, match=message), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        data.load(path, target="price", **options)
    with pytest.raises(ValueError, match=r"`(drop|separator|encoding)` (is for a \.csv|must be a sequence)"):
        data.load("digits", **options)


def test_all_problems_of_a_table_are_in_one_message(tmp_path):
    frame = houses().assign(empty=None, id=lambda f: [f"h{i}" for i in f.index], price=lambda f: f.price.astype(str))
    frame.loc[7, "price"] = "n.n."
    frame.loc[9, "area"] = np.inf
    frame.to_csv(tmp_path / "houses.csv")
    with pytest.raises(ValueError, match=r"houses\.csv has 5 problems: \(1\) column 1 has no name") as raised:
        data.load(tmp_path / "houses.csv", target="price")
    for part in ("'n.n.' at index 7", "'area' holds 1 values", "column 'empty' has no value", "'id' has 200 different"):
        assert part in str(raised.value)

    frame = frame.drop(7).drop(9).astype({"price": float})
    path = written(frame.assign(area=np.where(frame.index == 70, np.inf, frame.area)), tmp_path / "houses.csv")
    with pytest.raises(ValueError, match=r"has 3 problems: .*'area'.*'empty'.*'id'"):
        data.load(path, target="price")
    found = data.load(path, target="price", drop=["id", "empty", "area"])
    assert found.encoder.features[0] == "rooms"


def test_rows_without_a_target_are_left_out(table):
    frame = distinct()
    rest = frame.drop(index=[3, 7])
    path = table(frame.assign(price=frame.price.where(frame.index.isin(rest.index))))
    with pytest.warns(
        UserWarning, match=r"2 of 200 rows are left out, .* target 'price', the first at index 3"
    ) as caught:
        found = data.load(path, target="price")
    assert [warning.filename for warning in caught] == [__file__]
    assert found.fingerprint == data.load(table(rest), target="price").fingerprint


def test_an_empty_text_is_a_missing_date_and_a_missing_target(table):
    dates = pd.date_range("1999-01-01", periods=ROWS, freq="37D").strftime("%d.%m.%Y")
    frame = distinct().assign(built=np.where(np.arange(ROWS) % 9 == 4, "", dates))
    frame.loc[[3, 7], "kind"] = ""
    with pytest.warns(UserWarning, match="2 of 200 rows are left out, .* target 'kind', the first at index 3"):
        found = data.load(table(frame), target="kind")
    assert {"built", "built weekday", "built is missing"} <= set(found.encoder.features)
    assert found.labels == ("flat", "house")
    assert sum(len(part.y) for part in parts(found)) == ROWS - 2


def test_quotes_that_are_closed(tmp_path):
    rows = "".join(f'"{word}",{i}\n' for i, word in enumerate(["two\nlines", 'a ""quote""', "a, comma"] * 9))
    (tmp_path / "notes.csv").write_text(f'"note",price\n{rows}5\'10", 3\n')
    features = data.load(tmp_path / "notes.csv", target="price").encoder.features
    assert {"note=two\nlines", 'note=a "quote"', "note=a, comma"} <= set(features)


def test_what_may_hide_in_a_column_of_text(tmp_path):
    """A number column with one text, outside of the training rows too; and dates in an unknown form."""
    path = tmp_path / "houses.csv"
    rows = 600
    frame = pd.DataFrame({"size": np.arange(rows) % 200, "sold": [f"day {i % 200}" for i in range(rows)]})
    frame["price"] = np.arange(rows) / 7
    with pytest.warns(UserWarning, match="the 100 most frequent texts of 'sold' have a feature each, and all others"):
        data.load(save(frame, path), target="price")
    for row in range(0, rows, 100):
        frame.assign(size=frame["size"].astype(str).where(frame.index != row, "n.n.")).to_csv(path, index=False)
        with pytest.raises(ValueError, match=f"'size' has numbers in most rows, but 'n.n.' at index {row} is not"):
            data.load(path, target="price")


@pytest.mark.filterwarnings("ignore:.* 2 of 42 rows are left out")
def test_rows_that_end_early(tmp_path):
    rows = [f"{i},{'ab'[i % 2]},{'xy'[i % 2]}" for i in range(20)]
    (tmp_path / "rows.csv").write_text("\n".join(["size,heat,kind", *rows, "", '"20\n",b', "21", *rows]))
    with pytest.warns(UserWarning, match="2 rows have fewer values than the first line, the first in line 23"):
        found = data.load(tmp_path / "rows.csv", target="kind", drop=["size"])
    assert sum(len(part.y) for part in parts(found)) == 40


def test_a_row_alone_is_encoded_as_among_others(tmp_path):
    """A text that looks like a number, a boolean or a missing value is a text, as in the table of the training."""
    columns = {
        "country": ["NA", "DE", "null"],
        "code": ["007", "1.0", "A1"],
        "flag": ["true", "false", "maybe"],
        "size": ["1", "NA", "2.5"],
        "sold": ["2020-01-01", "NA", ""],
        "kind": ["x", "y", "x"],
    }
    frame = pd.DataFrame(columns).iloc[[0, 1, 2] * 10]
    whole, alone = tmp_path / "whole.csv", tmp_path / "alone.csv"
    frame.to_csv(whole, index=False)
    encoder = data.load(whole, target="kind").encoder
    expected = encoder.encode(tables.read(whole, "kind", None).features)
    for row in range(3):
        frame.iloc[[row]].to_csv(alone, index=False)
        encoded = encoder.encode(csv_tables.read(alone, texts=encoder.texts))
        np.testing.assert_array_equal(encoded, expected[[row]])


def test_words_for_missing_values_are_words_in_a_column_of_words(tmp_path):
    rows = [("NA", "None", "1", "NA"), ("US", "some", "NA", "2020-01-01"), ("", "None", "None", "2020-01-02")]
    rows = [*rows, ("nan", "some", "4", "2020-01-03")] * 10
    path = tmp_path / "countries.csv"
    path.write_text("country,label,size,sold\n" + "".join(",".join(row) + "\n" for row in rows))
    found = data.load(path, target="label")
    assert found.labels == ("None", "some")
    assert found.encoder.features == [
        *("country=NA", "country=US", "country=nan", "country is missing", "size", "size is missing"),
        *("sold", "sold year", "sold month", "sold weekday", "sold is missing"),
    ]


@pytest.mark.filterwarnings("ignore:.* count the rows")
@pytest.mark.parametrize(
    "column",
    [[2**63 + i for i in range(ROWS)], [None, *(2**60 + i for i in range(1, ROWS))]],
    ids=["all", "one missing"],
)
def test_ids_that_floats_cannot_tell_apart(tmp_path, column):
    path = save(houses().assign(rooms=pd.Series(column, dtype="object")), tmp_path / "houses.csv")
    message = (
        r"column 'rooms' has 1\d\d different values, which become .*Drop the column if it only identifies the rows"
    )
    with pytest.raises(ValueError, match=message):
        data.load(path, target="price")
    with (
        pytest.raises(ValueError, match=r"target 'rooms' has \d+ different values, which become"),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")
        data.load(path, target="rooms", task="regression")


@pytest.mark.filterwarnings("ignore:.* count the rows")
@pytest.mark.parametrize(
    ("numbers", "counts"),
    [
        (np.arange(ROWS), True),
        (np.arange(1461, 1461 + ROWS), True),
        (np.arange(ROWS)[::-1], False),
        (np.arange(ROWS) % 100, False),
        (np.arange(ROWS) + (np.arange(ROWS) > 70), False),
        (np.arange(ROWS) / 2, False),
    ],
)
def test_a_column_that_counts_the_rows_is_named(table, numbers, counts):
    frame = houses().assign(Id=numbers)
    frame.loc[7, "kind"] = None  # a row that is left out counts
    with pytest.warns(UserWarning, match="1 of 200 rows are left out") as caught:
        data.load(table(frame), target="kind")
    found = [warning for warning in caught if "count the rows" in str(warning.message)]
    assert len(found) == counts
    for warning in found:
        assert "column 'Id' count the rows." in str(warning.message)
        assert "`drop=['Id']` or `--drop 'Id'`" in str(warning.message)
        assert warning.filename == __file__
    with pytest.warns(UserWarning, match="left out") as caught:
        data.load(table(frame), target="kind", drop=["Id"])
    assert len(caught) == 1


@pytest.mark.filterwarnings("ignore:.* count the rows")
def test_ids_and_times_are_standardized_in_float64(tmp_path):
    frame = distinct().assign(rooms=lambda f: 1_700_000_000 + 60.0 * f.index, built=lambda f: 2**50 + f.index)
    frame.loc[3, "rooms"] = None
    found = data.load(save(frame, tmp_path / "houses.csv"), target="price")
    train = find(frame, found.train)
    scaler = StandardScaler().fit(train[["rooms", "built"]].astype(float))
    for part in parts(found):
        rows = find(frame, part)[["rooms", "built"]].fillna(train[["rooms", "built"]].median())
        np.testing.assert_allclose(part.x[:, [1, 4]], scaler.transform(rows.astype(float)), rtol=1e-5, atol=1e-6)
    encoder = data.TableEncoder.from_config(json.loads(json.dumps(found.encoder.get_config())))
    assert encoder == found.encoder


def test_large_numbers_get_another_unit(tmp_path):
    frame = distinct().assign(rooms=lambda f: f.rooms * 1e29, price=lambda f: f.price * 1e-9)
    found = data.load(save(frame, tmp_path / "houses.csv"), target="kind")
    columns = {column.name: column for column in found.encoder.columns}
    assert (columns["rooms"].unit, columns["area"].unit) == (1e29, 1)
    np.testing.assert_allclose(found.train.x[:, 1], find(frame, found.train).rooms / 1e29, rtol=1e-6)
    with np.errstate(over="raise"):
        assert (np.float32(found.scale[1]) > 0).all()
    found.encoder.save(tmp_path / "encoder.json")
    assert data.TableEncoder.load(tmp_path / "encoder.json") == found.encoder


def test_an_encoder_of_an_earlier_version():
    column = {"kind": "numeric", "name": "area", "median": 2.0, "missing": False}
    assert data.TableEncoder.from_config({"columns": [column]}).encode([{"area": 3}]).tolist() == [[3]]


def test_a_parquet_file_that_inflates(tmp_path):
    arrow = pytest.importorskip("pyarrow")
    ones = arrow.table({name: arrow.array(np.ones(100_000, np.int8)) for name in "abc"})
    arrow.parquet.write_table(ones, tmp_path / "ones.parquet")
    with pytest.raises(
        ValueError, match=r"ones\.parquet cannot be read as a Parquet table: .* 2,400,000 bytes in memory"
    ):
        tables.read(tmp_path / "ones.parquet", "a", None, max_bytes=2_000_000)
    assert len(tables.read(tmp_path / "ones.parquet", "a", None).y) == 100_000


def test_equal_texts_of_a_parquet_file_are_kept_once(tmp_path):
    """A long text takes memory only once, not for each row."""
    arrow = pytest.importorskip("pyarrow")
    texts = arrow.DictionaryArray.from_arrays(np.zeros(4_000, np.int32), ["x" * 10_000]).cast(arrow.string())
    arrow.parquet.write_table(arrow.table({"a": texts, "b": np.arange(4_000) % 2}), tmp_path / "texts.parquet")
    del texts
    before = arrow.total_allocated_bytes()
    features = tables.read(tmp_path / "texts.parquet", "b", None).features
    assert len(set(map(id, features.a))) == 1
    assert arrow.total_allocated_bytes() - before < 1_000_000


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_no_regular_file(tmp_path, suffix):
    pytest.importorskip("pyarrow")
    make_pipe(tmp_path / f"pipe{suffix}")
    with pytest.raises(ValueError, match=r"is a pipe. It must be a regular file"):
        tables.read(tmp_path / f"pipe{suffix}", "a", None)


def test_parquet_with_two_columns_of_one_name(tmp_path):
    arrow = pytest.importorskip("pyarrow")
    table = arrow.table([arrow.array([1, 2]), arrow.array([3, 4])], names=["area", "area"])
    arrow.parquet.write_table(table, tmp_path / "houses.parquet")
    with pytest.raises(ValueError, match="2 columns are named 'area'"):
        data.load(tmp_path / "houses.parquet", target="area")


def test_broken_parquet(tmp_path):
    pytest.importorskip("pyarrow")
    path = save(houses(), tmp_path / "houses.parquet")
    whole = path.read_bytes()
    for broken in (whole[: len(whole) // 2], whole[: len(whole) // 2] + whole[-8:], b"", b"PAR1"):
        path.write_bytes(broken)
        with pytest.raises(ValueError, match=r"houses\.parquet cannot be read as a Parquet table: it may be truncated"):
            data.load(path, target="price")


def test_parquet_needs_pyarrow(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    (tmp_path / "houses.parquet").write_bytes(b"PAR1")
    with pytest.raises(ImportError, match=r"Parquet tables are read with pyarrow: pip install 'bnzoo\[tune\]'"):
        data.load(tmp_path / "houses.parquet", target="price")
