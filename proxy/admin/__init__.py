"""HTTP for operators, on a listener of its own: probes, metrics, recordings, sessions."""
