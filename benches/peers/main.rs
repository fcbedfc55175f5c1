//! envstore beside what people use instead: uv, pip, pex and the bare interpreter, in turns, on the same pinned requirements.
//!
//! `ENVSTORE_PEERS=DIR cargo bench --profile release --bench peers`: installs the peers below DIR from the package index, measures, and writes
//! `peers.md` and `peers.svg` there. Without the variable it does nothing. `ENVSTORE_PACKS` is what `envstore sync` takes (default:
//! `examples/packs`), `ENVSTORE_PEERS_PACKS` how many packs are made of it (50, two fifths of which declare what another one does),
//! `ENVSTORE_BENCH_PYTHON` the interpreter (default: `python3`).

mod first;
mod fleet;
mod report;
mod start;
mod tools;
mod turns;

use std::path::PathBuf;

use report::Report;
use tools::Tools;

fn main() {
    start::write_and_die();
    let Some(dir) = std::env::var_os("ENVSTORE_PEERS").map(PathBuf::from) else {
        eprintln!("peers: not asked for; ENVSTORE_PEERS=DIR names a directory to install them in and to write to");
        return;
    };
    std::fs::create_dir_all(&dir).expect("creates");
    let dir = std::fs::canonicalize(dir).expect("a path");
    let tools = Tools::install(&dir);
    let mut report = Report::new(&tools);
    start::measure(&tools, &mut report);
    report.write(&dir);
    first::measure(&tools, &mut report);
    report.write(&dir);
    fleet::measure(&tools, &mut report);
    report.write(&dir);
}
