//! From the runs to tables and verdicts, as Markdown.

use crate::cells::{Cell, Figures};
use crate::measure::median;
use std::collections::BTreeMap;
use std::fmt::Write;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Side {
    Ours,
    Rival,
}

impl Side {
    pub fn argument(self) -> &'static str {
        match self {
            Self::Ours => "ours",
            Self::Rival => "rival",
        }
    }
}

/// The figures of every run that ended well, and how many did not.
#[derive(Default)]
pub struct Results {
    runs: BTreeMap<(Cell, Side), Vec<Figures>>,
    failures: BTreeMap<(Cell, Side), Vec<String>>,
}

/// How the values of the runs become one.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Of {
    Median,
    Best,
    Worst,
}

impl Results {
    pub fn add(&mut self, cell: Cell, side: Side, outcome: Result<Figures, String>) {
        match outcome {
            Ok(figures) => self.runs.entry((cell, side)).or_default().push(figures),
            Err(error) => self.failures.entry((cell, side)).or_default().push(error),
        }
    }

    fn value(&self, cell: Cell, side: Side, figure: &str, of: Of) -> Option<f64> {
        let runs = self.runs.get(&(cell, side))?;
        let values: Vec<f64> = runs.iter().filter_map(|run| run.get(figure).copied()).collect();
        if values.is_empty() {
            return None;
        }
        Some(match of {
            Of::Median => median(&values),
            Of::Best => values.iter().copied().fold(f64::INFINITY, f64::min),
            Of::Worst => values.iter().copied().fold(f64::NEG_INFINITY, f64::max),
        })
    }

    fn has(&self, wanted: impl Fn(Cell) -> bool) -> bool {
        self.runs.keys().any(|(cell, _)| wanted(*cell))
    }

    fn cells(&self, wanted: impl Fn(Cell) -> bool) -> Vec<Cell> {
        let mut cells: Vec<Cell> = self.runs.keys().map(|(cell, _)| *cell).filter(|cell| wanted(*cell)).collect();
        cells.dedup();
        cells
    }

    pub fn tables(&self, rounds: usize) -> String {
        let mut text = String::new();
        let mut section = |title: &str, note: &str, rows: &[Row]| self.section(&mut text, title, note, rows);

        if self.has(|cell| cell == Cell::Connect) {
            let row = |label: &str, figure, of| Row::of(label.into(), Cell::Connect, figure, of);
            section(
                "Connect",
                "From nothing to both ends open; processor time of both ends, closing included. Ours makes two swarms \
                 with their spare offers and signals through the hub as JSON; the rival's signals are handed over as \
                 they are. In many runs the rival waits 1 s for a retransmission (a race in its handshake): its best \
                 is without it.",
                &[
                    row("p50, ms", "p50 ms", Of::Median),
                    row("p95, ms", "p95 ms", Of::Median),
                    row("best, ms", "best ms", Of::Best),
                    row("CPU a connection, ms", "CPU ms", Of::Median),
                ],
            );
        }

        let rows: Vec<Row> = self
            .cells(|cell| matches!(cell, Cell::Bulk(_)))
            .into_iter()
            .flat_map(|cell| {
                let row = move |unit| Row::of(format!("{}, {unit}", cell.size()), cell, unit, Of::Median);
                [row("MB/s"), row("messages/s"), row("CPU s/GB")]
            })
            .collect();
        section("One way", "At most 1 MiB accepted and unacknowledged; processor time of both ends.", &rows);

        let rows: Vec<Row> = self
            .cells(|cell| matches!(cell, Cell::Ping(_)))
            .into_iter()
            .flat_map(|cell| {
                let row = |label, figure| Row::of(format!("{}, {label}", cell.size()), cell, figure, Of::Median);
                [row("p50, µs", "p50 µs"), row("p99, µs", "p99 µs"), row("CPU a round trip, µs", "CPU µs")]
            })
            .collect();
        section(
            "There and back",
            "One message on its way at a time. Ours: a thread for each end waits in rtcswarm_next_event; the rival \
             calls back on its own threads.",
            &rows,
        );

        let rows: Vec<Row> = self
            .cells(|cell| matches!(cell, Cell::Mesh(..)))
            .into_iter()
            .flat_map(|cell| {
                let row = |label, figure| Row::of(format!("{}, {label}", cell.size()), cell, figure, Of::Median);
                [
                    row("wall s", "wall s"),
                    row("CPU s", "CPU s"),
                    row("KiB a connection end", "KiB/end"),
                    row("resident MiB", "RSS MiB"),
                    row("threads", "threads"),
                    row("descriptors a peer", "descriptors/peer"),
                    row("idle CPU %", "idle CPU %"),
                    row("closing s", "close s"),
                ]
            })
            .collect();
        section(
            "Mesh in one process",
            "All peers join at once. Memory 3 s after the last end opened, above what the process had with the library \
             warmed up. Threads without those of the benchmark.",
            &rows,
        );

        let rows: Vec<Row> = self
            .cells(|cell| matches!(cell, Cell::FanOut(_)))
            .into_iter()
            .flat_map(|cell| {
                let row = |label, figure, of| Row::of(format!("{}, {label}", cell.size()), cell, figure, of);
                [
                    row("CPU s", "CPU s", Of::Median),
                    row("p50, ms", "p50 ms", Of::Median),
                    row("p99, ms", "p99 ms", Of::Median),
                    row("worst, ms", "worst ms", Of::Median),
                    row("key frames alone, p50, ms", "key frames p50 ms", Of::Median),
                    row("frames lost", "frames lost", Of::Worst),
                    row("resident MiB", "RSS MiB", Of::Median),
                    row("KiB a receiver", "KiB/receiver", Of::Median),
                    row("threads", "threads", Of::Median),
                    row("descriptors", "descriptors", Of::Median),
                ]
            })
            .collect();
        section(
            "One video to many",
            "VP8 of 1.5 Mbit/s, 30 frames a second, a key frame of 60 kB in ten seconds, 10 s (2 with --quick). Time \
             from the sender's call to the whole frame at a receiver; processor time of all; memory while it runs, of \
             all ends. Ours: one swarm sends to swarms that have no other peer. The rival has no packetizer for VP8 and \
             no depacketizer in its C API: the benchmark cuts each frame into RTP packets, once for all tracks, and puts \
             them together. Its tracks answer NACKs; it has no sender reports without a packetizer, estimates no \
             bandwidth, spreads no bursts, and has no data channel here; ours does and has all that.",
            &rows,
        );

        let rows: Vec<Row> = self
            .cells(|cell| matches!(cell, Cell::Calls(_)))
            .into_iter()
            .flat_map(|cell| {
                let row = |label, figure| Row::of(format!("{}, {label}", cell.size()), cell, figure, Of::Median);
                [
                    row("take a message, ns", "receive ns"),
                    row("send, idle connection, ns", "send idle ns"),
                    row("send, into the buffer, ns", "send queued ns"),
                    row("send, buffer full, ns", "send refused ns"),
                ]
            })
            .collect();
        section(
            "A message across the C interface",
            "On the calling thread. Taking: rtcswarm_next_event and rtcswarm_event_free; rtcReceiveMessage, which \
             copies. Into the buffer: of a connection whose other end does not read. Buffer full: ours refuses; the \
             rival has no bound, and is asked for its buffered amount instead.",
            &rows,
        );

        let rows: Vec<Row> = self
            .cells(|cell| matches!(cell, Cell::Mesh(..)))
            .into_iter()
            .flat_map(|cell| {
                let row = |label, figure| Row::of(format!("{}, {label}", cell.size()), cell, figure, Of::Worst);
                [
                    row("descriptors", "descriptors left"),
                    row("threads", "threads left"),
                    row("heap KiB", "heap left KiB"),
                    row("resident MiB", "RSS left MiB"),
                ]
            })
            .collect();
        section("Left after closing a mesh", "Against the state before it; the worst run.", &rows);

        let rows: Vec<Row> = self
            .cells(|cell| matches!(cell, Cell::Churn(_)))
            .into_iter()
            .flat_map(|cell| {
                let row = |label, figure, of| Row::of(format!("{}, {label}", cell.size()), cell, figure, of);
                [
                    row("ms a round", "ms/round", Of::Median),
                    row("CPU ms a round", "CPU ms/round", Of::Median),
                    row("heap growth, KiB", "heap KiB growth", Of::Worst),
                    row("resident growth, KiB", "RSS KiB growth", Of::Worst),
                    row("descriptors growth", "descriptors growth", Of::Worst),
                    row("threads growth", "threads growth", Of::Worst),
                ]
            })
            .collect();
        section(
            "Connecting and closing, over and over",
            "Growth from the lowest of five samples in the first half to the lowest in the second, the worst run.",
            &rows,
        );

        for ((cell, side), errors) in &self.failures {
            let _ = writeln!(text, "**{} of {rounds} runs failed**: {cell:?}, {}:", errors.len(), side.argument());
            for error in errors {
                let _ = writeln!(text, "- {error}");
            }
            text.push('\n');
        }
        text
    }

    fn section(&self, text: &mut String, title: &str, note: &str, rows: &[Row]) {
        if rows.is_empty() {
            return;
        }
        let _ = writeln!(text, "### {title}\n\n{note}\n");
        text.push_str("| | rtcswarm | libdatachannel | ratio |\n|---|---:|---:|---:|\n");
        for Row { label, cell, figure, of } in rows {
            let [ours, rival] = [Side::Ours, Side::Rival].map(|side| self.value(*cell, side, figure, *of));
            let ratio = match (ours, rival) {
                (Some(ours), Some(rival)) if rival > 0.0 && ours >= 0.0 => format!("{:.2}", ours / rival),
                _ => "–".into(),
            };
            let _ = writeln!(text, "| {label} | {} | {} | {ratio} |", number(ours), number(rival));
        }
        text.push('\n');
    }

    /// One line for each target whose figures are there.
    pub fn targets(&self) -> String {
        let mut text = String::new();
        let mut verdict = |what: &str, value: Option<f64>, holds: &dyn Fn(f64) -> bool| {
            if let Some(value) = value {
                let word = if holds(value) { "reached" } else { "missed" };
                let _ = writeln!(text, "target {what}: {} {word}", number(Some(value)));
            }
        };
        let ratio = |cell, figure| {
            let value = |side| self.value(cell, side, figure, Of::Median);
            Some(value(Side::Ours)? / value(Side::Rival)?)
        };
        let ours = |cell, figure, of| self.value(cell, Side::Ours, figure, of);
        for size in [16 << 10, 64 << 10] {
            let (cell, label) = (Cell::Bulk(size), Cell::Bulk(size).size());
            verdict(&format!("{label} throughput, at least 3.5 times"), ratio(cell, "MB/s"), &|x| x >= 3.5);
            verdict(&format!("{label} CPU s/GB, at most 0.25 times"), ratio(cell, "CPU s/GB"), &|x| x <= 0.25);
        }
        verdict("64 B messages/s, at least 2 times", ratio(Cell::Bulk(64), "messages/s"), &|x| x >= 2.0);
        for cell in [Cell::Ping(64), Cell::Ping(1024)] {
            let what = format!("{} ping p50, at most 0.4 times", cell.size());
            verdict(&what, ratio(cell, "p50 µs"), &|x| x <= 0.4);
        }
        let forty = Cell::Mesh(40, None);
        verdict("mesh of 40 CPU, at most 0.4 times", ratio(forty, "CPU s"), &|x| x <= 0.4);
        let figure = |name| ours(forty, name, Of::Median);
        verdict("mesh of 40, at most 150 KiB a connection end", figure("KiB/end"), &|x| x <= 150.0);
        let smaller = ours(Cell::Mesh(40, Some(64 << 10)), "KiB/end", Of::Median);
        verdict("the same, with messages up to 64 KiB", smaller, &|x| x <= 150.0);
        verdict("mesh of 40, at most 4 descriptors a swarm", figure("descriptors/peer"), &|x| x <= 4.0);
        verdict("mesh of 40, idle CPU at most 5 %", figure("idle CPU %"), &|x| x <= 5.0);
        let hundred = Cell::Mesh(100, None);
        let whole = ours(hundred, "ends", Of::Best).filter(|_| !self.failures.contains_key(&(hundred, Side::Ours)));
        let whole = whole.or_else(|| self.failures.contains_key(&(hundred, Side::Ours)).then_some(0.0));
        verdict("mesh of 100 opens whole, 9,900 ends", whole, &|x| x >= 9900.0);
        let worst = |name| ours(hundred, name, Of::Worst);
        verdict("mesh of 100 closed, descriptors left, none", worst("descriptors left"), &|x| x <= 0.0);
        verdict("mesh of 100 closed, threads left, none", worst("threads left"), &|x| x <= 0.0);
        verdict("mesh of 100 closed, heap left, at most 1 MiB (in KiB)", worst("heap left KiB"), &|x| x <= 1024.0);
        let part = worst("RSS left MiB").zip(worst("RSS MiB")).map(|(left, full)| left / full * 100.0);
        verdict("mesh of 100 closed, resident memory left, at most 5 % of it", part, &|x| x <= 5.0);
        for fan in self.cells(|cell| matches!(cell, Cell::FanOut(_))) {
            let what = format!("fan-out to {}, frames lost, none", fan.size());
            verdict(&what, ours(fan, "frames lost", Of::Worst), &|x| x <= 0.0);
        }
        for churn in self.cells(|cell| matches!(cell, Cell::Churn(_))) {
            let worst = |name| ours(churn, name, Of::Worst);
            let what = |name: &str| format!("{}, growth of {name}", churn.size());
            verdict(&what("descriptors, none"), worst("descriptors growth"), &|x| x <= 0.0);
            verdict(&what("threads, none"), worst("threads growth"), &|x| x <= 0.0);
            verdict(&what("the heap, at most 64 KiB"), worst("heap KiB growth"), &|x| x <= 64.0);
            verdict(&what("resident memory, at most 256 KiB"), worst("RSS KiB growth"), &|x| x <= 256.0);
        }
        text
    }
}

struct Row {
    label: String,
    cell: Cell,
    figure: &'static str,
    of: Of,
}

impl Row {
    fn of(label: String, cell: Cell, figure: &'static str, of: Of) -> Self {
        Self { label, cell, figure, of }
    }
}

/// Three significant digits are more than the machine can repeat.
fn number(value: Option<f64>) -> String {
    match value {
        None => "–".into(),
        Some(value) if value.abs() >= 1e4 => format!("{:.0}k", value / 1e3),
        Some(value) if value == value.trunc() || value.abs() >= 100.0 => format!("{value:.0}"),
        Some(value) if value.abs() >= 10.0 => format!("{value:.1}"),
        Some(value) => format!("{value:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn results(runs: &[(Cell, Side, &str, &[f64])]) -> Results {
        let mut results = Results::default();
        for (cell, side, figure, values) in runs {
            for value in *values {
                results.add(*cell, *side, Ok(Figures::from([((*figure).to_owned(), *value)])));
            }
        }
        results
    }

    #[test]
    fn a_table_has_the_medians_and_their_ratio() {
        let cell = Cell::Bulk(64);
        let results = results(&[(cell, Side::Ours, "MB/s", &[30.0, 10.0, 20.0]), (cell, Side::Rival, "MB/s", &[8.0])]);
        let tables = results.tables(3);
        assert!(tables.contains("| 64 B, MB/s | 20 | 8 | 2.50 |"), "{tables}");
        assert!(tables.contains("| 64 B, messages/s | – | – | – |"), "{tables}");
    }

    #[test]
    fn targets_are_judged_by_the_numbers() {
        let cell = Cell::Bulk(64);
        let run = |ours: f64| {
            let ours = [ours];
            results(&[(cell, Side::Ours, "messages/s", &ours), (cell, Side::Rival, "messages/s", &[100.0])]).targets()
        };
        assert_eq!(run(250.0), "target 64 B messages/s, at least 2 times: 2.50 reached\n");
        assert_eq!(run(150.0), "target 64 B messages/s, at least 2 times: 1.50 missed\n");
    }

    #[test]
    fn one_failed_mesh_of_a_hundred_is_a_miss() {
        let mut results = results(&[(Cell::Mesh(100, None), Side::Ours, "ends", &[9900.0, 9900.0])]);
        assert!(results.targets().contains("9900 reached"), "{}", results.targets());
        results.add(Cell::Mesh(100, None), Side::Ours, Err("9898 of 9900 ends open in time".into()));
        assert!(results.targets().contains("opens whole, 9,900 ends: 0 missed"), "{}", results.targets());
        assert!(results.tables(3).contains("**1 of 3 runs failed**"), "{}", results.tables(3));
    }
}
