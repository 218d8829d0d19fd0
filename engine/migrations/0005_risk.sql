-- Risk: limits of users, what was approved, the worst of each day; and halts of single users.

-- Whose entries; nobody in particular: everybody's.
ALTER TABLE entry_halts ADD COLUMN user_id TEXT;
CREATE INDEX entry_halts_user ON entry_halts (user_id, seq DESC);

-- A user's limits over everybody's, by the last row: name -> text.
CREATE TABLE risk_limits (
    seq     BIGINT      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at      TIMESTAMPTZ NOT NULL DEFAULT now(),
    user_id TEXT        NOT NULL,
    limits  JSONB       NOT NULL CHECK (jsonb_typeof(limits) = 'object'),
    caller  TEXT        NOT NULL
);
CREATE INDEX risk_limits_user ON risk_limits (user_id, seq DESC);
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON risk_limits
    FOR EACH STATEMENT EXECUTE FUNCTION strat_append_only();

-- Entries that their limits let pass, written before they are sent. One that is on its way counts as a position.
CREATE TABLE risk_approvals (
    client_order_id TEXT        PRIMARY KEY,
    user_id         TEXT        NOT NULL,
    strategy_id     TEXT        NOT NULL,
    cycle           BIGINT      NOT NULL,
    at              TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX risk_approvals_user ON risk_approvals (user_id, at);
CREATE INDEX risk_approvals_at ON risk_approvals (at);
CREATE INDEX risk_approvals_strategy ON risk_approvals (user_id, strategy_id, cycle);

-- The worst that a day's profit and loss has been: what stopped entries stops them for the day. Without a user: the account.
CREATE TABLE risk_days (
    user_id TEXT    NOT NULL,
    day     DATE    NOT NULL,
    worst   NUMERIC NOT NULL,
    PRIMARY KEY (user_id, day)
);

CREATE INDEX strategies_in_market ON strategies (user_id)
    WHERE removed_at IS NULL AND (position IN ('BOUGHT', 'SHORTED') OR pending IS NOT NULL OR working IS NOT NULL);
CREATE INDEX orders_exits ON orders (updated_at_ms) WHERE leg = 'EXIT' AND cum_qty > 0;
CREATE INDEX orders_exits_user ON orders (user_id, updated_at_ms) WHERE leg = 'EXIT' AND cum_qty > 0;
