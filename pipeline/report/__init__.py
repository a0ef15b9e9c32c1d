"""What a comparison looks like: plots, tables and the report, one HTML file."""
