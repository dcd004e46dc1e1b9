"""A simulated RDS and the driver, each in a process of its own, under one supervisor; for demo, tests and users."""
