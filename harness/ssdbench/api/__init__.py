"""The application: what the verbs, notebooks and tests call. The package itself offers its names."""
