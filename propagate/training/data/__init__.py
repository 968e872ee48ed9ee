"""What is learnt from: videos found and divided into shots, their small frames, and batches of clips cut from them."""
