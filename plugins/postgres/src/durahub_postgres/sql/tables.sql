-- The tables of a task hub.
--
-- * `instances` is the record: what people and the engine see. A turn that keeps the status touches no
--   index of it, so it stays in its page.
-- * `schedule` is what claims, deliveries and turns change all the time, so it is narrow. `pending_at`
--   says since when something waits, `wake_at` when the instance is due: not before `not_before`, and
--   never if it is NULL. Its row is the lock of the whole instance: whoever changes anything of an
--   instance holds it.
-- * Payloads are elsewhere. Owners are numbers of sessions. Texts are escaped where they hold NUL (see
--   `durahub_postgres.text`), so that they stay texts. There are no foreign keys: `apply` knows what
--   belongs together.

CREATE TABLE {hub}.sessions (
  session bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  session_id text COLLATE "C" NOT NULL UNIQUE,
  app_id text COLLATE "C" NOT NULL,
  holder text NOT NULL,
  connections text NOT NULL,
  time_to_live interval NOT NULL,
  started_at timestamptz NOT NULL,
  beat_at timestamptz NOT NULL,
  guarded boolean NOT NULL DEFAULT false,
  ended_at timestamptz,
  instance_total integer,
  instance_names text[] NOT NULL DEFAULT '{}',
  instance_limits integer[] NOT NULL DEFAULT '{}',
  activity_total integer,
  activity_names text[] NOT NULL DEFAULT '{}',
  activity_limits integer[] NOT NULL DEFAULT '{}',
  is_limited boolean GENERATED ALWAYS AS (
    instance_total IS NOT NULL OR activity_total IS NOT NULL
    OR cardinality(instance_names) > 0 OR cardinality(activity_names) > 0) STORED
) WITH (fillfactor = 50);

CREATE INDEX sessions_alive ON {hub}.sessions (session) WHERE ended_at IS NULL;

CREATE TABLE {hub}.instances (
  instance bigint PRIMARY KEY,
  app_id text COLLATE "C" NOT NULL,
  instance_id text COLLATE "C" NOT NULL,
  name text COLLATE "C" NOT NULL,
  version text,
  execution_id text COLLATE "C" NOT NULL,
  generation bigint NOT NULL,
  status smallint NOT NULL CHECK (status BETWEEN 0 AND 8),
  created_at timestamptz NOT NULL,
  last_updated_at timestamptz NOT NULL,
  started_at timestamptz,
  completed_at timestamptz,
  scheduled_start_at timestamptz,
  parent_app_id text,
  parent_instance_id text,
  parent_execution_id text,
  parent_task_id bigint,
  tags text,
  revision bigint NOT NULL,
  history_length bigint NOT NULL,
  parked_reason text
) WITH (fillfactor = 80);

CREATE SEQUENCE {hub}.instance_numbers AS bigint OWNED BY {hub}.instances.instance;

CREATE UNIQUE INDEX instances_key ON {hub}.instances (app_id, instance_id);
-- The status comes first, so that no plan mistakes these for a way from a key to its row: plans are made
-- once per connection, perhaps while the tables are still empty and everything looks equally cheap.
CREATE INDEX instances_listed ON {hub}.instances (status, app_id, created_at, instance);
CREATE INDEX instances_ended ON {hub}.instances (status, app_id, completed_at, instance)
  WHERE status IN (1, 3, 4, 5);

CREATE TABLE {hub}.schedule (
  instance bigint PRIMARY KEY,
  pending_at timestamptz,
  not_before timestamptz,
  wake_at timestamptz,
  owner bigint,
  last_message bigint NOT NULL,
  app_id text COLLATE "C" NOT NULL,
  name text COLLATE "C" NOT NULL
) WITH (
  fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 500,
  autovacuum_vacuum_cost_delay = 0
);

CREATE INDEX schedule_due ON {hub}.schedule (app_id, wake_at, instance)
  WHERE owner IS NULL AND wake_at IS NOT NULL;
CREATE INDEX schedule_due_named ON {hub}.schedule (app_id, name, wake_at, instance)
  WHERE owner IS NULL AND wake_at IS NOT NULL;
CREATE INDEX schedule_owned ON {hub}.schedule (owner) WHERE owner IS NOT NULL;

CREATE TABLE {hub}.payloads (
  instance bigint PRIMARY KEY,
  input text,
  output text,
  custom_status text,
  failure bytea
);

CREATE TABLE {hub}.history (
  instance bigint NOT NULL,
  seq bigint NOT NULL,
  event bytea NOT NULL,
  PRIMARY KEY (instance, seq)
);

CREATE TABLE {hub}.messages (
  instance bigint NOT NULL,
  message_id bigint NOT NULL,
  accepted_at timestamptz NOT NULL,
  execution_id text,
  payload bytea NOT NULL,
  PRIMARY KEY (instance, message_id)
) WITH (
  autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 500,
  autovacuum_vacuum_cost_delay = 0
);

CREATE TABLE {hub}.timers (
  instance bigint NOT NULL,
  timer_id bigint NOT NULL,
  due_at timestamptz NOT NULL,
  payload bytea NOT NULL,
  PRIMARY KEY (instance, timer_id)
) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 500);

CREATE INDEX timers_due ON {hub}.timers (instance, due_at);

CREATE TABLE {hub}.activities (
  activity bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  instance bigint NOT NULL,
  owner bigint,
  task_id bigint NOT NULL,
  execution_id text COLLATE "C" NOT NULL,
  app_id text COLLATE "C" NOT NULL,
  name text COLLATE "C" NOT NULL,
  payload bytea NOT NULL
) WITH (
  autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 500,
  autovacuum_vacuum_cost_delay = 0
);

CREATE UNIQUE INDEX activities_key ON {hub}.activities (instance, task_id, execution_id);
CREATE INDEX activities_free ON {hub}.activities (app_id, activity) WHERE owner IS NULL;
CREATE INDEX activities_free_named ON {hub}.activities (app_id, name, activity) WHERE owner IS NULL;
CREATE INDEX activities_owned ON {hub}.activities (owner) WHERE owner IS NOT NULL;
