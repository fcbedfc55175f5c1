//! The counters' protocol against every interleaving: three writers of one slot, one reader, and a kill of any writer at any step.
//!
//! What is explored are the two functions the epoch itself uses. A protocol that settles without looking must be found wrong, or the
//! exploration finds nothing.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};

use super::change::{next_odd, settle};
use super::is_odd;

/// A writer's place in its one transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Writer {
    Idle,
    /// Holds the write lock.
    Inside,
    /// Has looked at the counter.
    Looked(u64),
    /// Has made it odd.
    Odd(u64),
    /// Committed or rolled back: the write lock is gone.
    Ended(u64),
    Done,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Reader {
    Idle,
    Sampled(u64),
    Read(u64, u8),
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct World {
    counter: u64,
    committed: u8,
    writers: [Writer; 3],
    locked: bool,
    kills: u8,
    reader: Reader,
    /// What the reader keeps: the answer and the counter it holds under.
    kept: Option<(u8, u64)>,
}

/// How a writer makes its counter even again.
type Settle = fn(&AtomicU64, u64);

fn settled(counter: u64, mine: u64, how: Settle) -> u64 {
    let cell = AtomicU64::new(counter);
    how(&cell, mine);
    cell.into_inner()
}

impl World {
    /// Every world one step away.
    fn next(&self, how: Settle) -> Vec<World> {
        let mut next = Vec::new();
        for number in 0..3 {
            let mut step = |change: &dyn Fn(&mut World)| {
                let mut world = self.clone();
                change(&mut world);
                next.push(world);
            };
            match self.writers[number] {
                Writer::Idle if !self.locked => step(&|w| {
                    w.locked = true;
                    w.writers[number] = Writer::Inside;
                }),
                Writer::Idle | Writer::Done => {}
                Writer::Inside => step(&|w| w.writers[number] = Writer::Looked(w.counter)),
                Writer::Looked(old) => step(&|w| {
                    w.counter = next_odd(old);
                    w.writers[number] = Writer::Odd(w.counter);
                }),
                Writer::Odd(mine) => {
                    for commits in [true, false] {
                        step(&|w| {
                            if commits {
                                w.committed = u8::try_from(number).expect("below 3") + 1;
                            }
                            w.locked = false;
                            w.writers[number] = Writer::Ended(mine);
                        });
                    }
                }
                Writer::Ended(mine) => step(&|w| {
                    w.counter = settled(w.counter, mine, how);
                    w.writers[number] = Writer::Done;
                }),
            }
            if self.kills > 0 && !matches!(self.writers[number], Writer::Idle | Writer::Done) {
                step(&|w| {
                    w.kills -= 1;
                    // The kernel lets go of a dead writer's lock, and what it did not commit is gone.
                    w.locked &= matches!(self.writers[number], Writer::Ended(_));
                    w.writers[number] = Writer::Done;
                });
            }
        }
        let mut world = self.clone();
        match self.reader {
            Reader::Idle => world.reader = Reader::Sampled(self.counter),
            Reader::Sampled(counter) => world.reader = Reader::Read(counter, self.committed),
            Reader::Read(counter, answer) => {
                world.reader = Reader::Idle;
                world.kept = (!is_odd(counter)).then_some((answer, counter));
            }
        }
        next.push(world);
        next
    }

    /// Whether a hit would answer what is no longer so.
    fn is_stale(&self) -> bool {
        self.kept.is_some_and(|(answer, counter)| counter == self.counter && answer != self.committed)
    }
}

/// How many worlds there are, and how many of them are stale.
fn explore(kills: u8, how: Settle) -> (usize, usize) {
    let begin = World {
        counter: 0,
        committed: 0,
        writers: [Writer::Idle; 3],
        locked: false,
        kills,
        reader: Reader::Idle,
        kept: None,
    };
    let (mut seen, mut open, mut stale) = (HashSet::from([begin.clone()]), vec![begin], 0);
    while let Some(world) = open.pop() {
        stale += usize::from(world.is_stale());
        for next in world.next(how) {
            if seen.insert(next.clone()) {
                open.push(next);
            }
        }
    }
    (seen.len(), stale)
}

#[test]
fn no_interleaving_of_three_writers_and_kills_keeps_a_stale_answer() {
    for kills in 0..=3 {
        let (worlds, stale) = explore(kills, settle);
        assert_eq!(stale, 0, "{kills} kills, {worlds} worlds");
        assert!(worlds > 1000, "{worlds}");
    }
}

#[test]
fn settling_without_looking_is_found_wrong() {
    let (_, stale) = explore(0, |counter, mine| counter.store(mine + 1, Ordering::SeqCst));
    assert!(stale > 0);
    let (_, stale) = explore(1, |counter, _| {
        counter.fetch_add(1, Ordering::SeqCst);
    });
    assert!(stale > 0);
}

proptest::proptest! {
    /// Writers of many slots, in the order a proptest chooses, some of which die: an answer kept under an even counter holds for as
    /// long as the counter stands.
    #[test]
    fn counters_never_go_down_and_a_kept_counter_returns_for_no_other_answer(
        steps in proptest::collection::vec((0u16..8, 0u8..4), 1..200)
    ) {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("epoch");
        super::Epoch::create(dir.path(), &path, "x").expect("creates");
        let epoch = super::Epoch::open(&path, "x", true).expect("opens").expect("there");
        let mut answers = [0u32; 8];
        let mut seen: Vec<HashSet<(u64, u32)>> = vec![HashSet::new(); 8];
        for (slot, what) in steps {
            let place = usize::from(slot);
            let value = |slot| epoch.sample(slot).expect("counters").value();
            let (slot, before) = (super::Slot(slot), value(super::Slot(slot)));
            let slots = super::Slots::default();
            slots.add(slot);
            let change = epoch.begin(&slots).expect("begins");
            // 0: rolled back; 1: committed; 2: killed before; 3: killed after the commit.
            answers[place] += u32::from(what % 2 == 1);
            if what < 2 {
                change.settle();
            }
            let now = value(slot);
            proptest::prop_assert!(now > before);
            if !is_odd(now) {
                seen[place].insert((now, answers[place]));
            }
        }
        for kept in seen {
            let counters: HashSet<u64> = kept.iter().map(|(counter, _)| *counter).collect();
            proptest::prop_assert_eq!(counters.len(), kept.len());
        }
    }
}
