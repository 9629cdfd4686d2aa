"""From images to embeddings: sources, batches, threads, devices and engines."""
