"""Training data: videos are found and divided into shots, their frames are kept small, clips are cut and batched."""
