//! An encrypted cache for sensitive values.
