"""Arrays in, numbers out, in pure NumPy: how close a prediction is to the truth."""
