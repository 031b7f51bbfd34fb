"""A trained model on disk: written and read whole, validated, described, shared."""
