-- One text for SQLite and PostgreSQL: numbers are BIGINT, times milliseconds since 1970, all else is
-- TEXT. COLLATE "C" orders by bytes, whatever the database's language; for SQLite, which always does
-- and does not know the name, the program takes it out.

CREATE TABLE records (
    kind TEXT COLLATE "C" NOT NULL,
    id TEXT COLLATE "C" NOT NULL,
    version BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    changed_at BIGINT NOT NULL,
    expires_at BIGINT,
    search TEXT COLLATE "C" NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (kind, id)
);
CREATE INDEX records_expires ON records (expires_at) WHERE expires_at IS NOT NULL;

CREATE TABLE record_keys (
    kind TEXT COLLATE "C" NOT NULL,
    id TEXT COLLATE "C" NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    value TEXT COLLATE "C" NOT NULL,
    is_unique BIGINT NOT NULL,
    PRIMARY KEY (kind, id, name, value),
    FOREIGN KEY (kind, id) REFERENCES records (kind, id) ON DELETE CASCADE
);
CREATE UNIQUE INDEX record_keys_unique ON record_keys (kind, name, value) WHERE is_unique = 1;
CREATE INDEX record_keys_value ON record_keys (kind, name, value, id);

CREATE TABLE audit (
    number BIGINT NOT NULL PRIMARY KEY,
    at BIGINT NOT NULL,
    actor_kind TEXT NOT NULL,
    actor_id TEXT COLLATE "C" NOT NULL,
    actor_name TEXT NOT NULL,
    action TEXT COLLATE "C" NOT NULL,
    target_kind TEXT NOT NULL,
    target_id TEXT COLLATE "C" NOT NULL,
    target_name TEXT NOT NULL,
    from_address TEXT NOT NULL,
    outcome TEXT NOT NULL,
    detail TEXT NOT NULL,
    hash TEXT NOT NULL
);
CREATE INDEX audit_at ON audit (at);
CREATE INDEX audit_actor ON audit (actor_id, number);
CREATE INDEX audit_target ON audit (target_id, number);

-- The last entry of the log: its one row is where writers queue.
CREATE TABLE audit_head (
    id BIGINT NOT NULL PRIMARY KEY CHECK (id = 1),
    number BIGINT NOT NULL,
    hash TEXT NOT NULL
);
INSERT INTO audit_head (id, number, hash)
VALUES (1, 0, '0000000000000000000000000000000000000000000000000000000000000000');

CREATE TABLE runs (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    meeting TEXT COLLATE "C" NOT NULL,
    name TEXT NOT NULL,
    began_at BIGINT NOT NULL,
    ended_at BIGINT,
    cause TEXT NOT NULL,
    most_participants BIGINT NOT NULL
);
CREATE INDEX runs_began ON runs (began_at, id);
CREATE INDEX runs_meeting ON runs (meeting, began_at, id);
CREATE INDEX runs_ended ON runs (ended_at);

CREATE TABLE stays (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    run TEXT COLLATE "C" NOT NULL,
    meeting TEXT COLLATE "C" NOT NULL,
    identity TEXT COLLATE "C" NOT NULL,
    name TEXT NOT NULL,
    kind TEXT NOT NULL,
    account TEXT COLLATE "C",
    began_at BIGINT NOT NULL,
    ended_at BIGINT,
    cause TEXT NOT NULL
);
CREATE INDEX stays_began ON stays (began_at, id);
CREATE INDEX stays_run ON stays (run, began_at, id);
CREATE INDEX stays_meeting ON stays (meeting, began_at, id);
CREATE INDEX stays_identity ON stays (identity, began_at, id);
CREATE INDEX stays_ended ON stays (ended_at);

CREATE TABLE legs (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    run TEXT COLLATE "C",
    stay TEXT COLLATE "C",
    meeting TEXT COLLATE "C",
    direction TEXT NOT NULL,
    address TEXT NOT NULL,
    codecs TEXT NOT NULL,
    began_at BIGINT NOT NULL,
    answered_at BIGINT,
    ended_at BIGINT,
    cause TEXT NOT NULL,
    ended_by TEXT
);
CREATE INDEX legs_began ON legs (began_at, id);
CREATE INDEX legs_run ON legs (run, began_at, id);
CREATE INDEX legs_stay ON legs (stay);
CREATE INDEX legs_meeting ON legs (meeting, began_at, id);
CREATE INDEX legs_ended ON legs (ended_at);

CREATE TABLE figures (
    stay TEXT COLLATE "C" NOT NULL,
    at BIGINT NOT NULL,
    loss_in BIGINT,
    loss_out BIGINT,
    round_trip_ms BIGINT,
    bit_rate_in BIGINT,
    bit_rate_out BIGINT,
    PRIMARY KEY (stay, at)
);
CREATE INDEX figures_at ON figures (at);

-- The last time at which the server was known to run.
CREATE TABLE alive (
    id BIGINT NOT NULL PRIMARY KEY CHECK (id = 1),
    at BIGINT NOT NULL
);
INSERT INTO alive (id, at) VALUES (1, 0);
