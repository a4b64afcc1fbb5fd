"""moai."""
