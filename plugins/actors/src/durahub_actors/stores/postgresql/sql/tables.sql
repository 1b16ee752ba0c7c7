-- All texts are their UTF-8 bytes: Postgres's own text holds no NUL, and orders by collations.
-- Moments and durations are microseconds. An actor has a row as long as it has state or reminders;
-- without an etag it has no state. Leases that ended stay, so that their names are never used again.

CREATE TABLE {schema}.actors (
  actor bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  type bytea NOT NULL,
  id bytea NOT NULL,
  etag bytea,
  UNIQUE (type, id)
);

CREATE TABLE {schema}.state (
  actor bigint NOT NULL,
  key bytea NOT NULL,
  value bytea NOT NULL,
  PRIMARY KEY (actor, key)
);

CREATE TABLE {schema}.marks (
  actor bigint NOT NULL,
  name bytea NOT NULL,
  type bytea NOT NULL,
  rank bigint NOT NULL,
  id bytea NOT NULL,
  PRIMARY KEY (actor, name)
);

CREATE INDEX marks_ranked ON {schema}.marks (type, name, rank, id);

CREATE TABLE {schema}.reminders (
  actor bigint NOT NULL,
  name bytea NOT NULL,
  queue bytea NOT NULL,
  due_at bigint NOT NULL,
  place bigint NOT NULL,
  label bytea NOT NULL,
  payload bytea NOT NULL,
  holder bytea,
  PRIMARY KEY (actor, name)
);

CREATE INDEX reminders_free ON {schema}.reminders (queue, due_at, place) WHERE holder IS NULL;
CREATE INDEX reminders_held ON {schema}.reminders (holder) WHERE holder IS NOT NULL;
CREATE INDEX reminders_labelled ON {schema}.reminders (queue, label) WHERE holder IS NOT NULL;

CREATE TABLE {schema}.leases (
  name bytea PRIMARY KEY,
  time_to_live bigint NOT NULL,
  data bytea NOT NULL,
  renewed_at bigint NOT NULL,
  is_ended boolean NOT NULL DEFAULT false
);

CREATE INDEX leases_living ON {schema}.leases (name) WHERE NOT is_ended;

-- For people: the state under the keys that Dapr would give it.
CREATE VIEW {schema}.keys AS
SELECT encode(type, 'escape') || '||' || encode(id, 'escape') || '||' || encode(key, 'escape') AS key, value
FROM {schema}.actors JOIN {schema}.state USING (actor);
