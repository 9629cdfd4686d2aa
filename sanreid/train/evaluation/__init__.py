"""Evaluating during and after training: sets, measurements, quality of painted textures."""
