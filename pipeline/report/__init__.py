"""Present a comparison: plots, tables, and the report, one HTML file.

`result` is what users hold; its plots are put into their axes or into pyplot's figures by
`displays`. `html` writes the report from `tables`, `plots` (drawn in the `figure_style`, cleaned by
`svg`), `confusion` matrices and a `word_in_context`; `formatting` turns numbers into words.
"""
