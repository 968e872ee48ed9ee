"""The benchmarks: how each one's folders are laid out, what is given, and how it is scored; one file a benchmark."""
