-- One batch from end to end: one call, one transaction.
--
-- It locks what the batch names, reads it into `i` and `s`, carries out one operation after the other there
-- and writes the outcome, table by table, at the end. What was removed was there before the batch, so it is
-- removed first; except for activity tasks: a turn leaves one that exists as it is, even if its result
-- comes later in the same batch.
--
-- Codes of results: 1 created, 2 exists, 3 delivered, 4 missing, 5 ended, 6 not ended, 7 turn committed,
-- 8 not owner, 9 children exist, 10 activity committed, 11 task not owned, 12 released, 13 purged.

CREATE FUNCTION {hub}.apply(
  p_session_id text, p_operations integer, p_room_instances integer, p_room_activities integer,
  p_keys {hub}.instance_key[], p_purges {hub}.purge[], p_releases {hub}.release[],
  p_freed {hub}.task_ref[], p_done {hub}.task_ref[], p_turns {hub}.turn[],
  p_creations {hub}.creation[], p_steps {hub}.step[], p_messages {hub}.message[],
  p_events {hub}.event[], p_consumed {hub}.removal[], p_fired {hub}.removal[],
  p_timers {hub}.timer[], p_tasks {hub}.task[], p_slots integer)
RETURNS SETOF {hub}.answer LANGUAGE plpgsql
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off
SET plan_cache_mode = force_generic_plan
AS $function$
DECLARE
  me {hub}.sessions := {hub}.alive(p_session_id);
  moment timestamptz;
  n integer := cardinality(p_keys);
  -- By key: the rows, what of them is to be written, and the status before.
  i {hub}.instances[];
  s {hub}.schedule[];
  locked bigint[];
  was smallint[];
  is_new boolean[] := array_fill(false, ARRAY[n]);
  is_replaced boolean[] := array_fill(false, ARRAY[n]);
  is_changed boolean[] := array_fill(false, ARRAY[n]);
  is_planned boolean[] := array_fill(false, ARRAY[n]);
  is_touched boolean[] := array_fill(false, ARRAY[n]);
  -- By operation.
  codes smallint[] := array_fill(0, ARRAY[p_operations])::smallint[];
  numbers bigint[] := array_fill(0, ARRAY[p_operations])::bigint[];
  target bigint[] := array_fill(NULL::bigint, ARRAY[p_operations]);
  base bigint[] := array_fill(NULL::bigint, ARRAY[p_operations]);
  occupants {hub}.occupant[] := '{}';
  -- By slot: which inbox, and the number before the first message.
  inbox bigint[] := array_fill(NULL::bigint, ARRAY[p_slots]);
  number_before bigint[] := array_fill(NULL::bigint, ARRAY[p_slots]);
  -- By creation.
  born bigint[] := array_fill(NULL::bigint, ARRAY[cardinality(p_creations)]);
  -- By place among the tasks that have results.
  done_activity bigint[];
  done_owner bigint[];
  freed_activity bigint[];
  freed_owner bigint[];
  -- Numbers of rows to remove or to change.
  purged bigint[] := '{}';
  cleared_histories bigint[] := '{}';
  cleared_inboxes bigint[] := '{}';
  cleared_timers bigint[] := '{}';
  removed_activities bigint[] := '{}';
  freed_activities bigint[] := '{}';
  committed integer[] := '{}';
  gave_back boolean := false;
  -- Applications whose limits got a place because another session lost what it owned.
  vacated text[] := '{}';
  -- Outcome.
  claimed bigint[] := '{}';
  taken {hub}.answer[] := '{}';
  left_apps text[] := '{}';
  others text[];
  limited_others text[];
  quotas bigint[];
  spent bigint[];
  first_at timestamptz;
  first_instance bigint;
  is_overtaking boolean;
  -- Of loops.
  k integer;
  o integer;
  purge {hub}.purge;
  release {hub}.release;
  turn {hub}.turn;
  step {hub}.step;
  creation {hub}.creation;
  row_i {hub}.instances;
  row_s {hub}.schedule;
  is_occupied boolean;
  since timestamptz;
  due timestamptz;
  place integer;
  expected bigint;
  written bigint;
BEGIN
  -- Lock, in the order that everybody keeps; once more if a key got another instance meanwhile.
  LOOP
    locked := ARRAY(
      SELECT l.instance FROM {hub}.schedule AS l
      WHERE l.instance = ANY (ARRAY(
        SELECT r.instance FROM unnest(p_keys) AS q(app_id, instance_id)
        JOIN {hub}.instances AS r ON r.app_id = q.app_id AND r.instance_id = q.instance_id))
      ORDER BY l.instance FOR UPDATE);
    SELECT array_agg(r ORDER BY q.place), array_agg(l ORDER BY q.place),
      array_agg(r.status ORDER BY q.place), count(r.instance)
    INTO i, s, was, expected
    FROM unnest(p_keys) WITH ORDINALITY AS q(app_id, instance_id, place)
    LEFT JOIN {hub}.instances AS r ON r.app_id = q.app_id AND r.instance_id = q.instance_id
    LEFT JOIN {hub}.schedule AS l ON l.instance = r.instance;
    EXIT WHEN expected = cardinality(locked);
  END LOOP;
  moment := {hub}.hub_now();
  SELECT array_agg(DISTINCT r.app_id), array_agg(DISTINCT r.app_id) FILTER (WHERE r.is_limited)
  INTO others, limited_others
  FROM {hub}.sessions AS r WHERE r.ended_at IS NULL AND r.session <> me.session;

  -- The numbers and owners of tasks. Rows that the session owns are nobody else's to change.
  IF cardinality(p_done) > 0 THEN
    SELECT array_agg(a.activity ORDER BY q.place), array_agg(a.owner ORDER BY q.place)
    INTO done_activity, done_owner
    FROM unnest(p_done) WITH ORDINALITY AS q(op, key, execution_id, task_id, place)
    LEFT JOIN {hub}.activities AS a ON a.instance = (i[q.key]).instance
      AND a.task_id = q.task_id AND a.execution_id = q.execution_id;
  END IF;
  IF cardinality(p_freed) > 0 THEN
    SELECT array_agg(a.activity ORDER BY q.place), array_agg(a.owner ORDER BY q.place)
    INTO freed_activity, freed_owner
    FROM unnest(p_freed) WITH ORDINALITY AS q(op, key, execution_id, task_id, place)
    LEFT JOIN {hub}.activities AS a ON a.instance = (i[q.key]).instance
      AND a.task_id = q.task_id AND a.execution_id = q.execution_id;
  END IF;

  FOREACH purge IN ARRAY p_purges LOOP
    k := purge.key;
    IF (i[k]).instance IS NULL OR purge.execution_id <> (i[k]).execution_id THEN
      codes[purge.op] := 4;
    ELSIF NOT ((i[k]).status IN (1, 3, 4, 5) OR purge.force) THEN
      codes[purge.op] := 6;
      numbers[purge.op] := (i[k]).status;
    ELSE
      codes[purge.op] := 13;
      purged := purged || (i[k]).instance;
      IF (s[k]).owner IS NOT NULL THEN
        vacated := vacated || (s[k]).app_id;
      END IF;
      i[k] := NULL;
      s[k] := NULL;
    END IF;
  END LOOP;

  FOREACH release IN ARRAY p_releases LOOP
    k := release.key;
    IF (s[k]).owner IS DISTINCT FROM me.session THEN
      codes[release.op] := 8;
      CONTINUE;
    END IF;
    codes[release.op] := 12;
    gave_back := true;
    is_planned[k] := true;
    s[k].owner := NULL;
    IF release.reason IS NULL THEN
      IF release.not_before IS NOT NULL THEN
        s[k].not_before := release.not_before;
      END IF;
    ELSE
      s[k].pending_at := NULL;
      s[k].not_before := NULL;
      is_changed[k] := true;
      target[release.op] := (i[k]).instance;
      base[release.op] := (i[k]).history_length;
      row_i := i[k];
      row_i.status := 8;
      row_i.parked_reason := release.reason;
      row_i.last_updated_at := release.updated_at;
      row_i.revision := row_i.revision + 1;
      row_i.history_length := row_i.history_length + release.events;
      i[k] := row_i;
    END IF;
  END LOOP;

  FOR place IN 1 .. cardinality(p_freed) LOOP
    o := (p_freed[place]).op;
    IF (i[(p_freed[place]).key]).instance IS NULL
      OR freed_owner[place] IS DISTINCT FROM me.session
      OR freed_activity[place] = ANY (freed_activities)
    THEN
      codes[o] := 11;
    ELSE
      codes[o] := 12;
      freed_activities := freed_activities || freed_activity[place];
      gave_back := true;
    END IF;
  END LOOP;

  FOREACH turn IN ARRAY p_turns LOOP
    k := turn.key;
    row_i := i[k];
    row_s := s[k];
    IF row_s.owner IS DISTINCT FROM me.session OR row_i.execution_id <> turn.execution_id
      OR row_i.revision <> turn.revision
    THEN
      codes[turn.op] := 8;
      CONTINUE;
    END IF;
    is_occupied := false;
    FOR place IN turn.first_child .. turn.last_child LOOP
      creation := p_creations[place];
      IF (i[creation.key]).instance IS NOT NULL AND NOT coalesce(
        (i[creation.key]).status IN (1, 3, 4, 5) AND (i[creation.key]).revision = creation.replaces,
        false)
      THEN
        occupants := occupants || ROW(turn.op, i[creation.key])::{hub}.occupant;
        is_occupied := true;
      END IF;
    END LOOP;
    IF is_occupied THEN
      codes[turn.op] := 9;
      CONTINUE;
    END IF;
    codes[turn.op] := 7;
    target[turn.op] := row_i.instance;
    row_i.status := turn.status;
    row_i.last_updated_at := turn.updated_at;
    row_i.started_at := turn.started_at;
    row_i.completed_at := turn.completed_at;
    row_i.revision := row_i.revision + 1;
    row_i.parked_reason := NULL;
    row_s.owner := NULL;
    row_s.pending_at := NULL;
    row_s.not_before := NULL;
    IF turn.next_execution_id IS NULL THEN
      base[turn.op] := row_i.history_length;
      row_i.history_length := row_i.history_length + turn.events;
    ELSE
      cleared_histories := cleared_histories || row_i.instance;
      cleared_timers := cleared_timers || row_i.instance;
      row_i.execution_id := turn.next_execution_id;
      row_i.generation := row_i.generation + 1;
      row_i.history_length := 0;
      -- Below the number of every accepted message, and a generation has one start.
      inbox[turn.next_slot] := row_i.instance;
      number_before[turn.next_slot] := -row_i.generation - 1;
    END IF;
    IF turn.status IN (1, 3, 4, 5) THEN
      cleared_inboxes := cleared_inboxes || row_i.instance;
      cleared_timers := cleared_timers || row_i.instance;
    ELSE
      committed := committed || k;
    END IF;
    numbers[turn.op] := row_i.revision;
    i[k] := row_i;
    s[k] := row_s;
    gave_back := true;
    is_changed[k] := true;
    is_planned[k] := true;
    is_touched[k] := true;
  END LOOP;

  FOREACH step IN ARRAY p_steps LOOP
    k := step.key;
    row_i := i[k];
    row_s := s[k];
    -- 1: a child, 2: an outgoing message; both only of turns that were committed.
    CONTINUE WHEN step.kind IN (1, 2) AND target[step.op] IS NULL;
    -- 3: a creation.
    IF step.kind IN (1, 3) THEN
      creation := p_creations[step.item];
      IF step.kind = 3 THEN
        IF row_i.instance IS NOT NULL AND NOT coalesce(
          row_i.status IN (1, 3, 4, 5) AND row_i.revision = creation.replaces, false)
        THEN
          codes[step.op] := 2;
          occupants := occupants || ROW(step.op, row_i)::{hub}.occupant;
          CONTINUE;
        END IF;
        codes[step.op] := 1;
      END IF;
      IF row_i.instance IS NULL THEN
        is_new[k] := true;
        row_i.instance := nextval('{hub}.instance_numbers');
        row_i.app_id := (p_keys[k]).app_id;
        row_i.instance_id := (p_keys[k]).instance_id;
        row_i.generation := 1;
        row_i.revision := 0;
        row_s.instance := row_i.instance;
        row_s.app_id := row_i.app_id;
        row_s.last_message := 0;
      ELSE
        is_replaced[k] := true;
        row_i.generation := row_i.generation + 1;
        row_i.revision := row_i.revision + 1;
        cleared_histories := cleared_histories || row_i.instance;
        cleared_inboxes := cleared_inboxes || row_i.instance;
        cleared_timers := cleared_timers || row_i.instance;
      END IF;
      row_i.name := creation.name;
      row_i.version := creation.version;
      row_i.execution_id := creation.execution_id;
      row_i.status := 6;
      row_i.created_at := creation.created_at;
      row_i.last_updated_at := creation.created_at;
      row_i.started_at := NULL;
      row_i.completed_at := NULL;
      row_i.scheduled_start_at := creation.not_before;
      row_i.parent_app_id := creation.parent_app_id;
      row_i.parent_instance_id := creation.parent_instance_id;
      row_i.parent_execution_id := creation.parent_execution_id;
      row_i.parent_task_id := creation.parent_task_id;
      row_i.tags := creation.tags;
      row_i.history_length := 0;
      row_i.parked_reason := NULL;
      row_s.name := creation.name;
      row_s.not_before := creation.not_before;
      IF creation.not_before IS NOT NULL THEN
        -- Others may have to wake it, if this session isn't there any more then.
        left_apps := left_apps || row_i.app_id;
      END IF;
      row_s.owner := NULL;
      row_s.pending_at := moment;
      inbox[creation.slot] := row_i.instance;
      number_before[creation.slot] := row_s.last_message;
      row_s.last_message := row_s.last_message + 1;
      born[step.item] := row_i.instance;
      IF step.kind = 3 THEN
        numbers[step.op] := row_i.generation;
      END IF;
      i[k] := row_i;
      s[k] := row_s;
      is_planned[k] := true;
      is_touched[k] := true;
      CONTINUE;
    END IF;
    -- 5: a result, which is a delivery if its run goes on.
    IF step.kind = 5 THEN
      IF row_i.instance IS NULL OR done_owner[step.item] IS DISTINCT FROM me.session
        OR done_activity[step.item] = ANY (removed_activities)
        OR done_activity[step.item] = ANY (freed_activities)
      THEN
        codes[step.op] := 11;
        CONTINUE;
      END IF;
      codes[step.op] := 10;
      gave_back := true;
      removed_activities := removed_activities || done_activity[step.item];
      CONTINUE WHEN row_i.execution_id <> (p_done[step.item]).execution_id
        OR row_i.status IN (1, 3, 4, 5);
    ELSIF row_i.instance IS NULL THEN
      IF step.kind = 4 THEN
        codes[step.op] := 4;
      END IF;
      CONTINUE;
    ELSIF row_i.status IN (1, 3, 4, 5) THEN
      IF step.kind = 4 THEN
        codes[step.op] := 5;
        numbers[step.op] := row_i.status;
      END IF;
      CONTINUE;
    ELSIF step.kind = 4 THEN
      codes[step.op] := 3;
    END IF;
    inbox[step.slot] := row_i.instance;
    number_before[step.slot] := row_s.last_message;
    row_s.last_message := row_s.last_message + step.messages;
    IF step.messages > 0 AND row_i.parked_reason IS NULL THEN
      row_s.pending_at := least(row_s.pending_at, moment);
    END IF;
    IF step.expedite THEN
      row_s.not_before := NULL;
      row_s.pending_at := least(row_s.pending_at, moment);
    END IF;
    s[k] := row_s;
    is_planned[k] := true;
    is_touched[k] := true;
  END LOOP;

  -- Write everything but the rows of instances.
  IF cardinality(purged) > 0 THEN
    DELETE FROM {hub}.instances AS r WHERE r.instance = ANY (purged);
    DELETE FROM {hub}.schedule AS r WHERE r.instance = ANY (purged);
    DELETE FROM {hub}.payloads AS r WHERE r.instance = ANY (purged);
    WITH lost AS (
      DELETE FROM {hub}.activities AS r WHERE r.instance = ANY (purged) RETURNING r.app_id, r.owner
    )
    SELECT vacated || coalesce(array_agg(DISTINCT r.app_id), '{}') INTO vacated
    FROM lost AS r WHERE r.owner IS NOT NULL;
    cleared_histories := cleared_histories || purged;
    cleared_inboxes := cleared_inboxes || purged;
    cleared_timers := cleared_timers || purged;
  END IF;
  IF cardinality(cleared_histories) > 0 THEN
    DELETE FROM {hub}.history AS r WHERE r.instance = ANY (cleared_histories);
  END IF;
  IF cardinality(cleared_inboxes) > 0 THEN
    DELETE FROM {hub}.messages AS r WHERE r.instance = ANY (cleared_inboxes);
  END IF;
  IF cardinality(cleared_timers) > 0 THEN
    DELETE FROM {hub}.timers AS r WHERE r.instance = ANY (cleared_timers);
  END IF;
  IF cardinality(freed_activities) > 0 THEN
    UPDATE {hub}.activities AS r SET owner = NULL WHERE r.activity = ANY (freed_activities);
  END IF;
  IF cardinality(p_consumed) > 0 THEN
    DELETE FROM {hub}.messages AS r USING unnest(p_consumed) AS c
    WHERE r.instance = target[c.op] AND r.message_id = c.id;
  END IF;
  IF cardinality(p_fired) > 0 THEN
    DELETE FROM {hub}.timers AS r USING unnest(p_fired) AS c
    WHERE r.instance = target[c.op] AND r.timer_id = c.id;
  END IF;
  IF cardinality(p_turns) > 0 THEN
    -- Most turns change none of these, and then the row stays as it is.
    UPDATE {hub}.payloads AS r SET
      input = CASE WHEN t.next_execution_id IS NULL THEN r.input ELSE t.next_input END,
      output = t.output, custom_status = t.custom_status, failure = t.failure
    FROM unnest(p_turns) AS t
    WHERE r.instance = target[t.op] AND (
      t.next_execution_id IS NOT NULL OR r.output IS DISTINCT FROM t.output
      OR r.custom_status IS DISTINCT FROM t.custom_status OR r.failure IS DISTINCT FROM t.failure);
  END IF;
  IF cardinality(p_creations) > 0 THEN
    INSERT INTO {hub}.payloads AS r (instance, input)
    SELECT born[c.place], c.input
    FROM unnest(p_creations) WITH ORDINALITY AS c(
      key, name, version, execution_id, input, tags, parent_app_id, parent_instance_id,
      parent_execution_id, parent_task_id, created_at, not_before, replaces, slot, place)
    WHERE born[c.place] IS NOT NULL
    ON CONFLICT (instance) DO UPDATE SET
      input = excluded.input, output = NULL, custom_status = NULL, failure = NULL;
  END IF;
  IF cardinality(p_events) > 0 THEN
    INSERT INTO {hub}.history (instance, seq, event)
    SELECT target[e.op], base[e.op] + e.place, e.event FROM unnest(p_events) AS e
    WHERE base[e.op] IS NOT NULL;
  END IF;
  IF cardinality(p_messages) > 0 THEN
    INSERT INTO {hub}.messages (instance, message_id, accepted_at, execution_id, payload)
    SELECT inbox[m.slot], number_before[m.slot] + m.place, moment, m.execution_id, m.payload
    FROM unnest(p_messages) AS m WHERE inbox[m.slot] IS NOT NULL;
  END IF;
  IF cardinality(p_timers) > 0 THEN
    INSERT INTO {hub}.timers AS r (instance, timer_id, due_at, payload)
    SELECT target[t.op], t.timer_id, t.due_at, t.payload FROM unnest(p_timers) AS t
    WHERE target[t.op] IS NOT NULL AND NOT target[t.op] = ANY (cleared_inboxes)
    ON CONFLICT (instance, timer_id) DO UPDATE SET
      due_at = excluded.due_at, payload = excluded.payload;
  END IF;
  IF cardinality(p_tasks) > 0 THEN
    IF p_room_activities > 0 AND (me.activity_total IS NOT NULL OR me.activity_names <> '{}') THEN
      quotas := {hub}.quotas('activities', me.app_id, me.activity_total, me.activity_names,
        me.activity_limits, removed_activities, '{}');
      -- What waits is older than what is inserted now.
      is_overtaking := EXISTS (
        SELECT FROM {hub}.activities AS r WHERE r.app_id = me.app_id AND r.owner IS NULL);
    END IF;
    WITH wanted AS (
      SELECT t.*, target[t.op] AS instance, t.app_id = me.app_id AS is_mine,
        row_number() OVER (PARTITION BY t.app_id, t.name ORDER BY t.place) AS of_name
      FROM unnest(p_tasks) WITH ORDINALITY AS t(
        op, task_id, execution_id, app_id, name, payload, place)
      WHERE target[t.op] IS NOT NULL AND NOT EXISTS (
        SELECT FROM {hub}.activities AS a WHERE a.instance = target[t.op]
          AND a.task_id = t.task_id AND a.execution_id = t.execution_id)
    ), allowed AS (
      SELECT w.*, w.is_mine AND (quotas IS NULL
        OR w.of_name <= {hub}.quota(quotas, me.activity_names, w.name) AND NOT (is_overtaking
          AND (me.activity_total IS NOT NULL OR w.name = ANY (me.activity_names)))) AS is_allowed
      FROM wanted AS w
    ), inserted AS (
      INSERT INTO {hub}.activities AS a (
        instance, owner, task_id, execution_id, app_id, name, payload)
      SELECT w.instance,
        CASE WHEN w.is_allowed AND least(p_room_activities, coalesce(quotas[1], p_room_activities))
          >= row_number() OVER (PARTITION BY w.is_allowed ORDER BY w.place) THEN me.session END,
        w.task_id, w.execution_id, w.app_id, w.name, w.payload
      FROM allowed AS w ORDER BY w.place
      RETURNING a.*
    )
    SELECT coalesce(array_agg(ROW(
        5, NULL, NULL, NULL, r.task_id, NULL, r.payload, r.execution_id, NULL,
        q.app_id, q.instance_id, r.app_id, r.name)::{hub}.answer ORDER BY r.activity)
        FILTER (WHERE r.owner IS NOT NULL), '{}'),
      left_apps || coalesce(array_agg(DISTINCT r.app_id) FILTER (WHERE r.owner IS NULL), '{}')
    INTO taken, left_apps
    FROM inserted AS r JOIN {hub}.instances AS q ON q.instance = r.instance;
  END IF;
  IF cardinality(removed_activities) > 0 THEN
    DELETE FROM {hub}.activities AS r WHERE r.activity = ANY (removed_activities);
  END IF;

  -- When do the instances become due?
  FOR k, since, due IN
    SELECT c.key,
      (SELECT m.accepted_at FROM {hub}.messages AS m WHERE m.instance = (i[c.key]).instance
       ORDER BY m.message_id LIMIT 1),
      (SELECT t.due_at FROM {hub}.timers AS t WHERE t.instance = (i[c.key]).instance
       ORDER BY t.due_at LIMIT 1)
    FROM unnest(committed) AS c(key)
  LOOP
    s[k].pending_at := least((s[k]).pending_at, since, due);
  END LOOP;
  FOR k IN 1 .. n LOOP
    IF is_planned[k] THEN
      row_s := s[k];
      row_s.wake_at := CASE WHEN row_s.pending_at IS NOT NULL
        THEN greatest(row_s.pending_at, row_s.not_before) END;
      IF row_s.wake_at = 'infinity' THEN
        row_s.wake_at := NULL;
      END IF;
      s[k] := row_s;
    END IF;
  END LOOP;

  -- Claim what became due.
  IF p_room_instances > 0 AND (me.instance_total IS NOT NULL OR me.instance_names <> '{}') THEN
    quotas := {hub}.quotas('instances', me.app_id, me.instance_total, me.instance_names,
      me.instance_limits, locked, ARRAY(
        SELECT r.name FROM unnest(s) AS r JOIN {hub}.sessions AS q ON q.session = r.owner
        WHERE q.app_id = me.app_id));
    spent := array_fill(0, ARRAY[1 + cardinality(me.instance_names)])::bigint[];
    -- The longest due of what the batch did not touch; the table does not show yet what it changed.
    SELECT w.wake_at, w.instance INTO first_at, first_instance
    FROM (
      (SELECT r.wake_at, r.instance FROM {hub}.schedule AS r
       WHERE r.app_id = me.app_id AND r.owner IS NULL AND r.wake_at <= moment
         AND r.instance <> ALL (locked)
       ORDER BY r.wake_at, r.instance LIMIT 1)
      UNION ALL
      SELECT (s[q.key]).wake_at, (s[q.key]).instance FROM generate_series(1, n) AS q(key)
      WHERE NOT is_touched[q.key] AND (s[q.key]).app_id = me.app_id
        AND (s[q.key]).owner IS NULL AND (s[q.key]).wake_at <= moment) AS w
    ORDER BY w.wake_at, w.instance LIMIT 1;
  ELSE
    quotas := NULL;
  END IF;
  FOR k IN
    SELECT q.key FROM generate_series(1, n) AS q(key)
    WHERE is_touched[q.key] AND (s[q.key]).owner IS NULL AND (s[q.key]).wake_at <= moment
    ORDER BY (s[q.key]).app_id <> me.app_id, (s[q.key]).wake_at, (s[q.key]).instance
  LOOP
    IF (s[k]).app_id = me.app_id AND cardinality(claimed) < p_room_instances THEN
      IF quotas IS NOT NULL THEN
        place := 1 + array_position(me.instance_names, (s[k]).name);
        is_overtaking := (me.instance_total IS NOT NULL OR place IS NOT NULL) AND coalesce(
          ((s[k]).wake_at, (s[k]).instance) > (first_at, first_instance), false);
        IF NOT is_overtaking AND spent[1] < quotas[1]
          AND (place IS NULL OR spent[place] < quotas[place])
        THEN
          spent[1] := spent[1] + 1;
          IF place IS NOT NULL THEN
            spent[place] := spent[place] + 1;
          END IF;
        ELSE
          left_apps := left_apps || me.app_id;
          CONTINUE;
        END IF;
      END IF;
      s[k].owner := me.session;
      claimed := claimed || (s[k]).instance;
    ELSIF NOT (s[k]).app_id = ANY (left_apps) THEN
      left_apps := left_apps || (s[k]).app_id;
    END IF;
  END LOOP;

  -- Write the rows of instances.
  expected := (SELECT count(*) FROM unnest(is_new) AS q(yes) WHERE q.yes);
  IF expected > 0 THEN
    INSERT INTO {hub}.instances
    SELECT (i[q.key]).* FROM generate_series(1, n) AS q(key) WHERE is_new[q.key]
    ORDER BY (i[q.key]).app_id, (i[q.key]).instance_id
    ON CONFLICT DO NOTHING;
    GET DIAGNOSTICS written = ROW_COUNT;
    IF written < expected THEN
      RAISE EXCEPTION 'another session took an id at the same time' USING ERRCODE = '40001';
    END IF;
    INSERT INTO {hub}.schedule
    SELECT (s[q.key]).* FROM generate_series(1, n) AS q(key) WHERE is_new[q.key];
  END IF;
  UPDATE {hub}.instances AS r SET
    execution_id = q.execution_id, generation = q.generation, status = q.status,
    last_updated_at = q.last_updated_at, started_at = q.started_at, completed_at = q.completed_at,
    revision = q.revision, history_length = q.history_length, parked_reason = q.parked_reason
  FROM unnest(ARRAY(
    SELECT i[g.key] FROM generate_series(1, n) AS g(key)
    WHERE is_changed[g.key] AND NOT is_new[g.key])) AS q
  WHERE r.instance = q.instance;
  IF true = ANY (is_replaced) THEN
    UPDATE {hub}.instances AS r SET
      (name, version, execution_id, generation, status, created_at, last_updated_at, started_at,
       completed_at, scheduled_start_at, parent_app_id, parent_instance_id, parent_execution_id,
       parent_task_id, tags, revision, history_length, parked_reason)
      = (q.name, q.version, q.execution_id, q.generation, q.status, q.created_at,
         q.last_updated_at, q.started_at, q.completed_at, q.scheduled_start_at, q.parent_app_id,
         q.parent_instance_id, q.parent_execution_id, q.parent_task_id, q.tags, q.revision,
         q.history_length, q.parked_reason)
    FROM unnest(ARRAY(
      SELECT i[g.key] FROM generate_series(1, n) AS g(key) WHERE is_replaced[g.key])) AS q
    WHERE r.instance = q.instance;
  END IF;
  UPDATE {hub}.schedule AS r SET
    pending_at = q.pending_at, not_before = q.not_before, wake_at = q.wake_at, owner = q.owner,
    last_message = q.last_message, name = q.name
  FROM unnest(ARRAY(
    SELECT s[g.key] FROM generate_series(1, n) AS g(key)
    WHERE is_planned[g.key] AND NOT is_new[g.key])) AS q
  WHERE r.instance = q.instance;

  -- Tell the others what they need to know.
  IF others IS NOT NULL THEN
    IF limited_others IS NOT NULL THEN
      left_apps := left_apps || {hub}.held_back(
        CASE WHEN gave_back THEN vacated || me.app_id ELSE vacated END, limited_others, moment);
    END IF;
    FOR k IN
      SELECT q.key FROM generate_series(1, n) AS q(key)
      WHERE is_planned[q.key] AND NOT is_touched[q.key] AND (s[q.key]).owner IS NULL
        AND (s[q.key]).wake_at <= moment
    LOOP
      left_apps := left_apps || (s[k]).app_id;
    END LOOP;
    IF cardinality(freed_activities) > 0 THEN
      left_apps := left_apps || me.app_id;
    END IF;
    PERFORM {hub}.tell(me.session, 'work', q.app_id, NULL)
    FROM (SELECT DISTINCT a.app_id FROM unnest(left_apps) AS a(app_id)) AS q
    WHERE q.app_id = ANY (others);
    -- Whatever its application: others may wait for instances of ours. Nobody waits for what is new.
    PERFORM {hub}.tell(me.session, 'changed', (p_keys[q.key]).app_id, (p_keys[q.key]).instance_id)
    FROM generate_series(1, n) AS q(key)
    WHERE was[q.key] IS NOT NULL AND was[q.key] IS DISTINCT FROM (i[q.key]).status;
  END IF;

  RETURN QUERY
  SELECT 0::smallint, codes, numbers, NULL::bigint, NULL::bigint, moment, NULL::bytea, NULL::text,
    NULL::{hub}.instances, NULL::text, NULL::text, NULL::text, NULL::text;
  RETURN QUERY
  SELECT 1::smallint, NULL::smallint[], NULL::bigint[], q.op::bigint, NULL::bigint,
    NULL::timestamptz, NULL::bytea, NULL::text, q.record,
    NULL::text, NULL::text, NULL::text, NULL::text
  FROM unnest(occupants) AS q;
  RETURN QUERY SELECT * FROM unnest(taken);
  IF cardinality(claimed) > 0 THEN
    RETURN QUERY SELECT * FROM {hub}.hand_over(claimed, moment);
  END IF;
END
$function$;
