"""Tables on disk, read and written in chunks.

`read` reads them, `excel` those of workbooks, and `parquet_pages` the sizes of Parquet pages.
`embed` and `predict` add vectors and predictions, `write` writes them, `columns` finds those that a
pipeline was fitted on, and `safe_csv` keeps spreadsheets from running cells.
"""
