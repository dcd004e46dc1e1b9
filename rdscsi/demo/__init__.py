"""The demonstration: two volumes live their lives on a simulated RDS, and a controller dies in the worst moment.

The story is in `lives` and `crash`; what is shown, and how, in `telling` and `view`. Everything goes over real gRPC.
"""
