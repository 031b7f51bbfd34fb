"""From requests to curves: drawing, normal curves gone wrong, bands, a training set in one call."""
