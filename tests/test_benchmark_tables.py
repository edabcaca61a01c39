from recipes.benchmarks import tables


def test_the_generated_table_has_every_kind_of_column(tmp_path):
    frame = tables.generated(3_000)
    assert frame.shape == (3_000, 30)
    frame.to_csv(tmp_path / "generated.csv", index=False)
    found = tables.data.load(tmp_path / "generated.csv", target="price")
    assert {column.kind for column in found.encoder.columns} == {"numeric", "date", "categorical"}
    assert {"text_500 is other", "number_4 is missing", "sold weekday"} <= set(found.encoder.features)
