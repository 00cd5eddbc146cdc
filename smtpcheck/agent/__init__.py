"""What runs checks: on a schedule, on demand, once.

It ties the rooms below together; how a report looks is in `output/`, and whether an alert fires in `alerts/`.
"""
