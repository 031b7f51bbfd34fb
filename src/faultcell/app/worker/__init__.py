"""The queue of draws and the process that works through it."""
