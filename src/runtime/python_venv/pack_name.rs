//! The store's pack refs are narrower than a worker's: what a [`PackRef`] cannot hold is escaped, one name each.

use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};

use crate::pack::{InvalidPackRef, PackRef};

/// Stands before an escaped ref.
const MARK: &str = "ref:";
/// What is escaped, beside everything that is not ASCII.
const ESCAPED: &AsciiSet = &CONTROLS.add(b' ').add(b'%');

/// The pack of a worker's ref. Different refs are different packs.
///
/// # Errors
/// [`InvalidPackRef::TooLong`].
pub(super) fn to_pack(text: &str) -> Result<PackRef, InvalidPackRef> {
    match PackRef::new(text) {
        Ok(pack) if !text.starts_with(MARK) => Ok(pack),
        Err(error @ InvalidPackRef::TooLong(_)) => Err(error),
        _ => PackRef::new(format!("{MARK}{}", utf8_percent_encode(text, ESCAPED))),
    }
}

/// The worker's ref of a pack.
pub(super) fn of_pack(pack: &PackRef) -> String {
    let decoded = pack.as_str().strip_prefix(MARK).and_then(|escaped| percent_decode_str(escaped).decode_utf8().ok());
    match decoded {
        // A pack that somebody else named so stands for itself.
        Some(text) if to_pack(&text).is_ok_and(|escaped| escaped == *pack) => text.into_owned(),
        _ => pack.as_str().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn usual_refs_are_packs_as_they_are() {
        for text in ["aws.s3", "a/b", "../../etc", "my pack", "ümlaut", "a%20b", "-x"] {
            assert_eq!(to_pack(text).expect("a pack").as_str(), text);
        }
    }

    #[test]
    fn unusual_refs_come_back_and_stay_apart() {
        let refs = ["", " ", " a", "a ", "a", "ref:", "ref:a", "ref:%20a", "a\nb", "\0", "@envstore/uv", "ref: a"];
        let packs: std::collections::BTreeSet<_> = refs.iter().map(|text| to_pack(text).expect("a pack")).collect();
        assert_eq!(packs.len(), refs.len());
        for text in refs {
            assert_eq!(of_pack(&to_pack(text).expect("a pack")), text);
        }
        assert!(to_pack(&"x".repeat(256)).is_err());
    }

    #[test]
    fn a_pack_that_only_looks_escaped_stands_for_itself() {
        for text in ["ref:abc", "ref:%zz", "ref:%20"] {
            let pack = PackRef::new(text).expect("a ref");
            let back = of_pack(&pack);
            assert!(to_pack(&back).is_ok_and(|again| again == pack) || back == text, "{text}: {back}");
        }
    }

    proptest! {
        #[test]
        fn every_ref_comes_back(text in "\\PC{0,40}|[ -~\\n\\t]{0,60}") {
            prop_assert_eq!(of_pack(&to_pack(&text).expect("short enough")), text);
        }
    }
}
