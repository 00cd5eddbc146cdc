"""Runs as OpenTelemetry traces: spans, and the exporter for OTLP over HTTP."""
