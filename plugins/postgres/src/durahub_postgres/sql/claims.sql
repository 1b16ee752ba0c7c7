-- Making due instances and waiting activity tasks the property of a session.

-- Instances as claimed, in the order given: records, then messages, then due timers.
CREATE FUNCTION {hub}.hand_over(p_instances bigint[], p_moment timestamptz)
RETURNS SETOF {hub}.answer LANGUAGE plpgsql
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off
SET plan_cache_mode = force_generic_plan
AS $function$
BEGIN
  RETURN QUERY
  SELECT 2::smallint, NULL::smallint[], NULL::bigint[], i.instance, NULL::bigint,
    NULL::timestamptz, NULL::bytea, NULL::text, i, NULL::text, NULL::text, NULL::text, NULL::text
  FROM unnest(p_instances) WITH ORDINALITY AS c(instance, place)
  JOIN {hub}.instances AS i ON i.instance = c.instance
  ORDER BY c.place;
  RETURN QUERY
  SELECT 3::smallint, NULL::smallint[], NULL::bigint[], c.instance, m.message_id,
    m.accepted_at, m.payload, m.execution_id, NULL::{hub}.instances,
    NULL::text, NULL::text, NULL::text, NULL::text
  FROM unnest(p_instances) AS c(instance)
  CROSS JOIN LATERAL (
    SELECT * FROM {hub}.messages AS w WHERE w.instance = c.instance
    ORDER BY w.message_id LIMIT {cap}) AS m;
  RETURN QUERY
  SELECT 4::smallint, NULL::smallint[], NULL::bigint[], c.instance, t.timer_id,
    t.due_at, t.payload, NULL::text, NULL::{hub}.instances,
    NULL::text, NULL::text, NULL::text, NULL::text
  FROM unnest(p_instances) AS c(instance)
  CROSS JOIN LATERAL (
    SELECT * FROM {hub}.timers AS w WHERE w.instance = c.instance AND w.due_at <= p_moment
    ORDER BY w.due_at, w.timer_id LIMIT {cap}) AS t;
END
$function$;

-- How many more the session may own: the first element in all, the others of each name in `p_names`. It
-- makes claims that respect limits follow one another; those that don't never wait.
CREATE FUNCTION {hub}.quotas(
  p_kind text, p_app_id text, p_total integer, p_names text[], p_limits integer[],
  p_but bigint[], p_also text[])
RETURNS bigint[] LANGUAGE plpgsql
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off
SET plan_cache_mode = force_generic_plan
AS $function$
DECLARE
  owners bigint[];
  owned text[];
BEGIN
  PERFORM pg_advisory_xact_lock(
    hashtextextended(concat_ws(' ', 'durahub limits of', {channel}, p_kind, p_app_id), 0));
  owners := ARRAY(
    SELECT session FROM {hub}.sessions WHERE ended_at IS NULL AND app_id = p_app_id);
  IF p_kind = 'instances' THEN
    owned := ARRAY(
      SELECT name FROM {hub}.schedule WHERE owner = ANY (owners) AND instance <> ALL (p_but));
  ELSE
    owned := ARRAY(
      SELECT name FROM {hub}.activities WHERE owner = ANY (owners) AND activity <> ALL (p_but));
  END IF;
  owned := owned || p_also;
  RETURN coalesce(p_total - cardinality(owned), 9223372036854775807) || ARRAY(
    SELECT l.most - (SELECT count(*) FROM unnest(owned) AS o(name) WHERE o.name = l.name)
    FROM unnest(p_names, p_limits) WITH ORDINALITY AS l(name, most, place) ORDER BY l.place);
END
$function$;

CREATE FUNCTION {hub}.quota(p_quotas bigint[], p_names text[], p_name text) RETURNS bigint
LANGUAGE sql IMMUTABLE AS $function$
  SELECT greatest(0, coalesce(p_quotas[1 + array_position(p_names, p_name)], 9223372036854775807))
$function$;

-- Those of the applications that have sessions with limits, and something that may wait for a place.
CREATE FUNCTION {hub}.held_back(p_apps text[], p_limited text[], p_moment timestamptz)
RETURNS text[] LANGUAGE plpgsql
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off
SET plan_cache_mode = force_generic_plan
AS $function$
BEGIN
  RETURN ARRAY(
    SELECT a.app_id FROM (SELECT DISTINCT v.app_id FROM unnest(p_apps) AS v(app_id)) AS a
    WHERE a.app_id = ANY (p_limited) AND coalesce(
      -- Not EXISTS, for which the server may read all of the table and keep it.
      (SELECT s.instance FROM {hub}.schedule AS s
       WHERE s.app_id = a.app_id AND s.owner IS NULL AND s.wake_at <= p_moment
       ORDER BY s.wake_at, s.instance LIMIT 1),
      (SELECT t.activity FROM {hub}.activities AS t
       WHERE t.app_id = a.app_id AND t.owner IS NULL ORDER BY t.activity LIMIT 1)) IS NOT NULL);
END
$function$;

-- Due instances that limits leave, longest due first. One look into the index per name: what is held back
-- is not read.
CREATE FUNCTION {hub}.due_within_limits(me {hub}.sessions, p_limit bigint, p_moment timestamptz)
RETURNS bigint[] LANGUAGE plpgsql
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off
SET plan_cache_mode = force_generic_plan
AS $function$
DECLARE
  quotas bigint[] := {hub}.quotas(
    'instances', me.app_id, me.instance_total, me.instance_names, me.instance_limits, '{}', '{}');
  most bigint := greatest(0, least(p_limit, quotas[1]));
BEGIN
  RETURN ARRAY(
    WITH RECURSIVE names(name) AS (
      SELECT (SELECT min(s.name) FROM {hub}.schedule AS s
        WHERE s.app_id = me.app_id AND s.owner IS NULL AND s.wake_at IS NOT NULL)
      UNION ALL
      SELECT (SELECT min(s.name) FROM {hub}.schedule AS s
        WHERE s.app_id = me.app_id AND s.owner IS NULL AND s.wake_at IS NOT NULL AND s.name > n.name)
      FROM names AS n WHERE n.name IS NOT NULL
    )
    SELECT d.instance FROM names AS n
    CROSS JOIN LATERAL (
      SELECT s.instance, s.wake_at FROM {hub}.schedule AS s
      WHERE s.app_id = me.app_id AND s.name = n.name AND s.owner IS NULL AND s.wake_at <= p_moment
      ORDER BY s.wake_at, s.instance
      LIMIT least(most, {hub}.quota(quotas, me.instance_names, n.name))) AS d
    ORDER BY d.wake_at, d.instance LIMIT most);
END
$function$;

CREATE FUNCTION {hub}.claim_instances(p_session_id text, p_limit integer)
RETURNS SETOF {hub}.answer LANGUAGE plpgsql
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off
SET plan_cache_mode = force_generic_plan
AS $function$
DECLARE
  me {hub}.sessions := {hub}.alive(p_session_id);
  moment timestamptz := {hub}.hub_now();
  next_at timestamptz;
  admitted bigint[];
  picked bigint[];
BEGIN
  IF me.instance_total IS NULL AND me.instance_names = '{}' THEN
    picked := ARRAY(
      SELECT s.instance FROM {hub}.schedule AS s
      WHERE s.app_id = me.app_id AND s.owner IS NULL AND s.wake_at <= moment
      ORDER BY s.wake_at, s.instance LIMIT p_limit FOR UPDATE SKIP LOCKED);
  ELSE
    -- One more, to know whether there is more.
    admitted := {hub}.due_within_limits(me, p_limit + 1::bigint, moment);
    picked := ARRAY(
      SELECT l.instance FROM unnest(admitted[:p_limit]) WITH ORDINALITY AS c(instance, place)
      -- The conditions stay outside, or a server may read all that is due for them.
      CROSS JOIN LATERAL (
        SELECT * FROM {hub}.schedule AS s WHERE s.instance = c.instance
        FOR UPDATE SKIP LOCKED) AS l
      WHERE l.owner IS NULL AND l.wake_at <= moment
      ORDER BY c.place);
  END IF;
  UPDATE {hub}.schedule SET owner = me.session WHERE instance = ANY (picked);
  IF admitted IS NULL THEN
    SELECT s.wake_at INTO next_at FROM {hub}.schedule AS s
    WHERE s.app_id = me.app_id AND s.owner IS NULL AND s.wake_at IS NOT NULL
    ORDER BY s.wake_at LIMIT 1;
  ELSIF cardinality(picked) = cardinality(admitted) THEN
    -- What is due and was not claimed waits for a place, and not for a moment.
    SELECT s.wake_at INTO next_at FROM {hub}.schedule AS s
    WHERE s.app_id = me.app_id AND s.owner IS NULL AND s.wake_at > moment
    ORDER BY s.wake_at LIMIT 1;
  END IF;
  RETURN QUERY
  SELECT t.kind, NULL::smallint[], NULL::bigint[], NULL::bigint, NULL::bigint, t.at, NULL::bytea,
    NULL::text, NULL::{hub}.instances, NULL::text, NULL::text, NULL::text, NULL::text
  FROM (VALUES (6::smallint, moment), (7::smallint, next_at)) AS t(kind, at)
  WHERE t.kind = 6 OR t.at > moment;
  RETURN QUERY SELECT * FROM {hub}.hand_over(picked, moment);
END
$function$;

CREATE FUNCTION {hub}.tasks_within_limits(me {hub}.sessions, p_limit bigint)
RETURNS bigint[] LANGUAGE plpgsql
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off
SET plan_cache_mode = force_generic_plan
AS $function$
DECLARE
  quotas bigint[] := {hub}.quotas(
    'activities', me.app_id, me.activity_total, me.activity_names, me.activity_limits, '{}', '{}');
  most bigint := greatest(0, least(p_limit, quotas[1]));
BEGIN
  RETURN ARRAY(
    WITH RECURSIVE names(name) AS (
      SELECT (SELECT min(a.name) FROM {hub}.activities AS a
        WHERE a.app_id = me.app_id AND a.owner IS NULL)
      UNION ALL
      SELECT (SELECT min(a.name) FROM {hub}.activities AS a
        WHERE a.app_id = me.app_id AND a.owner IS NULL AND a.name > n.name)
      FROM names AS n WHERE n.name IS NOT NULL
    )
    SELECT d.activity FROM names AS n
    CROSS JOIN LATERAL (
      SELECT a.activity FROM {hub}.activities AS a
      WHERE a.app_id = me.app_id AND a.name = n.name AND a.owner IS NULL
      ORDER BY a.activity
      LIMIT least(most, {hub}.quota(quotas, me.activity_names, n.name))) AS d
    ORDER BY d.activity LIMIT most);
END
$function$;

CREATE FUNCTION {hub}.claim_activities(p_session_id text, p_limit integer)
RETURNS SETOF {hub}.answer LANGUAGE plpgsql
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off
SET plan_cache_mode = force_generic_plan
AS $function$
DECLARE
  me {hub}.sessions := {hub}.alive(p_session_id);
  picked bigint[];
BEGIN
  IF me.activity_total IS NULL AND me.activity_names = '{}' THEN
    picked := ARRAY(
      SELECT a.activity FROM {hub}.activities AS a WHERE a.app_id = me.app_id AND a.owner IS NULL
      ORDER BY a.activity LIMIT p_limit FOR UPDATE SKIP LOCKED);
  ELSE
    picked := {hub}.tasks_within_limits(me, p_limit);
    picked := ARRAY(
      SELECT l.activity FROM unnest(picked) AS c(activity)
      CROSS JOIN LATERAL (
        SELECT * FROM {hub}.activities AS a WHERE a.activity = c.activity
        FOR UPDATE SKIP LOCKED) AS l
      WHERE l.owner IS NULL
      ORDER BY l.activity);
  END IF;
  UPDATE {hub}.activities SET owner = me.session WHERE activity = ANY (picked);
  RETURN QUERY
  SELECT 5::smallint, NULL::smallint[], NULL::bigint[], NULL::bigint, a.task_id,
    NULL::timestamptz, a.payload, a.execution_id, NULL::{hub}.instances,
    i.app_id, i.instance_id, a.app_id, a.name
  FROM {hub}.activities AS a JOIN {hub}.instances AS i ON i.instance = a.instance
  WHERE a.activity = ANY (picked) ORDER BY a.activity;
END
$function$;
