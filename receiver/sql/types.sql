-- What the functions take: one row per request, event, message or answer of a batch.

-- A carrier's request as it came; `state` is applied, quarantined or unverified.
CREATE TYPE postback.payload_in AS (
    id uuid, channel text, state text, reason text, method text, query text, headers jsonb, body bytea,
    peer text, received_at timestamptz
);

-- One event, and what is needed to find its message, in this order: its id (our own events), our
-- submission's id as the carrier echoes it, the carrier's id, the app's reference where that went out (`sent_as`),
-- and for a carrier that echoes nothing a guess
-- by both numbers among what was sent since `guess_since` (or, with `guess_calling`, is being sent now).
-- Failing all, `candidate` becomes the id of a new message with the facts given here.
CREATE TYPE postback.event_in AS (
    id uuid, key uuid, type text, channel text, provider text, source text, received_at timestamptz,
    status text, bits integer, part integer, attempt integer,
    provider_status text, provider_code text, provider_message text, error_class text,
    error_specificity integer, occurred_at timestamptz, payload_id uuid,
    message_id uuid, submission_id uuid, provider_message_id text, batch_recipient text, inbound boolean,
    candidate uuid, kind text, our_number text, contact text, client_reference text,
    guess_since timestamptz, guess_calling boolean
);

-- Why a message failed; without a class where the failure named none.
CREATE TYPE postback.failure_in AS (
    message_id uuid, error_class text, error_specificity integer, error_code text, error_message text
);

-- What answers an opt-out, from that of our `numbers` which it was said to, as long as it may leave.
CREATE TYPE postback.confirmation_in AS (
    id uuid, kind text, text text, numbers text[], expires_at timestamptz
);

-- What somebody said about being written to; `only_when_out` is a word that means nothing to those who are
-- not opted out. `groups` are arrays of our numbers that count as one, NULL where all do; `told_by` is the
-- source of the events that follow.
CREATE TYPE postback.consent_in AS (
    id uuid, message_id uuid, our_number text, contact text, contact_hashes bytea[], groups jsonb,
    opts_out boolean, only_when_out boolean, at timestamptz, source text, certainty text, word text,
    said_by text, told_by text, payload_id uuid, confirmation postback.confirmation_in
);

-- What an inbound message says; `candidate` is that of its event. `our_number` is what it was written to
-- where the carrier names no number and nothing was sent to the contact before; `answers` is the carrier's id
-- of the message that it says this one replies to; `thread` is who the conversation is with.
CREATE TYPE postback.inbound_in AS (
    candidate uuid, conversation uuid, our_number text, answers text, text text, subject text, participants text[],
    thread text, metadata jsonb, consent postback.consent_in
);

-- A file of a message; with `sha256` and `name` where its bytes came with it and lie in our store.
CREATE TYPE postback.media_in AS (
    message_id uuid, "position" integer, id uuid, url text, content_type text, state text, size integer,
    sha256 bytea, name text
);

-- What a try to fetch a file came to. `attempts` tells which try it was: a later one makes its word void.
-- `state` is that of the file from now on (pending: again after `again_in`), or `dropped` for what no message
-- holds. `text` is what a text part says, `marks` what its words mean to apps.
CREATE TYPE postback.fetched_in AS (
    message_id uuid, "position" integer, attempts integer, state text, again_in interval, reason text,
    url text, content_type text, size integer, sha256 bytea, name text,
    text text, marks jsonb, consent postback.consent_in
);

-- News of a message stored with the carrier: `template_id` when we know which, else our submission's id, else one of
-- the carrier's: that of the template, or that of the call that stored it.
CREATE TYPE postback.template_in AS (
    template_id uuid, submission_id uuid, candidate uuid, channel text, provider text,
    provider_template_id text, state text, error_class text, error_code text, error_message text,
    provider_message_id text
);

-- A message to send; `request` numbers the API call that asked for it, among those committed together, and
-- `batch` is the same for all that say the same. An opt-out of `contact`, or of one of its `contact_hashes` if
-- it was erased, from a number in `scope` (NULL: from any) keeps it from being sent.
-- A reply names its conversation, our number in it and its `thread`; others belong where their numbers say.
CREATE TYPE postback.message_in AS (
    id uuid, request integer, batch uuid, channel text, provider text, kind text, our_number text, contact text,
    client_reference text, conversation uuid, text text, subject text, fallback_text text,
    expires_at timestamptz, template_id uuid, options jsonb, metadata jsonb, contact_hashes bytea[], scope text[],
    conversation_number text, thread text, slides jsonb
);

CREATE TYPE postback.idempotency_in AS (
    request integer, scope text, key text, request_hash bytea, message_ids uuid[]
);

-- What became of a call: gone from the outbox, or queued again after `again_in`.
-- `send_at` and `expires_at` are what the carrier said of when it sends.
-- `report_within` is how long a report on an accepted message may take, NULL where nobody waits for one.
CREATE TYPE postback.settled_in AS (
    id uuid, submission_id uuid, again_in interval, report_within interval,
    send_at timestamptz, expires_at timestamptz
);
