//! Clean-up, reports of keys, and a watch on memory.
