"""What operators see: probes and metrics, on a listener of their own."""
