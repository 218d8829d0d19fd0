//! Sessions, preferences, subscriptions, revoked tokens and one-time tokens.
