-- Strategies, their orders, and the two append-only histories. Written by the journal's reader only
-- (and by `strategy add`, which writes a row before Redis knows of it).

-- A price or quantity as the rules know it: at most 8 decimals, inside +-9*10^10.
CREATE FUNCTION strat_is_decimal(value NUMERIC) RETURNS BOOLEAN
    LANGUAGE SQL IMMUTABLE PARALLEL SAFE AS
$$ SELECT value IS NULL OR (value <> 'NaN' AND abs(value) < 90000000000 AND scale(value) <= 8) $$;

-- `fields` is the strategy's hash, every text as its user gave it ("2500.00" stays "2500.00"). The typed
-- columns are generated from it, so that the two can never disagree. An empty text means none.
CREATE TABLE strategies (
    user_id         TEXT        NOT NULL CHECK (user_id ~ '^[A-Za-z0-9_.@-]{1,128}$'),
    strategy_id     TEXT        NOT NULL CHECK (strategy_id ~ '^[A-Za-z0-9_.@-]{1,128}$'),
    fields          JSONB       NOT NULL CHECK (jsonb_typeof(fields) = 'object'),
    symbol          TEXT        NOT NULL GENERATED ALWAYS AS (fields ->> 'symbol') STORED,
    side            TEXT        NOT NULL GENERATED ALWAYS AS (COALESCE(NULLIF(fields ->> 'side', ''), 'LONG')) STORED,
    quantity        NUMERIC     NOT NULL GENERATED ALWAYS AS ((fields ->> 'quantity')::NUMERIC) STORED,
    stop_loss       NUMERIC     GENERATED ALWAYS AS (NULLIF(fields ->> 'stop_loss', '')::NUMERIC) STORED,
    take_profit     NUMERIC     GENERATED ALWAYS AS (NULLIF(fields ->> 'take_profit', '')::NUMERIC) STORED,
    status          TEXT        NOT NULL GENERATED ALWAYS AS (COALESCE(NULLIF(fields ->> 'status', ''), 'RUNNING')) STORED,
    position        TEXT        NOT NULL GENERATED ALWAYS AS (COALESCE(NULLIF(fields ->> 'position', ''), 'NONE')) STORED,
    pending         TEXT        GENERATED ALWAYS AS (NULLIF(fields ->> 'pending', '')) STORED,
    working         TEXT        GENERATED ALWAYS AS (NULLIF(fields ->> 'working', '')) STORED,
    entry_price     NUMERIC     GENERATED ALWAYS AS (NULLIF(fields ->> 'entry_price', '')::NUMERIC) STORED,
    exit_price      NUMERIC     GENERATED ALWAYS AS (NULLIF(fields ->> 'exit_price', '')::NUMERIC) STORED,
    filled_quantity NUMERIC     NOT NULL GENERATED ALWAYS AS (COALESCE(NULLIF(fields ->> 'filled_quantity', '')::NUMERIC, 0)) STORED,
    exit_quantity   NUMERIC     NOT NULL GENERATED ALWAYS AS (COALESCE(NULLIF(fields ->> 'exit_quantity', '')::NUMERIC, 0)) STORED,
    buy_at_ms       BIGINT      GENERATED ALWAYS AS (NULLIF(fields ->> 'buy_at', '')::BIGINT) STORED,
    sell_at_ms      BIGINT      GENERATED ALWAYS AS (NULLIF(fields ->> 'sell_at', '')::BIGINT) STORED,
    cycle           BIGINT      NOT NULL GENERATED ALWAYS AS (COALESCE(NULLIF(fields ->> 'cycle', '')::BIGINT, 0)) STORED,
    version         BIGINT      NOT NULL GENERATED ALWAYS AS (COALESCE(NULLIF(fields ->> 'version', '')::BIGINT, 0)) STORED,
    updated_at_ms   BIGINT      GENERATED ALWAYS AS (NULLIF(fields ->> 'updated_at', '')::BIGINT) STORED,
    created_at      TIMESTAMPTZ NOT NULL DEFAULT now(),
    -- A removed strategy keeps its row: should it come back, its cycle must go on counting, because the
    -- broker's order ids are made from it.
    removed_at      TIMESTAMPTZ,
    PRIMARY KEY (user_id, strategy_id),
    CHECK (symbol ~ '^[!-9;-z|~]{1,64}$'),
    CHECK (side IN ('LONG', 'SHORT')),
    CHECK (status IN ('RUNNING', 'STOPPED', 'COMPLETED', 'FAILED')),
    CHECK (position IN ('NONE', 'BOUGHT', 'SHORTED', 'SOLD', 'COVERED', 'EXITED_BY_SL', 'EXITED_BY_TP')),
    CHECK (pending IN ('BUY', 'SELL', 'STOPLOSS', 'TAKEPROFIT', 'SQUAREOFF')),
    CHECK (working IN ('BUY', 'SELL', 'STOPLOSS', 'TAKEPROFIT', 'SQUAREOFF')),
    CHECK (strat_is_decimal(quantity) AND quantity > 0),
    CHECK (strat_is_decimal(stop_loss) AND strat_is_decimal(take_profit)),
    CHECK (strat_is_decimal(entry_price) AND strat_is_decimal(exit_price)),
    CHECK (strat_is_decimal(filled_quantity) AND filled_quantity >= 0),
    CHECK (strat_is_decimal(exit_quantity) AND exit_quantity >= 0),
    CHECK (cycle >= 0 AND version >= 0)
);
CREATE INDEX strategies_live ON strategies (status, user_id, strategy_id) WHERE removed_at IS NULL;
CREATE INDEX strategies_symbol ON strategies (symbol) WHERE removed_at IS NULL;

-- One row per order at a broker. Its id is derived from what the order is for, so a retry is the same row.
CREATE TABLE orders (
    client_order_id TEXT        PRIMARY KEY,
    user_id         TEXT        NOT NULL,
    strategy_id     TEXT        NOT NULL,
    symbol          TEXT        NOT NULL,
    cycle           BIGINT      NOT NULL CHECK (cycle >= 0),
    leg             TEXT        NOT NULL CHECK (leg IN ('ENTRY', 'EXIT')),
    attempt         BIGINT      NOT NULL CHECK (attempt >= 0),
    action          TEXT        NOT NULL CHECK (action IN ('BUY', 'SELL', 'STOPLOSS', 'TAKEPROFIT', 'SQUAREOFF')),
    status          TEXT        NOT NULL CHECK (status IN ('NEW', 'PARTIAL_FILL', 'FILL', 'CANCELED', 'REJECTED', 'EXPIRED')),
    quantity        NUMERIC     NOT NULL CHECK (strat_is_decimal(quantity) AND quantity >= 0),
    cum_qty         NUMERIC     NOT NULL DEFAULT 0 CHECK (strat_is_decimal(cum_qty) AND cum_qty >= 0),
    avg_px          NUMERIC     CHECK (strat_is_decimal(avg_px)),
    -- The id under which the reporter knows the order; the engine gives the client order id itself.
    reference       TEXT        NOT NULL DEFAULT '',
    text            TEXT        NOT NULL DEFAULT '',
    submitted_at_ms BIGINT      NOT NULL,
    updated_at_ms   BIGINT      NOT NULL,
    CHECK (avg_px IS NOT NULL OR cum_qty = 0),
    -- At most one order per strategy, cycle, leg and attempt.
    UNIQUE (user_id, strategy_id, cycle, leg, attempt)
);

-- The journal, entry by entry. Several partitions have journals of their own, whose ids may coincide:
-- hence the strategy and the version in the key.
CREATE TABLE strategy_events (
    journal_id  TEXT        NOT NULL,
    user_id     TEXT        NOT NULL,
    strategy_id TEXT        NOT NULL,
    version     BIGINT      NOT NULL,
    type        TEXT        NOT NULL,
    replaced    BOOLEAN     NOT NULL DEFAULT FALSE,
    ts_ms       BIGINT      NOT NULL,
    data        JSONB       NOT NULL,
    recorded_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    PRIMARY KEY (user_id, strategy_id, journal_id, version)
);
CREATE INDEX strategy_events_ts ON strategy_events (ts_ms);

-- Every execution report.
CREATE TABLE order_events (
    journal_id      TEXT        NOT NULL,
    user_id         TEXT        NOT NULL,
    strategy_id     TEXT        NOT NULL,
    version         BIGINT      NOT NULL,
    client_order_id TEXT        NOT NULL REFERENCES orders (client_order_id),
    action          TEXT        NOT NULL,
    exec_type       TEXT        NOT NULL,
    cum_qty         NUMERIC     NOT NULL,
    avg_px          NUMERIC,
    text            TEXT        NOT NULL DEFAULT '',
    ts_ms           BIGINT      NOT NULL,
    recorded_at     TIMESTAMPTZ NOT NULL DEFAULT now(),
    PRIMARY KEY (user_id, strategy_id, journal_id, version)
);
CREATE INDEX order_events_order ON order_events (client_order_id);

-- Journal entries that could not be applied, word for word, so that one bad entry does not hold up the rest.
CREATE TABLE journal_rejects (
    journal_id  TEXT        NOT NULL,
    entry       JSONB       NOT NULL,
    reason      TEXT        NOT NULL,
    recorded_at TIMESTAMPTZ NOT NULL DEFAULT now()
);

CREATE FUNCTION strat_append_only() RETURNS TRIGGER LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only: % is refused', TG_TABLE_NAME, TG_OP
        USING HINT = 'Histories are never changed. Add a correcting entry instead.';
END
$$;
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON strategy_events
    FOR EACH STATEMENT EXECUTE FUNCTION strat_append_only();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON order_events
    FOR EACH STATEMENT EXECUTE FUNCTION strat_append_only();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON journal_rejects
    FOR EACH STATEMENT EXECUTE FUNCTION strat_append_only();
