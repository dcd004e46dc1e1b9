"""The driver in a bottle, for tests of ours and of others: a simulated RDS in memory, virtual time, a small CO.

`world` puts the controller half together over it; `transport` is the contract-tested stand-in for SSH. Nothing here is
imported by the driver.
"""
