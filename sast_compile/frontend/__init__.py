"""From torch checkpoints and NIR files to float programs."""
