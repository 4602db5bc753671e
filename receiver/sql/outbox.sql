-- Reserves queued rows of a channel for up to `calls` calls. Rows of one batch share a call, `per_call` of
-- them at most; `call` numbers the calls from 1. With a `spacing` between calls, turns are given out no
-- further ahead than a quarter of a second, one after the other over all senders, on database time. They are
-- turns of the account, which may have other channels, and takes some for polls and questions too (`take_call`).
-- `turn_in` says how long each has to wait for its own; `claimed_until` tells this claim from any other one.
CREATE FUNCTION postback.claim(
    the_channel text, calls integer, per_call integer, spacing interval, lease interval, account text DEFAULT NULL
) RETURNS TABLE (id uuid, kind varchar, call bigint, turn_in interval, claimed_until timestamptz)
LANGUAGE plpgsql SET lock_timeout = '500ms'
SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_nestloop = off AS $$
#variable_conflict use_column
DECLARE
    horizon CONSTANT interval := '250 ms';
    most_rows CONSTANT integer := 5000;
    moment timestamptz := clock_timestamp();
    first_turn timestamptz := moment;
    ids uuid[];
    turns bigint[];
BEGIN
    account := coalesce(account, the_channel);
    IF spacing IS NOT NULL THEN
        INSERT INTO postback.rate (channel, due) VALUES (account, moment) ON CONFLICT DO NOTHING;
        SELECT greatest(r.due, moment) INTO first_turn FROM postback.rate r WHERE r.channel = account FOR UPDATE;
        calls := least(calls, floor(extract(epoch FROM moment + horizon - first_turn) / extract(epoch FROM spacing)) + 1);
    END IF;
    IF calls <= 0 THEN
        RETURN;
    END IF;
    SELECT array_agg(g.id), array_agg(g.call) INTO ids, turns FROM (
        SELECT n.id, dense_rank() OVER (ORDER BY n.batch, n.share) AS call FROM (
            SELECT due.id, due.batch, (row_number() OVER (PARTITION BY due.batch ORDER BY due.id) - 1) / per_call AS share
            FROM (
                SELECT o.id, o.batch FROM postback.outbox o
                WHERE o.channel = the_channel AND o.state = 'queued' AND o.next_at <= moment
                ORDER BY o.next_at, o.batch, o.id FOR UPDATE SKIP LOCKED
                LIMIT least(calls::bigint * per_call, most_rows)
            ) due
        ) n
    ) g WHERE g.call <= calls;
    IF ids IS NULL THEN
        RETURN;
    END IF;
    IF spacing IS NOT NULL THEN
        UPDATE postback.rate r SET due = first_turn + spacing * (SELECT max(t) FROM unnest(turns) t)
        WHERE r.channel = account;
    END IF;
    RETURN QUERY
    UPDATE postback.outbox o SET state = 'claimed', lease_until = moment + lease
    FROM unnest(ids, turns) AS g (id, call) WHERE o.id = g.id AND o.id = ANY (ids)
    RETURNING o.id, o.kind, g.call, first_turn - moment + coalesce(spacing, '0') * (g.call - 1), o.lease_until;
END $$;

-- The second mark, committed just before the requests leave: claimed -> calling. The submissions' rows are
-- made here, one per recipient where a call has several, so a report that beats the carrier's answer finds
-- its message. Answers with what to send; a row whose claim was lost meanwhile is not among it.
-- What its person has opted out of since it was queued ends here, and no carrier is called: an opt-out that is
-- committed before the mark always wins. (One that is not holds the row's lock, or will find it marked.) Only
-- its own confirmation passes what somebody said.
-- Marking again under the same submission is marking once, for a caller who never heard whether it was done.
-- `claims` are the `claimed_until` of the rows: a statement that was held up on its way marks nothing that
-- was claimed anew since.
-- `carried` are the kinds of message, with blanks between, whose calls have a field for a reference of ours: that is
-- the app's own where `apps` says so and there is one, else the submission's id.
-- Here and in `settle` ids are compared with the array too, for the reason that `located` gives.
CREATE FUNCTION postback.begin_calls(
    ids uuid[], submissions uuid[], per_recipient boolean[], leases interval[], claims timestamptz[] DEFAULT NULL,
    carried text[] DEFAULT NULL, apps boolean[] DEFAULT NULL
) RETURNS TABLE (
    id uuid, submission_id uuid, kind varchar, attempt integer, our_number varchar, contact varchar,
    message_kind varchar, text varchar, subject varchar, fallback_text varchar, expires_at timestamptz,
    options jsonb, provider_template_id varchar, template_id uuid, media jsonb, content jsonb, name varchar,
    slides jsonb, reference varchar)
LANGUAGE plpgsql SET lock_timeout = '500ms'
SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_nestloop = off AS $$
#variable_conflict use_column
DECLARE
    unwanted uuid[];
    stopped uuid[];
    refusals postback.event_in[];
BEGIN
    PERFORM postback.durably();
    SELECT array_agg(o.id) INTO unwanted FROM postback.outbox o
    WHERE o.id = ANY (ids) AND o.state = 'claimed'
        AND (SELECT true FROM postback.opt_out l
             WHERE l.contact = ANY (postback.spellings(o.contact)) AND l.contact_hash = ''
                AND (o.scope IS NULL OR l.our_number = ANY (o.scope))
                AND postback.stops(l.source, o.batch)
             LIMIT 1) IS NOT NULL;
    PERFORM FROM postback.message m WHERE m.id = ANY (unwanted) ORDER BY m.id FOR NO KEY UPDATE;
    RETURN QUERY
    WITH calling AS (
        UPDATE postback.outbox o SET state = 'calling', lease_until = clock_timestamp() + w.lease,
            attempts = o.attempts + (o.state = 'claimed')::integer, submission_id = w.submission_id
        FROM unnest(ids, submissions, per_recipient, leases, claims, carried, apps)
            AS w (id, submission_id, per_recipient, lease, claimed_until, carried, apps)
        WHERE o.id = w.id AND o.id = ANY (ids)
            AND (o.state = 'claimed' AND o.lease_until > clock_timestamp()
                    AND (w.claimed_until IS NULL OR o.lease_until = w.claimed_until)
                 OR o.state = 'calling' AND o.submission_id = w.submission_id)
            AND (SELECT true FROM postback.opt_out l
                 WHERE l.contact = ANY (postback.spellings(o.contact)) AND l.contact_hash = ''
                    AND (o.scope IS NULL OR l.our_number = ANY (o.scope))
                    AND postback.stops(l.source, o.batch)
                 LIMIT 1) IS NULL
        RETURNING o.id, o.submission_id, o.kind, o.channel, o.attempts, w.per_recipient, w.carried, w.apps
    ), referring AS (
        SELECT c.id, m.contact, CASE WHEN m.kind = ANY (string_to_array(c.carried, ' '))
            THEN coalesce(CASE WHEN c.apps THEN m.client_reference END, c.submission_id::text) END AS reference
        FROM calling c LEFT JOIN postback.message m ON m.id = c.id AND m.id = ANY (ids)
    ), submitted AS (
        INSERT INTO postback.submission (id, recipient, message_id, channel, attempt, reference)
        SELECT c.submission_id, CASE WHEN c.per_recipient THEN coalesce(r.contact, '') ELSE '' END,
            c.id, c.channel, c.attempts, r.reference
        FROM calling c JOIN referring r ON r.id = c.id
        -- the same person twice in one call, from a version that took that: whose report it is nobody can tell, the
        -- first has it
        ON CONFLICT DO NOTHING
    )
    SELECT c.id, c.submission_id, c.kind, c.attempts, m.our_number, m.contact, m.kind,
        b.text, b.subject, b.fallback_text, b.expires_at, b.options, stored.provider_template_id, b.template_id,
        (SELECT jsonb_agg(jsonb_build_object(
                    'url', f.url, 'content_type', f.content_type, 'id', held.id,
                    'sha256', encode(held.sha256, 'hex'), 'size', held.size, 'name', held.name)
                ORDER BY f.position)
         FROM postback.media f LEFT JOIN postback.file held ON held.id = f.id WHERE f.message_id = c.id),
        t.content, t.name, b.slides, r.reference::varchar
    FROM calling c
    JOIN referring r ON r.id = c.id
    LEFT JOIN postback.message m ON m.id = c.id AND m.id = ANY (ids)
    LEFT JOIN postback.message_body b ON b.message_id = c.id AND b.message_id = ANY (ids)
    LEFT JOIN postback.template stored ON stored.id = b.template_id
    LEFT JOIN postback.template t ON t.id = c.id AND c.kind = 'template'
    ORDER BY c.id;
    IF unwanted IS NOT NULL THEN
        WITH gone AS (
            DELETE FROM postback.outbox o WHERE o.id = ANY (unwanted) AND o.state = 'claimed'
            RETURNING o.id, o.channel
        )
        SELECT array_agg(postback.refusal(g.id, g.channel, 'sender', clock_timestamp())), array_agg(g.id)
        INTO refusals, stopped FROM gone g;
        PERFORM postback.append(refusals, stopped, NULL);
    END IF;
END $$;

-- What came of the calls: events on their messages, news of templates, and the rows leave the outbox or are
-- queued again. It counts however late it comes, and as often as it comes: also after the call was given up
-- (`lapse`). A row that another sender has taken over since is left to it, and one of which a report or a
-- person has told more meanwhile is not queued again.
CREATE FUNCTION postback.settle(
    settled postback.settled_in[], events postback.event_in[], templates postback.template_in[]
) RETURNS void
LANGUAGE plpgsql SET lock_timeout = '500ms'
SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_nestloop = off AS $$
DECLARE
    ids CONSTANT uuid[] := ARRAY(SELECT s.id FROM unnest(settled) s);
    targets uuid[];
    found_by integer[];
    consents postback.consent_in[];
    heard record;
BEGIN
    PERFORM postback.durably();
    IF cardinality(events) > 0 THEN
        SELECT * INTO targets, found_by FROM postback.resolve(events);
    END IF;
    PERFORM postback.take_numbers(events, targets, NULL);
    UPDATE postback.message_body b SET send_at = coalesce(s.send_at, b.send_at),
        expires_at = coalesce(b.expires_at, s.expires_at)
    FROM unnest(settled) s
    WHERE b.message_id = s.id AND b.message_id = ANY (ids) AND num_nonnulls(s.send_at, s.expires_at) > 0;
    PERFORM FROM postback.outbox o JOIN unnest(settled) s ON s.id = o.id AND s.submission_id = o.submission_id
    WHERE o.id = ANY (ids) ORDER BY o.id FOR UPDATE OF o;
    UPDATE postback.outbox o SET state = 'queued', next_at = clock_timestamp() + s.again_in, lease_until = NULL
    FROM unnest(settled) s
    WHERE s.id = o.id AND o.id = ANY (ids) AND s.submission_id = o.submission_id AND s.again_in IS NOT NULL
        AND o.state IN ('calling', 'uncertain')
        AND (SELECT true FROM postback.message m WHERE m.id = o.id AND m.seen >= :queued_bit) IS NULL
        AND (SELECT true FROM postback.template t WHERE t.id = o.id AND t.provider_template_id IS NOT NULL) IS NULL;
    DELETE FROM postback.outbox o USING unnest(settled) s
    WHERE s.id = o.id AND o.id = ANY (ids) AND s.submission_id = o.submission_id
        AND o.state IN ('calling', 'uncertain');
    INSERT INTO postback.awaited_report (message_id, due)
    SELECT s.id, clock_timestamp() + s.report_within FROM unnest(settled) s WHERE s.report_within IS NOT NULL
    ON CONFLICT DO NOTHING;
    IF cardinality(templates) > 0 THEN
        PERFORM postback.hear_templates(templates);
    END IF;
    IF cardinality(events) > 0 THEN
        consents := postback.consents(events, targets, '{}', NULL);
        IF consents IS NOT NULL THEN
            SELECT * INTO heard FROM postback.heed(consents);
            events := events || heard.events;
            targets := targets || heard.targets;
        END IF;
        PERFORM postback.append(events, targets, found_by);
    END IF;
END $$;

-- Leases that ran out: a claim whose sender died before the call is queued again; a call whose sender died
-- may have reached the carrier, so it is not made again: its row is the answer, for the caller to `lapse`.
-- Lapsed rows leave when no answer can queue them any more: a message is tried for three days.
CREATE FUNCTION postback.expire_leases() RETURNS TABLE (
    id uuid, submission_id uuid, kind varchar, channel varchar, attempt integer)
LANGUAGE plpgsql SET lock_timeout = '500ms' AS $$
#variable_conflict use_column
BEGIN
    UPDATE postback.outbox o SET state = 'queued', lease_until = NULL
    FROM (SELECT x.id FROM postback.outbox x WHERE x.state = 'claimed' AND x.lease_until < clock_timestamp()
          ORDER BY x.id FOR UPDATE SKIP LOCKED) lost
    WHERE o.id = lost.id;
    DELETE FROM postback.outbox o
    WHERE o.state = 'uncertain' AND o.lease_until < clock_timestamp() - interval '4 days';
    RETURN QUERY
    SELECT o.id, o.submission_id, o.kind, o.channel, o.attempts FROM postback.outbox o
    WHERE o.state = 'calling' AND o.lease_until < clock_timestamp();
END $$;

-- Gives up calls of which nobody has written in their time what came of them: `events` say so on their
-- messages, but for those of which a report has told since. The rows stay, as `uncertain`: an answer that comes
-- late may show that nothing was sent. Answers with the ids of what was given up; a row that was settled
-- meanwhile is none of them.
CREATE FUNCTION postback.lapse(ids uuid[], submissions uuid[], events postback.event_in[]) RETURNS uuid[]
LANGUAGE plpgsql SET lock_timeout = '500ms' SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $$
DECLARE
    lapsed uuid[];
    unknown uuid[];
BEGIN
    PERFORM postback.durably();
    PERFORM FROM postback.message m WHERE m.id = ANY (ids) ORDER BY m.id FOR NO KEY UPDATE;
    PERFORM FROM postback.outbox o WHERE o.id = ANY (ids) ORDER BY o.id FOR UPDATE;
    WITH late AS (
        UPDATE postback.outbox o SET state = 'uncertain'
        FROM unnest(ids, submissions) AS w (id, submission_id)
        WHERE o.id = w.id AND o.id = ANY (ids) AND o.submission_id = w.submission_id
            AND o.state = 'calling' AND o.lease_until < clock_timestamp()
        RETURNING o.id
    )
    SELECT array_agg(l.id) INTO lapsed FROM late l;
    SELECT array_agg(m.id) INTO unknown FROM postback.message m WHERE m.id = ANY (lapsed) AND m.seen < :queued_bit;
    PERFORM postback.append(
        events, ARRAY(SELECT CASE WHEN e.message_id = ANY (unknown) THEN e.message_id END
                      FROM unnest(events) WITH ORDINALITY e ORDER BY e.ordinality), NULL);
    RETURN coalesce(lapsed, '{}');
END $$;

-- Whether it is the caller's turn to do what is done once per `spacing` over all processes.
CREATE FUNCTION postback.take_turn(name text, spacing interval) RETURNS boolean
LANGUAGE plpgsql SET lock_timeout = '500ms' AS $$
BEGIN
    INSERT INTO postback.rate AS r (channel, due) VALUES (name, clock_timestamp() + spacing)
    ON CONFLICT (channel) DO UPDATE SET due = excluded.due WHERE r.due <= clock_timestamp();
    RETURN FOUND;
END $$;

-- Reserves the next call of an account, whatever it is for; answers with how long its turn is to be waited for.
CREATE FUNCTION postback.take_call(account text, spacing interval) RETURNS interval
LANGUAGE plpgsql SET lock_timeout = '500ms' AS $$
DECLARE
    moment timestamptz := clock_timestamp();
    next_due timestamptz;
BEGIN
    INSERT INTO postback.rate AS r (channel, due) VALUES (account, moment + spacing)
    ON CONFLICT (channel) DO UPDATE SET due = greatest(r.due, moment) + spacing
    RETURNING r.due INTO next_due;
    RETURN next_due - spacing - moment;
END $$;

-- Puts the next turn of `take_turn` off, over all processes; never forward.
CREATE FUNCTION postback.put_off(name text, pause interval) RETURNS void
LANGUAGE sql SET jit = off SET lock_timeout = '500ms' AS $$
    UPDATE postback.rate SET due = greatest(due, clock_timestamp() + pause) WHERE channel = name;
$$;
