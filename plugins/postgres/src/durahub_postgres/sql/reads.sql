-- Reading. Each function is one statement, and so sees one snapshot.

CREATE FUNCTION {hub}.read_instances(p_keys {hub}.instance_key[], p_payloads boolean)
RETURNS TABLE (
  place bigint, record {hub}.instances, input text, output text, custom_status text, failure bytea)
LANGUAGE plpgsql STABLE
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off
SET plan_cache_mode = force_generic_plan
AS $function$
BEGIN
  RETURN QUERY
  SELECT k.place, i, p.input, p.output, p.custom_status, p.failure
  FROM unnest(p_keys) WITH ORDINALITY AS k(app_id, instance_id, place)
  JOIN {hub}.instances AS i ON i.app_id = k.app_id AND i.instance_id = k.instance_id
  LEFT JOIN {hub}.payloads AS p ON p_payloads AND p.instance = i.instance;
END
$function$;

-- The record comes with a NULL `seq`.
CREATE FUNCTION {hub}.read_histories(p_keys {hub}.instance_key[])
RETURNS TABLE (place bigint, record {hub}.instances, seq bigint, event bytea)
LANGUAGE plpgsql STABLE
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off
SET plan_cache_mode = force_generic_plan
AS $function$
BEGIN
  RETURN QUERY
  WITH found AS MATERIALIZED (
    SELECT k.place, i AS record, i.instance
    FROM unnest(p_keys) WITH ORDINALITY AS k(app_id, instance_id, place)
    JOIN {hub}.instances AS i ON i.app_id = k.app_id AND i.instance_id = k.instance_id
  )
  SELECT f.place, f.record, NULL::bigint, NULL::bytea FROM found AS f
  UNION ALL
  (SELECT f.place, NULL::{hub}.instances, h.seq, h.event
  FROM found AS f JOIN {hub}.history AS h ON h.instance = f.instance
  ORDER BY f.place, h.seq);
END
$function$;

-- One look into the index per status reads at most one page of it.
CREATE FUNCTION {hub}.list_instances(
  p_app_id text, p_statuses smallint[], p_created_at timestamptz, p_instance bigint,
  p_end timestamptz, p_limit integer)
RETURNS SETOF {hub}.instances LANGUAGE plpgsql STABLE
SET enable_seqscan = off SET enable_bitmapscan = off SET plan_cache_mode = force_generic_plan
AS $function$
BEGIN
  RETURN QUERY
  SELECT p.* FROM unnest(p_statuses) AS s(status)
  CROSS JOIN LATERAL (
    SELECT * FROM {hub}.instances AS i
    WHERE i.app_id = p_app_id AND i.status = s.status AND i.created_at < coalesce(p_end, 'infinity')
      AND (i.created_at, i.instance) > (coalesce(p_created_at, '-infinity'), p_instance)
    ORDER BY i.created_at, i.instance LIMIT p_limit) AS p
  ORDER BY p.created_at, p.instance LIMIT p_limit;
END
$function$;

CREATE FUNCTION {hub}.list_ended(p_app_id text, p_status smallint, p_limit integer)
RETURNS SETOF {hub}.instances LANGUAGE plpgsql STABLE
SET enable_seqscan = off SET enable_bitmapscan = off SET plan_cache_mode = force_generic_plan
AS $function$
BEGIN
  RETURN QUERY
  SELECT * FROM {hub}.instances AS i
  WHERE i.app_id = p_app_id AND i.status = p_status AND i.status IN (1, 3, 4, 5)
  ORDER BY i.completed_at, i.instance LIMIT p_limit;
END
$function$;
