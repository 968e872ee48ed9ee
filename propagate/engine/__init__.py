"""Frames and annotations in, labels out: the reference window, the pointer over it, and the recursion (`run`)."""
