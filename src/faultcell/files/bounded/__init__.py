"""Files read within bounds of size, depth, time and memory."""
