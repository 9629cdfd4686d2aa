"""The networks of training: SAN, its decoder, the texture generator, and first weights."""
