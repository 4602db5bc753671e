-- Answers to opt-outs: one message to somebody who is not to be written to any more, where a channel has a
-- text for it. In the outbox its batch is the entry of the ledger that it confirms; batches of sends are ids
-- that nobody outside chooses.

-- Whether what waits under this batch is a confirmation.
CREATE FUNCTION postback.confirms(the_batch uuid) RETURNS boolean
LANGUAGE sql STABLE AS $$
    SELECT (SELECT true FROM postback.opt_out_entry e WHERE e.id = the_batch) IS NOT NULL
$$;

-- Whether an opt-out from `source` stops what waits under this batch. The person's own words leave their
-- confirmation, said twice too; a carrier's refusal, or a decision through the API, leaves nothing.
CREATE FUNCTION postback.stops(source text, the_batch uuid) RETURNS boolean
LANGUAGE sql STABLE AS $$
    SELECT source NOT IN ('keyword', 'phrase') OR NOT postback.confirms(the_batch)
$$;

-- The same for what was said in either direction: who wants to be written to again has no use for being told
-- that nobody will.
CREATE FUNCTION postback.ends(said postback.consent_in, the_batch uuid) RETURNS boolean
LANGUAGE sql STABLE AS $$
    SELECT CASE WHEN said.opts_out THEN postback.stops(said.source, the_batch)
                ELSE postback.confirms(the_batch) END
$$;

-- From which of our numbers an opt-out would stop a message from the one that something was said to; NULL for
-- any.
CREATE FUNCTION postback.scope(said postback.consent_in) RETURNS text[]
LANGUAGE sql AS $$
    SELECT CASE WHEN said.groups IS NOT NULL THEN postback.covered(said) || '*'::text END
$$;

-- Locks the conversations in which something will be confirmed. (The batch that stores the message has them;
-- what its files say is heard later.)
CREATE FUNCTION postback.hold_conversations(consents postback.consent_in[]) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    ids CONSTANT uuid[] := ARRAY(
        SELECT m.conversation_id FROM unnest(consents) c
        CROSS JOIN LATERAL (SELECT * FROM postback.message m WHERE m.id = c.message_id OFFSET 0) m
        WHERE (c.confirmation).id IS NOT NULL);
BEGIN
    PERFORM FROM postback.conversation c WHERE c.id = ANY (ids)
    ORDER BY c.our_number, c.thread FOR NO KEY UPDATE;
END $$;

-- Whether an opt-out that is not in the ledger yet is the first one, and still fresh: nobody is confirmed the
-- same twice, and nobody what he said long ago. Nor from a number that the channel does not list.
CREATE FUNCTION postback.unheard(said postback.consent_in) RETURNS boolean
LANGUAGE plpgsql AS $$
DECLARE
    scope CONSTANT text[] := postback.scope(said);
BEGIN
    RETURN said.our_number = ANY ((said.confirmation).numbers)
        AND (said.confirmation).expires_at > clock_timestamp()
        AND (SELECT true FROM postback.listed(said.contact, said.contact_hashes) l
             WHERE scope IS NULL OR l.our_number = ANY (scope) LIMIT 1) IS NULL;
END $$;

-- Queues the confirmation of an opt-out that has just been entered, ahead of everything else on its channel:
-- behind a campaign it would wait for longer than it may. Answers with its first event.
CREATE FUNCTION postback.confirm(said postback.consent_in) RETURNS postback.event_in
LANGUAGE plpgsql AS $$
DECLARE
    moment CONSTANT timestamptz := clock_timestamp();
    confirmation CONSTANT postback.confirmation_in := said.confirmation;
    told CONSTANT postback.message := (SELECT m FROM postback.message m WHERE m.id = said.message_id);
BEGIN
    PERFORM postback.answer(postback.converse(ARRAY(
        SELECT ROW(c.id, c.our_number, said.contact, c.thread, told.channel, confirmation.id, moment, false, true
               )::postback.said_in
        FROM postback.conversation c WHERE c.id = told.conversation_id)));
    INSERT INTO postback.message (
        id, direction, origin, channel, provider, kind, our_number, contact, conversation_id, in_reply_to, seen,
        version, updated_at)
    VALUES (confirmation.id, 'outbound', 'api', told.channel, told.provider, confirmation.kind, said.our_number,
            said.contact, told.conversation_id, told.id, 0, 0, moment);
    INSERT INTO postback.message_body (message_id, text, expires_at, options, metadata_, participants)
    VALUES (confirmation.id, confirmation.text, confirmation.expires_at, '{}',
            jsonb_build_object('confirms_opt_out', said.word), '{}');
    INSERT INTO postback.outbox (id, kind, channel, batch, state, next_at, attempts, contact, scope)
    VALUES (confirmation.id, 'message', told.channel, said.id, 'queued',
            least(moment, (SELECT min(o.next_at) FROM postback.outbox o
                           WHERE o.channel = told.channel AND o.state = 'queued') - interval '1 microsecond'),
            0, said.contact, postback.scope(said));
    RETURN postback.own_event(confirmation.id, told.channel, said.told_by, moment, 'accepted', :accepted_bit);
END $$;
