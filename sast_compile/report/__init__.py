"""What a compiled network needs, loses and keeps, in numbers."""
