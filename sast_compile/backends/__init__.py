"""Code that runs programs; the back ends do not know each other."""
