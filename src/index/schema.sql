-- The index, format 1. It can be rebuilt from manifests/, bindings/, pins/ and locks/.
-- Times are RFC 3339 in UTC; digests are spelled as in store-layout.md.

CREATE TABLE meta (
  name  TEXT PRIMARY KEY,
  value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- Interpreters asked, by what their executable was then.
CREATE TABLE interpreters (
  id       INTEGER PRIMARY KEY,
  digest   TEXT NOT NULL,
  path     TEXT NOT NULL,
  inode    INTEGER NOT NULL,
  size     INTEGER NOT NULL,
  mtime_ns INTEGER NOT NULL,
  body     TEXT NOT NULL,
  UNIQUE (path, inode, size, mtime_ns)
) STRICT;

CREATE TABLE specs (
  digest TEXT PRIMARY KEY,
  body   TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE envs (
  id           INTEGER PRIMARY KEY,
  key          TEXT NOT NULL,
  name         TEXT NOT NULL UNIQUE,
  state        TEXT NOT NULL CHECK (state IN ('ready', 'condemned', 'deleting', 'corrupt')),
  interpreter  INTEGER NOT NULL REFERENCES interpreters ON DELETE RESTRICT,
  lock         TEXT NOT NULL,
  tree_digest  TEXT NOT NULL,
  bytes        INTEGER NOT NULL,
  files        INTEGER NOT NULL,
  installer    TEXT NOT NULL,
  notes        TEXT NOT NULL,
  link_mode    TEXT NOT NULL,
  created_at   TEXT NOT NULL,
  last_used_at TEXT NOT NULL,
  used         INTEGER NOT NULL
) STRICT;

-- I3: at most one ready environment a key.
CREATE UNIQUE INDEX envs_ready ON envs (key) WHERE state = 'ready';
CREATE INDEX envs_key ON envs (key);
-- Who is next in the queue of what may be collected.
CREATE INDEX envs_used ON envs (used);

-- The boot in which an environment was published, or last found to be as it was.
CREATE TABLE looked_at (
  env  INTEGER PRIMARY KEY REFERENCES envs ON DELETE CASCADE,
  boot TEXT NOT NULL
) STRICT;

-- The next suffix for an environment's directory: no name is used twice.
CREATE TABLE names (
  stem TEXT PRIMARY KEY,
  next INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE env_distributions (
  env         INTEGER NOT NULL REFERENCES envs ON DELETE CASCADE,
  name        TEXT NOT NULL,
  version     TEXT NOT NULL,
  from_source INTEGER NOT NULL,
  PRIMARY KEY (env, name)
) STRICT, WITHOUT ROWID;
CREATE INDEX env_distributions_name ON env_distributions (name, version);

-- What an artifact became when it was installed. `identity` is NULL for what is one environment's alone. `body` is JSON: paths and
-- forms; `objects` has 40 bytes for each of its files: digest, size (u64, little endian).
CREATE TABLE components (
  id           INTEGER PRIMARY KEY,
  identity     TEXT UNIQUE,
  name         TEXT NOT NULL,
  version      TEXT NOT NULL,
  body         TEXT NOT NULL,
  objects      BLOB NOT NULL,
  bytes        INTEGER NOT NULL,
  last_used_at TEXT NOT NULL
) STRICT;

CREATE TABLE env_components (
  env       INTEGER NOT NULL REFERENCES envs ON DELETE CASCADE,
  component INTEGER NOT NULL REFERENCES components ON DELETE RESTRICT,
  PRIMARY KEY (env, component)
) STRICT, WITHOUT ROWID;
CREATE INDEX env_components_component ON env_components (component);

-- Bytecode by what it is made of: 32 bytes to the 40 of an object. Not a root.
CREATE TABLE derived (
  key    BLOB PRIMARY KEY,
  object BLOB NOT NULL
) STRICT, WITHOUT ROWID;

-- What a spec became for an interpreter. Not a root.
CREATE TABLE aliases (
  spec        TEXT NOT NULL,
  interpreter TEXT NOT NULL,
  env         INTEGER NOT NULL REFERENCES envs ON DELETE CASCADE,
  PRIMARY KEY (spec, interpreter)
) STRICT, WITHOUT ROWID;
CREATE INDEX aliases_env ON aliases (env);

-- `generation` is the current one, NULL once the pack was removed with its history kept.
CREATE TABLE packs (
  id         INTEGER PRIMARY KEY,
  ref        TEXT NOT NULL UNIQUE,
  spec       TEXT NOT NULL REFERENCES specs,
  origin     TEXT,
  generation INTEGER
) STRICT;

-- Every generation of every pack. `env` is the edge that keeps an environment (I4); it is NULL for a
-- generation whose environment may go.
CREATE TABLE bindings (
  pack       INTEGER NOT NULL REFERENCES packs ON DELETE CASCADE,
  generation INTEGER NOT NULL,
  env        INTEGER REFERENCES envs ON DELETE RESTRICT,
  key        TEXT NOT NULL,
  interpreter TEXT NOT NULL,
  lock       TEXT NOT NULL,
  answers    TEXT NOT NULL,
  at         TEXT NOT NULL,
  cause      TEXT NOT NULL,
  uid        INTEGER,
  PRIMARY KEY (pack, generation)
) STRICT, WITHOUT ROWID;
CREATE INDEX bindings_env ON bindings (env);

CREATE TABLE pins (
  name  TEXT PRIMARY KEY,
  env   INTEGER NOT NULL REFERENCES envs ON DELETE RESTRICT,
  at    TEXT NOT NULL,
  until TEXT
) STRICT, WITHOUT ROWID;
CREATE INDEX pins_env ON pins (env);

-- Symbolic links outside the store that follow packs. `env` is where one leads; its pack may have been removed.
CREATE TABLE links (
  path TEXT PRIMARY KEY,
  pack TEXT NOT NULL,
  env  INTEGER NOT NULL REFERENCES envs ON DELETE RESTRICT,
  at   TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX links_env ON links (env);
CREATE INDEX links_pack ON links (pack);

-- Specs that failed for a reason that cannot mend itself.
CREATE TABLE failures (
  spec        TEXT NOT NULL,
  interpreter TEXT NOT NULL,
  kind        TEXT NOT NULL,
  message     TEXT NOT NULL,
  at          TEXT NOT NULL,
  PRIMARY KEY (spec, interpreter)
) STRICT, WITHOUT ROWID;

-- The last time a pack's environment could not be made, until it was. The newest 1,000.
CREATE TABLE pack_failures (
  pack    TEXT PRIMARY KEY,
  at      TEXT NOT NULL,
  kind    TEXT NOT NULL,
  message TEXT NOT NULL,
  log     TEXT
) STRICT, WITHOUT ROWID;

CREATE TABLE events (
  id     INTEGER PRIMARY KEY,
  at     TEXT NOT NULL,
  what   TEXT NOT NULL,
  pack   TEXT,
  cause  TEXT,
  before TEXT,
  after  TEXT,
  uid    INTEGER NOT NULL
) STRICT;
