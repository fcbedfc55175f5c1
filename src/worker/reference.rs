//! The packs that a combined reference, `pack_ref.action_name`, may mean.

/// Every way to take a reference apart, shortest pack first.
pub(super) fn candidates(reference: &str) -> Vec<(&str, &str)> {
    let dots = reference.match_indices('.').map(|(at, _)| (&reference[..at], &reference[at + 1..]));
    dots.filter(|(pack, action)| !pack.is_empty() && !action.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_is_taken_apart_at_each_dot() {
        assert_eq!(candidates("aws.s3.list"), [("aws", "s3.list"), ("aws.s3", "list")]);
        assert_eq!(candidates("core.echo"), [("core", "echo")]);
        for nothing in ["core", "", ".", ".echo", "core."] {
            assert!(candidates(nothing).is_empty(), "{nothing}");
        }
    }
}
