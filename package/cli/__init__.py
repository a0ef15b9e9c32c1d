"""The command line: `app.main` runs ``bertvectorizer``.

One module per command: `compare`, `train`, `predict`, `embed` and `store`. They share the class
of commands in `command`, the types of `options`, and reading rows, progress and Ctrl-C of `shared`.
"""
