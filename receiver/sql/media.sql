-- The files of inbound messages, which lie with their carriers until they are fetched.

-- Up to `most` files that have been due for `patience`, for the caller to fetch; another caller gets them only
-- after `lease`. Channels take turns: the next file is of the channel of which the caller fetches fewest, counting
-- those that it gets here. `at_work` are the numbers of files that it fetches already, of `channels`; of one
-- channel it fetches `of_channel` at most. The last `reserved` of `most` go to channels of which it fetches none.
CREATE FUNCTION postback.claim_media(
    most integer, of_channel integer, reserved integer, channels text[], at_work integer[],
    patience interval, lease interval)
RETURNS TABLE (
    message_id uuid, "position" integer, id uuid, url varchar, content_type varchar, attempts integer,
    channel varchar, provider varchar, contact varchar, received_at timestamptz)
LANGUAGE plpgsql SET lock_timeout = '500ms' SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $$
#variable_conflict use_column
DECLARE
    due_at timestamptz := clock_timestamp() - patience;
BEGIN
    -- what the version before has stored
    WITH stored AS (
        SELECT f.message_id, f.position FROM postback.media f WHERE f.state = 'pending' AND f.channel IS NULL
        ORDER BY f.channel, f.next_at LIMIT 500 FOR UPDATE SKIP LOCKED
    )
    UPDATE postback.media f SET channel = (SELECT m.channel FROM postback.message m WHERE m.id = f.message_id)
    FROM stored WHERE f.message_id = stored.message_id AND f.position = stored.position
        AND f.message_id = ANY (ARRAY(SELECT s.message_id FROM stored s));
    RETURN QUERY
    WITH RECURSIVE pending (channel) AS (
        -- each channel once, however many files wait
        (SELECT f.channel FROM postback.media f WHERE f.state = 'pending' AND f.channel IS NOT NULL
         ORDER BY f.channel LIMIT 1)
        UNION ALL
        SELECT (SELECT f.channel FROM postback.media f WHERE f.state = 'pending' AND f.channel > p.channel
                ORDER BY f.channel LIMIT 1)
        FROM pending p WHERE p.channel IS NOT NULL
    ), in_turn AS (
        SELECT f.message_id, f.position, f.next_at,
            coalesce(w.number, 0) + row_number() OVER (PARTITION BY p.channel ORDER BY f.next_at) AS turn
        FROM pending p
        LEFT JOIN unnest(channels, at_work) AS w (channel, number) ON w.channel = p.channel
        CROSS JOIN LATERAL (
            -- Said as a stretch of the index on both: "the first of a channel" would be looked for in the
            -- index on next_at, past all that wait for others.
            SELECT f.message_id, f.position, f.next_at FROM postback.media f
            WHERE f.state = 'pending' AND (f.channel, f.next_at) >= (p.channel, '-infinity')
                AND (f.channel, f.next_at) <= (p.channel, due_at)
            ORDER BY f.channel, f.next_at LIMIT of_channel FOR UPDATE SKIP LOCKED
        ) f
    ), ranked AS (
        SELECT t.message_id, t.position, t.turn, row_number() OVER (ORDER BY t.turn, t.next_at) AS place
        FROM in_turn t WHERE t.turn <= of_channel
    ), due AS (
        SELECT r.message_id, r.position FROM ranked r
        WHERE r.place <= CASE WHEN r.turn = 1 THEN most ELSE most - reserved END
    ), claimed AS (
        UPDATE postback.media f SET attempts = f.attempts + 1, next_at = clock_timestamp() + lease
        FROM due WHERE f.message_id = due.message_id AND f.position = due.position
            AND f.message_id = ANY (ARRAY(SELECT d.message_id FROM due d))
        RETURNING f.*
    )
    SELECT c.message_id, c.position, c.id, c.url, c.content_type, c.attempts,
        m.channel, m.provider, m.contact, coalesce(e.received_at, clock_timestamp())
    FROM claimed c
    CROSS JOIN LATERAL (SELECT * FROM postback.message m WHERE m.id = c.message_id OFFSET 0) m
    LEFT JOIN LATERAL (
        SELECT e.received_at FROM postback.event e
        WHERE e.message_id = c.message_id AND e.type = 'message.received' AND NOT e.superseded
        ORDER BY e.seq LIMIT 1
    ) e ON true
    ORDER BY c.message_id, c.position;
END $$;

-- What became of files that were claimed, and the events that tell of it (one per file that is settled, with
-- its position as its part). A text part becomes text here, and what it asks is heeded as if it had stood in
-- the message from the first. Answers with the ids of the files that this decided: one that was claimed again,
-- or whose message was redacted meanwhile, is not among them.
-- Order of locks: message, outbox, opt-out, feed head.
CREATE FUNCTION postback.settle_media(fetched postback.fetched_in[], events postback.event_in[]) RETURNS uuid[]
LANGUAGE plpgsql SET lock_timeout = '500ms' SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $$
DECLARE
    messages uuid[];
    file postback.fetched_in;
    before text;
    decided uuid;
    settled uuid[] := '{}';
    told postback.event_in[] := '{}';
    consents postback.consent_in[];
    heard record;
    targets uuid[];
BEGIN
    messages := ARRAY(SELECT f.message_id FROM unnest(fetched) f);
    messages := ARRAY(SELECT m.id FROM postback.message m WHERE m.id = ANY (messages) ORDER BY m.id FOR NO KEY UPDATE);
    FOR file IN SELECT * FROM unnest(fetched) f WHERE f.message_id = ANY (messages) LOOP
        before := postback.said_in_parts(file.message_id);
        UPDATE postback.media f SET
            state = file.state, reason = file.reason, text = file.text,
            next_at = CASE WHEN file.state = 'pending' THEN clock_timestamp() + file.again_in END,
            url = coalesce(file.url, f.url), content_type = coalesce(file.content_type, f.content_type),
            size = coalesce(file.size, f.size)
        WHERE f.message_id = file.message_id AND f.position = file.position
            AND f.state = 'pending' AND f.attempts = file.attempts
        RETURNING f.id INTO decided;
        CONTINUE WHEN decided IS NULL;
        settled := settled || decided;
        told := told || ARRAY(
            SELECT e FROM unnest(events) e WHERE e.message_id = file.message_id AND e.part = file.position);
        IF file.sha256 IS NOT NULL THEN
            INSERT INTO postback.file (id, sha256, size, content_type, name, created_at)
            VALUES (decided, file.sha256, file.size, file.content_type, file.name, clock_timestamp());
        ELSIF file.state = 'dropped' THEN
            DELETE FROM postback.media f WHERE f.message_id = file.message_id AND f.position = file.position;
        ELSIF file.state = 'text' THEN
            PERFORM postback.say(file.message_id, before, file.marks);
            consents := consents || postback.consent_of(file);
        END IF;
    END LOOP;
    targets := ARRAY(SELECT e.message_id FROM unnest(told) WITH ORDINALITY e ORDER BY e.ordinality);
    IF consents IS NOT NULL THEN
        SELECT * INTO heard FROM postback.heed(consents);
        told := told || heard.events;
        targets := targets || heard.targets;
    END IF;
    PERFORM postback.append(told, targets, NULL);
    RETURN settled;
END $$;

-- What the text parts of a message say, in their order; NULL for nothing.
CREATE FUNCTION postback.said_in_parts(the_message uuid) RETURNS text
LANGUAGE sql STABLE AS $$
    SELECT string_agg(f.text, E'\n' ORDER BY f.position) FROM postback.media f
    WHERE f.message_id = the_message AND f.text <> ''
$$;

-- The text of a message anew: what came as such, and under it what its parts say now, who said `before` so far.
CREATE FUNCTION postback.say(the_message uuid, before text, marks jsonb) RETURNS void
LANGUAGE sql AS $$
    UPDATE postback.message_body b SET
        text = nullif(concat_ws(
            E'\n',
            nullif(left(b.text, greatest(length(b.text) - coalesce(length(before) + 1, 0), 0)), ''),
            postback.said_in_parts(the_message)), ''),
        metadata_ = coalesce(marks, '{}') || b.metadata_
    WHERE b.message_id = the_message
$$;

-- What the words of a text part ask, of the number that its message was written to.
CREATE FUNCTION postback.consent_of(file postback.fetched_in) RETURNS postback.consent_in[]
LANGUAGE plpgsql STABLE AS $$
DECLARE
    said postback.consent_in := file.consent;
BEGIN
    IF said.id IS NULL THEN
        RETURN NULL;
    END IF;
    said.our_number := (
        SELECT coalesce(m.our_number, 'channel:' || m.channel) FROM postback.message m WHERE m.id = file.message_id);
    RETURN ARRAY[said];
END $$;
