"""What a file of weights says of itself: facts, the model card, packing."""
