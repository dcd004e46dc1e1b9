"""What the driver says about itself: logs (`logs`), without secrets (`secrets`). Metrics and traces come later."""
