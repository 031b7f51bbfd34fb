"""What everything may use: names loaded late, work spread over processes and clusters, devices, signals."""
