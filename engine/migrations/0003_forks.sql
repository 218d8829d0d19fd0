-- Redis has lost newer changes than its journal goes on from: the row keeps what it knows until it is restored.
ALTER TABLE strategies ADD COLUMN forked BOOLEAN NOT NULL DEFAULT FALSE;
