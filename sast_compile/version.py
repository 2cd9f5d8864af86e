"""The version of this release, for the package, the command line and the files it writes."""

__version__ = "0.1.0"
