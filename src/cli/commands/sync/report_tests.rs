use super::*;
use crate::error::Error;

fn key(letter: char) -> EnvKey {
    blake3::hash(&[letter as u8]).into()
}

fn row(pack: &str, env: char) -> Row {
    let row = Row::new(pack, Status::Ready, Some(Path::new("/packs")));
    Row { env: Some(key(env)), outcome: Some(Outcome::Built), ..row }
}

fn listed(pack: &str, env: char, bytes: u64) -> PackSummary {
    PackSummary {
        pack: PackRef::new(pack).expect("a ref"),
        env: key(env),
        path: "/store/envs/x".into(),
        interpreter: "/store/envs/x/bin/python".into(),
        version: "3.11.7".into(),
        generation: 1,
        distributions: 1,
        bytes,
        shared_by: 1,
        bound_at: jiff::Timestamp::UNIX_EPOCH,
        origin: None,
    }
}

fn report() -> Report {
    let failure = Failure::from(Error::Timeout { what: "locking".into(), after: Duration::from_secs(5) });
    let failed = Row::new("d", Status::Failed, None).because(&failure);
    let rows = vec![failed, row("c", 'y'), row("a", 'x'), row("b", 'x')];
    let known = [listed("a", 'x', 1_000_000), listed("b", 'x', 1_000_000), listed("c", 'y', 500_000)];
    Report::new(rows, &known, |envs| Ok(700_000 * envs.len() as u64), Duration::from_millis(1234)).expect("adds up")
}

#[test]
fn the_object_has_the_fields_of_the_contract() {
    let object = serde_json::to_value(report()).expect("JSON");
    assert_eq!(
        object["summary"],
        serde_json::json!({
            "packs": 4, "ready": 3, "kept": 0, "failed": 1, "environments": 2,
            "logical_bytes": 2_500_000, "unique_bytes": 1_400_000, "elapsed_ms": 1234,
        })
    );
    assert_eq!(
        object["packs"][0],
        serde_json::json!({
            "pack": "a", "status": "ready", "env": key('x').to_string(), "outcome": "built", "origin": "/packs", "error": null,
        })
    );
    assert_eq!(object["packs"][3]["error"]["kind"], "timeout");
}

#[test]
fn people_see_a_table_and_what_sharing_saved() {
    let report = report();
    let text = format!("{}{}", report.table(Paint::plain()), report.totals(Paint::plain()));
    let lines: Vec<_> = text.lines().collect();
    let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(words(lines[0]), ["PACK", "ENV", "PYTHON", "OUTCOME"]);
    assert_eq!(words(lines[1]), ["a", &short(&key('x')), "3.11.7", "built"]);
    assert_eq!(words(lines[4]), ["d", "-", "-", "failed", "(timeout)"]);
    assert_eq!(lines[6], "4 packs: 3 ready, 1 failed in 1.2 s");
    assert_eq!(lines[7], "2 environments instead of 3, 1.4 MB instead of 2.5 MB: sharing saved 1.1 MB (44 %)");
}

#[test]
fn an_interrupted_pack_is_no_failure_to_people() {
    let failure = Failure::from(Error::Interrupted { what: "locking".into() });
    let rows = vec![row("a", 'x'), Row::new("b", Status::Failed, None).because(&failure)];
    let report = Report::new(rows, &[], |_| Ok(0), Duration::from_secs(1)).expect("adds up");
    assert!(report.totals(Paint::plain()).contains("2 packs: 1 ready, 1 interrupted in 1.0 s"));
    assert!(report.table(Paint::plain()).lines().any(|line| line.ends_with("  interrupted")));
    assert_eq!(report.summary.failed, 1);
}

#[test]
fn a_failed_or_kept_pack_is_exit_1_a_removed_one_is_not() {
    assert_eq!(report().exit_code(), 1);
    let one = |status| {
        let report = Report::new(vec![Row::new("a", status, None)], &[], |_| Ok(0), Duration::ZERO);
        report.expect("adds up").exit_code()
    };
    assert_eq!([Status::Ready, Status::Removed, Status::Kept, Status::Failed].map(one), [0, 0, 1, 1]);
}
