"""From a runner's events to what people and machines read: one writer a format."""
