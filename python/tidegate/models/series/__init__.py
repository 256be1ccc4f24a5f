"""Scores for time series."""
