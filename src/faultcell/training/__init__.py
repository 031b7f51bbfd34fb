"""The training loop, its runs with checkpoints, and where they are tracked."""
