//! Many packs, some of which declare what another one does: made from nothing, asked again, what they weigh, and getting rid of them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use envstore::settings::PackOptions;
use envstore::spec::requirements::Reader;
use envstore::spec::source;

use super::report::{Fleet, Report};
use super::tools::{Peer, Tools, said};
use super::turns::run;

/// Requirements files of packs, pinned; two fifths of them are copies of others.
fn packs(tools: &Tools, wanted: usize) -> Vec<PathBuf> {
    let path = std::env::var_os("ENVSTORE_PACKS").map_or_else(|| "examples/packs".into(), PathBuf::from);
    let (dir, distinct) = (tools.scratch("packs"), wanted - wanted * 2 / 5);
    let mut locked = Vec::new();
    for found in source::find(&[path], PackOptions::Ignore).expect("packs") {
        if locked.len() == distinct {
            break;
        }
        let Ok(declaration) = found.result else { continue };
        let mut reader = Reader::new(PackOptions::Ignore);
        reader.declaration(declaration);
        let Ok((spec, _)) = reader.finish() else { continue };
        let lines: Vec<&str> = spec.requirements.iter().map(|requirement| requirement.line()).collect();
        let (declared, target) = (dir.join("declared.in"), dir.join(format!("pack{:02}.txt", locked.len())));
        fs::write(&declared, lines.join("\n")).expect("writes");
        if !lines.is_empty() && tools.try_lock(&declared, &target) {
            locked.push(target);
        }
    }
    let copies = locked.len() * 2 / 3;
    for number in 0..copies {
        let copy = dir.join(format!("pack{:02}.txt", locked.len()));
        fs::copy(&locked[number], &copy).expect("copies");
        locked.push(copy);
    }
    locked
}

/// One pack after the other.
fn make_all(tools: &Tools, peer: Peer, home: &Path, packs: &[PathBuf]) -> Duration {
    let name = |pack: &Path| pack.file_stem().expect("a name").to_string_lossy().into_owned();
    packs.iter().flat_map(|pack| tools.make(peer, home, &name(pack), pack)).map(|mut command| run(&mut command)).sum()
}

/// Bytes below a directory, each inode once, without what can be fetched again.
fn weigh(home: &Path) -> u64 {
    let weight = said(Command::new("du").args(["-sb", "--exclude=cache"]).arg(home));
    weight.split_whitespace().next().and_then(|bytes| bytes.parse().ok()).expect("a number")
}

pub fn measure(tools: &Tools, report: &mut Report) {
    let wanted = std::env::var("ENVSTORE_PEERS_PACKS").ok().and_then(|text| text.parse().ok()).unwrap_or(50);
    let packs = packs(tools, wanted);
    report.packs = (packs.len(), packs.len() * 2 / 5);
    for peer in Peer::ALL {
        let home = tools.scratch(&format!("fleet-{peer:?}"));
        let cold = make_all(tools, peer, &home, &packs);
        // Only what does not begin anew each time can be asked again.
        let again = match peer {
            Peer::Envstore => make_all(tools, peer, &home, &packs),
            Peer::Uv | Peer::Pip => packs
                .iter()
                .map(|pack| {
                    let name = pack.file_stem().expect("a name").to_string_lossy().into_owned();
                    run(tools.make(peer, &home, &name, pack).last_mut().expect("a command"))
                })
                .sum(),
            Peer::Pex => make_all(tools, peer, &home, &packs),
        };
        let bytes = match peer {
            // Its environments stand in its cache.
            Peer::Pex => {
                let venvs = said(
                    Command::new("du")
                        .args(["-sb", "--exclude=installed_wheels", "--exclude=downloads"])
                        .arg(home.join("cache")),
                );
                weigh(&home) + venvs.split_whitespace().next().and_then(|b| b.parse::<u64>().ok()).expect("a number")
            }
            _ => weigh(&home),
        };
        let gone = match peer {
            Peer::Envstore => {
                for pack in &packs {
                    let name = pack.file_stem().expect("a name").to_string_lossy().into_owned();
                    // Its history stays: then nothing is collected yet.
                    run(&mut tools.envstore(&home, &["remove", &name, "--keep-history"]));
                }
                run(&mut tools.envstore(&home, &["gc", "--idle", "0s", "--drop-retained"]))
            }
            _ => run(Command::new("rm").arg("-rf").arg(&home)),
        };
        report.fleet.push(Fleet { name: peer.name(), cold, again, bytes, gone });
        super::tools::discard(&home);
    }
}
