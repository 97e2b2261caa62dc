"""Everything that touches the process: threads, locks, BLAS limits, the allocator, seeds."""
