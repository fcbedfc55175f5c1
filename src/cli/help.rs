//! The long help texts: what a command does, an example, and the exit codes where they are special.

/// `envstore --help`, above.
pub const ABOUT: &str = "\
Keeps one immutable environment for each distinct set of locked dependencies.

A pack declares what it needs; `ensure` locks that, finds or builds the environment, and binds the pack to it. Packs \
whose declarations lock to the same artifacts share one environment. Workers then ask `resolve` or go through \
`exec`, which costs next to nothing.";

/// `envstore --help`, below.
pub const AFTER: &str = "\
Getting started:
  envstore ensure aws.s3 --with 'boto3>=1.34'     build an environment for one pack
  envstore exec aws.s3 -- python -c 'import boto3'
  envstore sync /opt/packs                        ensure every pack in a directory
  envstore list                                   see what there is

Exit codes:
  0        done, also when there was nothing to do
  1        failed, trying again will not help (sync: a pack failed)
  2        wrong arguments or configuration
  3        damage found
  4        try again: busy, timed out, index unreachable, credentials refused, no space
  5        no such pack, environment or generation
  6        not permitted here: read-only, sealed, moved, other owner, unsupported filesystem, newer format
  70       a mistake in envstore
  125-127  exec: envstore failed, the command cannot be run, the command was not found
  130 143  interrupted by Ctrl-C or SIGTERM, after tidying up

Environment:
  ENVSTORE_STORE      the store's directory, as --store
  ENVSTORE_CONFIG     the configuration file, as --config
  ENVSTORE_READ_ONLY  1: as --read-only
  ENVSTORE_OFFLINE    1: as --offline
  NO_COLOR            anything: no colours

Files:
  /etc/envstore/config.toml, $XDG_CONFIG_HOME/envstore/config.toml";

/// `ensure --help`, above.
pub const ENSURE: &str = "\
Gives a pack the environment its declaration asks for, and prints the path of that environment's interpreter.

The first of these that holds: the pack's environment already answers the declaration (hit); an environment for the \
same declaration or the same lock stands and is shared (shared); it is built (built). Running it again changes \
nothing until the declaration changes, or --upgrade asks for newer versions.

Without -r, --with or --from the declaration recorded for the pack is ensured again.";

/// `ensure --help`, below.
pub const ENSURE_AFTER: &str = "\
Examples:
  envstore ensure aws.s3 -r requirements.txt
  envstore ensure aws.s3 --with 'boto3>=1.34' --with six --python '>=3.9,<3.13'
  envstore ensure aws.s3 --from /opt/packs/aws.s3
  envstore ensure aws.s3 --from pyproject.toml --extra s3
  envstore ensure fetch --from fetch.py           a script with `# /// script` metadata
  envstore ensure aws.s3 --upgrade                newer versions, same declaration
  envstore ensure aws.s3 -r requirements.txt --like /opt/venvs/aws
                                                  the versions of a virtual environment, where they fit
  envstore ensure plain -r /dev/null              a pack without dependencies

If it fails the pack keeps the environment it had (outcome `kept`), and the exit code is that of the failure. With \
--allow-kept it is 0 if the environment kept still answers the declaration, which is so when an upgrade failed.";

/// `resolve --help`, above.
pub const RESOLVE: &str = "\
Prints the path of the interpreter of a pack's environment. It locks nothing, builds nothing, changes no pack and needs no \
network.

The path stays good while the pack is bound to the environment and for the time generations are retained. `exec` also \
keeps the environment for as long as the command runs.";

/// `resolve --help`, below.
pub const RESOLVE_AFTER: &str = "\
Example:
  \"$(envstore resolve aws.s3)\" action.py

Exit code 5: the pack has no environment.";

/// `exec --help`, above.
pub const EXEC: &str = "\
Becomes a command inside a pack's environment. The command is looked up in the environment's `bin` first, so `python` is the \
environment's interpreter. The environment cannot be collected while the command or a descendant of it runs.

Set: VIRTUAL_ENV, ENVSTORE_ENV, PYTHONDONTWRITEBYTECODE=1, PATH with the environment's `bin` in front. Dropped: PYTHONHOME, \
PYTHONPATH, PYTHONOPTIMIZE, PYTHONPLATLIBDIR, PYTHONPYCACHEPREFIX.";

/// `exec --help`, below.
pub const EXEC_AFTER: &str = "\
Examples:
  envstore exec aws.s3 -- python action.py --verbose
  envstore exec web -- flask --version

Exit codes: those of the command; 126 if it cannot be run, 127 if it was not found; 5 if there is no such pack, and 125 \
if envstore failed for a reason that is code 1 elsewhere.";

/// `sync --help`, above.
pub const SYNC: &str = "\
Ensures every pack found under the given paths, goes on when one fails, and ends with a table of packs, environments and \
interpreters and what sharing saved.

A path is a directory of packs, one pack (a directory with a pack.yaml, pylock.toml, requirements.txt or pyproject.toml; of \
several the first counts), such a file itself, a script with `# /// script` metadata, or a `.jsonl` list with one object a \
line: `pack_ref`, `requirements` (text) or `dependencies` (a list), and optionally `python_versions`.

With --links each pack also gets a symbolic link as `envstore link` makes it. What is there already is replaced only if it is a symbolic \
link: move virtual environments that were made by hand away first, and name where they are with --like. Packs that --remove-missing removes \
lose their links.";

/// `sync --help`, below.
pub const SYNC_AFTER: &str = "\
Examples:
  envstore sync /opt/packs
  envstore sync /opt/packs --dry-run              what would be done
  envstore sync /opt/packs --check                for deployments: exit 1 if something is to be done
  envstore sync fleet.jsonl -j 16 --format json
  envstore sync /opt/packs --remove-missing       packs that left the directory leave the store
  envstore sync packs --like old --links venvs    moving in: the versions of old/PACK, and venvs/PACK for runners
                                                  that know a path

Exit code 1: a pack failed; the others were done. Ctrl-C: what is finished stays, the table is printed, exit code 130.";

/// `upgrade --help`, above.
pub const UPGRADE: &str = "\
Locks the recorded declarations of packs again, to the newest versions they allow, and binds the packs to what that becomes. Only \
the packs that are meant move, also when others share their environments. With -P only the distributions named become newer and \
the others stay, as far as their requirements allow (pip, unlike uv, lets all go where one has to).

A pack whose upgrade fails keeps its environment.";

/// `upgrade --help`, below.
pub const UPGRADE_AFTER: &str = "\
Examples:
  envstore upgrade aws.s3 --dry-run               what would change
  envstore upgrade aws.s3 -P boto3                this distribution only
  envstore upgrade --using 'urllib3<2.2.2' -P urllib3
  envstore upgrade --all
  envstore rollback aws.s3                        and back

Exit code 1: a pack failed; the others were done.";

/// `list --help`, above.
pub const LIST: &str = "\
Lists the packs, each with its environment, interpreter and size. Packs that share an environment show the same key.";

/// `list --help`, below.
pub const LIST_AFTER: &str = "\
Examples:
  envstore list
  envstore list --group-by env                    environments, each with its packs
  envstore list --all                             also environments that no pack is bound to
  envstore list --stale                           packs whose new declaration could not be met";

/// `show --help`, above.
pub const SHOW: &str = "\
Shows a pack: its declaration, environment, distributions and generations. Or an environment, by the beginning of its key.";

/// `show --help`, below.
pub const SHOW_AFTER: &str = "\
Examples:
  envstore show aws.s3
  envstore show env:mfrggzdf";

/// `history --help`, above.
pub const HISTORY: &str = "\
Lists a pack's generations, newest first: every change of its environment or of the declaration it answers, with its cause.";

/// `history --help`, below.
pub const HISTORY_AFTER: &str = "\
Example:
  envstore history aws.s3

Exit code 5: there is no such pack.";

/// `rollback --help`, above.
pub const ROLLBACK: &str = "\
Gives a pack the environment of an earlier generation again: the one before, or that of --to. It becomes a new generation that \
answers the pack's present declaration, so `ensure` leaves it alone until the declaration changes or an upgrade is asked for. What runs \
goes on with what it started with.

An environment that stands is bound, in milliseconds. One that was collected is made again from its lock, with the interpreter \
it was made for; the outcome says which.";

/// `rollback --help`, below.
pub const ROLLBACK_AFTER: &str = "\
Examples:
  envstore rollback aws.s3
  envstore rollback aws.s3 --to 3 --dry-run       what would change

Exit code 5: there is no such pack or generation; 1: its interpreter is not on this host any more.";

/// `diff --help`, above.
pub const DIFF: &str = "\
Compares what two packs, environments or generations hold: distributions that were added, removed or changed (also another file \
of the same version), the interpreters, and the options of the declarations. It says why two packs do not share. Locks are compared, so \
generations whose environments were collected can be asked for too.";

/// `diff --help`, below.
pub const DIFF_AFTER: &str = "\
Examples:
  envstore diff aws.s3                            the current generation against the one before
  envstore diff aws.s3 --from 2 --to 5
  envstore diff aws.s3 web                        why do they not share?
  envstore diff env:mfrggzdf env:nbswy3dp";

/// `why --help`, above.
pub const WHY: &str = "\
Lists everything that keeps an environment: the packs bound to it, earlier generations that are retained, pins, and the processes \
that use it; and what would be free without it.";

/// `why --help`, below.
pub const WHY_AFTER: &str = "\
Examples:
  envstore why aws.s3
  envstore why env:mfrggzdf";

/// `pin --help`, above.
pub const PIN: &str = "\
Keeps an environment under a name until `unpin`, or until a day has passed, whatever becomes of the packs that are bound to it. A pin of a \
pack keeps the environment that the pack has now.";

/// `pin --help`, below.
pub const PIN_AFTER: &str = "\
Examples:
  envstore pin before-migration aws.s3
  envstore pin audit env:mfrggzdf --until 2027-03-31";

/// `unpin --help`, above.
pub const UNPIN: &str = "Takes a pin away. What only it kept goes with the next `gc`.";

/// `unpin --help`, below.
pub const UNPIN_AFTER: &str = "\
Examples:
  envstore unpin before-migration

Exit code 5: there is no such pin.";

/// `link --help`, above.
pub const LINK: &str = "\
Makes a symbolic link that leads to a pack's environment and follows it: at each change of the binding the link is replaced, atomically. For \
runners that know a path instead of a pack. The link keeps the environment it leads to, also when the pack was removed.

A process that was started through the link holds no lease: prefer `exec` where you can.";

/// `link --help`, below.
pub const LINK_AFTER: &str = "\
Examples:
  envstore link aws.s3 /opt/stackstorm/virtualenvs/aws
  /opt/stackstorm/virtualenvs/aws/bin/python action.py

Exit code 6: something that is no symbolic link is there.";

/// `unlink --help`, above.
pub const UNLINK: &str = "Takes a link away that `link` made. What only it kept goes with the next `gc`.";

/// `unlink --help`, below.
pub const UNLINK_AFTER: &str = "\
Examples:
  envstore unlink /opt/stackstorm/virtualenvs/aws

Exit code 5: there is no such link.";

/// `events --help`, above.
pub const EVENTS: &str = "\
Tells what happened, newest first: when, what, to which pack, why, from which environment to which, and by which user. The newest \
20,000 are kept; they are lost with the index, the history of each pack is not.";

/// `events --help`, below.
pub const EVENTS_AFTER: &str = "\
Examples:
  envstore events
  envstore events aws.s3 --limit 10
  envstore --format json events --limit 20000     for an audit

See also `envstore history PACK`.";

/// `who-uses --help`, above.
pub const WHO_USES: &str = "\
Lists whose environments hold a distribution of the given versions (PEP 440, pre-releases included): packs, earlier generations \
that are retained, pins, and whether a process runs from them now.";

/// `who-uses --help`, below.
pub const WHO_USES_AFTER: &str = "\
Examples:
  envstore who-uses 'urllib3<2.2.2'
  envstore who-uses 'urllib3<2.2.2' --exit-code   for checks: 1 while anything starts from one that holds it
  envstore upgrade --using 'urllib3<2.2.2' -P urllib3

Retained generations are listed and do not count for --exit-code: nothing starts from them unless a pack is rolled back.";

/// `logs --help`, above.
pub const LOGS: &str = "\
Prints what was said while the environment of a pack's last declaration was made, secrets masked. A pack that shares an \
environment made for another one shows that one's.";

/// `logs --help`, below.
pub const LOGS_AFTER: &str = "\
Examples:
  envstore logs aws.s3";

/// `export --help`, above.
pub const EXPORT: &str = "\
Writes the lock of a pack's environment: as a `pylock.toml` (PEP 751), which `ensure --from`, uv and other tools install as it \
is, or as a requirements file with digests for `pip install --no-deps`. With --all every pack gets a directory that `sync` \
reads: another store then makes the same environments.

As `cyclonedx` it is a bill of materials (CycloneDX 1.5, JSON): each artifact with its package URL, digest and source, the interpreter, and the \
environment's key. The same environment gives the same text.";

/// `export --help`, below.
pub const EXPORT_AFTER: &str = "\
Examples:
  envstore export aws.s3 > pylock.toml
  envstore export aws.s3 --to requirements -o requirements.lock
  envstore export aws.s3 --to cyclonedx -o bom.cdx.json
  envstore export --all --to cyclonedx -o bills   bills/PACK/bom.cdx.json
  envstore export --all -o fleet && envstore --store /other sync fleet";

/// `checkout --help`, above.
pub const CHECKOUT: &str = "\
Copies a pack's environment to a directory of your own: an ordinary virtual environment that may be changed, moved into an image or \
used by what insists on writing into its own packages. The pack stays bound to the store's.";

/// `checkout --help`, below.
pub const CHECKOUT_AFTER: &str = "\
Examples:
  envstore checkout aws.s3 /opt/aws-env
  /opt/aws-env/bin/python -m ensurepip            pip, if you want it there

Packages that write into themselves can often be told to write elsewhere, which keeps the environment shared: \
MPLCONFIGDIR (matplotlib), NUMBA_CACHE_DIR (numba), NLTK_DATA (nltk), HF_HOME (huggingface), XDG_CACHE_HOME.";

/// `remove --help`, above.
pub const REMOVE: &str = "\
Forgets a pack. Its environment is deleted at once if no other pack, generation or running process keeps it.";

/// `remove --help`, below.
pub const REMOVE_AFTER: &str = "\
Examples:
  envstore remove aws.s3
  envstore remove aws.s3 --keep-history           its generations stay

Exit code 5: there is no such pack.";

/// `gc --help`, above.
pub const GC: &str = "\
Collects what nothing keeps: what interrupted builds left, what the installer keeps of artifacts that are components, the cache where \
it is above its limit, then environments that no pack, no retained generation and no running process keeps, then components that no \
environment holds and objects and locks that nothing names; also logs and what is in quarantine after 30 days. What is in use is never touched. Bytes are those that \
became free. After a build it runs by itself, once a day at most, when `gc.max_size` or `gc.min_free` is passed. \
What cannot be inspected or removed stays and is named with the reason; it does not stop the rest, and alone it is no failure.";

/// `gc --help`, below.
pub const GC_AFTER: &str = "\
Examples:
  envstore gc --dry-run
  envstore gc --max-size 20GiB
  envstore gc --min-free 10% --drop-retained

Exit code 3: the store's files name packs or pins that the index does not know, so nothing was collected (`envstore reindex` brings them back). \
Exit code 4: the target could not be reached (the reasons are told), or another collector is at work.";

/// `du --help`, above.
pub const DU: &str = "\
Weighs everything under the store's root by kind, each file once however many environments hold it; the total is what `du -sb` \
says. Then the environments and distributions that hold the most alone, and what sharing saves: packs that share an environment, \
and environments that share files.";

/// `du --help`, below.
pub const DU_AFTER: &str = "\
Examples:
  envstore du
  envstore du --all
  envstore du --format json";

/// `verify --help`, above.
pub const VERIFY: &str = "\
Compares environments with their manifests: kind, mode, size and time of each entry, so that a file that was written to or \
emptied by a power cut is found; --full reads every byte. Without a pack or environment the objects are looked at too. Changes \
nothing without --repair.

--repair never mends in place: it publishes a new directory (of the store's objects where they are sound, else installed again of the \
same lock), moves packs, pins and links to it, and the damaged one to `quarantine/` once no process uses it. Every environment that shares a \
damaged file is named and made anew too.";

/// `verify --help`, below.
pub const VERIFY_AFTER: &str = "\
Examples:
  envstore verify
  envstore verify aws.s3 --full
  envstore verify --full --repair

Exit code 3: there is damage, and each place is named; with --repair: some of it stays.";

/// `reindex --help`, above.
pub const REINDEX: &str = "\
Brings the index and the store's files together: manifests, bindings with their generations, pins and links. For an index.db that is lost, damaged \
or older than the files. If the index is sound, its other data is preserved. No environment is changed. If something had been lost, nothing is collected for a week.";

/// `reindex --help`, below.
pub const REINDEX_AFTER: &str = "\
Example:
  envstore reindex

Exit code 3: something could not be read and is named.";

/// `migrate --help`, above.
pub const MIGRATE: &str = "\
Brings a store of an earlier format to the newest that this release knows. Nothing else changes a format: opening never does, so that a \
release works beside the previous one on one store. Run it once the previous release is gone. There is one format so far, and nothing to do.";

/// `migrate --help`, below.
pub const MIGRATE_AFTER: &str = "\
Example:
  envstore migrate

Exit code 6: the store has a newer format, or belongs to another user.";

/// `relocate --help`, above.
pub const RELOCATE: &str = "\
Makes every environment of a store that was moved, copied or mounted elsewhere again for the path where the store is now. Environments name \
their own path, so until then `resolve`, `exec` and `ensure` refuse the store (`moved_store`, exit code 6).

It needs no network: environments are made of the files that the store holds. Keys, generations, pins and links stay. Room for the new \
directories is checked first; the old ones are deleted once no process uses them. A command that was stopped is run again and goes on.

Without --moved or --copy the store counts as moved if no store with its id is at a former path. A sealed store has to be unsealed first.";

/// `relocate --help`, below.
pub const RELOCATE_AFTER: &str = "\
Examples:
  envstore --store /srv/envstore relocate
  envstore --store /srv/copy relocate --copy      a copy beside the original

Exit code 1: some environments or links could not be mended and are named with the command that mends them. Exit code 6: it cannot be told whether \
the store was moved or copied.";

/// `seal --help`, above.
pub const SEAL: &str = "\
Lets the store take no more changes: what is in it can be resolved, run, listed and verified by every user who can read it, and nothing under \
its root is written any more, whatever the mount allows. For a store that is baked into an image or mounted read-only. Commands that would \
change it exit 6.

Everything a pack needs is under the root but its interpreter and the libraries of the system: put the image's store at the path where it was \
made.";

/// `seal --help`, below.
pub const SEAL_AFTER: &str = "\
Examples:
  envstore sync /opt/packs && envstore gc --idle 0s && envstore seal
  envstore --read-only resolve aws.s3             the same for one command, without sealing

Exit code 4: something is being built or collected; 6: the store belongs to another user.";

/// `unseal --help`, above.
pub const UNSEAL: &str = "\
Lets a sealed store be changed again, where its files can be written. Processes that have it open see what changes from then on.";

/// `unseal --help`, below.
pub const UNSEAL_AFTER: &str = "\
Examples:
  envstore unseal

Exit code 6: this process cannot write to it.";

/// `doctor --help`, above.
pub const DOCTOR: &str = "\
Looks for what is wrong and says what to do about it. It changes nothing, but for what `--repair` mends: files below the root that another user \
than the store's owner made, such as root. They are given to the owner, without following links.

Without a pack: the filesystem and how files are shared on it, room, limits, the index, interpreters that moved and the packs they were \
for, the installer, packs below a `[lock] minimum`. With a pack: whether its files are as they were published, its interpreter starts, the shared \
libraries of its extension modules are on this host, what it declares imports; its last failure, and Python's variables in your environment.

The imports run the packages' own code, in the pack's environment, with a time limit.";

/// `doctor --help`, below.
pub const DOCTOR_AFTER: &str = "\
Examples:
  envstore doctor
  envstore doctor aws.s3                          why does it not import?
  sudo envstore doctor --repair                   the owner may delete again what root made

Exit code 3: there is damage. Warnings are exit code 0.";

/// `config show --help`, above.
pub const CONFIG_SHOW: &str = "\
Shows each setting with its value and where that comes from: a flag, a variable, a file or the default. Secrets are not shown, \
only where they are read.

`/etc/envstore/config.toml` is read first, then `$XDG_CONFIG_HOME/envstore/config.toml`; a key in the second replaces the same \
key of the first (all [[index]] entries count as one key). --config reads one file instead of both.";

/// `config show --help`, below.
pub const CONFIG_SHOW_AFTER: &str = "\
Examples:
  envstore config show
  envstore config show --format json

A configuration:
  [[index]]
  name = \"corp\"
  url = \"https://packages.corp.example/simple/\"
  default = true                                  # replaces PyPI
  credentials = { command = [\"print-token\"], ttl = \"11h\" }
                                                  # or { env = \"CORP_TOKEN\", username = \"x\" }, { netrc = true }, { file = \"…\" }
  [install]
  timeout = \"20m\"
  jobs = 2
  allow_source = [\"mysqlclient\"]                # wheels only, but for these where they have none; or true, false
  seed = [\"setuptools<82\"]                      # beside what every pack declares
  build_constraints = [\"setuptools<82\"]         # limits what builds need
  [lock]
  prefer = \"newest\"                               # or a file of known-good versions
  minimum = [\"urllib3>=2.2.2\"]
  exclude_newer = \"2026-01-31\"                    # files uploaded later do not exist
  [gc]
  max_size = \"50G\"
  min_free = \"10%\"
  history = 200                                   # generations remembered for each pack
  retain_generations = 1                          # earlier ones whose environments are kept
  [python]
  default = \"3.11\"";

/// `completions --help`, above.
pub const COMPLETIONS: &str = "Prints a completion script for a shell.";

/// `completions --help`, below.
pub const COMPLETIONS_AFTER: &str = "\
Examples:
  envstore completions bash > ~/.local/share/bash-completion/completions/envstore
  envstore completions zsh > ~/.zfunc/_envstore
  envstore completions fish > ~/.config/fish/completions/envstore.fish";
