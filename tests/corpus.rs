//! Every declaration of a corpus of published packs becomes a spec, or an error that names its line.
//!
//! The corpus is a directory of `.jsonl` lists and no part of the project: `ENVSTORE_CORPUS` names it.

#[allow(dead_code, reason = "another target counts what is skipped")]
mod skip;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use envstore::error::{Error, Kind};
use envstore::settings::PackOptions;
use envstore::spec::requirements::Reader;
use envstore::spec::source::find;

const LISTS: [&str; 4] =
    ["stackstorm.jsonl", "stackstorm_history.jsonl", "insightconnect.jsonl", "python_samples.jsonl"];

fn corpus() -> Option<PathBuf> {
    let directory = std::env::var_os("ENVSTORE_CORPUS");
    if directory.is_none() {
        skip::skipped("no corpus was read, `ENVSTORE_CORPUS` does not name its directory");
    }
    directory.map(PathBuf::from)
}

#[test]
fn every_published_declaration_is_a_spec_or_an_error_that_names_its_line() {
    let Some(corpus) = corpus() else { return };
    for list in LISTS {
        let text = std::fs::read_to_string(corpus.join(list)).expect(list);
        let (mut rows, mut specs, mut warnings) = (0, 0, 0);
        let mut digests = BTreeSet::new();
        let mut errors: BTreeMap<String, usize> = BTreeMap::new();
        for row in text.lines() {
            let row: serde_json::Value = serde_json::from_str(row).expect("a row");
            let requirements = row["requirements"].as_str().expect("a text");
            rows += 1;
            let mut reader = Reader::new(PackOptions::Ignore);
            let read = reader.text("a row", Path::new("/nowhere"), requirements).map(|_| ());
            match read.and_then(|()| reader.finish()) {
                Ok((spec, told)) => {
                    specs += 1;
                    warnings += told.len();
                    // Read again, a canonical spec is itself.
                    let lines: Vec<_> = spec.requirements.iter().map(|r| r.line()).collect();
                    let mut again = Reader::new(PackOptions::Ignore);
                    again.text("again", Path::new("/"), lines.join("\n")).expect("the canonical text");
                    assert_eq!(again.finish().expect("a spec").0.digest(), spec.digest(), "{requirements}");
                    digests.insert(spec.digest());
                }
                Err(Error::InvalidSpec { line: Some(line), reason, .. }) => {
                    assert!(line <= requirements.lines().count());
                    let because = reason.rsplit("`: ").next().unwrap_or(&reason);
                    *errors.entry(because.chars().take(90).collect()).or_default() += 1;
                }
                Err(error) => panic!("an error without a line: {error}\n{requirements}"),
            }
        }
        eprintln!("{list}: {rows} rows, {specs} specs, {} distinct, {warnings} warnings", digests.len());
        for (because, count) in &errors {
            eprintln!("  {count} x {because}");
        }
        assert_eq!(specs + errors.values().sum::<usize>(), rows);
        assert!(specs * 100 >= rows * 98, "less than 98 of 100 are in order");
    }
}

#[test]
fn a_list_with_one_ref_twice_gives_one_error_for_it() {
    let Some(corpus) = corpus() else { return };
    let found = find(&[corpus.join(LISTS[0])], PackOptions::Ignore).expect("packs");
    assert_eq!(found.len(), 170);
    let failed: Vec<_> = found.iter().filter_map(|found| found.result.as_ref().err()).collect();
    for error in &failed {
        eprintln!("{error}");
        assert_eq!(error.kind(), Kind::InvalidSpec);
    }
    assert!(failed.iter().any(|error| error.to_string().contains("declared more than once")));
}
