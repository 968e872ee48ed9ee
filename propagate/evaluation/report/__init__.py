"""Scores for people: tables, CSV and JSON, plots, published figures beside them, and one HTML page of all that."""
