-- The stable interface for SQL users: views and their columns stay; new columns come at the end.

CREATE VIEW {hub}.v_instances AS
SELECT i.app_id, i.instance_id, i.name, i.version, {hub}.status_name(i.status) AS status,
  i.created_at, i.last_updated_at, i.started_at, i.completed_at, i.scheduled_start_at,
  i.execution_id, i.generation, i.history_length,
  i.parent_app_id, i.parent_instance_id, i.tags,
  {hub}.shown(p.input) AS input, {hub}.shown(p.output) AS output,
  {hub}.shown(p.custom_status) AS custom_status,
  {hub}.shown({hub}.content_of(p.failure, 1)) AS failure_type,
  {hub}.shown({hub}.content_of(p.failure, 2)) AS failure_message,
  {hub}.shown(i.parked_reason) AS parked_reason,
  s.wake_at AS due_at, o.holder AS owned_by
FROM {hub}.instances AS i
LEFT JOIN {hub}.schedule AS s ON s.instance = i.instance
LEFT JOIN {hub}.payloads AS p ON p.instance = i.instance
LEFT JOIN {hub}.sessions AS o ON o.session = s.owner;

CREATE VIEW {hub}.v_history AS
SELECT i.app_id, i.instance_id, i.generation, h.seq, e.event_id, e.happened_at, e.type, e.name,
  e.task_id, e.other_instance_id, e.input, e.result, e.failure_type, e.failure_message,
  octet_length(h.event) AS bytes
FROM {hub}.instances AS i
JOIN {hub}.history AS h ON h.instance = i.instance
CROSS JOIN LATERAL {hub}.read_event(h.event) AS e;

CREATE VIEW {hub}.v_activities AS
SELECT i.app_id, i.instance_id, a.execution_id, a.task_id, a.app_id AS runs_in, a.name,
  {hub}.wrapped_text_of(a.payload, 3) AS input,
  CASE WHEN a.owner IS NULL THEN 'WAITING' ELSE 'RUNNING' END AS state, o.holder AS owned_by
FROM {hub}.activities AS a
JOIN {hub}.instances AS i ON i.instance = a.instance
LEFT JOIN {hub}.sessions AS o ON o.session = a.owner;

CREATE VIEW {hub}.v_timers AS
SELECT i.app_id, i.instance_id, i.name AS workflow, t.timer_id, t.due_at
FROM {hub}.timers AS t JOIN {hub}.instances AS i ON i.instance = t.instance;

CREATE VIEW {hub}.v_storage AS
SELECT i.app_id, i.name, {hub}.status_name(i.status) AS status, count(*) AS instances,
  coalesce(sum(h.rows), 0)::bigint AS history_rows,
  coalesce(sum(m.rows), 0)::bigint AS waiting_messages,
  (sum(pg_column_size(i.*)) + coalesce(sum(pg_column_size(p.*)), 0)
   + coalesce(sum(h.bytes), 0) + coalesce(sum(m.bytes), 0))::bigint AS bytes
FROM {hub}.instances AS i
LEFT JOIN {hub}.payloads AS p ON p.instance = i.instance
LEFT JOIN (
  SELECT instance, count(*) AS rows, sum(pg_column_size(r.*)) AS bytes
  FROM {hub}.history AS r GROUP BY instance) AS h ON h.instance = i.instance
LEFT JOIN (
  SELECT instance, count(*) AS rows, sum(pg_column_size(r.*)) AS bytes
  FROM {hub}.messages AS r GROUP BY instance) AS m ON m.instance = i.instance
GROUP BY i.app_id, i.name, i.status;

-- Who may read the views may not call the rest.
REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA {hub} FROM PUBLIC;
