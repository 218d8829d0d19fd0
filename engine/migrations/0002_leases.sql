-- Rights that one engine at a time has. A row, and not a lock of a session: that one is gone the moment the connection
-- breaks, while its holder, who does not know yet, still acts. Here nobody else can have it before `expires_at`, whatever
-- becomes of connections. By the clock of this server alone.
CREATE TABLE leases (
    name       TEXT        PRIMARY KEY,
    -- Another one with every start of an engine.
    owner      TEXT        NOT NULL,
    expires_at TIMESTAMPTZ NOT NULL
);
