"""The losses of the papers and the tool's own, a file each."""
