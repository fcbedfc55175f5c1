//! Many packs on a few threads.

use std::collections::HashSet;
use std::hash::Hash;
use std::num::NonZero;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::cli::panics;

/// The order in which to work: the first of each kind before the others of that kind, which then find it done
/// instead of waiting for it on a thread. What has no kind (it could not be read) comes first, being told at once.
pub fn order<K: Copy + Eq + Hash>(kinds: impl IntoIterator<Item = Option<K>>) -> Vec<usize> {
    let mut seen = HashSet::new();
    let mut first = Vec::new();
    let mut again = Vec::new();
    let mut unread = Vec::new();
    for (index, kind) in kinds.into_iter().enumerate() {
        match kind {
            None => unread.push(index),
            Some(kind) if seen.insert(kind) => first.push(index),
            Some(_) => again.push(index),
        }
    }
    unread.extend(first);
    unread.extend(again);
    unread
}

/// Does `work` for each index, in that order, on at most `threads` threads. The results stand at their indexes;
/// a panic is its message, and the others go on.
pub fn each<T: Send>(order: &[usize], threads: usize, work: impl Fn(usize) -> T + Sync) -> Vec<Result<T, String>> {
    let next = AtomicUsize::new(0);
    let results: Mutex<Vec<(usize, Result<T, String>)>> = Mutex::new(Vec::with_capacity(order.len()));
    let worker = || {
        while let Some(&index) = order.get(next.fetch_add(1, Ordering::Relaxed)) {
            let result = panics::caught(|| work(index));
            results.lock().unwrap_or_else(PoisonError::into_inner).push((index, result));
        }
    };
    let threads = NonZero::new(threads.min(order.len())).map_or(1, NonZero::get);
    std::thread::scope(|scope| {
        // This thread is one of them: where no other can be started the work is done all the same.
        for number in 1..threads {
            let builder = std::thread::Builder::new().name(format!("sync-{number}"));
            if builder.spawn_scoped(scope, worker).is_err() {
                break;
            }
        }
        worker();
    });
    let mut results = results.into_inner().unwrap_or_else(PoisonError::into_inner);
    results.sort_by_key(|(index, _)| *index);
    results.into_iter().map(|(_, result)| result).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;

    use super::*;

    #[test]
    fn one_of_each_kind_comes_before_the_second_of_any() {
        assert_eq!(order([Some('a'), Some('a'), None, Some('b'), Some('a'), Some('b')]), [2, 0, 3, 1, 4, 5]);
        assert!(order::<u8>([]).is_empty());
    }

    #[test]
    fn results_stand_where_their_packs_do() {
        let results = each(&[3, 1, 0, 2], 3, |index| index * 10);
        assert_eq!(results, [Ok(0), Ok(10), Ok(20), Ok(30)]);
        assert!(each(&[], 8, |index| index).is_empty());
    }

    #[test]
    fn as_many_work_at_once_as_asked_for() {
        // Passes only when all four wait at the same time.
        let barrier = Barrier::new(4);
        let results = each(&[0, 1, 2, 3], 4, |_| barrier.wait().is_leader());
        assert_eq!(results.into_iter().filter(|leader| *leader == Ok(true)).count(), 1);
    }

    #[test]
    fn a_panic_is_one_failure_and_the_others_go_on() {
        let results = each(&[0, 1, 2], 2, |index| {
            assert_ne!(index, 1, "planted");
            index
        });
        assert_eq!(results[0], Ok(0));
        assert_eq!(results[2], Ok(2));
        assert!(results[1].is_err());
    }
}
