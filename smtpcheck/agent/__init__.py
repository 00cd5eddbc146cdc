"""What runs checks: on a schedule, on demand, once.

It ties the rooms below together and renders nothing itself.
"""
