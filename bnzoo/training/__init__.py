"""Training: one configuration, trained to the end. Studies train their trials with the same parts."""
