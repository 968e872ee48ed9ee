"""Pure tensor functions: affinity, local search, transfer, the grid's geometry, colour, warping.

No files, settings or classes of other rooms.
"""
