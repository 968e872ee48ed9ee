"""Pictures of what happened: labels drawn over frames, embeddings as colours, where a pixel looks."""
