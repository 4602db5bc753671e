-- What a person may decide: about a message, and about who is written to. All answer whether there was
-- anything to decide.

-- Cancels what is not yet with its carrier. A row that is being called for has left the house.
CREATE FUNCTION postback.cancel(event postback.event_in) RETURNS boolean
LANGUAGE plpgsql SET lock_timeout = '500ms' AS $$
BEGIN
    PERFORM FROM postback.message WHERE id = event.message_id FOR NO KEY UPDATE;
    DELETE FROM postback.outbox WHERE id = event.message_id AND state IN ('queued', 'claimed');
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    PERFORM postback.append(ARRAY[event], ARRAY[event.message_id], NULL);
    RETURN true;
END $$;

-- The same for somebody who is being erased. A call that was given up is not made again, whatever comes of it.
CREATE FUNCTION postback.cancel_for(the_message uuid, the_channel text) RETURNS boolean
LANGUAGE sql SET jit = off AS $$
    DELETE FROM postback.outbox WHERE id = the_message AND state = 'uncertain';
    SELECT postback.cancel(postback.cancellation(the_message, the_channel, 'operator', clock_timestamp()))
$$;

-- Decides a message whose call had no answer, as long as no report has decided it, and no other call is under
-- way for it: an answer that came late may have shown that nothing was sent, and queued it again. What is
-- decided is not sent any more.
CREATE FUNCTION postback.decide(event postback.event_in) RETURNS boolean
LANGUAGE plpgsql SET lock_timeout = '500ms' AS $$
BEGIN
    PERFORM FROM postback.message
    WHERE id = event.message_id AND seen >= :uncertain_bit AND seen < :uncertain_bit * 2
    FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    DELETE FROM postback.outbox WHERE id = event.message_id AND state <> 'calling';
    IF EXISTS (SELECT FROM postback.outbox WHERE id = event.message_id) THEN
        RETURN false;
    END IF;
    PERFORM postback.append(ARRAY[event], ARRAY[event.message_id], NULL);
    RETURN true;
END $$;

-- Somebody opts a person out or in. Answers whether that changed anything. There is no message that the event
-- could be of: it stands in the feed by itself, under an id that no message has.
CREATE FUNCTION postback.opt(said postback.consent_in) RETURNS boolean
LANGUAGE plpgsql SET lock_timeout = '500ms' AS $$
DECLARE
    heard record;
    next bigint;
BEGIN
    SELECT * INTO heard FROM postback.heed(ARRAY[said]);
    PERFORM postback.append(heard.events, heard.targets, NULL);
    IF heard.changed = '{}' THEN
        RETURN false;
    END IF;
    UPDATE postback.feed_head SET seq = seq + 1 RETURNING seq INTO next;
    INSERT INTO postback.event (
        message_id, key, id, seq, version, type, channel, bits, effective, source, part, attempt, received_at,
        replay, superseded)
    VALUES (said.id, said.id, said.id, next, 1,
            CASE WHEN said.opts_out THEN 'contact.opted_out' ELSE 'contact.opted_in' END,
            '', 0, false, said.told_by, 0, 0, said.at, 0, false);
    RETURN true;
END $$;
