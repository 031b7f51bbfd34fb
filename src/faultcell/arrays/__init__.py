"""The diffusion on plain labelled arrays, and as a sampler of imbalanced-learn."""
