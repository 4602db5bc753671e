-- Takes out of messages what people said and who they are; that they were sent, and what became of them,
-- stays. Answers with the SHA-256 of the files that nobody names any more. Order of locks: message, then what
-- belongs to it.
CREATE FUNCTION postback.strip(ids uuid[]) RETURNS TABLE (sha256 bytea)
LANGUAGE plpgsql
SET lock_timeout = '2s' SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $$
#variable_conflict use_column
DECLARE
    files uuid[];
    told record;
BEGIN
    PERFORM FROM postback.message m WHERE m.id = ANY (ids) ORDER BY m.id FOR UPDATE;
    -- A reference under the number of its recipient goes; and of a message that only its carrier knows all go,
    -- or the next report would bring the number back.
    DELETE FROM postback.reference r USING postback.message m
    WHERE r.message_id = ANY (ids) AND m.id = r.message_id AND m.id = ANY (ids)
        AND (r.recipient <> '' OR m.origin = 'external');
    DELETE FROM postback.payload p WHERE p.id = ANY (ARRAY(
        SELECT e.payload_id FROM postback.event e WHERE e.message_id = ANY (ids) AND e.payload_id IS NOT NULL
        UNION
        SELECT x.id FROM postback.payload x WHERE x.retold AND x.message_ids && ids));
    UPDATE postback.event e SET provider_message = NULL
    WHERE e.message_id = ANY (ids) AND e.provider_message IS NOT NULL;
    UPDATE postback.attention a SET error_message = NULL
    WHERE a.message_id = ANY (ids) AND a.error_message IS NOT NULL;
    INSERT INTO postback.message_body AS b (message_id, options, metadata_, participants, redacted_at)
    SELECT m.id, '{}', '{}', '{}', clock_timestamp() FROM postback.message m WHERE m.id = ANY (ids)
    ON CONFLICT (message_id) DO UPDATE SET text = NULL, subject = NULL, fallback_text = NULL, slides = NULL, options = '{}',
        metadata_ = '{}', participants = '{}', redacted_at = coalesce(b.redacted_at, excluded.redacted_at);
    WITH gone AS (DELETE FROM postback.media f WHERE f.message_id = ANY (ids) RETURNING f.id)
    SELECT array_agg(g.id) INTO files FROM gone g;
    -- What still has to be posted is made anew, of what is left. Nobody can write it down as it was once this
    -- is noted.
    SELECT array_agg(e.id) AS ids, array_agg(e.seq) AS numbers INTO told
    FROM postback.event e WHERE e.message_id = ANY (ids);
    PERFORM postback.note_redaction(coalesce(told.ids, '{}'));
    UPDATE postback.delivery d SET body = NULL, attempts = postback.without_answers(d.attempts)
    WHERE d.id = ANY (postback.deliveries_of(told.numbers));
    RETURN QUERY
    WITH gone AS (
        DELETE FROM postback.file f
        WHERE f.id = ANY (files) AND NOT EXISTS (SELECT FROM postback.media m WHERE m.id = f.id)
        RETURNING f.id, f.sha256
    )
    SELECT DISTINCT g.sha256 FROM gone g
    WHERE NOT EXISTS (
        SELECT FROM postback.file f
        WHERE f.sha256 = g.sha256 AND f.id NOT IN (SELECT x.id FROM gone x));
END $$;

-- One message, its contact masked. NULL where it still waits to be sent: its number is needed for that.
CREATE FUNCTION postback.redact(the_message uuid, masked text) RETURNS bytea[]
LANGUAGE plpgsql SET lock_timeout = '2s' AS $$
DECLARE
    files bytea[];
BEGIN
    PERFORM FROM postback.message m WHERE m.id = the_message FOR UPDATE;
    DELETE FROM postback.outbox o WHERE o.id = the_message AND o.state = 'uncertain';
    IF EXISTS (SELECT FROM postback.outbox o WHERE o.id = the_message) THEN
        RETURN NULL;
    END IF;
    files := ARRAY(SELECT s.sha256 FROM postback.strip(ARRAY[the_message]) s);
    -- no index leads from a message to its calls; they were made within days of it
    DELETE FROM postback.submission s
    WHERE s.message_id = the_message AND s.recipient <> '' AND s.id >= the_message
        AND s.id < rpad(lpad(to_hex(('x' || left(replace(the_message::text, '-', ''), 12))::bit(48)::bigint
                                    + 4 * 86400000), 12, '0'), 32, '0')::uuid;
    UPDATE postback.message m SET contact = masked WHERE m.id = the_message;
    RETURN files;
END $$;

-- Up to `most` messages from or to a number that nothing was taken out of yet.
CREATE FUNCTION postback.messages_of(the_number text, most integer) RETURNS uuid[]
LANGUAGE sql SET jit = off AS $$
    SELECT array_agg(m.id) FROM (
        SELECT m.id FROM postback.message m WHERE m.contact = the_number
        UNION ALL
        SELECT m.id FROM postback.message m WHERE m.our_number = the_number
        LIMIT most
    ) m
$$;
