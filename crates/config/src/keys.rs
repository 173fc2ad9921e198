//! Every section and key of the config file, with what it expects and an example to copy.

/// A key that a section may hold.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Key {
    pub(crate) name: &'static str,
    /// The value, as a noun.
    pub(crate) expected: &'static str,
    /// Key and value, as TOML.
    pub(crate) example: &'static str,
}

/// A table of the config file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Schema {
    /// How messages name the table.
    pub(crate) title: &'static str,
    /// Where its keys stand, for messages.
    pub(crate) place: &'static str,
    pub(crate) keys: &'static [Key],
}

const fn key(name: &'static str, expected: &'static str, example: &'static str) -> Key {
    Key {
        name,
        expected,
        example,
    }
}

/// All tables, the document itself first.
pub(crate) const SCHEMAS: [Schema; 11] = [
    ROOT,
    DIRECTOR,
    TABLES,
    SYNC,
    SYNC_PEER,
    ROUTER,
    SERVICE,
    CHECK_TABLE,
    TIMEOUTS_TABLE,
    PERSISTENCE_TABLE,
    SERVER,
];

pub(crate) const ROOT: Schema = Schema {
    title: "the top level",
    place: "at the top level",
    keys: &[DIRECTOR_TABLE, TABLES_TABLE, SYNC_TABLE, ROUTERS, SERVICES],
};
pub(crate) const DIRECTOR_TABLE: Key = key("director", "a table", "[director]");
pub(crate) const TABLES_TABLE: Key = key("tables", "a table", "[tables]");
pub(crate) const SYNC_TABLE: Key = key("sync", "a table", "[sync]");
pub(crate) const ROUTERS: Key = key("virtual-router", "an array of tables", "[[virtual-router]]");
pub(crate) const SERVICES: Key = key("service", "an array of tables", "[[service]]");

pub(crate) const DIRECTOR: Schema = Schema {
    title: "`[director]`",
    place: "in `[director]`",
    keys: &[NAME, INTERFACE, MORE_INTERFACES, XDP, STARTUP_WAIT],
};
pub(crate) const NAME: Key = key("name", "a string", "name = \"web\"");
pub(crate) const INTERFACE: Key = key("interface", "a string", "interface = \"eth0\"");
pub(crate) const MORE_INTERFACES: Key = key(
    "more-interfaces",
    "an array of strings",
    "more-interfaces = [\"eth1\"]",
);
/// One of [`MORE_INTERFACES`].
pub(crate) const MORE_INTERFACES_ENTRY: Key = key("more-interfaces", "a string", "\"eth1\"");
pub(crate) const XDP: Key = key("xdp", "a string", "xdp = \"auto\"");
pub(crate) const STARTUP_WAIT: Key = key(
    "startup-wait",
    "a duration string",
    "startup-wait = \"10s\"",
);

pub(crate) const TABLES: Schema = Schema {
    title: "`[tables]`",
    place: "in `[tables]`",
    keys: &[CONNECTIONS, HALF_OPEN],
};
pub(crate) const CONNECTIONS: Key = key("connections", "a whole number", "connections = 1048576");
pub(crate) const HALF_OPEN: Key = key("half-open", "a whole number", "half-open = 65536");

pub(crate) const SYNC: Schema = Schema {
    title: "`[sync]`",
    place: "in `[sync]`",
    keys: &[KEY_FILES, SYNC_PORT, LAG, WAIT, SYNC_PEERS],
};
pub(crate) const KEY_FILES: Key = key(
    "key-files",
    "an array of strings",
    "key-files = [\"/etc/evenkeel/sync.key\"]",
);
/// One of [`KEY_FILES`].
pub(crate) const KEY_FILES_ENTRY: Key = key("key-files", "a string", "\"/etc/evenkeel/sync.key\"");
pub(crate) const SYNC_PORT: Key = key("port", "a whole number", "port = 6694");
pub(crate) const LAG: Key = key("lag", "a duration string", "lag = \"100ms\"");
pub(crate) const WAIT: Key = key("wait", "a duration string", "wait = \"10s\"");
pub(crate) const SYNC_PEERS: Key = key(
    "peers",
    "an array of tables",
    "peers = [{ name = \"laicoy\", addresses = [\"10.0.0.2\"] }]",
);

pub(crate) const SYNC_PEER: Schema = Schema {
    title: "a table of `peers`",
    place: "in a table of `peers`",
    keys: &[NAME, SYNC_ADDRESSES],
};
pub(crate) const SYNC_ADDRESSES: Key = key(
    "addresses",
    "an array of strings",
    "addresses = [\"10.0.0.2\"]",
);
/// One of [`SYNC_ADDRESSES`].
pub(crate) const SYNC_ADDRESSES_ENTRY: Key =
    key("addresses", "a string with an address", "\"10.0.0.2\"");

pub(crate) const ROUTER: Schema = Schema {
    title: "`[[virtual-router]]`",
    place: "in `[[virtual-router]]`",
    keys: &[
        NAME,
        ID,
        ADDRESSES,
        PRIORITY,
        VERSION,
        ADVERTS,
        PREEMPT,
        FAILBACK,
        PREEMPT_DELAY,
        PEERS,
        SOURCE,
        CHECKSUM,
        ANNOUNCEMENTS,
        ANNOUNCE_AGAIN,
    ],
};
pub(crate) const ID: Key = key("id", "a whole number", "id = 51");
pub(crate) const ADDRESSES: Key = key(
    "addresses",
    "an array of strings",
    "addresses = [\"198.18.14.146\"]",
);
/// One of [`ADDRESSES`].
pub(crate) const ADDRESSES_ENTRY: Key =
    key("addresses", "a string with an address", "\"198.18.14.146\"");
pub(crate) const PRIORITY: Key = key("priority", "a whole number", "priority = 100");
pub(crate) const VERSION: Key = key("version", "a whole number", "version = 3");
pub(crate) const ADVERTS: Key = key("adverts", "a duration string", "adverts = \"1s\"");
pub(crate) const PREEMPT: Key = key("preempt", "`true` or `false`", "preempt = true");
pub(crate) const FAILBACK: Key = key("failback", "a string", "failback = \"auto\"");
pub(crate) const PREEMPT_DELAY: Key = key(
    "preempt-delay",
    "a duration string",
    "preempt-delay = \"30s\"",
);
pub(crate) const PEERS: Key = key("peers", "an array of strings", "peers = [\"198.18.14.11\"]");
/// One of [`PEERS`].
pub(crate) const PEERS_ENTRY: Key = key("peers", "a string with an address", "\"198.18.14.11\"");
pub(crate) const SOURCE: Key = key(
    "source",
    "a string with an address",
    "source = \"198.18.14.10\"",
);
pub(crate) const CHECKSUM: Key = key("checksum", "a string", "checksum = \"pseudo-header\"");
pub(crate) const ANNOUNCEMENTS: Key = key("announcements", "a whole number", "announcements = 5");
pub(crate) const ANNOUNCE_AGAIN: Key = key(
    "announce-again",
    "a duration string",
    "announce-again = \"5s\"",
);

pub(crate) const SERVICE: Schema = Schema {
    title: "`[[service]]`",
    place: "in `[[service]]`",
    keys: &[
        NAME,
        LISTEN,
        PROTOCOL,
        NUMBER,
        SCHEDULER,
        SCHEDULER_FLAGS,
        HASH_SLOTS,
        HASH_KEY,
        PERSISTENCE,
        ONE_PACKET,
        TIMEOUTS,
        FORWARD,
        FRAGMENTS,
        ON_FAILURE,
        ON_REMOVAL,
        CHECK,
        SERVERS,
        SORRY_SERVER,
    ],
};
pub(crate) const LISTEN: Key = key(
    "listen",
    "a string with an address and a port",
    "listen = \"198.18.14.146:80\"",
);
/// One of several in [`LISTEN`].
pub(crate) const LISTEN_ENTRY: Key = key(
    "listen",
    "a string with an address and ports",
    "\"198.18.14.146:8000-8099\"",
);
pub(crate) const PROTOCOL: Key = key("protocol", "a string", "protocol = \"tcp\"");
/// One of several in [`PROTOCOL`].
pub(crate) const PROTOCOL_ENTRY: Key = key("protocol", "a string", "\"tcp\"");
pub(crate) const NUMBER: Key = key("number", "a whole number", "number = 1");
pub(crate) const ONE_PACKET: Key = key("one-packet", "`true` or `false`", "one-packet = true");
pub(crate) const SCHEDULER: Key = key("scheduler", "a string", "scheduler = \"rr\"");
pub(crate) const SCHEDULER_FLAGS: Key = key(
    "scheduler-flags",
    "an array of strings",
    "scheduler-flags = [\"sh-port\"]",
);
/// One of [`SCHEDULER_FLAGS`].
pub(crate) const SCHEDULER_FLAGS_ENTRY: Key = key("scheduler-flags", "a string", "\"sh-port\"");
pub(crate) const HASH_SLOTS: Key = key("hash-slots", "a whole number", "hash-slots = 65537");
pub(crate) const HASH_KEY: Key = key("hash-key", "a string", "hash-key = \"client\"");
pub(crate) const PERSISTENCE: Key = key(
    "persistence",
    "a table",
    "persistence = { timeout = \"5m\" }",
);
pub(crate) const TIMEOUTS: Key = key(
    "timeouts",
    "a table",
    "timeouts = { established = \"15m\", fin-wait = \"2m\" }",
);
pub(crate) const FORWARD: Key = key("forward", "a string", "forward = \"direct\"");
pub(crate) const FRAGMENTS: Key = key("fragments", "a string", "fragments = \"follow\"");
pub(crate) const ON_REMOVAL: Key = key("on-removal", "a string", "on-removal = \"drop\"");
pub(crate) const ON_FAILURE: Key = key("on-failure", "a string", "on-failure = \"remove\"");
pub(crate) const CHECK: Key = key(
    "check",
    "a table or `\"none\"`",
    "check = { http = \"/\", every = \"2s\", timeout = \"1s\" }",
);
pub(crate) const SERVERS: Key = key(
    "servers",
    "an array of tables",
    "servers = [ { address = \"198.18.14.12\" } ]",
);

pub(crate) const SORRY_SERVER: Key = key(
    "sorry-server",
    "a string with an address",
    "sorry-server = \"198.18.14.20\"",
);

pub(crate) const CHECK_TABLE: Schema = Schema {
    title: "`check`",
    place: "in `check`",
    keys: &[
        HTTP, TCP, HOST, STATUS, BODY, PORT, EVERY, TIMEOUT, FALL, RISE,
    ],
};
pub(crate) const HTTP: Key = key("http", "a string with a path", "http = \"/\"");
pub(crate) const TCP: Key = key("tcp", "`true`", "tcp = true");
pub(crate) const HOST: Key = key("host", "a string", "host = \"www.example.org\"");
pub(crate) const STATUS: Key = key("status", "a whole number", "status = 200");
pub(crate) const BODY: Key = key("body", "a string", "body = \"OK\"");
pub(crate) const PORT: Key = key("port", "a whole number", "port = 8080");
pub(crate) const EVERY: Key = key("every", "a duration string", "every = \"2s\"");
pub(crate) const TIMEOUT: Key = key("timeout", "a duration string", "timeout = \"1s\"");
pub(crate) const FALL: Key = key("fall", "a whole number", "fall = 2");
pub(crate) const RISE: Key = key("rise", "a whole number", "rise = 2");

pub(crate) const TIMEOUTS_TABLE: Schema = Schema {
    title: "`timeouts`",
    place: "in `timeouts`",
    keys: &[ESTABLISHED, FIN_WAIT, UDP],
};
pub(crate) const ESTABLISHED: Key =
    key("established", "a duration string", "established = \"15m\"");
pub(crate) const FIN_WAIT: Key = key("fin-wait", "a duration string", "fin-wait = \"2m\"");
pub(crate) const UDP: Key = key("udp", "a duration string", "udp = \"5m\"");

pub(crate) const PERSISTENCE_TABLE: Schema = Schema {
    title: "`persistence`",
    place: "in `persistence`",
    keys: &[PERSISTENCE_TIMEOUT, NETMASK],
};
pub(crate) const PERSISTENCE_TIMEOUT: Key = key("timeout", "a duration string", "timeout = \"5m\"");
pub(crate) const NETMASK: Key = key("netmask", "a string", "netmask = \"255.255.255.0\"");

pub(crate) const SERVER: Schema = Schema {
    title: "an entry of `servers`",
    place: "in an entry of `servers`",
    keys: &[ADDRESS, WEIGHT, UPPER_THRESHOLD, LOWER_THRESHOLD],
};
pub(crate) const ADDRESS: Key = key(
    "address",
    "a string with an address",
    "address = \"198.18.14.12\"",
);
pub(crate) const UPPER_THRESHOLD: Key = key(
    "upper-threshold",
    "a whole number",
    "upper-threshold = 1000",
);
pub(crate) const LOWER_THRESHOLD: Key =
    key("lower-threshold", "a whole number", "lower-threshold = 800");
pub(crate) const WEIGHT: Key = key("weight", "a whole number", "weight = 1");

#[cfg(test)]
mod tests;
