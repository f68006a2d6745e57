"""What is told: log lines, metrics, histograms, and the record of one request (`access_log`)."""
