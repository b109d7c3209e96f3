"""What tuning changed inside a model, a chapter a file."""
