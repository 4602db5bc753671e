-- What a person may still decide about a message. Both answer whether there was anything to decide.

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

-- Decides a message whose call had no answer, as long as no report has decided it.
CREATE FUNCTION postback.decide(event postback.event_in) RETURNS boolean
LANGUAGE plpgsql SET lock_timeout = '500ms' AS $$
BEGIN
    PERFORM FROM postback.message
    WHERE id = event.message_id AND seen >= :uncertain_bit AND seen < :uncertain_bit * 2
    FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    PERFORM postback.append(ARRAY[event], ARRAY[event.message_id], NULL);
    RETURN true;
END $$;
