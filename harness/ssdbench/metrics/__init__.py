"""Feature networks, streaming statistics and the five metrics: Frechet distances, IS, precision, recall."""
