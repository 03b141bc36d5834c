"""The method `flow`: a conditional rectified flow paints. `method` is its entry point."""
