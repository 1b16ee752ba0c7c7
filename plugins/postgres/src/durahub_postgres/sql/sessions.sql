-- Who may write. A session's row is its fence: every write and claim holds it with KEY SHARE, and whoever
-- ends the session takes it with FOR UPDATE, so that no write of an ended session commits.

-- The store's clock, and since when it runs without a break. All of the task hub asks here, so that tests
-- may put a clock of their own in the place of the server's.
CREATE FUNCTION {hub}.hub_now() RETURNS timestamptz
LANGUAGE sql VOLATILE AS $function$ SELECT clock_timestamp() $function$;

CREATE FUNCTION {hub}.hub_up_since() RETURNS timestamptz
LANGUAGE sql VOLATILE AS $function$ SELECT pg_postmaster_start_time() $function$;

CREATE FUNCTION {hub}.alive(p_session_id text) RETURNS {hub}.sessions
LANGUAGE plpgsql AS $function$
DECLARE
  me {hub}.sessions;
BEGIN
  SELECT * INTO me FROM {hub}.sessions AS s
  WHERE s.session_id = p_session_id AND s.ended_at IS NULL FOR KEY SHARE;
  IF NOT FOUND THEN
    RAISE EXCEPTION 'the session is not alive' USING ERRCODE = 'DH001';
  END IF;
  RETURN me;
END
$function$;

-- A hint to all sessions. Only for what others need: committing a notification takes a lock that all
-- databases of the server share.
CREATE FUNCTION {hub}.tell(p_sender bigint, p_kind text, p_app_id text, p_instance_id text)
RETURNS void LANGUAGE plpgsql AS $function$
DECLARE
  payload text := json_build_array(p_kind, p_sender, p_app_id, p_instance_id)::text;
BEGIN
  -- Beyond that the server refuses a payload. A hint may be lost.
  IF octet_length(payload) < 7900 THEN
    PERFORM pg_notify({channel}, payload);
  END IF;
END
$function$;

-- The lock that a session's listening connection holds while its process lives.
CREATE FUNCTION {hub}.guard_key(p_session bigint) RETURNS integer
LANGUAGE sql IMMUTABLE AS $function$ SELECT (p_session % 2147483647)::integer $function$;

CREATE FUNCTION {hub}.guard_class() RETURNS integer
LANGUAGE sql IMMUTABLE AS $function$ SELECT hashtext('durahub guard of ' || {channel}) $function$;

CREATE FUNCTION {hub}.guard(p_session_id text) RETURNS bigint
LANGUAGE plpgsql AS $function$
DECLARE
  me {hub}.sessions := {hub}.alive(p_session_id);
BEGIN
  PERFORM pg_advisory_lock({hub}.guard_class(), {hub}.guard_key(me.session));
  UPDATE {hub}.sessions SET guarded = true WHERE session = me.session AND NOT guarded;
  RETURN me.session;
END
$function$;

-- Whoever calls it holds the session's row FOR UPDATE.
CREATE FUNCTION {hub}.end_session(p_session bigint, p_app_id text, p_teller bigint) RETURNS void
LANGUAGE plpgsql
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off
SET plan_cache_mode = force_generic_plan
AS $function$
BEGIN
  UPDATE {hub}.sessions SET ended_at = {hub}.hub_now() WHERE session = p_session;
  -- In the order in which everybody locks instances.
  PERFORM FROM {hub}.schedule WHERE owner = p_session ORDER BY instance FOR UPDATE;
  UPDATE {hub}.schedule SET owner = NULL WHERE owner = p_session;
  UPDATE {hub}.activities SET owner = NULL WHERE owner = p_session;
  PERFORM {hub}.tell(p_teller, 'work', p_app_id, NULL);
END
$function$;

-- The dead are overdue; or, if they ever held their guard lock, it is free and half their life is over: a
-- living process beats more often than that, also while its listening connection comes back. Time
-- in which the server was down counts for nobody.
CREATE FUNCTION {hub}.fence(p_fencer bigint) RETURNS text[]
LANGUAGE plpgsql AS $function$
DECLARE
  other {hub}.sessions;
  fenced text[] := '{}';
  silence interval;
BEGIN
  FOR other IN
    SELECT * FROM {hub}.sessions WHERE ended_at IS NULL AND session <> p_fencer ORDER BY session
  LOOP
    silence := {hub}.hub_now() - greatest(other.beat_at, {hub}.hub_up_since());
    CONTINUE WHEN silence <= other.time_to_live AND NOT (
      other.guarded AND silence > other.time_to_live / 2
      AND pg_try_advisory_xact_lock({hub}.guard_class(), {hub}.guard_key(other.session)));
    PERFORM FROM {hub}.sessions
    WHERE session = other.session AND ended_at IS NULL AND beat_at = other.beat_at
    FOR UPDATE SKIP LOCKED;
    IF FOUND THEN
      PERFORM {hub}.end_session(other.session, other.app_id, p_fencer);
      fenced := fenced || other.session_id;
    ELSE
      PERFORM {hub}.cut_off(other);
    END IF;
  END LOOP;
  RETURN fenced;
END
$function$;

-- A process that was stopped while an answer was on its way keeps its transaction open, and with it its
-- session and the instances that it named. Only ending the connection helps.
CREATE FUNCTION {hub}.cut_off(p_other {hub}.sessions) RETURNS void
LANGUAGE plpgsql AS $function$
BEGIN
  PERFORM pg_terminate_backend(pid) FROM pg_stat_activity
  WHERE application_name = p_other.connections AND pid <> pg_backend_pid()
    AND xact_start < clock_timestamp() - p_other.time_to_live;
EXCEPTION WHEN insufficient_privilege THEN
  NULL;  -- of another role: its own time-outs have to do
END
$function$;

CREATE FUNCTION {hub}.register(
  p_session_id text, p_app_id text, p_holder text, p_connections text, p_time_to_live interval,
  p_instance_total integer, p_instance_names text[], p_instance_limits integer[],
  p_activity_total integer, p_activity_names text[], p_activity_limits integer[],
  OUT moment timestamptz, OUT fenced text[])
LANGUAGE plpgsql AS $function$
DECLARE
  number bigint;
BEGIN
  INSERT INTO {hub}.sessions (
    session_id, app_id, holder, connections, time_to_live, started_at, beat_at,
    instance_total, instance_names, instance_limits,
    activity_total, activity_names, activity_limits)
  VALUES (
    p_session_id, p_app_id, p_holder, p_connections, p_time_to_live,
    {hub}.hub_now(), {hub}.hub_now(),
    p_instance_total, p_instance_names, p_instance_limits,
    p_activity_total, p_activity_names, p_activity_limits)
  RETURNING session INTO number;
  fenced := {hub}.fence(number);
  moment := {hub}.hub_now();
END
$function$;

CREATE FUNCTION {hub}.heartbeat(
  p_session_id text, OUT moment timestamptz, OUT fenced text[])
LANGUAGE plpgsql AS $function$
DECLARE
  number bigint;
BEGIN
  UPDATE {hub}.sessions SET beat_at = {hub}.hub_now()
  WHERE session_id = p_session_id AND ended_at IS NULL RETURNING session INTO number;
  IF NOT FOUND THEN
    RAISE EXCEPTION 'the session is not alive' USING ERRCODE = 'DH001';
  END IF;
  fenced := {hub}.fence(number);
  moment := {hub}.hub_now();
END
$function$;

CREATE FUNCTION {hub}.unregister(p_session_id text) RETURNS void
LANGUAGE plpgsql AS $function$
DECLARE
  me {hub}.sessions;
BEGIN
  SELECT * INTO me FROM {hub}.sessions
  WHERE session_id = p_session_id AND ended_at IS NULL FOR UPDATE;
  IF FOUND THEN
    PERFORM {hub}.end_session(me.session, me.app_id, me.session);
  END IF;
END
$function$;

-- FOR UPDATE waits for claims of the session whose answers were lost and that may still be running.
CREATE FUNCTION {hub}.release_except(
  p_session_id text, p_instances {hub}.instance_key[], p_tasks {hub}.task_key[]) RETURNS void
LANGUAGE plpgsql
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off
SET plan_cache_mode = force_generic_plan
AS $function$
DECLARE
  me {hub}.sessions;
  kept_instances bigint[];
  kept_activities bigint[];
  freed bigint;
  freed_activities bigint;
BEGIN
  SELECT * INTO me FROM {hub}.sessions AS s
  WHERE s.session_id = p_session_id AND s.ended_at IS NULL FOR UPDATE;
  IF NOT FOUND THEN
    RAISE EXCEPTION 'the session is not alive' USING ERRCODE = 'DH001';
  END IF;
  kept_instances := ARRAY(
    SELECT i.instance FROM unnest(p_instances) AS k
    JOIN {hub}.instances AS i ON i.app_id = k.app_id AND i.instance_id = k.instance_id);
  kept_activities := ARRAY(
    SELECT a.activity FROM unnest(p_tasks) AS k
    JOIN {hub}.instances AS i ON i.app_id = k.app_id AND i.instance_id = k.instance_id
    JOIN {hub}.activities AS a
      ON a.instance = i.instance AND a.execution_id = k.execution_id AND a.task_id = k.task_id);
  PERFORM FROM {hub}.schedule WHERE owner = me.session AND instance <> ALL (kept_instances)
  ORDER BY instance FOR UPDATE;
  UPDATE {hub}.schedule SET owner = NULL
  WHERE owner = me.session AND instance <> ALL (kept_instances);
  GET DIAGNOSTICS freed = ROW_COUNT;
  UPDATE {hub}.activities SET owner = NULL
  WHERE owner = me.session AND activity <> ALL (kept_activities);
  GET DIAGNOSTICS freed_activities = ROW_COUNT;
  IF freed + freed_activities > 0 THEN
    PERFORM {hub}.tell(me.session, 'work', me.app_id, NULL);
  END IF;
END
$function$;
