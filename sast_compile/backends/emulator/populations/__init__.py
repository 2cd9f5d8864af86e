"""The equations of neurons."""
