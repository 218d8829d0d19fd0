//! Rate limits, by user and action, decided in one step on the server.
