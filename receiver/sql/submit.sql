-- Takes sends into the outbox, all of a batch in one transaction; those to people who opted out are refused
-- instead. Answers with the requests whose
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
    refused uuid[];
    said postback.said_in[];
BEGIN
    PERFORM postback.durably();
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
    SELECT array_agg(m.id) INTO refused FROM unnest(fresh) m
    CROSS JOIN LATERAL (
        SELECT FROM postback.opt_out l
        WHERE l.contact = ANY (postback.spellings(m.contact)) AND l.contact_hash = ''
            AND (m.scope IS NULL OR l.our_number = ANY (m.scope))
        UNION ALL
        SELECT FROM postback.opt_out l
        WHERE l.contact_hash <> '' AND l.contact_hash = ANY (m.contact_hashes)
            AND (m.scope IS NULL OR l.our_number = ANY (m.scope))
        LIMIT 1
    ) l;

    said := ARRAY(
        SELECT ROW(m.conversation, coalesce(m.conversation_number, m.our_number), m.contact,
                   coalesce(m.thread, postback.thread(coalesce(m.conversation_number, m.our_number), m.contact)),
                   m.channel, m.id, clock_timestamp(), false,
                   m.id <> ALL (coalesce(refused, '{}')))::postback.said_in
        FROM unnest(fresh) m
        WHERE coalesce(m.conversation_number, m.our_number) IS NOT NULL AND m.contact IS NOT NULL);
    said := postback.converse(said);
    PERFORM postback.answer(said);

    INSERT INTO postback.message (
        id, direction, origin, channel, provider, kind, our_number, contact, client_reference,
        conversation_id, seen, version, updated_at)
    SELECT m.id, 'outbound', 'api', m.channel, m.provider, m.kind, m.our_number, m.contact, m.client_reference,
        s.conversation, 0, 0, clock_timestamp()
    FROM unnest(fresh) m LEFT JOIN unnest(said) s ON s.message_id = m.id;
    INSERT INTO postback.message_body (
        message_id, text, subject, fallback_text, expires_at, template_id, options, metadata_, participants, slides)
    SELECT m.id, m.text, m.subject, m.fallback_text, m.expires_at, m.template_id, m.options, m.metadata, '{}',
        m.slides
    FROM unnest(fresh) m;
    INSERT INTO postback.media (message_id, "position", id, url, content_type, size, state)
    SELECT f.message_id, f.position, f.id, f.url, f.content_type, f.size, f.state
    FROM unnest(files) f JOIN unnest(fresh) m ON m.id = f.message_id;
    INSERT INTO postback.outbox (id, kind, channel, batch, state, next_at, attempts, contact, scope)
    SELECT m.id, 'message', m.channel, m.batch, 'queued', clock_timestamp(), 0, m.contact, m.scope
    FROM unnest(fresh) m WHERE m.id <> ALL (coalesce(refused, '{}'));
    IF refused IS NOT NULL THEN
        events := events || ARRAY(
            SELECT postback.refusal(m.id, m.channel, 'api', clock_timestamp())
            FROM unnest(fresh) m WHERE m.id = ANY (refused));
    END IF;

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

-- What a call to `submit` holds until its transaction has ended, by the batch of its messages.
CREATE FUNCTION postback.submitting(the_batch uuid) RETURNS integer
LANGUAGE sql IMMUTABLE AS $$ SELECT hashtext(the_batch::text) $$;

-- The same as `submit`, for callers who wait until `deadline`, on this server's clock. A server that was frozen
-- goes on with what it was sent before; what nobody waits for any more is refused here, as the last act before the
-- commit.
CREATE FUNCTION postback.submit_by(
    deadline timestamptz, keys postback.idempotency_in[], messages postback.message_in[], files postback.media_in[],
    events postback.event_in[], wake_up text
) RETURNS TABLE (request integer, message_ids uuid[], request_hash bytea)
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(:submitting, postback.submitting(b.batch))
    FROM (SELECT DISTINCT m.batch FROM unnest(messages) m ORDER BY m.batch) b;
    RETURN QUERY SELECT * FROM postback.submit(keys, messages, files, events, wake_up);
    IF clock_timestamp() > deadline THEN
        RAISE EXCEPTION 'the callers wait no longer' USING ERRCODE = 'query_canceled';
    END IF;
END $$;

-- Whether a batch with this message, which callers waited for until `deadline`, was stored; NULL while it may still
-- become so.
CREATE FUNCTION postback.submitted(deadline timestamptz, the_batch uuid, the_message uuid) RETURNS boolean
LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM postback.message m WHERE m.id = the_message) THEN
        RETURN true;
    END IF;
    IF clock_timestamp() <= deadline OR NOT pg_try_advisory_xact_lock(:submitting, postback.submitting(the_batch)) THEN
        RETURN NULL;
    END IF;
    RETURN EXISTS (SELECT FROM postback.message m WHERE m.id = the_message);  -- it may have ended meanwhile
END $$;

-- Whether a call to `submit_by` has been under way for the least that its callers wait (`LEAST_PATIENCE`): what it
-- writes may be seen any moment or, while a standby is silent, in hours.
CREATE FUNCTION postback.submits_late() RETURNS boolean
LANGUAGE sql SET jit = off AS $$
    SELECT EXISTS (
        SELECT FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid
        WHERE l.locktype = 'advisory' AND l.classid = :submitting AND l.objsubid = 2 AND l.granted
            AND l.database = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())
            AND a.xact_start < clock_timestamp() - interval '500 milliseconds')
$$;
