-- What one session forwards to another. A row is there until its session has handled it, or has ended.
CREATE TABLE {hub}.forwarded (
  session bigint NOT NULL,
  number bigint GENERATED ALWAYS AS IDENTITY,
  payload bytea NOT NULL,
  PRIMARY KEY (session, number)
) WITH (
  autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 500,
  autovacuum_vacuum_cost_delay = 0
);

-- Every application that has instances is looked up: an answer to an activity does not say whose it is.
CREATE FUNCTION {hub}.owners(p_session_id text, p_instance_id text, p_task_id bigint)
RETURNS SETOF text LANGUAGE plpgsql
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off
SET plan_cache_mode = force_generic_plan
AS $function$
DECLARE
  me {hub}.sessions := {hub}.alive(p_session_id);
BEGIN
  IF p_task_id IS NULL THEN
    RETURN QUERY SELECT o.session_id FROM {hub}.instances AS i
    JOIN {hub}.schedule AS s ON s.instance = i.instance
    JOIN {hub}.sessions AS o ON o.session = s.owner
    WHERE i.app_id = me.app_id AND i.instance_id = p_instance_id;
    RETURN;
  END IF;
  RETURN QUERY
  WITH RECURSIVE apps AS (
    SELECT min(i.app_id COLLATE "C") AS app_id FROM {hub}.instances AS i
    UNION ALL
    SELECT (SELECT min(i.app_id COLLATE "C") FROM {hub}.instances AS i WHERE i.app_id > apps.app_id)
    FROM apps WHERE apps.app_id IS NOT NULL)
  SELECT DISTINCT o.session_id FROM apps
  JOIN {hub}.instances AS i ON i.app_id = apps.app_id AND i.instance_id = p_instance_id
  JOIN {hub}.activities AS a ON a.instance = i.instance AND a.task_id = p_task_id
  JOIN {hub}.sessions AS o ON o.session = a.owner
  WHERE a.app_id = me.app_id;
END
$function$;

-- It does not hold the other session's row: who forwards to the dead must not keep them from being fenced.
-- What is forwarded to one that ends meanwhile stays until the next session ends.
CREATE FUNCTION {hub}.forward(p_session_id text, p_to text, p_payload bytea) RETURNS boolean
LANGUAGE plpgsql
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off
SET plan_cache_mode = force_generic_plan
AS $function$
DECLARE
  me {hub}.sessions := {hub}.alive(p_session_id);
  other bigint;
BEGIN
  SELECT s.session INTO other FROM {hub}.sessions AS s
  WHERE s.session_id = p_to AND s.ended_at IS NULL AND s.app_id = me.app_id;
  IF NOT FOUND THEN
    RETURN false;
  END IF;
  PERFORM FROM {hub}.forwarded AS f WHERE f.session = other
  ORDER BY f.number OFFSET {most_forwarded} - 1 LIMIT 1;
  IF FOUND THEN
    RAISE EXCEPTION 'too much waits for the session' USING ERRCODE = 'DH002';
  END IF;
  INSERT INTO {hub}.forwarded (session, payload) VALUES (other, p_payload);
  PERFORM {hub}.tell(me.session, 'forwarded', me.app_id, p_to);
  RETURN true;
END
$function$;

CREATE FUNCTION {hub}.take_forwarded(p_session_id text, p_handled bigint[], p_limit integer)
RETURNS TABLE (number bigint, payload bytea) LANGUAGE plpgsql
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off
SET plan_cache_mode = force_generic_plan
AS $function$
DECLARE
  me {hub}.sessions := {hub}.alive(p_session_id);
BEGIN
  IF cardinality(p_handled) > 0 THEN
    DELETE FROM {hub}.forwarded AS f WHERE f.session = me.session AND f.number = ANY (p_handled);
  END IF;
  RETURN QUERY SELECT f.number, f.payload FROM {hub}.forwarded AS f
  WHERE f.session = me.session ORDER BY f.number LIMIT p_limit;
END
$function$;

CREATE FUNCTION {hub}.forget_forwarded() RETURNS trigger
LANGUAGE plpgsql AS $function$
BEGIN
  DELETE FROM {hub}.forwarded AS f WHERE NOT EXISTS (
    SELECT FROM {hub}.sessions AS s WHERE s.session = f.session AND s.ended_at IS NULL);
  RETURN NULL;
END
$function$;

CREATE TRIGGER forget_forwarded AFTER UPDATE OF ended_at ON {hub}.sessions
FOR EACH ROW WHEN (NEW.ended_at IS NOT NULL) EXECUTE FUNCTION {hub}.forget_forwarded();
