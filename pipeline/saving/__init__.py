"""Trained pipelines as skops files, which run no code when they are loaded."""
