//! [`Placeholders`]: texts that stand for places on this host, so that bytes do not depend on where an environment is.
//!
//! A script's first line names its environment. In placeholder form it is the same in every environment, and one
//! object; the true path is put in when an environment is made.

/// Places and the neutral texts that stand for them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Placeholders(Vec<(String, String)>);

impl Placeholders {
    /// From pairs of a place and its neutral text; longer places are replaced first.
    pub fn new(mut pairs: Vec<(String, String)>) -> Self {
        pairs.retain(|(place, neutral)| !place.is_empty() && !neutral.is_empty());
        pairs.sort_by(|(a, _), (b, _)| b.len().cmp(&a.len()).then(a.cmp(b)));
        Self(pairs)
    }

    /// The pairs, longest place first.
    pub fn pairs(&self) -> &[(String, String)] {
        &self.0
    }

    /// The bytes in placeholder form; none when they name no place.
    pub fn neutral(&self, bytes: &[u8]) -> Option<Vec<u8>> {
        self.0.iter().fold(None, |current, (place, neutral)| {
            replaced(current.as_deref().unwrap_or(bytes), place, neutral).or(current)
        })
    }

    /// The bytes as they are here: what [`Placeholders::neutral`] took out, put in.
    pub fn local(&self, bytes: &[u8]) -> Vec<u8> {
        // The other way round, the longest neutral text first.
        let mut pairs: Vec<_> = self.0.iter().collect();
        pairs.sort_by(|(_, a), (_, b)| b.len().cmp(&a.len()).then(a.cmp(b)));
        pairs
            .into_iter()
            .fold(bytes.to_vec(), |current, (place, neutral)| replaced(&current, neutral, place).unwrap_or(current))
    }

    /// The placeholder form, where it leads back to these very bytes. A file that holds a neutral text of its own does not.
    pub fn reversible(&self, bytes: &[u8]) -> Option<Vec<u8>> {
        self.neutral(bytes).filter(|neutral| self.local(neutral) == bytes)
    }
}

fn replaced(bytes: &[u8], from: &str, to: &str) -> Option<Vec<u8>> {
    let mut hits = memchr::memmem::find_iter(bytes, from.as_bytes()).peekable();
    hits.peek()?;
    let mut out = Vec::with_capacity(bytes.len());
    let mut end = 0;
    for hit in hits {
        out.extend_from_slice(&bytes[end..hit]);
        out.extend_from_slice(to.as_bytes());
        end = hit + from.len();
    }
    out.extend_from_slice(&bytes[end..]);
    Some(out)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn placeholders(env: &str) -> Placeholders {
        Placeholders::new(vec![
            (env.into(), "@ENV@".into()),
            (format!("#!/bin/sh\n'''exec' '{env}/bin/python' \"$0\" \"$@\"\n' '''\n"), "#!@ENV@/bin/python\n".into()),
        ])
    }

    #[test]
    fn a_script_has_one_neutral_form_however_its_head_is_written() {
        let long = placeholders("/a place");
        let text = "#!/bin/sh\n'''exec' '/a place/bin/python' \"$0\" \"$@\"\n' '''\nprint('/a place')\n";
        let neutral = long.reversible(text.as_bytes()).expect("reversible");
        assert_eq!(neutral, b"#!@ENV@/bin/python\nprint('@ENV@')\n");
        let short = Placeholders::new(vec![("/e".into(), "@ENV@".into())]);
        assert_eq!(short.neutral(b"#!/e/bin/python\nprint('/e')\n").expect("names it"), neutral);
        assert_eq!(short.local(&neutral), b"#!/e/bin/python\nprint('/e')\n");
    }

    #[test]
    fn a_file_with_a_neutral_text_of_its_own_has_no_placeholder_form() {
        let short = Placeholders::new(vec![("/e".into(), "@ENV@".into())]);
        assert_eq!(short.reversible(b"@ENV@ stands for /e"), None);
        assert_eq!(short.neutral(b"nothing of it"), None);
    }

    proptest! {
        #[test]
        fn what_is_reversible_leads_back(parts in proptest::collection::vec("/e/x|@ENV@|[a-z#!/@ \n]{0,6}", 0..12)) {
            let text = parts.concat();
            let placeholders = placeholders("/e/x");
            if let Some(neutral) = placeholders.reversible(text.as_bytes()) {
                prop_assert_eq!(placeholders.local(&neutral), text.as_bytes());
            }
        }
    }
}
