-- What the HTTP API needs: an order of the events that a reader can go on from, lists by user, the audit of what was asked
-- for, and whether entries are halted.

-- Numbering what is there takes longer than a statement usually may.
SET LOCAL statement_timeout = '1h';

-- One engine at a time writes events, in the session that holds the journal's lock, and another begins when that session has
-- ended. So a higher number is never seen before a lower one: who has read up to a number has missed nothing below it.
ALTER TABLE strategy_events ADD COLUMN seq BIGINT GENERATED ALWAYS AS IDENTITY;
CREATE UNIQUE INDEX strategy_events_seq ON strategy_events (seq);
CREATE INDEX strategy_events_user ON strategy_events (user_id, seq);

CREATE INDEX orders_user ON orders (user_id, submitted_at_ms DESC, client_order_id DESC);
CREATE INDEX orders_time ON orders (submitted_at_ms DESC, client_order_id DESC);
ALTER TABLE order_events ADD COLUMN seq BIGINT GENERATED ALWAYS AS IDENTITY;
CREATE UNIQUE INDEX order_events_seq ON order_events (seq);
CREATE INDEX order_events_user ON order_events (user_id, seq);

-- Two rows for each write over HTTP: before it, and what came of it.
CREATE TABLE api_audit (
    seq         BIGINT      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at          TIMESTAMPTZ NOT NULL DEFAULT now(),
    request_id  TEXT        NOT NULL,
    phase       TEXT        NOT NULL CHECK (phase IN ('ASKED', 'DONE')),
    caller_kind TEXT        NOT NULL CHECK (caller_kind IN ('user', 'admin', 'operator', 'address')),
    -- User id or address; empty for the operator.
    caller      TEXT        NOT NULL,
    method      TEXT        NOT NULL,
    path        TEXT        NOT NULL,
    body        TEXT        NOT NULL,
    engine      TEXT        NOT NULL,
    status      INTEGER,
    code        TEXT,
    CHECK ((phase = 'DONE') = (status IS NOT NULL))
);
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON api_audit
    FOR EACH STATEMENT EXECUTE FUNCTION strat_append_only();

-- Whether entries are halted, by the last row.
CREATE TABLE entry_halts (
    seq    BIGINT      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at     TIMESTAMPTZ NOT NULL DEFAULT now(),
    halted BOOLEAN     NOT NULL,
    caller TEXT        NOT NULL,
    reason TEXT        NOT NULL
);
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON entry_halts
    FOR EACH STATEMENT EXECUTE FUNCTION strat_append_only();
