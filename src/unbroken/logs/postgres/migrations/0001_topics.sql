-- Topics, their entries, and how a batch is appended. {schema} stands for the schema's name.

CREATE TABLE {schema}.topics (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    -- bytea, as the keys: text has no NUL here, and compares as the database's locale says.
    name bytea NOT NULL UNIQUE,
    epoch text NOT NULL,
    seq bigint NOT NULL DEFAULT 0,
    tag text NOT NULL DEFAULT '',
    first_seq bigint NOT NULL DEFAULT 1,
    -- What the append that closed the topic called itself.
    closed text,
    fence bigint,
    size bigint NOT NULL DEFAULT 0,
    idle_since double precision NOT NULL DEFAULT extract(epoch FROM clock_timestamp())
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);

CREATE TABLE {schema}.entries (
    topic bigint NOT NULL,
    seq bigint NOT NULL,
    tag text NOT NULL,
    previous text NOT NULL,
    appended_at double precision NOT NULL,
    payload bytea NOT NULL,
    PRIMARY KEY (topic, seq)
) WITH (autovacuum_vacuum_scale_factor = 0.05);

CREATE TABLE {schema}.keys (
    topic bigint NOT NULL,
    key bytea NOT NULL,
    used_at double precision NOT NULL,
    first_seq bigint NOT NULL,
    seq bigint NOT NULL,
    tag text NOT NULL,
    PRIMARY KEY (topic, key)
);
CREATE INDEX keys_by_age ON {schema}.keys (topic, used_at);

-- The number of the newest call of each writer: one that comes late, after its repetition, does nothing.
-- Unlogged: a crash of the server ends the calls that were under way, too.
CREATE UNLOGGED TABLE {schema}.writers (
    id text PRIMARY KEY,
    call bigint NOT NULL,
    called_at timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);

-- Says which call of a writer was the last that was made, if this one is to be made; null, if it is not. 0 is for a
-- writer that is not known, or not known any more. Calls of one writer wait for each other here.
CREATE FUNCTION {schema}.admit(_writer text, _call bigint) RETURNS bigint LANGUAGE plpgsql AS $function$
DECLARE
    _last bigint;
BEGIN
    INSERT INTO {schema}.writers (id, call) VALUES (_writer, 0) ON CONFLICT (id) DO NOTHING;
    SELECT call INTO _last FROM {schema}.writers WHERE id = _writer FOR UPDATE;
    IF _last >= _call THEN
        RETURN NULL;
    END IF;
    UPDATE {schema}.writers SET call = _call, called_at = now() WHERE id = _writer;
    RETURN _last;
END
$function$;

-- Forgets writers that are long gone.
CREATE FUNCTION {schema}.forget_writers() RETURNS void LANGUAGE sql AS $function$
    DELETE FROM {schema}.writers WHERE called_at < now() - interval '1 day'
$function$;

-- Makes a topic, if there is none of that name. Who else is about to make it is waited for, or with no _wait is not:
-- then the answer is false, and the topic may not be there. To insert alone would wait for him without a word.
CREATE FUNCTION {schema}.make(_name bytea, _epoch text, _wait boolean) RETURNS boolean LANGUAGE plpgsql AS $function$
DECLARE
    _lock bigint := hashtextextended('unbroken.{schema}.' || encode(_name, 'hex'), 0);
BEGIN
    IF _wait THEN
        PERFORM pg_advisory_xact_lock(_lock);
    ELSIF NOT pg_try_advisory_xact_lock(_lock) THEN
        RETURN false;
    END IF;
    INSERT INTO {schema}.topics (name, epoch) VALUES (_name, _epoch) ON CONFLICT (name) DO NOTHING;
    RETURN true;
END
$function$;

-- Appends batches to topics, and answers what became of each: appended, duplicate, closed, fenced, unknown, or held:
-- somebody's transaction has the topic. With _patience, in milliseconds, that is waited for instead.
-- Topics are in _names; _batches says how many batches each has, and _counts how many entries each batch has.
-- _closers are what the batches that close call themselves; null for others.
-- _since: an earlier call may have been made in these last seconds, and is looked for.
-- The order of commits is the order of seq, for the topic's row is locked until the transaction ends.
CREATE FUNCTION {schema}.append(
    _names bytea[], _epochs text[], _marks text[], _batches int[],
    _keys bytea[], _fences bigint[], _closers text[], _counts int[],
    _tags text[], _payloads bytea[],
    _channel text, _patience int, _since double precision
) RETURNS TABLE (
    outcome text, epoch text, first_seq bigint, seq bigint, tag text, previous text, fence bigint, appended_at double precision
) LANGUAGE plpgsql AS $function$
#variable_conflict use_column
DECLARE
    _topic {schema}.topics%ROWTYPE;
    _use {schema}.keys%ROWTYPE;
    _there jsonb;  -- of the entries of an earlier call: seq, previous and time, by tag
    _is_all boolean;  -- nothing can have been appended and be gone since that call
    _newest bigint;
    _size bigint;
    _first int;  -- entry of a batch
    _last int;
    _batch int := 0;  -- the last batch of the topics before
    _base int := 0;  -- the last entry of the batches before
    _now double precision;
    _woken text := '';
    _lock_timeout text := current_setting('lock_timeout');
BEGIN
    -- The transaction may be an application's: a stricter bound of its own stays.
    IF _patience IS NOT NULL AND (_lock_timeout = '0' OR _lock_timeout::interval > _patience * interval '1 ms') THEN
        PERFORM set_config('lock_timeout', _patience || 'ms', true);
    END IF;
    FOR _t IN 1 .. cardinality(_names) LOOP
        LOOP  -- it may be made by another in between, or forgotten
            IF _patience IS NOT NULL THEN
                SELECT * INTO _topic FROM {schema}.topics WHERE name = _names[_t] FOR UPDATE;
            ELSE
                SELECT * INTO _topic FROM {schema}.topics WHERE name = _names[_t] FOR UPDATE SKIP LOCKED;
            END IF;
            EXIT WHEN FOUND OR _patience IS NULL AND EXISTS (SELECT FROM {schema}.topics WHERE name = _names[_t]);
            EXIT WHEN NOT {schema}.make(_names[_t], _epochs[_t], _patience IS NOT NULL);
        END LOOP;
        _now := extract(epoch FROM clock_timestamp());

        IF _since IS NOT NULL AND _topic.id IS NOT NULL THEN
            -- There is no index by tag, and the row is held: so it looks at the newest only.
            _newest := greatest(_topic.first_seq, _topic.seq - 4999);
            _last := _base + (SELECT sum(count) FROM unnest(_counts[_batch + 1 : _batch + _batches[_t]]) AS count);
            SELECT coalesce(jsonb_object_agg(e.tag, jsonb_build_array(e.seq, e.previous, e.appended_at)), '{}') INTO _there
                FROM {schema}.entries AS e
                JOIN unnest(_tags[_base + 1 : _last], _payloads[_base + 1 : _last]) AS given(tag, payload)
                    ON e.tag = given.tag AND e.payload = given.payload
                WHERE e.topic = _topic.id AND e.seq >= _newest;
            _is_all := _newest = 1 OR EXISTS (
                SELECT FROM {schema}.entries AS e WHERE e.topic = _topic.id AND e.seq = _newest AND e.appended_at < _now - _since
            );
        END IF;

        FOR _b IN _batch + 1 .. _batch + _batches[_t] LOOP
            epoch := _topic.epoch;
            first_seq := NULL; seq := NULL; tag := NULL; previous := NULL; fence := _topic.fence; appended_at := _now;
            _first := _base + 1; _last := _base + _counts[_b];
            IF _topic.id IS NULL THEN
                outcome := 'held';
            ELSE
                outcome := NULL;
                IF _since IS NOT NULL AND (_there ? _tags[_last] AND _counts[_b] > 0 OR _topic.closed = _closers[_b]) THEN
                    outcome := 'appended';
                    seq := coalesce((_there -> _tags[_last] ->> 0)::bigint, _topic.seq);
                    first_seq := seq - _counts[_b] + 1;
                    tag := CASE WHEN _counts[_b] > 0 THEN _tags[_last] ELSE _topic.tag END;
                    previous := coalesce(_there -> _tags[_first] ->> 1, '');  -- trimmed already
                    appended_at := coalesce((_there -> _tags[_last] ->> 2)::double precision, _now);
                END IF;
                IF outcome IS NULL AND _keys[_b] IS NOT NULL THEN
                    SELECT * INTO _use FROM {schema}.keys WHERE topic = _topic.id AND key = _keys[_b];
                    IF FOUND THEN
                        outcome := 'duplicate'; first_seq := _use.first_seq; seq := _use.seq; tag := _use.tag;
                    END IF;
                END IF;
                IF outcome IS NOT NULL THEN
                    NULL;
                ELSIF _since IS NOT NULL AND NOT _is_all AND _keys[_b] IS NULL AND _counts[_b] > 0 THEN
                    outcome := 'unknown';
                ELSIF _topic.closed IS NOT NULL THEN
                    outcome := 'closed';
                ELSIF _fences[_b] < _topic.fence THEN
                    outcome := 'fenced';
                ELSE
                    outcome := 'appended'; previous := _topic.tag; first_seq := _topic.seq + 1;
                    IF _counts[_b] > 0 THEN
                        WITH made AS (
                            INSERT INTO {schema}.entries (topic, seq, tag, previous, appended_at, payload)
                            SELECT _topic.id, _topic.seq + i, given.tag,
                                lag(given.tag, 1, _topic.tag) OVER (ORDER BY i), _now, given.payload
                            FROM unnest(_tags[_first : _last], _payloads[_first : _last])
                                WITH ORDINALITY AS given(tag, payload, i)
                            RETURNING payload
                        ) SELECT sum(octet_length(payload)) INTO _size FROM made;
                        _topic.seq := _topic.seq + _counts[_b];
                        _topic.tag := _tags[_last];
                        _topic.size := _topic.size + _size;
                    END IF;
                    seq := _topic.seq; tag := _topic.tag;
                    _topic.closed := _closers[_b];
                    _topic.fence := coalesce(_fences[_b], _topic.fence);
                    _topic.idle_since := _now;
                    IF _keys[_b] IS NOT NULL THEN
                        INSERT INTO {schema}.keys (topic, key, used_at, first_seq, seq, tag)
                            VALUES (_topic.id, _keys[_b], _now, first_seq, seq, tag);
                    END IF;
                END IF;
            END IF;
            _base := _last;
            RETURN NEXT;
        END LOOP;

        _batch := _batch + _batches[_t];
        IF _topic.idle_since = _now THEN
            UPDATE {schema}.topics SET seq = _topic.seq, tag = _topic.tag, closed = _topic.closed, fence = _topic.fence,
                size = _topic.size, idle_since = _now WHERE id = _topic.id;
            _woken := _woken || _marks[_t] || '.' || _topic.epoch || '.' || _topic.seq || CASE WHEN _topic.closed IS NULL THEN ' ' ELSE 'c ' END;
        END IF;
    END LOOP;
    -- One for all: each takes a lock of the whole server's at the commit. It is a hint: where it would be too long, it
    -- names nothing, and all is looked at.
    IF _woken <> '' AND _channel IS NOT NULL THEN
        PERFORM pg_notify(_channel, CASE WHEN length(_woken) < 7900 THEN _woken ELSE '' END);
    END IF;
    PERFORM set_config('lock_timeout', _lock_timeout, true);
END
$function$;

-- As append, for one writer of a log: a call whose repetition was made does nothing, and answers nothing. Without _wait
-- it waits for no topic; but where the call before may have been made, for that has to be known.
CREATE FUNCTION {schema}.append_once(
    _writer text, _call bigint, _patience int, _commit text,
    _names bytea[], _epochs text[], _marks text[], _batches int[],
    _keys bytea[], _fences bigint[], _closers text[], _counts int[],
    _tags text[], _payloads bytea[],
    _channel text, _wait boolean, _since double precision
) RETURNS TABLE (
    outcome text, epoch text, first_seq bigint, seq bigint, tag text, previous text, fence bigint, appended_at double precision
) LANGUAGE plpgsql AS $function$
DECLARE
    _last bigint;
    _is_open boolean;
BEGIN
    PERFORM set_config('lock_timeout', _patience || 'ms', true);
    IF _commit IS NOT NULL THEN
        PERFORM set_config('synchronous_commit', _commit, true);
    END IF;
    _last := {schema}.admit(_writer, _call);
    IF _last IS NOT NULL THEN
        -- 0: of a writer that is not known any more, for the server has crashed.
        _is_open := _since IS NOT NULL AND _last IN (0, _call - 1);
        RETURN QUERY SELECT * FROM {schema}.append(
            _names, _epochs, _marks, _batches, _keys, _fences, _closers, _counts, _tags, _payloads, _channel,
            CASE WHEN _wait OR _is_open THEN _patience END, CASE WHEN _is_open THEN _since END
        );
    END IF;
END
$function$;

-- Drops up to _most of what is over the bounds, entries and keys each, the oldest first, and the topic when it was
-- empty for long. "more" says that another step is needed; "held", that somebody's transaction has the topic.
CREATE FUNCTION {schema}.trim(
    _name bytea, _most int, _max_events bigint, _max_age double precision, _max_bytes bigint,
    _key_age double precision, _forget_after double precision,
    OUT gone bigint, OUT more boolean, OUT forgotten boolean, OUT held boolean
) LANGUAGE plpgsql AS $function$
#variable_conflict use_column
DECLARE
    _topic {schema}.topics%ROWTYPE;
    _now double precision;
    _kept bigint;
    _freed bigint;
    _keys bigint;
BEGIN
    gone := 0; more := false; forgotten := false; held := false;
    SELECT * INTO _topic FROM {schema}.topics WHERE name = _name;
    _now := extract(epoch FROM clock_timestamp());
    _kept := _topic.seq - _topic.first_seq + 1;
    -- Most often there is nothing to do, and then no lock is to be written.
    IF NOT FOUND OR NOT (
        _kept > _max_events IS TRUE
        OR (_kept > 1 AND _topic.size > _max_bytes) IS TRUE
        OR (_kept = 0 AND _topic.idle_since < _now - _forget_after) IS TRUE
        OR EXISTS (
            SELECT FROM {schema}.entries
            WHERE topic = _topic.id AND seq = _topic.first_seq AND appended_at < _now - _max_age
        )
        OR EXISTS (SELECT FROM {schema}.keys WHERE topic = _topic.id AND used_at < _now - _key_age)
    ) THEN
        RETURN;
    END IF;
    SELECT * INTO _topic FROM {schema}.topics WHERE name = _name FOR UPDATE SKIP LOCKED;
    IF NOT FOUND THEN
        held := EXISTS (SELECT FROM {schema}.topics WHERE name = _name);
        RETURN;
    END IF;
    _now := extract(epoch FROM clock_timestamp());
    _kept := _topic.seq - _topic.first_seq + 1;

    SELECT count(*), coalesce(sum(length), 0) INTO gone, _freed FROM (
        SELECT length, bool_and(
            _kept - before > _max_events IS TRUE
            OR appended_at < _now - _max_age IS TRUE
            OR (_kept - before > 1 AND _topic.size - bytes_before > _max_bytes) IS TRUE
        ) OVER (ORDER BY seq) AS goes
        FROM (
            SELECT seq, appended_at, length, row_number() OVER (ORDER BY seq) - 1 AS before,
                sum(length) OVER (ORDER BY seq) - length AS bytes_before
            FROM (
                SELECT seq, appended_at, octet_length(payload) AS length FROM {schema}.entries
                WHERE topic = _topic.id AND seq >= _topic.first_seq ORDER BY seq LIMIT _most
            ) AS oldest
        ) AS counted
    ) AS judged WHERE goes;
    IF gone > 0 THEN
        DELETE FROM {schema}.entries WHERE topic = _topic.id AND seq < _topic.first_seq + gone;
        IF gone = _kept THEN
            _topic.idle_since := _now;
        END IF;
        UPDATE {schema}.topics SET first_seq = first_seq + gone, size = size - _freed, idle_since = _topic.idle_since
            WHERE id = _topic.id;
    END IF;

    DELETE FROM {schema}.keys WHERE topic = _topic.id AND key IN (
        SELECT key FROM {schema}.keys WHERE topic = _topic.id AND used_at < _now - _key_age ORDER BY used_at LIMIT _most
    );
    GET DIAGNOSTICS _keys = ROW_COUNT;
    more := gone = _most OR _keys = _most;

    IF NOT more AND gone = _kept AND _topic.idle_since < _now - _forget_after
        AND NOT EXISTS (SELECT FROM {schema}.keys WHERE topic = _topic.id)
    THEN
        DELETE FROM {schema}.topics WHERE id = _topic.id;
        forgotten := true;
    END IF;
END
$function$;
