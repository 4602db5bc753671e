-- Everything that a batch of carriers' requests says, in one call and so in one transaction: no lock is ever
-- held while a client thinks. Order of locks: reference, message, conversation, outbox, opt-out, feed head.
-- Answers with a row per request that was kept, in which state; and, without a request's id, with a row per
-- channel and way for the metrics: how many reports found their message like that. `others` are the numbers that
-- are foreign to the channels, for `is_foreign`.
CREATE FUNCTION postback.ingest(
    payloads postback.payload_in[], events postback.event_in[], inbounds postback.inbound_in[],
    files postback.media_in[], templates postback.template_in[], others jsonb
) RETURNS TABLE (payload_id uuid, state varchar, channel varchar, found_by varchar, reports bigint)
LANGUAGE plpgsql
SET lock_timeout = '500ms' SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $$
#variable_conflict use_column
DECLARE
    targets uuid[] := '{}';
    ways integer[];
    news uuid[];
    consents postback.consent_in[];
    heard record;
BEGIN
    PERFORM postback.durably();
    IF cardinality(events) > 0 THEN
        events := postback.spread(events);
        SELECT * INTO targets, ways FROM postback.resolve(events);
        PERFORM postback.begin_messages(events, targets, inbounds, files, others);
        PERFORM postback.take_numbers(events, targets, others);
        consents := postback.consents(events, targets, inbounds, others);
        IF consents IS NOT NULL THEN
            SELECT * INTO heard FROM postback.heed(consents);
            events := events || heard.events;
            targets := targets || heard.targets;
        END IF;
    END IF;
    -- before the feed's head is taken, which is everybody's: a message that is stored with its carrier may be
    -- somebody else's just now
    IF cardinality(templates) > 0 THEN
        PERFORM postback.hear_templates(templates);
    END IF;
    IF cardinality(events) > 0 THEN
        news := postback.append(events, targets, ways);
        RETURN QUERY
        SELECT NULL::uuid, NULL::varchar, w.channel::varchar, w.way::varchar, count(*)
        FROM (
            SELECT e.channel,
                CASE WHEN targets[e.ordinality] IS NULL THEN 'none'
                     WHEN ways[e.ordinality] & :guessed_bit <> 0 THEN 'guessed'
                     WHEN ways[e.ordinality] & :own_id_bit <> 0 THEN 'own_id'
                     WHEN targets[e.ordinality] = e.candidate THEN 'new'
                     ELSE 'provider_id' END AS way
            FROM unnest(events) WITH ORDINALITY AS e
            WHERE NOT e.inbound AND e.ordinality <= cardinality(ways)
        ) w
        GROUP BY w.channel, w.way;
    END IF;
    RETURN QUERY
    INSERT INTO postback.payload AS kept (
        id, channel, state, reason, method, query, headers, body, peer, received_at, message_ids, retold)
    SELECT p.id, p.channel,
        CASE WHEN p.state = 'applied' AND NOT s.brought_news THEN 'duplicate' ELSE p.state END,
        p.reason, p.method, p.query, p.headers, p.body, p.peer, p.received_at, coalesce(s.message_ids, '{}'),
        coalesce(s.retold, false)
    FROM unnest(payloads) p
    LEFT JOIN (
        SELECT e.payload_id AS id, array_agg(DISTINCT targets[e.ordinality]) AS message_ids,
            bool_or(n IS NOT NULL) AS brought_news, bool_or(n IS NULL) AS retold
        FROM unnest(events) WITH ORDINALITY AS e
        LEFT JOIN unnest(news) n ON n = e.id
        WHERE targets[e.ordinality] IS NOT NULL
        GROUP BY e.payload_id
    ) s ON s.id = p.id
    -- a batch that committed after all, and was sent again because its answer was lost
    ON CONFLICT DO NOTHING
    RETURNING kept.id, kept.state, NULL::varchar, NULL::varchar, NULL::bigint;
END $$;

-- The rows of messages that begin with an event of this batch: inbound ones, and outbound ones that we did
-- not send ourselves.
CREATE FUNCTION postback.begin_messages(
    events postback.event_in[], targets uuid[], inbounds postback.inbound_in[], files postback.media_in[],
    others jsonb
) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    begun uuid[];
    said postback.said_in[];
BEGIN
    SELECT array_agg(e.candidate) INTO begun
    FROM unnest(events) WITH ORDINALITY AS e
    WHERE e.candidate = targets[e.ordinality]
        AND (SELECT true FROM postback.message m WHERE m.id = e.candidate) IS NULL;
    IF begun IS NULL THEN
        RETURN;
    END IF;

    events := postback.addressed(events, begun, inbounds, others);

    IF cardinality(inbounds) > 0 THEN
        said := postback.converse(ARRAY(
            SELECT ROW(i.conversation, e.our_number, e.contact, postback.thread(e.our_number, i.thread), e.channel,
                       e.candidate, e.received_at, true, true)::postback.said_in
            FROM unnest(events) e JOIN unnest(inbounds) i ON i.candidate = e.candidate
            WHERE e.candidate = ANY (begun) AND e.our_number IS NOT NULL AND i.thread IS NOT NULL));
    END IF;

    INSERT INTO postback.message (
        id, direction, origin, channel, provider, kind, our_number, contact, client_reference,
        conversation_id, in_reply_to, seen, version, updated_at)
    SELECT e.candidate,
        CASE WHEN e.inbound THEN 'inbound' ELSE 'outbound' END,
        CASE WHEN e.inbound THEN 'carrier' ELSE 'external' END,
        e.channel, e.provider, e.kind, e.our_number, e.contact, e.client_reference, s.conversation,
        coalesce(
            postback.answered(i.answers, e.channel),
            -- A message that is understood only later answers none that was sent meanwhile. Said as a stretch
            -- of the index on both, because "the last of all ids" would be looked for in the index on ids.
            (SELECT m.id FROM postback.message m
             WHERE (m.conversation_id, m.id) >= (s.conversation, '00000000-0000-0000-0000-000000000000')
                AND (m.conversation_id, m.id) < (s.conversation, e.candidate) AND m.direction = 'outbound'
             ORDER BY m.conversation_id DESC, m.id DESC LIMIT 1)),
        0, 0, e.received_at
    FROM unnest(events) e
    LEFT JOIN unnest(inbounds) i ON i.candidate = e.candidate
    LEFT JOIN unnest(said) s ON s.message_id = e.candidate
    WHERE e.candidate = ANY (begun);

    IF cardinality(inbounds) > 0 THEN
        INSERT INTO postback.message_body (message_id, text, subject, options, metadata_, participants)
        SELECT i.candidate, i.text, i.subject, '{}', i.metadata, i.participants
        FROM unnest(inbounds) i WHERE i.candidate = ANY (begun);
        INSERT INTO postback.media (message_id, "position", id, url, content_type, size, state, next_at, channel)
        SELECT f.message_id, f.position, f.id, f.url, f.content_type, f.size, f.state,
            CASE WHEN f.state = 'pending' THEN clock_timestamp() END, e.channel
        FROM unnest(files) f JOIN unnest(events) e ON e.candidate = f.message_id
        WHERE f.message_id = ANY (begun);
        INSERT INTO postback.file (id, sha256, size, content_type, name, created_at)
        SELECT f.id, f.sha256, f.size, f.content_type, f.name, clock_timestamp()
        FROM unnest(files) f WHERE f.message_id = ANY (begun) AND f.sha256 IS NOT NULL;
    END IF;
END $$;

-- The message that a carrier names as the one replied to.
CREATE FUNCTION postback.answered(the_id text, the_channel text) RETURNS uuid
LANGUAGE sql STABLE AS $$
    SELECT r.message_id FROM postback.reference r
    WHERE r.provider_message_id = the_id AND r.channel = the_channel AND NOT r.inbound
    ORDER BY r.recipient LIMIT 1
$$;

-- Inbound messages whose carrier names no number of ours: they were written to the number of the message
-- that they answer, else to the one that last wrote to their sender on this channel within 30 days, else to
-- the channel's own. What that message was sent from may be a number of other channels, and then counts as
-- unknown. Decided once, here.
CREATE FUNCTION postback.addressed(
    events postback.event_in[], begun uuid[], inbounds postback.inbound_in[], others jsonb
) RETURNS postback.event_in[]
LANGUAGE plpgsql STABLE AS $$
DECLARE
    said postback.inbound_in;
    number text;
BEGIN
    FOR n IN 1..cardinality(events) LOOP
        CONTINUE WHEN NOT events[n].inbound OR events[n].our_number IS NOT NULL
            OR events[n].candidate <> ALL (begun);
        SELECT * INTO said FROM unnest(inbounds) i WHERE i.candidate = events[n].candidate;
        number := coalesce(
            (SELECT m.our_number FROM postback.message m
             WHERE m.id = postback.answered(said.answers, events[n].channel)),
            (SELECT last.our_number FROM unnest(postback.spellings(events[n].contact)) AS s (spelling)
             CROSS JOIN LATERAL (
                 SELECT m.id, m.our_number FROM postback.message m
                 WHERE m.contact = s.spelling AND m.channel = events[n].channel AND m.direction = 'outbound'
                    AND m.our_number IS NOT NULL AND m.updated_at > events[n].received_at - interval '30 days'
                 ORDER BY m.id DESC LIMIT 1
             ) last
             ORDER BY last.id DESC LIMIT 1),
            said.our_number);
        events[n].our_number := CASE WHEN postback.is_foreign(others, events[n].channel, number)
            THEN 'channel:' || events[n].channel ELSE number END;
    END LOOP;
    RETURN events;
END $$;
