"""The intermediate representation: one program, from floats to one chip's integers."""
