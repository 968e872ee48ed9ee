"""The training objectives: one file for each paper, one for the tool's own, and the parts that they share."""
