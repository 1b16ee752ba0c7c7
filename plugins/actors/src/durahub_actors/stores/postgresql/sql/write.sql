-- Carries out saves, at most one of each actor. Element n of `types`, `ids`, `checks`, `expecteds`, `etags`
-- and `erases` is save n; all other arrays come in groups of equal length, of which the first says to which
-- save each row belongs. `checks`: 0 any etag, 1 no state, 2 the etag expected. `refusals`: 0 none, 1 a lease,
-- 2 the etag, 3 a holder.
--
-- Locks: the leases named, so that none ends before this is committed, though it may be renewed (leases are
-- ended FOR UPDATE and renewed FOR NO KEY UPDATE); then the rows of the actors, new ones first. Each in the
-- order of their names, so that no two calls wait for each other.
CREATE FUNCTION {schema}.write(
  types bytea[], ids bytea[], checks int[], expecteds bytea[], etags bytea[], erases boolean[],
  lease_saves int[], lease_names bytea[],
  held_saves int[], held_names bytea[], held_holders bytea[],
  delete_saves int[], delete_keys bytea[],
  unmark_saves int[], unmark_names bytea[],
  forget_saves int[], forget_names bytea[],
  put_saves int[], put_keys bytea[], put_values bytea[],
  mark_saves int[], mark_names bytea[], mark_ranks bigint[],
  remind_saves int[], remind_names bytea[], remind_queues bytea[], remind_dues bigint[],
  remind_places bigint[], remind_labels bytea[], remind_payloads bytea[], remind_releases boolean[],
  remind_takes bytea[],
  hold_saves int[], hold_names bytea[], hold_holders bytea[],
  OUT refusals int[], OUT left_etags bytea[], OUT taken_saves int[], OUT taken_names bytea[]
) LANGUAGE plpgsql
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off
SET plan_cache_mode = force_generic_plan AS $$
DECLARE
  living bytea[];
  dead_saves int[];
  unheld_saves int[] := '{}';
  numbers bigint[];
  found_etags bytea[];
  erased bigint[];
BEGIN
  SELECT coalesce(array_agg(name), '{}') INTO living FROM (
    SELECT name FROM {schema}.leases
    WHERE name = ANY (lease_names) AND NOT is_ended ORDER BY name FOR KEY SHARE
  ) AS l;
  SELECT coalesce(array_agg(s), '{}') INTO dead_saves
  FROM unnest(lease_saves, lease_names) AS l(s, name) WHERE name <> ALL (living);

  INSERT INTO {schema}.actors (type, id)
  SELECT type, id FROM unnest(types, ids, etags) WITH ORDINALITY AS i(type, id, etag, s)
  WHERE (etag IS NOT NULL OR s = ANY (remind_saves)) AND s <> ALL (dead_saves)
  ORDER BY type, id ON CONFLICT DO NOTHING;

  WITH locked AS MATERIALIZED (
    SELECT i.s, a.actor, a.etag
    FROM unnest(types, ids) WITH ORDINALITY AS i(type, id, s)
    JOIN {schema}.actors AS a ON a.type = i.type AND a.id = i.id
    ORDER BY a.type, a.id FOR UPDATE OF a
  )
  SELECT array_agg(l.actor ORDER BY n), array_agg(l.etag ORDER BY n) INTO numbers, found_etags
  FROM generate_series(1, cardinality(types)) AS n LEFT JOIN locked AS l ON l.s = n;

  IF held_saves <> '{}' THEN
    SELECT coalesce(array_agg(h.s), '{}') INTO unheld_saves
    FROM unnest(held_saves, held_names, held_holders) AS h(s, name, holder)
    LEFT JOIN {schema}.reminders AS r ON r.actor = numbers[h.s] AND r.name = h.name
    WHERE r.actor IS NULL OR r.holder IS DISTINCT FROM h.holder;
  END IF;

  SELECT
    array_agg(
      CASE
        WHEN n = ANY (dead_saves) THEN 1
        WHEN checks[n] = 1 AND found_etags[n] IS NOT NULL THEN 2
        WHEN checks[n] = 2 AND found_etags[n] IS DISTINCT FROM expecteds[n] THEN 2
        WHEN n = ANY (unheld_saves) THEN 3
        WHEN numbers[n] IS NULL AND (etags[n] IS NOT NULL OR n = ANY (remind_saves)) THEN 4
        ELSE 0
      END ORDER BY n
    ) INTO refusals FROM generate_series(1, cardinality(types)) AS n;
  IF 4 = ANY (refusals) THEN
    -- Someone erased the actor between the two statements above.
    RAISE EXCEPTION 'an actor went away' USING ERRCODE = '40001';
  END IF;
  SELECT
    array_agg(
      CASE
        WHEN refusals[n] <> 0 OR (etags[n] IS NULL AND NOT erases[n]) THEN found_etags[n]
        ELSE etags[n]
      END ORDER BY n
    ) INTO left_etags FROM generate_series(1, cardinality(types)) AS n;

  IF true = ANY (erases) THEN
    SELECT coalesce(array_agg(numbers[n]), '{}') INTO erased
    FROM generate_series(1, cardinality(types)) AS n WHERE erases[n] AND refusals[n] = 0;
    DELETE FROM {schema}.state WHERE actor = ANY (erased);
    DELETE FROM {schema}.marks WHERE actor = ANY (erased);
    DELETE FROM {schema}.reminders WHERE actor = ANY (erased);
  END IF;
  IF delete_saves <> '{}' THEN
    DELETE FROM {schema}.state AS t USING unnest(delete_saves, delete_keys) AS d(s, key)
    WHERE refusals[d.s] = 0 AND t.actor = numbers[d.s] AND t.key = d.key;
  END IF;
  IF unmark_saves <> '{}' THEN
    DELETE FROM {schema}.marks AS t USING unnest(unmark_saves, unmark_names) AS d(s, name)
    WHERE refusals[d.s] = 0 AND t.actor = numbers[d.s] AND t.name = d.name;
  END IF;
  IF forget_saves <> '{}' THEN
    DELETE FROM {schema}.reminders AS t USING unnest(forget_saves, forget_names) AS d(s, name)
    WHERE refusals[d.s] = 0 AND t.actor = numbers[d.s] AND t.name = d.name;
  END IF;

  UPDATE {schema}.actors AS a SET etag = left_etags[n]
  FROM generate_series(1, cardinality(types)) AS n
  WHERE a.actor = numbers[n] AND refusals[n] = 0 AND left_etags[n] IS DISTINCT FROM found_etags[n];

  IF put_saves <> '{}' THEN
    INSERT INTO {schema}.state (actor, key, value)
    SELECT numbers[p.s], p.key, p.value FROM unnest(put_saves, put_keys, put_values) AS p(s, key, value)
    WHERE refusals[p.s] = 0
    ON CONFLICT (actor, key) DO UPDATE SET value = excluded.value;
  END IF;
  IF mark_saves <> '{}' THEN
    INSERT INTO {schema}.marks (actor, name, type, rank, id)
    SELECT numbers[m.s], m.name, types[m.s], m.rank, ids[m.s]
    FROM unnest(mark_saves, mark_names, mark_ranks) AS m(s, name, rank)
    WHERE refusals[m.s] = 0
    ON CONFLICT (actor, name) DO UPDATE SET rank = excluded.rank;
  END IF;
  IF remind_saves <> '{}' THEN
    UPDATE {schema}.reminders AS r SET
      queue = m.queue, due_at = m.due_at, place = m.place, label = m.label, payload = m.payload,
      holder = CASE WHEN m.release THEN m.take ELSE coalesce(r.holder, m.take) END
    FROM unnest(
      remind_saves, remind_names, remind_queues, remind_dues, remind_places, remind_labels, remind_payloads,
      remind_releases, remind_takes
    ) AS m(s, name, queue, due_at, place, label, payload, release, take)
    WHERE refusals[m.s] = 0 AND r.actor = numbers[m.s] AND r.name = m.name;
    INSERT INTO {schema}.reminders (actor, name, queue, due_at, place, label, payload, holder)
    SELECT numbers[m.s], m.name, m.queue, m.due_at, m.place, m.label, m.payload, m.take
    FROM unnest(
      remind_saves, remind_names, remind_queues, remind_dues, remind_places, remind_labels, remind_payloads,
      remind_takes
    ) AS m(s, name, queue, due_at, place, label, payload, take)
    WHERE refusals[m.s] = 0
    ON CONFLICT DO NOTHING;
  END IF;
  IF hold_saves <> '{}' THEN
    UPDATE {schema}.reminders AS r SET holder = h.holder
    FROM unnest(hold_saves, hold_names, hold_holders) AS h(s, name, holder)
    WHERE refusals[h.s] = 0 AND r.actor = numbers[h.s] AND r.name = h.name;
  END IF;

  IF remind_saves <> '{}' THEN
    SELECT array_agg(m.s), array_agg(m.name) INTO taken_saves, taken_names
    FROM unnest(remind_saves, remind_names, remind_takes) AS m(s, name, take)
    JOIN {schema}.reminders AS r ON r.actor = numbers[m.s] AND r.name = m.name
    WHERE refusals[m.s] = 0 AND r.holder = m.take;
  END IF;

  IF array_position(left_etags, NULL) IS NOT NULL THEN
    DELETE FROM {schema}.actors AS a USING generate_series(1, cardinality(types)) AS n
    WHERE a.actor = numbers[n] AND left_etags[n] IS NULL AND a.etag IS NULL
    AND NOT EXISTS (SELECT 1 FROM {schema}.reminders AS r WHERE r.actor = numbers[n]);
  END IF;
END
$$;
