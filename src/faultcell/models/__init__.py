"""Networks and diffusion: tensors only. Nothing here knows of batteries or of files."""
