-- For people and their SQL only: the task hub itself never looks into payloads. They are protobuf, and
-- these functions read as much of its wire format as the views show.

-- A text as it can be shown: NUL, which no text in Postgres can hold, becomes the picture of it.
CREATE FUNCTION {hub}.shown(stored text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $function$
  SELECT CASE WHEN position(E'\x01' IN stored) = 0 THEN stored
    ELSE replace(replace(stored, E'\x010', E'\u2400'), E'\x011', E'\x01') END
$function$;

CREATE FUNCTION {hub}.shown(utf8 bytea) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $function$
  SELECT CASE WHEN position('\x00'::bytea IN utf8) = 0 THEN convert_from(utf8, 'UTF8')
    ELSE convert_from(decode(replace(replace(
      regexp_replace(encode(utf8, 'hex'), '(..)', '\1 ', 'g'), '00 ', 'e29080'), ' ', ''),
      'hex'), 'UTF8') END
$function$;

-- The fields of a message in their order: varints and fixed numbers as `number`, the rest as `content`.
CREATE FUNCTION {hub}.fields_of(message bytea)
RETURNS TABLE (field integer, number bigint, content bytea)
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $function$
DECLARE
  at integer := 0;
  size integer := octet_length(message);
  tag bigint;
  value numeric;
  factor numeric;
  octet integer;
  is_tag boolean := true;
BEGIN
  WHILE at < size LOOP
    value := 0;
    factor := 1;
    LOOP
      octet := get_byte(message, at);
      at := at + 1;
      value := value + (octet & 127) * factor;
      EXIT WHEN octet < 128;
      factor := factor * 128;
    END LOOP;
    IF is_tag THEN
      tag := value;
      field := tag >> 3;
      IF tag & 7 = 5 THEN
        at := at + 4;
      ELSIF tag & 7 = 1 THEN
        at := at + 8;
      ELSE
        is_tag := false;
      END IF;
      CONTINUE;
    END IF;
    is_tag := true;
    IF tag & 7 = 2 THEN
      number := NULL;
      content := substring(message FROM at + 1 FOR value::integer);
      at := at + value::integer;
    ELSE
      -- Negative numbers are stored as those of 64 bits without sign.
      number := CASE WHEN value >= 9223372036854775808 THEN value - 18446744073709551616 ELSE value END;
      content := NULL;
    END IF;
    RETURN NEXT;
  END LOOP;
END
$function$;

-- The last of a message's fields with a number, as protobuf wants it.
CREATE FUNCTION {hub}.content_of(message bytea, wanted integer) RETURNS bytea
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $function$
  SELECT f.content FROM {hub}.fields_of(message) WITH ORDINALITY AS f(field, number, content, place)
  WHERE f.field = wanted ORDER BY f.place DESC LIMIT 1
$function$;

CREATE FUNCTION {hub}.number_of(message bytea, wanted integer) RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $function$
  SELECT f.number FROM {hub}.fields_of(message) WITH ORDINALITY AS f(field, number, content, place)
  WHERE f.field = wanted ORDER BY f.place DESC LIMIT 1
$function$;

-- A field that is a StringValue: absent or a text, which may be empty.
CREATE FUNCTION {hub}.wrapped_text_of(message bytea, wanted integer) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $function$
  SELECT {hub}.shown(coalesce({hub}.content_of(w.content, 1), ''))
  FROM (SELECT {hub}.content_of(message, wanted)) AS w(content) WHERE w.content IS NOT NULL
$function$;

CREATE FUNCTION {hub}.status_name(status smallint) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $function$
  SELECT (ARRAY['RUNNING', 'COMPLETED', 'CONTINUED_AS_NEW', 'FAILED', 'CANCELED', 'TERMINATED',
    'PENDING', 'SUSPENDED', 'STALLED'])[status + 1]
$function$;

-- The types of history events, by the number of their field, with the numbers of the fields shown.
CREATE FUNCTION {hub}.event_types()
RETURNS TABLE (
  field integer, type text, name integer, input integer, result integer, failure integer,
  task integer, child integer)
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $function$
  VALUES
    (3, 'ExecutionStarted', 1, 3, NULL::integer, NULL::integer, NULL::integer, NULL::integer),
    (4, 'ExecutionCompleted', NULL, NULL, 2, 3, NULL, NULL),
    (5, 'ExecutionTerminated', NULL, 1, NULL, NULL, NULL, NULL),
    (6, 'TaskScheduled', 1, 3, NULL, NULL, NULL, NULL),
    (7, 'TaskCompleted', NULL, NULL, 2, NULL, 1, NULL),
    (8, 'TaskFailed', NULL, NULL, NULL, 2, 1, NULL),
    (9, 'ChildWorkflowInstanceCreated', 2, 4, NULL, NULL, NULL, 1),
    (10, 'ChildWorkflowInstanceCompleted', NULL, NULL, 2, NULL, 1, NULL),
    (11, 'ChildWorkflowInstanceFailed', NULL, NULL, NULL, 2, 1, NULL),
    (12, 'TimerCreated', 2, NULL, NULL, NULL, NULL, NULL),
    (13, 'TimerFired', NULL, NULL, NULL, NULL, 2, NULL),
    (14, 'WorkflowStarted', NULL, NULL, NULL, NULL, NULL, NULL),
    (15, 'WorkflowCompleted', NULL, NULL, NULL, NULL, NULL, NULL),
    (16, 'EventSent', 2, 3, NULL, NULL, NULL, 1),
    (17, 'EventRaised', 1, 2, NULL, NULL, NULL, NULL),
    (20, 'ContinueAsNew', NULL, 1, NULL, NULL, NULL, NULL),
    (21, 'ExecutionSuspended', NULL, 1, NULL, NULL, NULL, NULL),
    (22, 'ExecutionResumed', NULL, 1, NULL, NULL, NULL, NULL),
    (31, 'ExecutionStalled', 2, NULL, NULL, NULL, NULL, NULL),
    (32, 'DetachedWorkflowInstanceCreated', NULL, NULL, NULL, NULL, NULL, 1)
$function$;

CREATE FUNCTION {hub}.read_event(
  event bytea,
  OUT event_id bigint, OUT happened_at timestamptz, OUT type text, OUT name text, OUT task_id bigint,
  OUT other_instance_id text, OUT input text, OUT result text,
  OUT failure_type text, OUT failure_message text)
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $function$
DECLARE
  part record;
  kind record;
  failure bytea;
BEGIN
  event_id := 0;
  FOR part IN SELECT * FROM {hub}.fields_of(event) LOOP
    IF part.field = 1 THEN
      event_id := part.number;
    ELSIF part.field = 2 THEN
      happened_at := to_timestamp(coalesce({hub}.number_of(part.content, 1), 0))
        + coalesce({hub}.number_of(part.content, 2), 0) / 1000 * interval '1 microsecond';
    ELSIF part.field <> 30 THEN
      SELECT * INTO kind FROM {hub}.event_types() AS t WHERE t.field = part.field;
      type := coalesce(kind.type, 'event type ' || part.field);
      name := {hub}.shown({hub}.content_of(part.content, kind.name));
      -- A number of 0 is left out of the bytes.
      task_id := CASE WHEN kind.task IS NOT NULL
        THEN coalesce({hub}.number_of(part.content, kind.task), 0) END;
      other_instance_id := {hub}.shown({hub}.content_of(part.content, kind.child));
      input := {hub}.wrapped_text_of(part.content, kind.input);
      result := {hub}.wrapped_text_of(part.content, kind.result);
      failure := {hub}.content_of(part.content, kind.failure);
      failure_type := {hub}.shown({hub}.content_of(failure, 1));
      failure_message := {hub}.shown({hub}.content_of(failure, 2));
    END IF;
  END LOOP;
END
$function$;
