"""Native files of battery cyclers, read into curve sets."""
