//! The same work on many items, on all cores, or on as many threads as the system grants.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Below this it is not worth starting threads.
const FEW: usize = 32;

/// Does the work for each item and returns the results in the items' order. After an error no further item is begun. The calling
/// thread works too, so the work is done even if no other thread can be started.
///
/// # Errors
/// One of those that occurred.
pub fn map<T: Sync, R: Send, E: Send>(items: &[T], work: impl Fn(&T) -> Result<R, E> + Sync) -> Result<Vec<R>, E> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(items.len() / FEW);
    if threads < 2 {
        return items.iter().map(work).collect();
    }
    let (next, failed) = (AtomicUsize::new(0), AtomicBool::new(false));
    let run = || {
        let mut done = Vec::new();
        while !failed.load(Ordering::Relaxed) {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(item) = items.get(index) else { break };
            let result = work(item);
            failed.fetch_or(result.is_err(), Ordering::Relaxed);
            done.push((index, result));
        }
        done
    };
    let mut all: Vec<(usize, Result<R, E>)> = std::thread::scope(|scope| {
        // `map_while`: the first thread that cannot be started (RLIMIT_NPROC, pids.max) means that the next cannot either.
        let start = |_| std::thread::Builder::new().spawn_scoped(scope, run).ok();
        let others: Vec<_> = (1..threads).map_while(start).collect();
        let mut all = run();
        for other in others {
            all.extend(other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        }
        all
    });
    all.sort_unstable_by_key(|(index, _)| *index);
    all.into_iter().map(|(_, result)| result).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_keep_the_order_and_an_error_ends_it() {
        let items: Vec<u32> = (0..10_000).collect();
        assert_eq!(map(&items, |n| Ok::<_, ()>(n * 2)), Ok(items.iter().map(|n| n * 2).collect()));
        assert_eq!(map(&items, |n| if *n == 777 { Err("no") } else { Ok(*n) }), Err("no"));
        assert_eq!(map(&[] as &[u32], |n| Ok::<_, ()>(*n)), Ok(vec![]));
    }
}
