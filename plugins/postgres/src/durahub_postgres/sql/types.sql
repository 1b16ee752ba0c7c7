-- What `apply` takes and what functions answer. Arrays of these types carry a whole batch.
-- `op` is the place of the operation in the batch, `key` the place of the instance among the keys, `slot`
-- one delivery of messages to one instance; all count from 1.

CREATE TYPE {hub}.instance_key AS (app_id text, instance_id text);

CREATE TYPE {hub}.task_key AS (app_id text, instance_id text, execution_id text, task_id bigint);

CREATE TYPE {hub}.purge AS (op integer, key integer, execution_id text, force boolean);

CREATE TYPE {hub}.release AS (
  op integer, key integer, not_before timestamptz,
  -- Only of a parking; `reason` is what makes it one.
  reason text, updated_at timestamptz, events integer
);

CREATE TYPE {hub}.task_ref AS (op integer, key integer, execution_id text, task_id bigint);

CREATE TYPE {hub}.turn AS (
  op integer, key integer, execution_id text, revision bigint, status smallint,
  updated_at timestamptz, started_at timestamptz, completed_at timestamptz,
  output text, custom_status text, failure bytea, events integer,
  -- Places among the creations; none if the first is greater than the last.
  first_child integer, last_child integer,
  -- Only of continue-as-new; `next_slot` carries the start message.
  next_execution_id text, next_input text, next_slot integer
);

CREATE TYPE {hub}.creation AS (
  key integer, name text, version text, execution_id text, input text, tags text,
  parent_app_id text, parent_instance_id text, parent_execution_id text, parent_task_id bigint,
  created_at timestamptz, not_before timestamptz, replaces bigint, slot integer
);

-- In the order in which they take effect, after the turns. `item` is the place of the creation or of the
-- task; `slot` and `messages` say what is delivered.
CREATE TYPE {hub}.step AS (
  kind smallint, op integer, key integer, item integer,
  slot integer, messages integer, expedite boolean
);

CREATE TYPE {hub}.message AS (slot integer, place integer, payload bytea, execution_id text);

CREATE TYPE {hub}.event AS (op integer, place integer, event bytea);

CREATE TYPE {hub}.removal AS (op integer, id bigint);

CREATE TYPE {hub}.timer AS (op integer, timer_id bigint, due_at timestamptz, payload bytea);

CREATE TYPE {hub}.task AS (
  op integer, task_id bigint, execution_id text, app_id text, name text, payload bytea
);

CREATE TYPE {hub}.occupant AS (op integer, record {hub}.instances);

-- One row of an answer; `kind` says which columns count.
CREATE TYPE {hub}.answer AS (
  kind smallint,
  codes smallint[], numbers bigint[],
  ref bigint, id bigint, moment timestamptz, payload bytea, execution_id text,
  record {hub}.instances,
  app_id text, instance_id text, task_app_id text, name text
);
