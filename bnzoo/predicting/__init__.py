"""Predictions for files: what a model or an artefact takes, the files in batches, and the answers as columns.

- `predictor.py`: loading of a model or an artefact;
- `examples.py`: batches of image files, of the rows of tables, and of arrays;
- `answers.py`: the outputs for a batch as the columns of a table.
"""
