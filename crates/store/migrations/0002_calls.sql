-- What is known of a call once it is over, and the SIP messages of calls.

ALTER TABLE legs ADD COLUMN call TEXT NOT NULL DEFAULT '';
ALTER TABLE legs ADD COLUMN rule TEXT NOT NULL DEFAULT '';
ALTER TABLE legs ADD COLUMN loss_in BIGINT;
ALTER TABLE legs ADD COLUMN loss_out BIGINT;
ALTER TABLE legs ADD COLUMN round_trip_ms BIGINT;
ALTER TABLE legs ADD COLUMN jitter_ms BIGINT;
ALTER TABLE legs ADD COLUMN bit_rate_in BIGINT;
ALTER TABLE legs ADD COLUMN bit_rate_out BIGINT;
ALTER TABLE legs ADD COLUMN mos BIGINT;

CREATE TABLE ladders (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    call TEXT COLLATE "C" NOT NULL,
    began_at BIGINT NOT NULL,
    ended_at BIGINT NOT NULL,
    peer TEXT NOT NULL,
    outcome TEXT NOT NULL,
    -- JSON.
    messages TEXT NOT NULL,
    left_out BIGINT NOT NULL
);
CREATE INDEX ladders_began ON ladders (began_at, id);
CREATE INDEX ladders_call ON ladders (call, began_at, id);
CREATE INDEX ladders_ended ON ladders (ended_at);
