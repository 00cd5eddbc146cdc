"""Scripts that set a tenant up for a configuration, and take it back.

A script is code that stands as a file in `scripts/`, the same for everybody, and the data of one configuration in front
of it. Nothing here connects to anything: the administrator reads the script and runs it.
"""
