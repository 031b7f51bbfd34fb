"""What known curves let predict: kernel regression over conditions, its residuals and their scale."""
