"""LLVM as a builder of loops and memory accesses, the processor, and object code on disk."""
