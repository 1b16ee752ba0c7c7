CREATE FUNCTION {schema}.micros() RETURNS bigint LANGUAGE sql VOLATILE AS $$
  SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint
$$;

-- Ends the leases that are overdue, except for those given, and returns them. A lease that someone has
-- locked is being renewed, ended or used at this moment, and is left for the next time.
CREATE FUNCTION {schema}.end_overdue(alive bytea[], moment bigint)
RETURNS TABLE (name bytea, time_to_live bigint, data bytea) LANGUAGE plpgsql AS $$
DECLARE
  overdue bytea[];
BEGIN
  SELECT coalesce(array_agg(l.name), '{}') INTO overdue FROM (
    SELECT leases.name FROM {schema}.leases
    WHERE NOT is_ended AND leases.renewed_at + leases.time_to_live <= moment AND leases.name <> ALL (alive)
    ORDER BY leases.name FOR UPDATE SKIP LOCKED
  ) AS l;
  IF overdue = '{}' THEN
    RETURN;
  END IF;
  UPDATE {schema}.leases SET is_ended = true WHERE leases.name = ANY (overdue);
  UPDATE {schema}.reminders SET holder = NULL WHERE holder = ANY (overdue);
  RETURN QUERY SELECT l.name, l.time_to_live, l.data FROM {schema}.leases AS l WHERE l.name = ANY (overdue);
END
$$;

-- Each of the next two returns a row with the moment first, then one for each lease that it ended.
CREATE FUNCTION {schema}.acquire(new_name bytea, new_time_to_live bigint, new_data bytea)
RETURNS TABLE (moment bigint, name bytea, time_to_live bigint, data bytea) LANGUAGE plpgsql AS $$
BEGIN
  moment := {schema}.micros();
  INSERT INTO {schema}.leases (name, time_to_live, data, renewed_at)
  VALUES (new_name, new_time_to_live, new_data, moment) ON CONFLICT DO NOTHING;
  IF NOT FOUND THEN
    RAISE EXCEPTION 'used' USING ERRCODE = 'DH002';
  END IF;
  RETURN NEXT;
  RETURN QUERY SELECT moment, e.name, e.time_to_live, e.data
    FROM {schema}.end_overdue(ARRAY[new_name], moment) AS e;
END
$$;

CREATE FUNCTION {schema}.renew(names bytea[])
RETURNS TABLE (moment bigint, name bytea, time_to_live bigint, data bytea) LANGUAGE plpgsql AS $$
DECLARE
  living bigint;
BEGIN
  SELECT count(*) INTO living FROM (
    SELECT 1 FROM {schema}.leases AS l WHERE l.name = ANY (names) AND NOT is_ended
    ORDER BY l.name FOR NO KEY UPDATE
  ) AS locked;
  IF living <> (SELECT count(DISTINCT n) FROM unnest(names) AS n) THEN
    RAISE EXCEPTION 'fenced' USING ERRCODE = 'DH001';
  END IF;
  moment := {schema}.micros();
  UPDATE {schema}.leases AS l SET renewed_at = moment WHERE l.name = ANY (names);
  RETURN NEXT;
  RETURN QUERY SELECT moment, e.name, e.time_to_live, e.data FROM {schema}.end_overdue(names, moment) AS e;
END
$$;

CREATE FUNCTION {schema}.release(old_name bytea) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  PERFORM 1 FROM {schema}.leases WHERE name = old_name AND NOT is_ended FOR UPDATE;
  UPDATE {schema}.leases SET is_ended = true WHERE name = old_name AND NOT is_ended;
  UPDATE {schema}.reminders SET holder = NULL WHERE holder = old_name;
END
$$;
