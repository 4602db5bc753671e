"""libpq's parameters: which stand in the environment, which are honoured, and what the others come to.

The names are those of https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-PARAMKEYWORDS.
"""

#: parameter -> its variable; a URL's word counts more, a service file's as well
VARIABLES = {
    "host": "PGHOST",
    "hostaddr": "PGHOSTADDR",
    "port": "PGPORT",
    "dbname": "PGDATABASE",
    "user": "PGUSER",
    "password": "PGPASSWORD",
    "passfile": "PGPASSFILE",
    "service": "PGSERVICE",
    "options": "PGOPTIONS",
    "application_name": "PGAPPNAME",
    "sslmode": "PGSSLMODE",
    "sslnegotiation": "PGSSLNEGOTIATION",
    "sslcompression": "PGSSLCOMPRESSION",
    "sslcert": "PGSSLCERT",
    "sslkey": "PGSSLKEY",
    "sslcertmode": "PGSSLCERTMODE",
    "sslrootcert": "PGSSLROOTCERT",
    "sslcrl": "PGSSLCRL",
    "sslcrldir": "PGSSLCRLDIR",
    "sslsni": "PGSSLSNI",
    "ssl_min_protocol_version": "PGSSLMINPROTOCOLVERSION",
    "ssl_max_protocol_version": "PGSSLMAXPROTOCOLVERSION",
    "requirepeer": "PGREQUIREPEER",
    "require_auth": "PGREQUIREAUTH",
    "channel_binding": "PGCHANNELBINDING",
    "gssencmode": "PGGSSENCMODE",
    "gssdelegation": "PGGSSDELEGATION",
    "krbsrvname": "PGKRBSRVNAME",
    "gsslib": "PGGSSLIB",
    "connect_timeout": "PGCONNECT_TIMEOUT",
    "client_encoding": "PGCLIENTENCODING",
    "target_session_attrs": "PGTARGETSESSIONATTRS",
    "load_balance_hosts": "PGLOADBALANCEHOSTS",
}

#: honoured, beside those that have a variable
HONOURED = {
    "sslpassword",
    "fallback_application_name",
    "keepalives",
    "keepalives_idle",
    "keepalives_interval",
    "keepalives_count",
    "tcp_user_timeout",
    "statement_cache_size",
}

#: other libraries' names of the same things
ALIASES = {
    "database": "dbname",
    "username": "user",
    "ssl": "sslmode",
    "timeout": "connect_timeout",
    "prepared_statement_cache_size": "statement_cache_size",
}

#: parameter -> the values with which there is nothing to do, and what to say of all others
ONLY: dict[str, tuple[tuple[str, ...], str]] = {
    "gssencmode": (("disable", "prefer"), "the driver does not encrypt by GSSAPI: use TLS"),
    "gssdelegation": (("0",), "the driver passes no credentials on"),
    "sslcompression": (("0", "1"), "it is 0 or 1, and OpenSSL compresses nothing"),
    "sslsni": (("1",), "the driver always names the host to the server"),
    "sslcertmode": (("allow",), "the driver shows the certificate of sslcert when it is asked for it"),
    "sslcrldir": (("",), "the driver reads one file: use sslcrl"),
    "requirepeer": (("",), "the driver does not ask whose the socket is"),
    "require_auth": (("",), "the driver takes whichever way to authenticate the server asks for"),
    "replication": (("0", "off", "no", "false"), "Postback does not replicate"),
    "client_encoding": (("utf8", "utf-8", "unicode", "auto"), "everything here is UTF8"),
    "min_protocol_version": (("3.0",), "the driver speaks version 3.0"),
    "max_protocol_version": (("3.0", "3.2", "latest"), "the driver speaks version 3.0"),
}

#: all that a URL may hold
KNOWN = {*VARIABLES, *HONOURED, *ALIASES, *ONLY, "pgbouncer"}

SSL_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
#: SQLAlchemy's and other libraries' values of ``ssl``
TRUTH = {"true": "require", "1": "require", "on": "require", "yes": "require",
         "false": "disable", "0": "disable", "off": "disable", "no": "disable"}  # fmt: skip

#: a server that takes no writes is of no use
ATTRS = ("any", "primary", "read-write")
