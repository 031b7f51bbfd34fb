"""Curves to arrays and back: the anchored grid, its scaler, the condition vector, and curve sets put together from arrays."""
