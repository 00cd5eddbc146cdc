"""From what was observed of a run or read from a text to its causes and their fixes; the knowledge is data, in YAML.

Outcomes are decided in `check/`; findings become text, JSON and metrics in `output/`.
"""
