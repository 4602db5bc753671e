-- Takes sends into the outbox, all of a batch in one transaction. Answers with the requests whose
-- idempotency key was used before: what they made then, and from which body.
CREATE FUNCTION postback.submit(
    keys postback.idempotency_in[], messages postback.message_in[], files postback.media_in[],
    events postback.event_in[], wake_up text
) RETURNS TABLE (request integer, message_ids uuid[], request_hash bytea)
LANGUAGE plpgsql
SET lock_timeout = '500ms' SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $$
#variable_conflict use_column
DECLARE
    answered integer[];
    fresh postback.message_in[];
BEGIN
    INSERT INTO postback.idempotency AS i (scope, key, request_hash, message_ids, created_at)
    SELECT DISTINCT ON (k.scope, k.key) k.scope, k.key, k.request_hash, k.message_ids, clock_timestamp()
    FROM unnest(keys) k ORDER BY k.scope, k.key, k.request
    ON CONFLICT (scope, key) DO UPDATE SET
        request_hash = excluded.request_hash, message_ids = excluded.message_ids, created_at = excluded.created_at
        WHERE i.created_at < clock_timestamp() - interval '7 days';
    SELECT array_agg(k.request) INTO answered
    FROM unnest(keys) k
    CROSS JOIN LATERAL (
        SELECT i.message_ids FROM postback.idempotency i WHERE i.scope = k.scope AND i.key = k.key OFFSET 0
    ) i
    WHERE i.message_ids <> k.message_ids;
    SELECT array_agg(m) INTO fresh FROM unnest(messages) m WHERE m.request <> ALL (coalesce(answered, '{}'));

    INSERT INTO postback.conversation (id, our_number, contact)
    SELECT DISTINCT ON (m.our_number, m.contact) m.conversation, m.our_number, m.contact
    FROM unnest(fresh) m
    WHERE m.our_number IS NOT NULL AND m.contact IS NOT NULL
        AND (SELECT true FROM postback.conversation c
             WHERE c.our_number = m.our_number AND c.contact = m.contact) IS NULL
    ORDER BY m.our_number, m.contact
    ON CONFLICT DO NOTHING;

    INSERT INTO postback.message (
        id, direction, origin, channel, provider, kind, our_number, contact, client_reference,
        conversation_id, seen, version, updated_at)
    SELECT m.id, 'outbound', 'api', m.channel, m.provider, m.kind, m.our_number, m.contact, m.client_reference,
        c.id, 0, 0, clock_timestamp()
    FROM unnest(fresh) m
    LEFT JOIN LATERAL (
        SELECT c.id FROM postback.conversation c
        WHERE c.our_number = m.our_number AND c.contact = m.contact OFFSET 0
    ) c ON true;
    INSERT INTO postback.message_body (
        message_id, text, subject, fallback_text, expires_at, template_id, options, metadata_, participants)
    SELECT m.id, m.text, m.subject, m.fallback_text, m.expires_at, m.template_id, m.options, m.metadata, '{}'
    FROM unnest(fresh) m;
    INSERT INTO postback.media (message_id, "position", id, url, content_type, size, state)
    SELECT f.message_id, f.position, f.id, f.url, f.content_type, f.size, f.state
    FROM unnest(files) f JOIN unnest(fresh) m ON m.id = f.message_id;
    INSERT INTO postback.outbox (id, kind, channel, batch, state, next_at, attempts)
    SELECT m.id, 'message', m.channel, m.batch, 'queued', clock_timestamp(), 0 FROM unnest(fresh) m;

    PERFORM postback.append(
        events, ARRAY(SELECT m.id FROM unnest(events) WITH ORDINALITY e
                      LEFT JOIN unnest(fresh) m ON m.id = e.message_id ORDER BY e.ordinality), NULL);
    PERFORM pg_notify(wake_up, '');
    RETURN QUERY
    SELECT k.request, i.message_ids, i.request_hash
    FROM unnest(keys) k
    CROSS JOIN LATERAL (
        SELECT i.message_ids, i.request_hash FROM postback.idempotency i
        WHERE i.scope = k.scope AND i.key = k.key OFFSET 0
    ) i
    WHERE k.request = ANY (answered);
END $$;
