"""Runs as OpenTelemetry traces: spans, and the exporter for OTLP over HTTP.

The settings of the endpoint are in `config/tracing.py`.
"""
