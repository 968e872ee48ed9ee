"""A run's folder: the lock, the record of inputs and settings, what is done, and how a run goes on."""
