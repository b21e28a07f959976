"""`gateway bench`: what the gateway costs, measured on the real thing.

The gateway is started as `gateway serve` starts it, on its own core; load and sinks run in the bench's own process, on
another. Speeds are ratios to a bare Starlette endpoint, or to the first row of the same run: machines differ, and one
machine differs from minute to minute.
"""
