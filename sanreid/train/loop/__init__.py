"""The training loop: steps, checkpoints, measurements, several processes."""
