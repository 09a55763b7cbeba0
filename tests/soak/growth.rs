//! Whether something grows: figures are compared that were taken in the same state, at rests, when the room is full.

use super::figures::{median, Figures};

/// Rests of one process, in order, the first before anybody has left.
pub type Rests = [Figures];

pub const KIB: u64 = 1024;

/// How much more memory the last rests may take than the first.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    pub heap: u64,
    pub anonymous: u64,
    /// Spare offers beyond the one that there is to be: the server asked for it, for one who crashed before it came. It waits for the next
    /// who joins, or until its time is over.
    pub spares: u64,
}

/// What has grown, in words.
pub fn growth(rests: &Rests, bounds: Bounds) -> Vec<String> {
    let mut grown = Vec::new();
    type Field = fn(&Figures) -> u64;
    let counted: [(&str, Field, u64); 4] = [
        ("descriptors", |figures| figures.descriptors, 0),
        ("threads", |figures| figures.threads, 0),
        ("tasks", |figures| figures.tasks, 0),
        ("links", |figures| figures.links, bounds.spares),
    ];
    for (what, field, more) in counted {
        let counts: Vec<u64> = rests.iter().map(field).collect();
        if counts.iter().any(|count| !(counts[0]..=counts[0] + more).contains(count)) {
            grown.push(format!("{what}: {counts:?}"));
        }
    }
    // The first rest is before the first crash and restart: caches, queues and tables grow to their size once.
    let warm = if rests.len() > 2 { &rests[1..] } else { rests };
    let window = warm.len().div_ceil(3);
    let (early, late) = (&warm[..window], &warm[warm.len() - window..]);
    let memory: [(&str, Field, u64); 2] = [
        ("heap", |figures| figures.heap, bounds.heap),
        ("anonymous memory", |figures| figures.anonymous, bounds.anonymous),
    ];
    for (what, field, bound) in memory {
        let (before, after) = (median(early, field), median(late, field));
        if after > before + bound {
            let kib = |bytes: u64| bytes / KIB;
            grown.push(format!("{what}: from {} to {} KiB, more than {} KiB", kib(before), kib(after), kib(bound)));
        }
    }
    grown
}

/// Without these, "nothing grows" says little.
pub fn controls() {
    let well = Figures {
        heap: 4 << 20,
        anonymous: 9 << 20,
        resident: 20 << 20,
        descriptors: 12,
        threads: 3,
        tasks: 3,
        links: 12,
    };
    let bounds = Bounds { heap: 100 * KIB, anonymous: 1000 * KIB, spares: 1 };
    let grown = |change: fn(&mut Figures, u64)| -> Vec<String> {
        let rest = |number| {
            let mut figures = well;
            change(&mut figures, number);
            figures
        };
        let words = growth(&(0..10).map(rest).collect::<Vec<_>>(), bounds);
        words.into_iter().map(|words| words.split(':').next().unwrap().to_owned()).collect()
    };
    assert!(grown(|_, _| {}).is_empty());
    assert!(grown(|figures, number| figures.heap += number % 3 * 90 * KIB).is_empty(), "noise");
    assert!(grown(|figures, number| figures.heap += number.min(1) * 900 * KIB).is_empty(), "before it is warm");
    assert_eq!(grown(|figures, number| figures.heap += number * 20 * KIB), ["heap"]);
    assert_eq!(grown(|figures, number| figures.anonymous += number * 200 * KIB), ["anonymous memory"]);
    assert_eq!(grown(|figures, number| figures.descriptors += number / 9), ["descriptors"]);
    assert_eq!(grown(|figures, number| figures.threads += number / 9), ["threads"]);
    assert_eq!(grown(|figures, number| figures.tasks += number / 9), ["tasks"]);
    assert_eq!(grown(|figures, number| figures.links -= number / 9), ["links"]);
    assert_eq!(grown(|figures, number| figures.links += number / 4), ["links"], "two spares");
    assert!(grown(|figures, number| figures.links += number / 9).is_empty(), "one");
    let two = [well, Figures { heap: well.heap + 101 * KIB, ..well }];
    assert_eq!(growth(&two, bounds).len(), 1, "of two rests, too");
}
