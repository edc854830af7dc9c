"""Models: DiT, autoencoders, and their checkpoints."""
