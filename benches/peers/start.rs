//! Starting an action whose environment stands: `python -c pass` by each way, beside the environment's interpreter started directly.

use std::fs;
use std::path::Path;
use std::process::Command;

use envstore::Store;
use envstore::epoch::Epoch;
use envstore::index::{Access, Index, collection};
use envstore::layout::Layout;
use nix::sys::signal::{Signal, raise};

use super::report::Report;
use super::tools::{Peer, Tools, said};
use super::turns::{in_turns, run};

const ROUNDS: usize = 50;
const REQUIREMENTS: &str = "requests==2.32.3\nPyYAML==6.0.2\n";
/// Names a store to a process of this program that writes to its index until it is killed.
const WRITER: &str = "ENVSTORE_PEERS_WRITER";
/// Leaves a log of some megabytes.
const WRITES: usize = 400;

/// Kills itself with a log behind it, if this process is that writer.
pub fn write_and_die() {
    let Some(root) = std::env::var_os(WRITER) else { return };
    let store = Store::builder(&root).open().expect("opens");
    let layout = Layout::new(&root);
    let epoch = Epoch::open(&layout.epoch(), store.id(), true).expect("opens");
    let index = Index::open(&layout, Access::Owner, epoch).expect("opens");
    for number in 0..WRITES {
        let text = number.to_string().repeat(4000);
        let note = |tx: &rusqlite::Transaction<'_>| {
            collection::set_meta(tx, "peers", &text).expect("writes");
            Ok(())
        };
        index.write("note", note).expect("commits");
    }
    raise(Signal::SIGKILL).expect("killed");
}

fn killed_writer(root: &Path) {
    let died = Command::new(std::env::current_exe().expect("this program")).env(WRITER, root).status().expect("starts");
    assert!(!died.success(), "it was killed");
    let log = fs::metadata(Layout::new(root).index_files()[1].as_path()).map_or(0, |log| log.len());
    assert!(log > 1_000_000, "it left its log: {log} bytes");
}

fn pass(mut command: Command) -> Command {
    command.args(["-c", "pass"]);
    command
}

pub fn measure(tools: &Tools, report: &mut Report) {
    let home = |peer: Peer| tools.dir.join("start").join(format!("{peer:?}"));
    tools.scratch("start");
    let requirements = tools.dir.join("start/requirements.txt");
    fs::write(&requirements, REQUIREMENTS).expect("writes");
    let uv = home(Peer::Uv);
    for peer in Peer::ALL {
        fs::create_dir(home(peer)).expect("creates");
        let name = if peer == Peer::Uv { ".venv" } else { "action" };
        tools.make(peer, &home(peer), name, &requirements).iter_mut().for_each(|command| {
            run(command);
        });
    }
    fs::write(uv.join("pyproject.toml"), "[project]\nname = \"action\"\nversion = \"1\"\ndependencies = []\n")
        .expect("writes");
    let store = home(Peer::Envstore);
    let interpreter = said(&mut tools.envstore(&store, &["resolve", "action"]));

    let with_requirements = || {
        let mut command = tools.uv(&uv, &["run", "--no-project", "--offline", "--python"]);
        command.arg(&tools.python).arg("--with-requirements").arg(&requirements).arg("python");
        command
    };
    // Filled once: what is measured needs no network.
    let mut fill = tools.uv(&uv, &["run", "--no-project", "--python"]);
    fill.arg(&tools.python).arg("--with-requirements").arg(&requirements).arg("python");
    run(&mut pass(fill));
    let mut no_sync = tools.uv(&uv, &["run", "--no-sync", "--project"]);
    no_sync.arg(&uv).arg("python");
    let mut pex = Command::new(home(Peer::Pex).join("action.pex"));
    pex.env("PEX_ROOT", home(Peer::Pex).join("cache"));
    let exec = || tools.envstore(&store, &["exec", "action", "--", "python"]);
    let mut commands = [
        ("the environment's interpreter, directly", pass(Command::new(&interpreter))),
        ("the bare interpreter", pass(Command::new(&tools.python))),
        ("envstore exec", pass(exec())),
        ("uv run --no-sync", pass(no_sync)),
        ("uv run --with-requirements", pass(with_requirements())),
        ("pip: the venv's python", pass(Command::new(home(Peer::Pip).join("action/bin/python")))),
        ("pex --venv", pass(pex)),
    ];
    report.starts = in_turns(ROUNDS, &mut commands);

    killed_writer(&store.join("store"));
    let mut commands = [("directly", pass(Command::new(&interpreter))), ("envstore exec", pass(exec()))];
    report.starts_after_kill = in_turns(ROUNDS, &mut commands);
}
