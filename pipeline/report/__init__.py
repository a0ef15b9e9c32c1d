"""Present a comparison: plots, tables, and the report, one HTML file."""
