-- Makes the commit of this transaction wait for the disk, wherever the database or the role says that it need
-- not: somebody is told after it that his words are stored.
CREATE FUNCTION postback.durably() RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    IF current_setting('synchronous_commit') = 'off' THEN
        PERFORM set_config('synchronous_commit', 'on', true);
    END IF;
END $$;

-- Appends events to the timelines of `targets` (one per event, NULL: skip it), folds them, numbers them.
-- The caller holds the lock of every target's row, so nobody else appends to these messages meanwhile, and
-- this statement's snapshot holds all that anybody ever appended to them.
-- `found_by` tells by which way each report found its message, as a bit.
-- Answers with the ids of the events that are new.
CREATE FUNCTION postback.append(events postback.event_in[], targets uuid[], found_by integer[]) RETURNS uuid[]
LANGUAGE plpgsql
SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_nestloop = off AS $$
DECLARE
    news uuid[];
    troubled uuid[];
BEGIN
    WITH incoming AS (
        -- the same report twice in one batch is one report
        SELECT DISTINCT ON (target, e.key) e.*, targets[e.ordinality] AS target,
            e.bits | CASE WHEN e.source = 'report' AND NOT e.inbound THEN coalesce(found_by[e.ordinality], 0)
                          ELSE 0 END AS marked
        FROM unnest(events) WITH ORDINALITY AS e
        WHERE targets[e.ordinality] IS NOT NULL
        ORDER BY target, e.key, e.ordinality
    ), fresh AS (
        SELECT i.*,
            m.version + row_number() OVER arrival AS version,
            -- status bits stand above all flags: a higher number is a higher rung
            i.status IS NOT NULL AND i.bits & ~255 > greatest(m.seen, max(i.bits) OVER earlier) AS effective,
            (m.seen | coalesce(bit_or(i.bits) OVER earlier, 0)) & :success_bits <> 0
                AND i.bits & :conflict_bits <> 0 AS contradicts,
            row_number() OVER (ORDER BY i.ordinality) AS place
        FROM incoming i
        CROSS JOIN LATERAL (SELECT m.version, m.seen FROM postback.message m WHERE m.id = i.target OFFSET 0) m
        WHERE (SELECT true FROM postback.event e WHERE e.message_id = i.target AND e.key = i.key) IS NULL
        WINDOW arrival AS (PARTITION BY i.target ORDER BY i.ordinality),
               earlier AS (PARTITION BY i.target ORDER BY i.ordinality
                           ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)
    ), folded AS (
        UPDATE postback.message m
        SET seen = m.seen | f.bits,
            version = m.version + f.news,
            updated_at = greatest(m.updated_at, f.received_at),
            -- of a message that only its carrier knows, reports may each name a part; least() makes the
            -- same of them in any order
            our_number = CASE WHEN m.origin = 'external' THEN least(m.our_number, f.our_number) ELSE m.our_number END,
            contact = CASE WHEN m.origin = 'external' THEN least(m.contact, f.contact) ELSE m.contact END,
            client_reference = CASE WHEN m.origin = 'external'
                THEN least(m.client_reference, f.client_reference) ELSE m.client_reference END
        FROM (
            SELECT target, bit_or(marked) AS bits, count(*)::integer AS news, max(received_at) AS received_at,
                min(our_number) AS our_number, min(contact) AS contact, min(client_reference) AS client_reference
            FROM fresh GROUP BY target
        ) f
        WHERE m.id = f.target AND m.id = ANY (targets) -- said twice, so that no plan reads the whole table
        RETURNING m.id, m.seen
    ), head AS (
        -- the last lock of every transaction: whoever holds it commits next
        UPDATE postback.feed_head SET seq = seq + (SELECT count(*) FROM fresh)
        WHERE EXISTS (SELECT FROM fresh)
        RETURNING seq - (SELECT count(*) FROM fresh) AS before
    ), appended AS (
        INSERT INTO postback.event (
            message_id, key, id, seq, version, type, channel, status, bits, effective, source, part, attempt,
            provider_status, provider_code, provider_message, error_class, occurred_at, received_at,
            payload_id, replay, superseded)
        SELECT f.target, f.key, f.id, h.before + f.place, f.version,
            CASE WHEN f.contradicts THEN 'message.conflict' ELSE f.type END,
            f.channel, f.status, f.bits, f.effective, f.source, f.part, f.attempt, f.provider_status,
            f.provider_code, f.provider_message, f.error_class, f.occurred_at, f.received_at, f.payload_id,
            0, false
        FROM fresh f CROSS JOIN head h
        RETURNING id
    )
    SELECT (SELECT array_agg(id) FROM appended),
        (SELECT array_agg(id) FROM folded WHERE seen & (:failure_bits | :uncertain_bit) <> 0)
    INTO news, troubled;
    IF troubled IS NOT NULL THEN
        PERFORM postback.attend(ARRAY(
            SELECT ROW(targets[e.ordinality], e.error_class, e.error_specificity, e.provider_code,
                       e.provider_message)::postback.failure_in
            FROM unnest(events) WITH ORDINALITY AS e
            -- what was told before counts as it was told then, in the timeline and here
            WHERE targets[e.ordinality] = ANY (troubled) AND e.id = ANY (news)));
    END IF;
    RETURN news;
END $$;

-- Keeps `attention` in step for the messages that need it; most need no row and have none. A failure without
-- a class only brings the flags up to date.
CREATE FUNCTION postback.attend(failures postback.failure_in[]) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO postback.attention AS a (
        message_id, uncertain, conflict, failure, error_class, error_specificity, error_code, error_message)
    SELECT DISTINCT ON (m.id) m.id,
        m.seen >= :uncertain_bit AND m.seen < :uncertain_bit * 2,
        m.seen & :success_bits <> 0 AND m.seen & :conflict_bits <> 0,
        m.seen & :failure_bits <> 0 AND m.seen & :success_bits = 0,
        f.error_class, coalesce(f.error_specificity, -1), f.error_code, f.error_message
    FROM unnest(failures) f
    CROSS JOIN LATERAL (SELECT m.id, m.seen FROM postback.message m WHERE m.id = f.message_id OFFSET 0) m
    -- of several failures the most specific class is shown, ties by code order: no clock decides
    ORDER BY m.id, f.error_specificity DESC NULLS LAST, f.error_code, f.error_message
    ON CONFLICT (message_id) DO UPDATE SET
        uncertain = excluded.uncertain, conflict = excluded.conflict, failure = excluded.failure,
        (error_class, error_specificity, error_code, error_message) = (
            SELECT c.error_class, c.error_specificity, c.error_code, c.error_message
            FROM (VALUES
                (a.error_class, a.error_specificity, a.error_code, a.error_message),
                (excluded.error_class, excluded.error_specificity, excluded.error_code, excluded.error_message)
            ) AS c (error_class, error_specificity, error_code, error_message)
            ORDER BY c.error_specificity DESC, c.error_code, c.error_message LIMIT 1);
END $$;
