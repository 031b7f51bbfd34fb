"""The cheap sources that every generator must beat."""
