-- Events that no carrier told of.

CREATE FUNCTION postback.new_id() RETURNS uuid
LANGUAGE sql AS $$
    SELECT (lpad(to_hex((extract(epoch FROM clock_timestamp()) * 1000)::bigint), 12, '0') || '7'
            || substr(replace(gen_random_uuid()::text, '-', ''), 14))::uuid
$$;

-- What becomes of a message of ours without any word of its carrier's.
CREATE FUNCTION postback.own_event(
    message_id uuid, channel text, source text, moment timestamptz, status text, bits integer
) RETURNS postback.event_in
LANGUAGE plpgsql AS $$
DECLARE
    event postback.event_in;
BEGIN
    event.id := postback.new_id();
    event.key := md5(status)::uuid;
    event.type := 'message.' || status;
    event.channel := channel;
    event.source := source;
    event.received_at := moment;
    event.status := status;
    event.bits := bits;
    event.part := 0;
    event.attempt := 0;
    event.message_id := message_id;
    event.batch_recipient := '';
    event.inbound := true; -- no report that had to find its message
    RETURN event;
END $$;

-- What ends a message whose person does not want it.
CREATE FUNCTION postback.refusal(message_id uuid, channel text, source text, moment timestamptz)
RETURNS postback.event_in
LANGUAGE plpgsql AS $$
DECLARE
    event postback.event_in := postback.own_event(message_id, channel, source, moment, 'rejected', :rejected_bit);
BEGIN
    event.key := md5('opted out')::uuid;
    event.error_class := 'opted_out';
    event.error_specificity := :opted_out_rank;
    RETURN event;
END $$;

-- What ends a message that has lost its reason.
CREATE FUNCTION postback.cancellation(message_id uuid, channel text, source text, moment timestamptz)
RETURNS postback.event_in
LANGUAGE plpgsql AS $$
DECLARE
    event postback.event_in := postback.own_event(message_id, channel, source, moment, 'canceled', :canceled_bit);
BEGIN
    event.error_class := 'canceled';
    event.error_specificity := array_position(:error_classes, 'canceled') - 1;
    RETURN event;
END $$;
