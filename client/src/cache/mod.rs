//! Cache-aside over Redis with a layer in the process in front of it.
